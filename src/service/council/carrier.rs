//! Carries what Kings have decided to one chain: rotations, recoveries, pauses; on Ethereum it also has the next set drawn when it is time.
//!
//! Nothing here is trusted: the contracts check the signatures, and each effect is looked up before it is sent. Several relays at once
//! cost each other a refused simulation, in a bad moment a failed transaction.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy::{
    primitives::{Address, B256, U256, keccak256},
    sol_types::SolCall,
};

use super::book::StatementBook;
use crate::{
    chain::{BlockId, ChainError},
    rules::quorum::{KingSet, QuorumSignatures},
    service::{
        index::ChainIndex,
        peers::Peers,
        sender::{Intent, Sender},
    },
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        AddressBook, ChainKind, Coded,
        abi::{GPURental, Inbox, KingSet as Contract, RentalCourt, StakingManager},
        addresses::KingMember,
        wire::Statement,
    },
};

/// Kings are asked for signatures this often: gossip may have missed us, or come before we knew the set.
const ASK_EVERY: Duration = Duration::from_secs(15);
/// The stakes are compared with the set this often.
const DRAW_EVERY: Duration = Duration::from_secs(20);
/// Pauses after a failed attempt; they double.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Members of a set, as the contract draws them.
const MEMBER_LIMIT: u64 = 21;
const MEMBER_MINIMUM: usize = 4;
/// A set is drawn anew once the share of a member has moved by more than this part of the whole, 1/20.
const SHARE_FRACTION: u32 = 20;
/// Or once less than this part of its lifetime is left, a half.
const RENEW_AT: u64 = 2;

pub struct Carrier {
    /// Of the chain that is carried to.
    pub sender: Sender,
    pub ethereum_index: ChainIndex,
    pub index: ChainIndex,
    pub statements: StatementBook,
    pub peers: Peers,
    pub book: AddressBook,
    /// Whether this relay has new sets drawn.
    pub draws: bool,
    pub metrics: Metrics,
    pub state: CarrierState,
}

/// What the loop remembers between rounds.
#[derive(Default)]
pub struct CarrierState {
    asked: Option<Instant>,
    drawn: Option<Instant>,
    attempts: BTreeMap<B256, Attempt>,
}

#[derive(Clone, Copy)]
struct Attempt {
    number: u32,
    not_before: Instant,
}

/// A call that is due.
struct Due {
    to: Address,
    data: Vec<u8>,
}

impl Carrier {
    fn kind(&self) -> ChainKind {
        self.sender.chain().kind()
    }

    async fn look(&mut self) -> Result<(), ChainError> {
        if self.state.asked.is_none_or(|at| at.elapsed() >= ASK_EVERY) {
            self.state.asked = Some(Instant::now());
            let king_set = self.book.bridge(self.kind()).king_set;
            self.statements.kings().follow(self.sender.chain(), &self.index, king_set).await?;
            for signed in self.peers.statements().await {
                self.statements.add(&signed);
            }
        }
        for (statement, quorum) in self.statements.ready() {
            if let Some(due) = self.due(&statement, &quorum).await? {
                self.attempt(statement.digest(&self.book), statement.label(), due).await;
            }
        }
        if self.draws && self.kind() == ChainKind::Ethereum && self.state.drawn.is_none_or(|at| at.elapsed() >= DRAW_EVERY) {
            self.state.drawn = Some(Instant::now());
            self.draw().await?;
        }
        Ok(())
    }

    async fn read<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, ChainError> {
        self.sender.chain().call(to, call, BlockId::latest()).await
    }

    /// The call that puts a statement into effect on this chain; `None` where it has, or does not concern it.
    async fn due(&self, statement: &Statement, quorum: &QuorumSignatures) -> Result<Option<Due>, ChainError> {
        let kind = self.kind();
        let bridge = *self.book.bridge(kind);
        let is_next = async |set_epoch: u64| {
            Ok::<bool, ChainError>(self.read(bridge.king_set, Contract::currentEpochCall {}).await?.checked_add(1) == Some(set_epoch))
        };
        Ok(match *statement {
            Statement::Rotation { bridge: id, set_epoch, set_hash, nominated_at, expires_at } => {
                let nominations = self.ethereum_index.views().kings.nominations(set_epoch);
                let members = nominations.into_iter().find(|found| found.set_hash() == set_hash).map(|found| found.set.packed());
                let Some(members) = members else { return Ok(None) };
                if !is_next(set_epoch).await? {
                    return Ok(None);
                }
                let rotation = Contract::KingSetRotation {
                    bridge: id,
                    setEpoch: set_epoch,
                    setHash: set_hash,
                    nominatedAt: nominated_at,
                    expiresAt: expires_at,
                };
                let call = Contract::rotateCall { rotation, members, quorum: for_kings(quorum) };
                Some(Due { to: bridge.king_set, data: call.abi_encode() })
            }
            Statement::Recovery { origin_chain_id, outbox, set_epoch, fork_count } => {
                if !is_next(set_epoch).await? {
                    return Ok(None);
                }
                let (to, data) = if origin_chain_id == self.book.chain_id(kind) {
                    let recovery =
                        Contract::BridgeRecovery { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, forkCount: fork_count };
                    (bridge.king_set, Contract::recoverCall { recovery, quorum: for_kings(quorum) }.abi_encode())
                } else {
                    let recovery =
                        Inbox::BridgeRecovery { originChainId: origin_chain_id, outbox, setEpoch: set_epoch, forkCount: fork_count };
                    (bridge.inbox, Inbox::recoverCall { recovery, quorum: for_inbox(quorum) }.abi_encode())
                };
                Some(Due { to, data })
            }
            Statement::Pause { origin_chain_id, set_epoch, until, .. } => {
                let is_here = origin_chain_id == self.book.chain_id(kind.other());
                let is_open = is_here && self.is_ahead(until) && self.read(bridge.inbox, Inbox::pausedUntilCall {}).await? < until;
                let is_current = is_open && self.read(bridge.king_set, Contract::currentEpochCall {}).await? == set_epoch;
                let call = Inbox::pauseCall { until, quorum: for_inbox(quorum) };
                is_current.then(|| Due { to: bridge.inbox, data: call.abi_encode() })
            }
            Statement::Withdrawals { set_epoch, until } => {
                let is_here = kind == ChainKind::Ethereum && self.is_ahead(until);
                let is_open = is_here
                    && self.read(self.book.ethereum.gpu_rental, GPURental::withdrawalLimitCall {}).await?.pausedUntil < until
                    && self.read(bridge.king_set, Contract::currentEpochCall {}).await? == set_epoch;
                let call = RentalCourt::pauseWithdrawalsCall { until, quorum: for_court(quorum) };
                is_open.then(|| Due { to: self.book.ethereum.rental_court, data: call.abi_encode() })
            }
        })
    }

    fn is_ahead(&self, until: u64) -> bool {
        until > self.index.newest().timestamp
    }

    /// Sends once per attempt; a refusal waits longer each time, as windows open and close.
    async fn attempt(&mut self, key: B256, label: &'static str, due: Due) {
        let before = self.state.attempts.get(&key).copied();
        if before.is_some_and(|attempt| attempt.not_before > Instant::now()) {
            return;
        }
        let number = before.map_or(0, |attempt| attempt.number);
        let id = format!("{label}:{}:{key}:{number}", self.kind());
        let outcome = self.sender.submit(Intent::call(id, label, due.to, due.data)).await;
        let pause = FIRST_PAUSE.saturating_mul(1 << number.min(10)).min(LONGEST_PAUSE);
        match outcome {
            Ok(mined) => {
                self.metrics.event(label, "carried");
                tracing::info!(chain = %self.kind(), statement = label, tx = %mined.hash, "carried");
            }
            Err(error) => tracing::warn!(chain = %self.kind(), statement = label, code = error.code(), %error, ?pause, "not carried"),
        }
        // A reorganisation may take the effect away, so it is looked at again.
        self.state.attempts.insert(key, Attempt { number: number.saturating_add(1), not_before: Instant::now() + pause });
    }

    /// Has the next set drawn, when the stakes have moved or the present one grows old.
    async fn draw(&mut self) -> Result<(), ChainError> {
        let contract = self.book.ethereum.bridge.king_set;
        let epoch = self.read(contract, Contract::currentEpochCall {}).await?;
        let Some(current) = self.statements.kings().get(epoch) else { return Ok(()) };
        let times = self.read(contract, Contract::timesCall {}).await?;
        let now = self.sender.chain().head().await?.timestamp;
        let pending = self.read(contract, Contract::pendingSinceCall {}).await?;
        let last = self.read(contract, Contract::nominatedAtCall {}).await?;
        let is_early = now <= pending.saturating_add(2 * u64::from(times.signingWindow))
            || (last != 0 && now < last.saturating_add(u64::from(times.minimumDelay)));
        if is_early {
            return Ok(());
        }
        let drawn = drawn(
            &self.read(self.book.ethereum.staking_manager, StakingManager::kingSetCall { limit: U256::from(MEMBER_LIMIT) }).await?,
            epoch,
        );
        let left = self.read(contract, Contract::expiresAtCall { setEpoch: epoch }).await?.saturating_sub(now);
        let is_old = left < u64::from(times.lifetime) / RENEW_AT;
        if drawn.members().len() < MEMBER_MINIMUM || (current.is_like(&drawn, SHARE_FRACTION) && !is_old) {
            return Ok(());
        }
        let key = keccak256([b"nominate".as_slice(), &epoch.to_be_bytes(), &pending.to_be_bytes(), &now.to_be_bytes()].concat());
        self.attempt(key, "nominate", Due { to: contract, data: Contract::nominateCall {}.abi_encode() }).await;
        Ok(())
    }
}

/// The set that the contract would draw: whole GPUTOKEN weigh.
fn drawn(found: &StakingManager::kingSetReturn, epoch: u64) -> KingSet {
    let unit = U256::from(10).pow(U256::from(18));
    let weight = |stake: &U256| (stake / unit).try_into().unwrap_or(u64::MAX);
    let members = found.operators.iter().zip(&found.stakes).map(|(address, stake)| KingMember { address: *address, weight: weight(stake) });
    KingSet::new(epoch.saturating_add(1), members.filter(|member| member.weight > 0).collect())
}

fn for_kings(quorum: &QuorumSignatures) -> Contract::Quorum {
    let QuorumSignatures { members, signer_bitmap, signatures, .. } = quorum;
    Contract::Quorum { members: members.clone(), signerBitmap: *signer_bitmap, signatures: signatures.clone().into() }
}

fn for_inbox(quorum: &QuorumSignatures) -> Inbox::Quorum {
    let QuorumSignatures { members, signer_bitmap, signatures, .. } = quorum;
    Inbox::Quorum { members: members.clone(), signerBitmap: *signer_bitmap, signatures: signatures.clone().into() }
}

fn for_court(quorum: &QuorumSignatures) -> RentalCourt::Quorum {
    let QuorumSignatures { members, signer_bitmap, signatures, .. } = quorum;
    RentalCourt::Quorum { members: members.clone(), signerBitmap: *signer_bitmap, signatures: signatures.clone().into() }
}

#[async_trait::async_trait]
impl Service for Carrier {
    fn name(&self) -> &'static str {
        match self.kind() {
            ChainKind::Ethereum => "ethereum-carrier",
            ChainKind::Classic => "classic-carrier",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut head = self.index.head();
        loop {
            match shutdown.or_stop(self.look()).await {
                None => return Ok(()),
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    tracing::debug!(chain = %self.kind(), code = error.code(), %error, "decisions of Kings cannot be carried")
                }
            }
            if !matches!(shutdown.or_stop(head.changed()).await, Some(Ok(()))) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_drawn_in_whole_tokens_as_the_contract_draws_it() {
        let token = U256::from(10).pow(U256::from(18));
        let found = StakingManager::kingSetReturn {
            operators: [3, 1, 2].map(Address::repeat_byte).to_vec(),
            stakes: vec![token * U256::from(7) + U256::from(5), token * U256::from(7), token - U256::from(1)],
        };
        let set = drawn(&found, 4);
        let members: Vec<(Address, u64)> = set.members().iter().map(|member| (member.address, member.weight)).collect();
        assert_eq!(members, [(Address::repeat_byte(1), 7), (Address::repeat_byte(3), 7)]);
        assert_eq!(set.epoch, 5);
    }
}
