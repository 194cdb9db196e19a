//! Brings verdicts over the line: settles devices and rentals on ETC once their challenges are decided.
//!
//! The provider reports at once, because it wants to be paid; Queens do it later for what a provider leaves lying.

use std::collections::BTreeMap;

use alloy::{primitives::Address, sol_types::SolCall};

use super::{
    challenges::Challenges,
    index::{ChainIndex, ChallengeInfo, DemandInfo, TermsInfo},
    next_block,
    sender::{Intent, SendError, Sender},
};
use crate::{
    chain::{BlockId, Chain, ChainError},
    rules::beacon,
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{Coded, DeviceId, RentalId, abi::WorkVerification, work::Mode},
};

/// Pause before a refused report is tried again, in blocks.
const RETRY_BLOCKS: u64 = 3;
/// Challenges of a device that are looked at: a proof may still be open on the newest.
const MAX_CANDIDATES: usize = 4;
/// Demands without an answer that are looked at in one round.
const MAX_UNANSWERED: usize = 64;
/// Blocks left to those who seal along with something else, and blocks for which the contract can read the hash.
const SEAL_PATIENCE: u64 = 4;
const SEAL_REACH: u64 = 250;
/// Values of the contract's `Outcome`.
const PENDING: u8 = 0;
const PASSED: u8 = 1;

/// Whose reports this node sends.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// Those of one provider, as soon as they are due.
    Provider(Address),
    /// Everybody's, this many blocks after they were due.
    Everyone { after_blocks: u64 },
}

pub struct Reporter {
    pub chain: Chain,
    pub classic: ChainIndex,
    pub contract: Address,
    pub scope: Scope,
    /// A full pass older than this, seconds, is reported again.
    pub refresh_seconds: u64,
    pub challenges: Challenges,
    pub sender: Sender,
    pub metrics: Metrics,
    pub tried: BTreeMap<String, u64>,
}

/// What is due now.
enum Due {
    /// A challenge that a verdict waits for, and that nobody sealed.
    Seal {
        block: u64,
    },
    Device {
        id: DeviceId,
        block: u64,
    },
    Rental {
        id: RentalId,
        version: u32,
        hint: u64,
    },
}

impl Reporter {
    fn delay_blocks(&self) -> u64 {
        match self.scope {
            Scope::Provider(_) => 0,
            Scope::Everyone { after_blocks } => after_blocks,
        }
    }

    fn is_ours(&self, provider: Address) -> bool {
        match self.scope {
            Scope::Provider(account) => account == provider,
            Scope::Everyone { .. } => true,
        }
    }

    /// The last block of a challenge's commit and dispute windows.
    fn settled_from(&self, block: u64) -> u64 {
        block + self.challenges.parameters(block).settle_blocks()
    }

    /// Without a seal nobody knows who was drawn, and nothing is decided before its block hash is out of reach.
    fn seal_due(&self, challenge: &ChallengeInfo) -> bool {
        let newest = self.classic.newest().number;
        let seal_block = beacon::seal_block(challenge.block_number, self.challenges.parameters(challenge.block_number).commit_window);
        !challenge.is_sealed && seal_block + SEAL_PATIENCE < newest && newest < seal_block + SEAL_REACH
    }

    /// Rentals whose closing challenge has been opened, with the challenge that decides.
    fn ended_rentals(&self) -> Vec<(RentalId, TermsInfo, u64, u64)> {
        let views = self.classic.views();
        let newest = self.classic.newest().number;
        let open = views.work.terms.iter().filter(|(_, terms)| !terms.is_final);
        open.filter(|(_, terms)| views.work.devices.get(&terms.device).is_some_and(|device| self.is_ours(device.provider)))
            .filter_map(|(id, terms)| {
                let closing = views.work.first_at_or_after(terms.end);
                let challenge = views.work.challenges.get(usize::try_from(closing).ok()?)?;
                (challenge.block_number + self.delay_blocks() <= newest)
                    .then(|| (*id, *terms, closing, views.work.first_at_or_after(terms.start)))
            })
            .collect()
    }

    /// Devices with a full commit that the marketplace may want to know of: the newest challenges whose windows are over.
    fn passed_devices(&self) -> Vec<(DeviceId, Vec<ChallengeInfo>)> {
        let views = self.classic.views();
        let newest = self.classic.newest().number;
        let over = |challenge: &&ChallengeInfo| self.settled_from(challenge.block_number) + self.delay_blocks() < newest;
        let ours = views.work.devices.iter().filter(|(_, device)| !device.is_removed && self.is_ours(device.provider));
        let candidates = |id: &DeviceId| {
            let reported = views.work.reported_pass.get(id).copied().unwrap_or_default();
            let wanted = if reported == 0 { 0 } else { reported + self.refresh_seconds };
            let is_full = |challenge: &&ChallengeInfo| {
                let commit = views.work.commits.get(&(challenge.block_number, *id));
                commit.is_some_and(|commit| commit.mode == Mode::Full as u8 && !commit.is_voided)
            };
            let recent = views.work.challenges.iter().rev().take_while(|challenge| challenge.timestamp > wanted);
            recent.filter(over).filter(is_full).take(MAX_CANDIDATES).copied().collect::<Vec<_>>()
        };
        ours.map(|(id, _)| (*id, candidates(id))).filter(|(_, candidates)| !candidates.is_empty()).collect()
    }

    /// Commits of which samples were demanded in vain. Until somebody settles them the provider loses nothing, and whoever asked has a bond
    /// in there and one demand less to make.
    fn unanswered(&self) -> Vec<(DeviceId, ChallengeInfo)> {
        let Scope::Everyone { after_blocks } = self.scope else { return Vec::new() };
        let views = self.classic.views();
        let newest = self.classic.newest().number;
        let is_over = |demand: &DemandInfo| !demand.is_answered && demand.answer_until.saturating_add(after_blocks) < newest;
        let open = views
            .work
            .demands
            .iter()
            .filter(|((block, id), demands)| demands.iter().any(is_over) && !views.work.settled.contains(&(*id, *block)));
        open.filter_map(|((block, id), _)| Some((*id, *views.work.challenge(*block)?))).take(MAX_UNANSWERED).collect()
    }

    async fn outcome(&self, challenge: u64, device: DeviceId) -> Result<u8, ChainError> {
        let call = WorkVerification::outcomeCall { index: challenge, deviceId: device };
        self.chain.call(self.contract, call, BlockId::latest()).await
    }

    async fn due(&self) -> Result<Vec<Due>, ChainError> {
        let mut due = Vec::new();
        for (id, terms, closing, hint) in self.ended_rentals() {
            let unsealed = self.classic.views().work.challenges.get(usize::try_from(closing).unwrap_or(usize::MAX)).copied();
            if let Some(challenge) = unsealed.filter(|challenge| self.seal_due(challenge)) {
                due.push(Due::Seal { block: challenge.block_number });
            }
            if self.outcome(closing, terms.device).await? != PENDING {
                due.push(Due::Rental { id, version: terms.version, hint });
                // Its verdicts move the reputation as well.
                due.push(Due::Device { id: terms.device, block: closing });
            }
        }
        for (id, challenge) in self.unanswered() {
            if self.outcome(challenge.index, id).await? != PENDING {
                due.push(Due::Device { id, block: challenge.block_number });
            }
        }
        for (id, candidates) in self.passed_devices() {
            for challenge in candidates {
                if self.outcome(challenge.index, id).await? == PASSED {
                    due.push(Due::Device { id, block: challenge.block_number });
                    break;
                }
            }
        }
        Ok(due)
    }

    async fn report(&mut self, due: Due) -> Result<(), SendError> {
        let newest = self.classic.newest().number;
        let (key, label, data) = match due {
            Due::Seal { block } => (format!("seal:{block}"), "seal", WorkVerification::sealCall { blockNumber: block }.abi_encode()),
            Due::Device { id, block } => {
                (format!("report-device:{id}:{block}"), "reportDevice", WorkVerification::reportDeviceCall { deviceId: id }.abi_encode())
            }
            Due::Rental { id, version, hint } => {
                let call = WorkVerification::reportRentalCall { rentalId: id, hint };
                (format!("report-rental:{id}:{version}"), "reportRental", call.abi_encode())
            }
        };
        if self.tried.get(&key).is_some_and(|block| block + RETRY_BLOCKS > newest) {
            return Ok(());
        }
        self.tried.insert(key.clone(), newest);
        self.tried.retain(|_, block| *block + 4_096 > newest);
        let mined = self.sender.submit(Intent::call(format!("{key}:{newest}"), label, self.contract, data)).await?;
        self.metrics.event("report", label);
        tracing::info!(label, key, tx = %mined.hash, gas = mined.gas_used, "reported");
        Ok(())
    }
}

#[async_trait::async_trait]
impl Service for Reporter {
    fn name(&self) -> &'static str {
        "reporter"
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.classic.head();
        loop {
            for due in self.due().await.map_err(Fault::recover)? {
                if let Err(error) = self.report(due).await {
                    tracing::debug!(code = error.code(), %error, "report was refused, trying again later");
                }
            }
            if !next_block(&mut head, shutdown).await {
                return Ok(());
            }
        }
    }
}
