//! A King's pen: signs the state of one chain's Outbox at final blocks.
//!
//! A checkpoint is recorded before it leaves the process, and for one count there is never a second one: check and record are one
//! write. Kings sign at multiples of the stride, so that they agree on counts without talking.

use alloy::{
    primitives::B512,
    signers::{SignerSync, local::PrivateKeySigner},
};

use super::{
    checkpoints::CheckpointBook,
    index::{ChainIndex, SentMessage},
};
use crate::{
    chain::{Chain, ChainError},
    net::NetHandle,
    store::{Recorded, Store, StoreError, Table},
    task::{Fault, Service, Shutdown},
    telemetry::Metrics,
    types::{
        AddressBook, ChainKind, Coded,
        abi::Outbox,
        signing::{Checkpoint, compact},
        wire::{CheckpointData, CheckpointSignature, GossipMessage},
    },
};

/// Signed checkpoints by (origin chain id, count).
pub const SIGNED: Table<(u64, u32), CheckpointSignature> = Table::new("signed_checkpoints");
/// Entries read from the store at a time.
const SCAN_STEP: usize = 256;

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a different checkpoint for {count} messages of {chain} was signed before: block {signed_block}, now {block}")]
    Conflict { chain: ChainKind, count: u32, signed_block: u64, block: u64 },
    #[error("the logs of {chain} give another Outbox root at block {block} than the contract: {count} messages")]
    RootMismatch { chain: ChainKind, block: u64, count: u32 },
    #[error("the key cannot sign: {0}")]
    Key(#[from] alloy::signers::Error),
}

impl Coded for SignerError {
    fn code(&self) -> &'static str {
        match self {
            SignerError::Chain(error) => error.code(),
            SignerError::Store(error) => error.code(),
            SignerError::Conflict { .. } => "E-KING-001",
            SignerError::RootMismatch { .. } => "E-KING-002",
            SignerError::Key(_) => "E-KING-003",
        }
    }

    fn next_step(&self) -> String {
        match self {
            SignerError::Chain(error) => error.next_step(),
            SignerError::Store(error) => error.next_step(),
            SignerError::Conflict { chain, .. } => {
                format!("{chain} was reorganised below a signed block: compare its history on several nodes before this King signs again")
            }
            SignerError::RootMismatch { .. } => "check the RPC endpoints: one withholds or invents logs; nothing was signed".into(),
            SignerError::Key(_) => "check the operator keystore".into(),
        }
    }
}

/// How deep a block must be before it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Finality {
    /// Only multiples of this are signed.
    pub stride: u64,
    /// Blocks on top, where the chain has no finalized tag.
    pub min_depth: u64,
}

pub struct CheckpointSigner {
    pub chain: Chain,
    pub index: ChainIndex,
    pub book: AddressBook,
    pub checkpoints: CheckpointBook,
    pub finality: Finality,
    pub key: PrivateKeySigner,
    pub store: Store,
    pub net: NetHandle,
    pub metrics: Metrics,
}

impl CheckpointSigner {
    /// Newest block that will not change any more.
    async fn final_block(&self) -> Result<u64, ChainError> {
        match self.chain.kind() {
            ChainKind::Ethereum => Ok(self.chain.agreed_finalized().await?.number),
            ChainKind::Classic => Ok(self.chain.agreed_head_number().await?.saturating_sub(self.finality.min_depth)),
        }
    }

    /// Signs every stride block up to the final one that holds new messages.
    async fn sign_due(&self, signed_count: &mut u32) -> Result<(), SignerError> {
        let newest_indexed = self.index.newest().number;
        if self.index.views().bridge.tree().count() <= *signed_count {
            return Ok(());
        }
        let final_block = self.final_block().await?.min(newest_indexed);
        while let Some((block, count)) = self.next_due(*signed_count, final_block) {
            self.sign(block, count).await?;
            *signed_count = count;
        }
        Ok(())
    }

    /// The next stride block whose count differs, with that count.
    fn next_due(&self, signed_count: u32, final_block: u64) -> Option<(u64, u32)> {
        let views = self.index.views();
        let next: &SentMessage = views.bridge.sent().get(usize::try_from(signed_count).ok()?)?;
        let block = next.block_number.div_ceil(self.finality.stride).checked_mul(self.finality.stride)?;
        (block <= final_block).then(|| (block, views.bridge.count_at(block)))
    }

    async fn sign(&self, block_number: u64, count: u32) -> Result<(), SignerError> {
        let chain = self.chain.kind();
        let outbox = self.book.bridge(chain).outbox;
        let block = self.chain.agreed_block(block_number).await?;
        let root = self.chain.agreed_call(outbox, Outbox::rootCall {}, block.hash).await?;
        if self.index.views().bridge.tree().root_at(count) != Some(root) {
            return Err(SignerError::RootMismatch { chain, block: block_number, count });
        }
        let checkpoint = CheckpointData {
            origin_chain_id: self.chain.chain_id(),
            outbox,
            set_epoch: self.checkpoints.kings().epoch,
            root,
            count,
            block_number,
            block_hash: block.hash,
            block_timestamp: block.timestamp,
        };
        let signature = self.key.sign_hash_sync(&Checkpoint::from(checkpoint).digest())?;
        let signed = CheckpointSignature { checkpoint, signer: self.key.address(), signature: B512::from(compact(&signature)) };
        let recorded = match self.store.put_if_absent(&SIGNED, &(checkpoint.origin_chain_id, count), signed)? {
            Recorded::New(signed) => signed,
            Recorded::Existing(existing) if existing.checkpoint == checkpoint => existing,
            Recorded::Existing(existing) => {
                let signed_block = existing.checkpoint.block_number;
                return Err(SignerError::Conflict { chain, count, signed_block, block: block_number });
            }
        };
        tracing::info!(%chain, block_number, count, %root, "checkpoint signed");
        self.metrics.event("checkpoint", "signed");
        self.publish(recorded).await;
        Ok(())
    }

    /// Gossip is speed only: whoever misses it asks for the signature.
    async fn publish(&self, signed: CheckpointSignature) {
        self.checkpoints.add(&signed);
        if let Err(error) = self.net.publish(&GossipMessage::Checkpoint(signed)).await {
            tracing::debug!(%error, "checkpoint was not gossiped");
        }
    }

    /// What was signed before the last stop is offered again; the highest count among it.
    fn restore(&self) -> Result<u32, StoreError> {
        let origin = self.chain.chain_id();
        let mut last = 0;
        loop {
            let step = self.store.scan(&SIGNED, Some(&(origin, last + 1)), SCAN_STEP)?;
            let own = step.into_iter().take_while(|((chain, _), _)| *chain == origin);
            let before = last;
            for ((_, count), signed) in own {
                self.checkpoints.add(&signed);
                last = count;
            }
            if last == before {
                return Ok(last);
            }
        }
    }
}

#[async_trait::async_trait]
impl Service for CheckpointSigner {
    fn name(&self) -> &'static str {
        match self.chain.kind() {
            ChainKind::Ethereum => "ethereum-signer",
            ChainKind::Classic => "classic-signer",
        }
    }

    async fn run(&mut self, shutdown: &Shutdown) -> Result<(), Fault> {
        let mut signed_count = self.restore().map_err(Fault::fatal)?;
        let mut head = self.index.head();
        loop {
            match self.sign_due(&mut signed_count).await {
                Ok(()) => {}
                Err(error @ SignerError::Conflict { .. }) => return Err(Fault::fatal(error)),
                Err(error) => return Err(Fault::recover(error)),
            }
            if !matches!(shutdown.or_stop(head.changed()).await, Some(Ok(()))) {
                return Ok(());
            }
        }
    }
}
