//! Transactions in flight, in order of their nonces.

use std::collections::{BTreeMap, HashMap};

use alloy::{
    eips::BlockId,
    primitives::{Address, B256},
};
use tokio::sync::oneshot;

use super::{
    Mined, Outcome, Prepared, SendError, SenderConfig,
    journal::{Entry, Journal, Settled},
};
use crate::{
    chain::{AccountSigner, Chain, ChainError, Fee, Receipt},
    types::Coded,
};

/// Least depth at which a nonce counts as taken by somebody else. Too small may send twice after a reorganisation.
const TAKEN_DEPTH: u64 = 3;

/// Settled transactions that are taken up again at most. A deeper reorganisation needs an operator anyway.
const MAX_REOPENED: u64 = 256;

/// An unsettled entry with what this process knows about it.
struct InFlight {
    entry: Entry,
    /// Head when the newest version was broadcast; `None` until a node took it.
    broadcast_at: Option<u64>,
    /// Block it was last seen in. It may leave again by a reorganisation.
    seen_in: Option<B256>,
}

pub(super) struct Lane {
    chain: Chain,
    signer: AccountSigner,
    account: Address,
    journal: Journal,
    config: SenderConfig,
    next_nonce: u64,
    in_flight: BTreeMap<u64, InFlight>,
    waiting: HashMap<String, Vec<oneshot::Sender<Outcome>>>,
}

impl Lane {
    pub fn new(chain: Chain, signer: AccountSigner, journal: Journal, config: SenderConfig) -> Self {
        let account = signer.address();
        Self { chain, signer, account, journal, config, next_nonce: 0, in_flight: BTreeMap::new(), waiting: HashMap::new() }
    }

    pub fn has_room(&self) -> bool {
        self.in_flight.len() < self.config.max_in_flight
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Loads what an earlier run left unsettled and finds the next nonce.
    pub async fn resume(&mut self) -> Result<(), SendError> {
        let entries = self.journal.entries()?;
        let after_journal = entries.last().map_or(0, |entry| entry.nonce + 1);
        let left: Vec<Entry> = entries.into_iter().filter(|entry| entry.settled.is_none()).collect();
        // A node that lost its database must not take the nonces of what it still has in the pool.
        let tag = if left.is_empty() { BlockId::pending() } else { BlockId::latest() };
        let on_chain = self.chain.nonce(self.account, tag).await.map_err(|source| self.failed("next nonce", source))?;
        self.next_nonce = on_chain.max(after_journal);
        for entry in left {
            let known = self.in_flight.contains_key(&entry.nonce);
            if !known {
                tracing::info!(intent = entry.intent.id, nonce = entry.nonce, "resumes a transaction from the journal");
                self.in_flight.insert(entry.nonce, InFlight { entry, broadcast_at: None, seen_in: None });
            }
        }
        Ok(())
    }

    /// Journals and broadcasts a new intent, or joins the one with the same id.
    pub async fn accept(&mut self, prepared: Prepared) -> Result<(), SendError> {
        let Prepared { intent, terms, reply } = prepared;
        match self.journal.matching(&intent) {
            Err(SendError::Store(error)) => return Err(SendError::Store(error)),
            Err(error) => {
                let _ = reply.send(Err(error));
                return Ok(());
            }
            Ok(Some(entry)) => {
                match entry.outcome() {
                    Some(outcome) => drop(reply.send(outcome)),
                    None => self.waiting.entry(intent.id).or_default().push(reply),
                }
                return Ok(());
            }
            Ok(None) => {}
        }
        let Some((gas_limit, fee)) = terms else {
            // Its entry was pruned between the look and now: the caller may ask again.
            let _ = reply.send(Err(SendError::Stopped));
            return Ok(());
        };
        let nonce = self.next_nonce;
        let signed = match self.chain.sign(&self.signer, nonce, &intent.request, gas_limit, fee).await {
            Ok(signed) => signed,
            Err(source) => {
                let _ = reply.send(Err(SendError::Chain { label: intent.label, source }));
                return Ok(());
            }
        };
        let entry = Entry { intent, nonce, gas_limit, fee, signed: vec![signed], settled: None };
        self.journal.put(&entry)?;
        self.next_nonce += 1;
        self.waiting.entry(entry.intent.id.clone()).or_default().push(reply);
        self.in_flight.insert(nonce, InFlight { entry, broadcast_at: None, seen_in: None });
        let head = self.head_number().await;
        self.broadcast(nonce, head).await
    }

    async fn head_number(&self) -> Option<u64> {
        self.chain.head().await.ok().map(|head| head.number)
    }

    /// Sends the newest version of an entry. Failure is not an error: the next poll tries again.
    async fn broadcast(&mut self, nonce: u64, head: Option<u64>) -> Result<(), SendError> {
        let Some(flight) = self.in_flight.get_mut(&nonce) else { return Ok(()) };
        let Some(newest) = flight.entry.signed.last() else { return Ok(()) };
        match self.chain.broadcast(self.account, newest).await {
            Ok(_) => {
                tracing::debug!(intent = flight.entry.intent.id, nonce, hash = %newest.hash, "broadcast");
                flight.broadcast_at = head;
            }
            // Mined already, by us or by somebody else: the poll finds out.
            Err(ChainError::NonceTooLow { .. }) => flight.broadcast_at = head,
            Err(error @ ChainError::Underpriced { .. }) => {
                tracing::info!(%error, label = flight.entry.intent.label, "raises the fee");
                let market = self.chain.fee().await.ok();
                self.replace(nonce, market).await?;
            }
            Err(error) => {
                let next_step = error.next_step();
                tracing::warn!(code = error.code(), %error, label = flight.entry.intent.label, next_step, "broadcast failed, will be repeated");
                flight.broadcast_at = None;
            }
        }
        Ok(())
    }

    /// Signs the entry anew at a higher fee, within the cap. The new version is in the journal before it leaves.
    async fn replace(&mut self, nonce: u64, market: Option<Fee>) -> Result<(), SendError> {
        let Some(flight) = self.in_flight.get_mut(&nonce) else { return Ok(()) };
        let fee = flight.entry.fee.bumped(self.config.bump_percent, market.unwrap_or(flight.entry.fee));
        if fee.max_per_gas_wei() > self.config.max_gas_price_wei {
            let (cap_wei, label) = (self.config.max_gas_price_wei, &flight.entry.intent.label);
            tracing::warn!(label, cap_wei, "fee cap reached, waits for a cheaper time");
            flight.broadcast_at = None;
            return Ok(());
        }
        let signed = self.chain.sign(&self.signer, nonce, &flight.entry.intent.request, flight.entry.gas_limit, fee).await;
        match signed {
            Ok(signed) => {
                flight.entry.fee = fee;
                flight.entry.signed.push(signed);
                flight.broadcast_at = None;
                self.journal.put(&flight.entry)?;
            }
            Err(error) => tracing::warn!(code = error.code(), %error, "cannot sign a replacement"),
        }
        Ok(())
    }

    /// One look at the chain: settles what is deep enough, repeats what got lost, raises what is stuck.
    pub async fn poll(&mut self) -> Result<(), SendError> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let head = self.chain.head().await.map_err(|source| self.failed("head", source))?.number;
        let mined = self.chain.nonce(self.account, BlockId::latest()).await.map_err(|source| self.failed("nonce", source))?;
        self.reopen_dropped(mined)?;
        let nonces: Vec<u64> = self.in_flight.keys().copied().collect();
        for nonce in nonces {
            if nonce < mined {
                self.look_for_receipt(nonce, head).await?;
            } else {
                self.keep_alive(nonce, head, nonce == mined).await?;
            }
        }
        Ok(())
    }

    /// A reorganisation took back what was settled: those transactions come first again, or nothing after them is ever mined.
    fn reopen_dropped(&mut self, mined: u64) -> Result<(), SendError> {
        let Some(lowest) = self.in_flight.keys().next().copied() else { return Ok(()) };
        for nonce in mined.max(lowest.saturating_sub(MAX_REOPENED))..lowest {
            if let Some(entry) = self.journal.entry(nonce)? {
                tracing::warn!(label = entry.intent.label, nonce, "a reorganisation took back a settled transaction, broadcasts it again");
                let entry = Entry { settled: None, ..entry };
                self.journal.put(&entry)?;
                self.in_flight.insert(nonce, InFlight { entry, broadcast_at: None, seen_in: None });
            }
        }
        Ok(())
    }

    async fn keep_alive(&mut self, nonce: u64, head: u64, is_next: bool) -> Result<(), SendError> {
        let bump_after = self.config.bump_after_blocks;
        let Some(flight) = self.in_flight.get_mut(&nonce) else { return Ok(()) };
        if let Some(block) = flight.seen_in.take() {
            tracing::warn!(label = flight.entry.intent.label, %block, "a reorganisation dropped the transaction, broadcasts it again");
            flight.broadcast_at = None;
        }
        match flight.broadcast_at {
            None => self.broadcast(nonce, Some(head)).await,
            Some(at) if is_next && head >= at.saturating_add(bump_after) => {
                let market = self.chain.fee().await.ok();
                self.replace(nonce, market).await?;
                self.broadcast(nonce, Some(head)).await
            }
            // Later ones wait for the first; a node may have dropped them meanwhile.
            Some(at) if head >= at.saturating_add(bump_after) => self.broadcast(nonce, Some(head)).await,
            Some(_) => Ok(()),
        }
    }

    async fn look_for_receipt(&mut self, nonce: u64, head: u64) -> Result<(), SendError> {
        let Some(flight) = self.in_flight.get_mut(&nonce) else { return Ok(()) };
        // The newest version is the likely one.
        for version in flight.entry.signed.iter().rev() {
            let receipt = self.chain.receipt(version.hash).await;
            let label = &flight.entry.intent.label;
            let Some(receipt) = receipt.map_err(|source| SendError::Chain { label: label.clone(), source })? else { continue };
            flight.seen_in = Some(receipt.block_hash);
            let depth = (head + 1).saturating_sub(receipt.block_number);
            return if depth >= self.config.confirmations { self.settle(nonce, receipt).await } else { Ok(()) };
        }
        self.move_if_taken(nonce, head).await
    }

    /// No version of ours was mined though the nonce is used. Once that is as deep as a settled transaction would be, none of ours
    /// can take effect any more, and the intent gets another nonce.
    async fn move_if_taken(&mut self, nonce: u64, head: u64) -> Result<(), SendError> {
        let deep = head.saturating_sub(self.config.confirmations.max(TAKEN_DEPTH));
        let used = self.chain.nonce(self.account, BlockId::number(deep)).await.map_err(|source| self.failed("nonce", source))?;
        if used <= nonce {
            return Ok(());
        }
        let Some(flight) = self.in_flight.get(&nonce) else { return Ok(()) };
        for version in &flight.entry.signed {
            let anywhere = self.chain.receipt_anywhere(version.hash).await;
            if anywhere.map_err(|source| self.failed("receipt", source))?.is_some() {
                return Ok(());
            }
        }
        let Some(mut flight) = self.in_flight.remove(&nonce) else { return Ok(()) };
        let latest = self.chain.nonce(self.account, BlockId::latest()).await.map_err(|source| self.failed("nonce", source))?;
        let fresh = self.next_nonce.max(latest);
        tracing::warn!(label = flight.entry.intent.label, nonce, fresh, "another program sent from this account; takes the next nonce");
        let entry = &flight.entry;
        let signed = self.chain.sign(&self.signer, fresh, &entry.intent.request, entry.gas_limit, entry.fee).await;
        let signed = signed.map_err(|source| SendError::Chain { label: entry.intent.label.clone(), source })?;
        flight.entry.nonce = fresh;
        flight.entry.signed = vec![signed];
        flight.broadcast_at = None;
        self.journal.relocate(nonce, &flight.entry)?;
        self.next_nonce = fresh + 1;
        self.in_flight.insert(fresh, flight);
        self.broadcast(fresh, Some(head)).await
    }

    async fn settle(&mut self, nonce: u64, receipt: Receipt) -> Result<(), SendError> {
        let Some(mut flight) = self.in_flight.remove(&nonce) else { return Ok(()) };
        let entry = &mut flight.entry;
        entry.settled = Some(if receipt.status {
            Settled::Mined(Mined {
                hash: receipt.tx_hash,
                block_number: receipt.block_number,
                block_hash: receipt.block_hash,
                gas_used: receipt.gas_used,
                gas_price_wei: receipt.effective_gas_price_wei,
                tx_type: receipt.tx_type,
                status: true,
                contract_address: receipt.contract_address,
                logs: receipt.logs,
            })
        } else {
            let reason = self.chain.explain_failure(self.account, &entry.intent.request, receipt.block_number).await;
            Settled::Failed { hash: receipt.tx_hash, block_number: receipt.block_number, reason }
        });
        self.journal.settle(entry)?;
        tracing::info!(label = entry.intent.label, hash = %receipt.tx_hash, block = receipt.block_number, gas = receipt.gas_used, "settled");
        for reply in self.waiting.remove(&entry.intent.id).unwrap_or_default() {
            if let Some(outcome) = entry.outcome() {
                let _ = reply.send(outcome);
            }
        }
        Ok(())
    }

    fn failed(&self, label: &str, source: ChainError) -> SendError {
        SendError::Chain { label: label.into(), source }
    }
}
