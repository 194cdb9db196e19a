//! `gpumkt doctor`: what a role needs, looked at one by one.

use clap::Args;

use super::{
    args::NodeArgs,
    commands::{Outcome, load},
    render::{OperatorError, output, printable},
};
#[cfg(feature = "node")]
use crate::config::NodeConfig;
use crate::{
    client::doctor::{self, Finding, Status, Subject},
    types::Coded,
};

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// What this configuration is for
    #[arg(value_enum)]
    pub role: SubjectName,
    #[command(flatten)]
    pub node: NodeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SubjectName {
    King,
    Queen,
    Provider,
    Relay,
    Renter,
}

impl From<SubjectName> for Subject {
    fn from(name: SubjectName) -> Self {
        match name {
            SubjectName::King => Subject::King,
            SubjectName::Queen => Subject::Queen,
            SubjectName::Provider => Subject::Provider,
            SubjectName::Relay => Subject::Relay,
            SubjectName::Renter => Subject::Renter,
        }
    }
}

/// Something keeps the role from working.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {checks} checks failed")]
struct Unwell {
    failed: usize,
    checks: usize,
}

impl Coded for Unwell {
    fn code(&self) -> &'static str {
        "E-DOCTOR-001"
    }

    fn next_step(&self) -> String {
        "do what stands below each failed check, and look again".into()
    }
}

pub async fn run(args: &DoctorArgs, json: bool) -> Outcome {
    let config = load(&args.node)?;
    let findings = doctor::examine(&config, args.role.into()).await;
    #[cfg(feature = "node")]
    let findings = with_machine(findings, &config, args.role).await;
    output(json, &findings, |findings| findings.iter().map(text).collect::<Vec<_>>().join("\n"));
    let failed = findings.iter().filter(|finding| finding.status == Status::Fail).count();
    if failed > 0 {
        return Err(OperatorError::from(Unwell { failed, checks: findings.len() }));
    }
    Ok(())
}

/// A provider's machine has to have more than a network.
#[cfg(feature = "node")]
async fn with_machine(mut findings: Vec<Finding>, config: &NodeConfig, role: SubjectName) -> Vec<Finding> {
    if role == SubjectName::Provider {
        findings.extend(crate::role::examine_machine(config).await.iter().map(finding_of));
    }
    findings
}

#[cfg(feature = "node")]
fn finding_of(check: &crate::role::Check) -> Finding {
    match &check.fault {
        None => Finding::ok(check.what, check.found.clone()),
        Some((code, next)) => Finding { code: Some((*code).into()), ..Finding::fail(check.what, check.found.clone(), next.clone()) },
    }
}

fn text(finding: &Finding) -> String {
    let word = match finding.status {
        Status::Ok => "ok  ",
        Status::Warn => "WARN",
        Status::Fail => "FAIL",
    };
    let code = finding.code.as_ref().map(|code| format!("[{code}] ")).unwrap_or_default();
    let next = finding.next_step.as_ref().map(|next| format!("\n      next: {}", printable(next))).unwrap_or_default();
    format!("{word}  {}: {code}{}{next}", printable(&finding.check), printable(&finding.found))
}
