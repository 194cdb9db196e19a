//! Sends the steps of one chain, one after the other. Each is in the state file before it is broadcast.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    DeployError, DeployProgress, DeploySink,
    plan::Step,
    state::{DeployState, SentTx, StepState},
};
use crate::chain::{AccountSigner, Chain, ChainError, Receipt};

/// Time a step may take to be mined. Too short gives up on a busy chain (running again continues), too long hides a stuck one.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(900);
/// Time after which a step is offered again for a higher fee. Too short pays more than the market asks, too long waits for nothing.
const PATIENCE: Duration = Duration::from_secs(120);
/// Every client's pool takes a replacement that pays this much more, in percent.
const BUMP_PERCENT: u32 = 12;
/// First pause between two looks for a receipt; doubles up to the chain's poll interval.
const FIRST_PAUSE: Duration = Duration::from_millis(4);

/// Runs the plan of one chain.
pub(super) struct Runner<'a> {
    pub chain: &'a Chain,
    pub signer: &'a AccountSigner,
    pub state: &'a Mutex<DeployState>,
    pub state_file: &'a Path,
    pub progress: DeploySink<'a>,
}

impl Runner<'_> {
    pub async fn run(&self, plan: &[Step]) -> Result<(), DeployError> {
        for (position, step) in plan.iter().enumerate() {
            let sent = match self.recorded(position, step)? {
                Some(sent) => sent,
                None => vec![self.sign(position, step).await?],
            };
            let receipt = self.include(position, step, sent).await?;
            if !receipt.status {
                let reason = self.chain.explain_failure(self.signer.address(), &step.request, receipt.block_number).await;
                return Err(DeployError::StepFailed { step: step.name.into(), hash: receipt.tx_hash, reason });
            }
            (self.progress)(DeployProgress {
                chain: self.chain.kind(),
                step: position + 1,
                steps: plan.len(),
                name: step.name,
                tx_hash: receipt.tx_hash,
                address: receipt.contract_address,
                gas_used: receipt.gas_used,
            });
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, DeployState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recorded(&self, position: usize, step: &Step) -> Result<Option<Vec<SentTx>>, DeployError> {
        let state = self.state();
        let Some(recorded) = state.chain(self.chain.kind()).steps.get(position) else { return Ok(None) };
        if recorded.name != step.name {
            let reason = format!("step {} is {} there and {} here", position + 1, recorded.name, step.name);
            return Err(DeployError::OtherDeployment { path: self.state_file.into(), reason });
        }
        Ok(Some(recorded.sent.clone()))
    }

    async fn sign(&self, position: usize, step: &Step) -> Result<SentTx, DeployError> {
        let failed = |source| DeployError::chain(step.name, source);
        let (from, kind) = (self.signer.address(), self.chain.kind());
        let nonce = self.state().chain(kind).first_nonce + position as u64;
        let gas_limit = self.chain.estimate_gas(from, &step.request).await.map_err(failed)?;
        let fee = self.chain.fee().await.map_err(failed)?;
        self.chain.check_funds(from, &step.request, gas_limit, fee).await.map_err(failed)?;
        let tx = self.chain.sign(self.signer, nonce, &step.request, gas_limit, fee).await.map_err(failed)?;
        let address = step.request.to.is_none().then(|| from.create(nonce));
        let sent = SentTx { tx, gas_limit, fee };
        let mut state = self.state();
        state.chain_mut(kind).steps.push(StepState { name: step.name.into(), address, sent: vec![sent.clone()] });
        state.save(self.state_file)?;
        Ok(sent)
    }

    /// The same step under the same nonce for a higher fee: only one of them can be mined.
    async fn sign_again(&self, position: usize, step: &Step, last: &SentTx) -> Result<SentTx, DeployError> {
        let failed = |source| DeployError::chain(step.name, source);
        let fee = last.fee.bumped(BUMP_PERCENT, self.chain.fee().await.map_err(failed)?);
        self.chain.check_funds(self.signer.address(), &step.request, last.gas_limit, fee).await.map_err(failed)?;
        let tx = self.chain.sign(self.signer, last.tx.nonce, &step.request, last.gas_limit, fee).await.map_err(failed)?;
        let sent = SentTx { tx, fee, ..last.clone() };
        let mut state = self.state();
        if let Some(recorded) = state.chain_mut(self.chain.kind()).steps.get_mut(position) {
            recorded.sent.push(sent.clone());
        }
        state.save(self.state_file)?;
        Ok(sent)
    }

    /// Broadcasts unless it is mined already, then waits for the receipt of any transaction that was ever signed for the step.
    async fn include(&self, position: usize, step: &Step, mut sent: Vec<SentTx>) -> Result<Receipt, DeployError> {
        let failed = |source| DeployError::chain(step.name, source);
        if let Some(receipt) = self.receipt(&sent).await.map_err(failed)? {
            return Ok(receipt);
        }
        self.offer(step, &sent).await?;
        let (started, mut offered, mut pause) = (Instant::now(), Instant::now(), FIRST_PAUSE);
        while started.elapsed() < STEP_TIMEOUT {
            if let Some(receipt) = self.receipt(&sent).await.map_err(failed)? {
                return Ok(receipt);
            }
            if offered.elapsed() > PATIENCE
                && let Some(last) = sent.last()
            {
                let again = self.sign_again(position, step, last).await?;
                sent.push(again);
                self.offer(step, &sent).await?;
                offered = Instant::now();
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.chain.poll_interval());
        }
        Err(DeployError::StepTimeout { step: step.name.into(), hash: sent.last().map(|sent| sent.tx.hash).unwrap_or_default() })
    }

    /// Hands the newest transaction to the chain. One that was mined in the meantime has used the nonce already, which is no failure.
    async fn offer(&self, step: &Step, sent: &[SentTx]) -> Result<(), DeployError> {
        let Some(newest) = sent.last() else { return Ok(()) };
        match self.chain.broadcast(self.signer.address(), &newest.tx).await {
            Ok(_) => Ok(()),
            Err(ChainError::NonceTooLow { .. }) if self.receipt(sent).await.is_ok_and(|receipt| receipt.is_some()) => Ok(()),
            Err(source) => Err(DeployError::chain(step.name, source)),
        }
    }

    async fn receipt(&self, sent: &[SentTx]) -> Result<Option<Receipt>, ChainError> {
        for candidate in sent {
            if let Some(receipt) = self.chain.receipt(candidate.tx.hash).await? {
                return Ok(Some(receipt));
            }
        }
        Ok(None)
    }
}
