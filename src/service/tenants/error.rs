//! Why a rental cannot be served.

use crate::{
    sandbox::SandboxError,
    store::StoreError,
    types::{Coded, RentalId, launch::LaunchError},
};

#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("rental {rental} is not hosted here")]
    Unknown { rental: RentalId },
    #[error("rental {rental} has no container: this provider runs bare kernels only")]
    NoContainer { rental: RentalId },
    #[error("rental {rental} has been launched already")]
    Launched { rental: RentalId },
    #[error("rental {rental} shares the container of rental {leader}")]
    Shares { rental: RentalId, leader: RentalId },
    #[error("this provider publishes no ports")]
    NoPublicPorts,
    #[error("the launch is not acceptable: {0}")]
    Launch(#[from] LaunchError),
    #[error("cannot use {path}: {source}", path = path.display())]
    Folder { path: std::path::PathBuf, source: std::io::Error },
}

impl Coded for TenantError {
    fn code(&self) -> &'static str {
        match self {
            Self::Sandbox(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Unknown { .. } => "E-TENANT-001",
            Self::NoContainer { .. } => "E-TENANT-002",
            Self::Launched { .. } => "E-TENANT-003",
            Self::Launch(_) => "E-TENANT-004",
            Self::Folder { .. } => "E-TENANT-005",
            Self::Shares { .. } => "E-TENANT-006",
            Self::NoPublicPorts => "E-TENANT-007",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Sandbox(error) => error.next_step(),
            Self::Store(error) => error.next_step(),
            Self::Unknown { .. } => "see `gpumkt rentals` for what is running".into(),
            Self::NoContainer { .. } => "use `gpumkt run RENTAL KERNEL.cl`, or rent from a provider with containers".into(),
            Self::Launched { .. } => "log in and change what runs, or rent anew".into(),
            Self::Launch(_) => "correct the image, command or environment and launch again".into(),
            Self::NoPublicPorts => "launch without --publish and use `gpumkt forward`, or rent from a provider that publishes ports".into(),
            Self::Shares { leader, .. } => format!("launch rental {leader}"),
            Self::Folder { .. } => "check that the data folder is writable and that the disk has space".into(),
        }
    }
}
