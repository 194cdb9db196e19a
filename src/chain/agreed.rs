//! Reads that a King signs: a majority of the configured endpoints must give the same answer.

use std::{collections::HashMap, time::Duration};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes},
    rpc::types::TransactionRequest,
    sol_types::SolCall,
};
use futures::{StreamExt, future::join_all, stream::FuturesUnordered};

use super::{BlockInfo, Chain, ChainError};
use crate::types::ChainKind;

/// Time an endpoint has to say how far it is. Longer lets a silent one slow down every look, shorter leaves out slow ones.
const HEIGHT_WITHIN: Duration = Duration::from_secs(2);

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
        let asked = self.inner.endpoints.all.iter().map(|endpoint| endpoint.header(self.kind(), tag));
        self.majority(needed, format!("block {number}"), asked, |block| block.hash.to_string()).await
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
        let answers = self.heights(tag).await;
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
        let output = self.majority(needed, format!("{} at block {block_hash}", C::SIGNATURE), asked, Bytes::to_string).await?;
        self.decode_return::<C>(to, &output)
    }

    /// How far each endpoint is, in their order; one that says nothing in time is an error.
    pub(super) async fn heights(&self, tag: BlockNumberOrTag) -> Vec<Result<BlockInfo, ChainError>> {
        let chain = self.kind();
        let silent = || ChainError::Unknown { chain, subject: format!("block {tag} in time") };
        join_all(self.inner.endpoints.all.iter().map(|endpoint| async move {
            let answered = tokio::time::timeout(HEIGHT_WITHIN, endpoint.header(chain, tag)).await;
            answered.unwrap_or_else(|_| Err(silent()))
        }))
        .await
    }

    /// The answer that `needed` endpoints give, as soon as they have: a silent one is not waited for.
    async fn majority<T>(
        &self,
        needed: usize,
        subject: String,
        asked: impl Iterator<Item = impl Future<Output = Result<T, ChainError>>>,
        text: impl Fn(&T) -> String,
    ) -> Result<T, ChainError> {
        let mut votes: HashMap<String, usize> = HashMap::new();
        let mut answers: Vec<Option<Result<T, ChainError>>> = self.inner.endpoints.all.iter().map(|_| None).collect();
        let mut asked: FuturesUnordered<_> = asked.enumerate().map(|(position, answer)| async move { (position, answer.await) }).collect();
        while let Some((position, answer)) = asked.next().await {
            if let Ok(value) = &answer {
                let votes = votes.entry(text(value)).or_default();
                *votes += 1;
                if *votes >= needed {
                    return answer;
                }
            }
            answers[position] = Some(answer);
        }
        let best = votes.into_values().max().unwrap_or_default();
        let answers: Vec<Result<T, ChainError>> = answers.into_iter().flatten().collect();
        Err(self.disagreement(subject, best, needed, &answers))
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
