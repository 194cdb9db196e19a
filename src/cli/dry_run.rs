//! `gpumkt provider --dry-run`: what a provider's start needs, line by line.

use super::{
    commands::Outcome,
    render::{OperatorError, output, printable},
};
use crate::{
    config::NodeConfig,
    role::{self, Check},
    types::Coded,
};

/// Something would stop the node.
#[derive(Debug, thiserror::Error)]
#[error("{faults} of {checks} checks failed")]
struct NotFit {
    faults: usize,
    checks: usize,
}

impl Coded for NotFit {
    fn code(&self) -> &'static str {
        "E-ROLE-007"
    }

    fn next_step(&self) -> String {
        "do what stands beside each fault above, and check again".into()
    }
}

pub(super) async fn run(config: NodeConfig, json: bool) -> Outcome {
    let checks = role::dry_run_provider(&config).await;
    output(json, &checks, |checks| checks.iter().map(check_text).collect::<Vec<_>>().join("\n"));
    let faults = checks.iter().filter(|check| check.fault.is_some()).count();
    if faults > 0 {
        return Err(OperatorError::from(NotFit { faults, checks: checks.len() }));
    }
    Ok(())
}

fn check_text(check: &Check) -> String {
    let found = printable(&check.found);
    match &check.fault {
        None => format!("ok     {}: {found}", check.what),
        Some((code, next)) => format!("FAULT  {}: [{code}] {found}\n         {next}", check.what),
    }
}
