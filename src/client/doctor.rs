//! `gpumkt doctor`: looks at everything a role depends on, and says of each thing what was found and what to do.
//!
//! Nothing is changed, nothing is sent to a chain, and what fails does not keep the rest from being looked at.
//!
//! Layout: `chains` endpoints, clock, contracts; `account` keys, stake, gas; `machine` data folder, database, ports; `peers` who can be
//! reached, and whether this machine can.

mod account;
mod chains;
mod machine;
mod peers;

use serde::Serialize;

use crate::{config::NodeConfig, types::Coded, types::Role};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// The role works, but worse than it could, or not for long.
    Warn,
    /// The role does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub check: String,
    pub status: Status,
    pub found: String,
    /// Stable code of what is wrong, where there is one.
    pub code: Option<String>,
    /// What to do; `None` where nothing is to be done.
    pub next_step: Option<String>,
}

impl Finding {
    pub fn ok(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), status: Status::Ok, found: found.into(), code: None, next_step: None }
    }

    pub fn warn(check: impl Into<String>, found: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { check: check.into(), status: Status::Warn, found: found.into(), code: None, next_step: Some(next_step.into()) }
    }

    pub fn fail(check: impl Into<String>, found: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { status: Status::Fail, ..Self::warn(check, found, next_step) }
    }

    pub fn error(check: impl Into<String>, error: &(impl Coded + ?Sized)) -> Self {
        Self { code: Some(error.code().into()), ..Self::fail(check, error.to_string(), error.next_step()) }
    }

    fn only_warn(self) -> Self {
        Self { status: self.status.min(Status::Warn), ..self }
    }
}

/// Whose dependencies are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    King,
    Queen,
    Provider,
    Relay,
    Renter,
}

impl Subject {
    /// Whether it is a process that others reach.
    fn is_node(self) -> bool {
        self != Subject::Renter
    }

    /// The stake it needs.
    fn stake(self) -> Option<Role> {
        match self {
            Subject::King => Some(Role::King),
            Subject::Queen => Some(Role::Queen),
            Subject::Provider => Some(Role::Provider),
            Subject::Relay | Subject::Renter => None,
        }
    }
}

/// Looks at everything but what only a provider's machine has.
pub async fn examine(config: &NodeConfig, subject: Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    let keys = account::keys(config, subject, &mut findings);
    let seen = chains::look(config, subject, &mut findings).await;
    if let Some(book) = chains::contracts(config, &seen, &mut findings).await {
        account::stake(config, subject, &keys, &seen, &book, &mut findings).await;
    }
    account::gas(config, subject, &keys, &seen, &mut findings).await;
    machine::look(config, subject, &mut findings).await;
    peers::look(config, subject, &mut findings).await;
    findings
}
