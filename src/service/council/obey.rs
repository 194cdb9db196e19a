//! Orders of the operator, carried out one by one.

use super::{Council, CouncilError, Order, PAUSE_SECONDS, WITHDRAWALS_SECONDS};
use crate::{
    chain::Chain,
    rules::succession::Seen,
    service::{commands, index::ChainIndex, signer::SIGNED},
    telemetry::Severity,
    types::{
        ChainKind, Coded,
        abi::{KingSet, Outbox},
        wire::Statement,
    },
};

impl Council {
    /// An order stays until it is signed or can never be: a crash in between repeats it, which signs the same again.
    pub(super) async fn take_orders(&mut self) -> Result<(), CouncilError> {
        for order in Order::waiting(&self.data_dir) {
            match self.obey(order).await {
                Ok(()) => commands::done(&self.data_dir, order.name()),
                Err(error @ CouncilError::Store(_)) => return Err(error),
                Err(error) if error.is_passing() => {
                    tracing::warn!(?order, code = error.code(), %error, next_step = error.next_step(), "an order waits");
                }
                Err(error) => {
                    let message = format!("{order:?} was not signed: {error} ({}); {}", error.code(), error.next_step());
                    self.alerts.raise("king_order_refused", Severity::Warning, format!("{order:?}"), message);
                    commands::done(&self.data_dir, order.name());
                }
            }
        }
        Ok(())
    }

    async fn obey(&mut self, order: Order) -> Result<(), CouncilError> {
        match order {
            Order::Recover { origin, fork_count } => self.recover(origin, fork_count).await,
            Order::Pause { origin, until } => {
                // The set of the chain that will be held verifies it.
                let set_epoch = self.epoch_and_time(origin.other(), until, PAUSE_SECONDS).await?;
                let outbox = self.book.bridge(origin).outbox;
                let statement = Statement::Pause { origin_chain_id: self.book.chain_id(origin), outbox, set_epoch, until };
                self.say(statement, None).await
            }
            Order::Withdrawals { until } => {
                let set_epoch = self.epoch_and_time(ChainKind::Ethereum, until, WITHDRAWALS_SECONDS).await?;
                self.say(Statement::Withdrawals { set_epoch, until }, None).await
            }
        }
    }

    /// The current epoch of `kind`, if a pause until then can be ordered there now.
    async fn epoch_and_time(&self, kind: ChainKind, until: u64, limit: u64) -> Result<u64, CouncilError> {
        let (chain, _) = self.chain(kind);
        let head = chain.agreed_block(chain.agreed_head_number().await?).await?;
        if until <= head.timestamp || until > head.timestamp.saturating_add(limit) {
            return Err(CouncilError::Until { until, now: head.timestamp, limit });
        }
        Ok(chain.agreed_call(self.book.bridge(kind).king_set, KingSet::currentEpochCall {}, head.hash).await?)
    }

    /// A new epoch for the same set. The count to go back to follows from both chains, so that all Kings sign the same.
    async fn recover(&mut self, origin: ChainKind, ordered: Option<u32>) -> Result<(), CouncilError> {
        let (ethereum, classic) = tokio::try_join!(self.standing(ChainKind::Ethereum), self.standing(ChainKind::Classic))?;
        if ethereum.epoch != classic.epoch {
            return Err(CouncilError::Between { ethereum: ethereum.epoch, classic: classic.epoch });
        }
        let (origin_chain, origin_index) = self.chain(origin);
        let (verifier_chain, verifier_index) = self.chain(origin.other());
        for (chain, index) in [(origin_chain, origin_index), (verifier_chain, verifier_index)] {
            require_caught_up(chain, index).await?;
        }
        let settled = self.settled_block(origin).await?;
        let held = origin_chain.agreed_call(self.book.bridge(origin).outbox, Outbox::countCall {}, settled.hash).await?;
        let found = {
            let views = origin_index.views();
            verifier_index.views().bridge.newest_shared(views.bridge.tree())
        };
        if found > held {
            return Err(CouncilError::Shallow { count: found });
        }
        if !self.has_broken_history(origin, ethereum.epoch, found)? {
            return Err(CouncilError::Nothing { origin, epoch: ethereum.epoch });
        }
        if let Some(ordered) = ordered.filter(|ordered| *ordered != found) {
            return Err(CouncilError::OtherFork { ordered, found });
        }
        let times = self.times(&ethereum.block).await?;
        let set_epoch = ethereum.epoch.saturating_add(1);
        let seen = Seen {
            ethereum_epoch: ethereum.epoch,
            classic_epoch: classic.epoch,
            ethereum_time: ethereum.block.timestamp,
            classic_time: classic.block.timestamp,
            signing_window: u64::from(times.signingWindow),
            installed: Default::default(),
        };
        let outbox = self.book.bridge(origin).outbox;
        let statement = Statement::Recovery { origin_chain_id: self.book.chain_id(origin), outbox, set_epoch, fork_count: found };
        tracing::warn!(%origin, set_epoch, fork_count = found, "an operator orders a recovery");
        self.say(statement, Some((set_epoch, &seen))).await
    }
}

impl Council {
    /// Whether an accepted root, or one that this King has signed in `epoch`, is not part of the origin's present history. An order that
    /// waited until others had made the recovery must not start another one.
    fn has_broken_history(&self, origin: ChainKind, epoch: u64, shared: u32) -> Result<bool, CouncilError> {
        let newest_accepted = self.chain(origin.other()).1.views().bridge.newest_accepted().unwrap_or(0);
        if newest_accepted != shared {
            return Ok(true);
        }
        let chain_id = self.book.chain_id(origin);
        let signed = self.store.scan(&SIGNED, Some(&(chain_id, (epoch, shared))), usize::MAX)?;
        let signed = signed.into_iter().take_while(|((of, (at, _)), _)| *of == chain_id && *at == epoch);
        let views = self.chain(origin).1.views();
        let tree = views.bridge.tree();
        Ok(signed.into_iter().any(|((_, (_, count)), signed)| tree.root_at(count) != Some(signed.checkpoint.root)))
    }
}

/// Roots that were accepted or messages that were sent in blocks not read yet would give another count.
async fn require_caught_up(chain: &Chain, index: &ChainIndex) -> Result<(), CouncilError> {
    let head = chain.agreed_head_number().await?;
    // The index takes blocks one by one; one that arrived a moment ago holds nothing that matters at a settled depth.
    if index.newest().number.saturating_add(1) < head { Err(CouncilError::Behind { chain: chain.kind() }) } else { Ok(()) }
}
