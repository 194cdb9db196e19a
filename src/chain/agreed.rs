//! Reads that a King signs: a majority of the configured endpoints must give the same answer.

use std::collections::HashMap;

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use futures::future::join_all;

use super::{BlockInfo, Chain, ChainError};
use crate::types::ChainKind;

impl Chain {
    /// Endpoints that must agree: more than half of the configured ones and at least two, whoever answers.
    fn needed(&self) -> Result<usize, ChainError> {
        let configured = self.inner.endpoints.all.len();
        if configured >= 2 {
            return Ok(configured / 2 + 1);
        }
        if self.inner.config.single_endpoint_allowed { Ok(1) } else { Err(ChainError::TooFewEndpoints { chain: self.kind(), configured }) }
    }

    /// Block `number` as a majority of the endpoints sees it.
    pub async fn agreed_block(&self, number: u64) -> Result<BlockInfo, ChainError> {
        let needed = self.needed()?;
        let tag = BlockNumberOrTag::from(number);
        let answers = join_all(self.inner.endpoints.all.iter().map(|endpoint| endpoint.header(self.kind(), tag))).await;
        self.majority(needed, format!("block {number}"), answers, |block| block.hash.to_string())
    }

    /// Highest block that a majority of the endpoints calls finalized (Ethereum only).
    pub async fn agreed_finalized(&self) -> Result<BlockInfo, ChainError> {
        if self.kind() == ChainKind::Classic {
            return Err(ChainError::NoFinality { chain: self.kind() });
        }
        let number = self.agreed_height(BlockNumberOrTag::Finalized).await?;
        self.agreed_block(number).await
    }

    /// Highest head that a majority of the endpoints has reached.
    pub async fn agreed_head_number(&self) -> Result<u64, ChainError> {
        self.agreed_height(BlockNumberOrTag::Latest).await
    }

    async fn agreed_height(&self, tag: BlockNumberOrTag) -> Result<u64, ChainError> {
        let needed = self.needed()?;
        let answers = join_all(self.inner.endpoints.all.iter().map(|endpoint| endpoint.header(self.kind(), tag))).await;
        let mut heights: Vec<u64> = answers.iter().flatten().map(|block| block.number).collect();
        heights.sort_unstable_by(|a, b| b.cmp(a));
        heights.get(needed - 1).copied().ok_or_else(|| self.disagreement(format!("the {tag} block"), heights.len(), needed, &answers))
    }

    /// Runs a view function at one block, by hash, on every endpoint; the same answer must come from a majority.
    pub async fn agreed_call<C: SolCall>(&self, to: Address, call: C, block_hash: B256) -> Result<C::Return, ChainError> {
        let needed = self.needed()?;
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        let at = BlockId::hash(block_hash);
        let asked = self.inner.endpoints.all.iter().map(|endpoint| {
            let request = request.clone();
            async move {
                endpoint
                    .request::<_, Bytes>("eth_call", (request, at))
                    .await
                    .map_err(|error| self.call_error("eth_call", C::SIGNATURE, to, error))
            }
        });
        let answers = join_all(asked).await;
        let output = self.majority(needed, format!("{} at block {block_hash}", C::SIGNATURE), answers, Bytes::to_string)?;
        self.decode_return::<C>(to, &output)
    }

    fn majority<T>(
        &self,
        needed: usize,
        subject: String,
        answers: Vec<Result<T, ChainError>>,
        text: impl Fn(&T) -> String,
    ) -> Result<T, ChainError> {
        let mut votes: HashMap<String, usize> = HashMap::new();
        for answer in answers.iter().flatten() {
            *votes.entry(text(answer)).or_default() += 1;
        }
        let best = votes.into_iter().max_by_key(|(_, count)| *count).unwrap_or_default();
        if best.1 < needed {
            return Err(self.disagreement(subject, best.1, needed, &answers));
        }
        let chosen = answers.into_iter().flatten().find(|answer| text(answer) == best.0);
        chosen.ok_or(ChainError::Unknown { chain: self.kind(), subject })
    }

    fn disagreement<T>(&self, subject: String, agreeing: usize, needed: usize, answers: &[Result<T, ChainError>]) -> ChainError {
        let names = self.inner.endpoints.all.iter().map(|endpoint| endpoint.name.as_str());
        let told = names.zip(answers).map(|(name, answer)| match answer {
            Ok(_) => format!("{name} answered"),
            Err(error) => format!("{name}: {error}"),
        });
        ChainError::Disagreement { chain: self.kind(), subject, agreeing, needed, answers: told.collect::<Vec<_>>().join("; ") }
    }
}
