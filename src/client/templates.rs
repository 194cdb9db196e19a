//! Ready-made launches: an image, a start command, and how to reach what it starts.

use alloy::primitives::hex;

use super::launch::{ImageChoice, LaunchSpec};
use crate::types::RentalId;

/// Port on which the notebook listens, inside the container only.
const JUPYTER_PORT: u16 = 8_888;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Template {
    /// JupyterLab, reached with `gpumkt forward`
    Jupyter,
    /// PyTorch with CUDA
    Pytorch,
    /// OpenCL loader and tools
    Opencl,
}

impl Template {
    fn image(self) -> &'static str {
        match self {
            Template::Jupyter => "quay.io/jupyter/pytorch-notebook:cuda12-latest",
            Template::Pytorch => "docker.io/pytorch/pytorch:2.5.1-cuda12.4-cudnn9-runtime",
            Template::Opencl => "docker.io/nvidia/opencl:runtime-ubuntu22.04",
        }
    }

    /// Fills in what the renter has left open: image, start command, and a token that only this renter knows.
    pub fn fill(self, launch: &mut LaunchSpec) {
        if launch.image == ImageChoice::Default {
            launch.image = ImageChoice::Registry { reference: self.image().into(), login: None };
        }
        if self != Template::Jupyter || !launch.command.is_empty() {
            return;
        }
        // The token travels in the environment: command lines are visible to every process of the machine.
        launch.env.entry("JUPYTER_TOKEN".into()).or_insert_with(|| hex::encode(rand::random::<[u8; 16]>()));
        let port = JUPYTER_PORT.to_string();
        let words = ["jupyter", "lab", "--ip=127.0.0.1", "--port", &port, "--no-browser", "--allow-root", "--ServerApp.root_dir=/root"];
        launch.command = words.map(String::from).to_vec();
    }

    /// What to do once it runs.
    pub fn hint(self, rental: RentalId, launch: &LaunchSpec) -> String {
        match (self, launch.env.get("JUPYTER_TOKEN")) {
            (Template::Jupyter, Some(token)) => {
                format!("gpumkt forward {rental} {JUPYTER_PORT}, then open http://127.0.0.1:{JUPYTER_PORT}/lab?token={token}")
            }
            (Template::Jupyter, None) => format!("gpumkt forward {rental} {JUPYTER_PORT}"),
            (Template::Pytorch, _) => {
                format!("gpumkt run {rental} -- python -c 'import torch; print(torch.cuda.get_device_name())'")
            }
            (Template::Opencl, _) => format!("gpumkt run {rental} -- clinfo -l"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fills_in_what_is_open_and_nothing_else() {
        let mut launch = LaunchSpec::default();
        Template::Jupyter.fill(&mut launch);
        assert!(launch.check().is_ok());
        assert!(launch.image.to_string().starts_with("quay.io/") && launch.command[0] == "jupyter");
        let token = launch.env["JUPYTER_TOKEN"].clone();
        assert_eq!(token.len(), 32);
        assert!(!launch.command.concat().contains(&token) && !format!("{launch:?}").contains(&token), "the token stays out of sight");
        assert!(Template::Jupyter.hint(7, &launch).contains(&format!("token={token}")));
        let mut other = LaunchSpec::default();
        Template::Jupyter.fill(&mut other);
        assert_ne!(other.env["JUPYTER_TOKEN"], token);

        let mut own = LaunchSpec { image: "local:mine".parse().unwrap(), command: vec!["x".into()], ..LaunchSpec::default() };
        let before = own.clone();
        for template in [Template::Jupyter, Template::Pytorch, Template::Opencl] {
            template.fill(&mut own);
            assert_eq!(own, before);
            let mut empty = LaunchSpec::default();
            template.fill(&mut empty);
            assert!(empty.check().is_ok() && empty.image != ImageChoice::Default);
        }
    }
}
