//! Blocks, calls, balances.

use alloy::{
    consensus::Transaction as _,
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256, Bytes, U64, U256, keccak256},
    rlp::Encodable,
    rpc::{
        json_rpc::ErrorPayload,
        types::{Header, Transaction, TransactionRequest},
    },
    sol_types::SolCall,
};

use super::{
    Chain, ChainError,
    endpoint::{Endpoint, EndpointError},
};
use crate::types::{ChainKind, abi};

/// The part of a transaction that is read.
#[derive(Debug, Clone, serde::Deserialize)]
struct Transaction {
    input: Bytes,
}

/// A block header whose hash was recomputed from its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockInfo {
    pub number: u64,
    pub hash: B256,
    pub parent_hash: B256,
    /// Unix seconds.
    pub timestamp: u64,
    pub gas_limit: u64,
    pub base_fee_wei: Option<u64>,
    /// RLP of the header: its keccak256 is `hash`, as WorkVerification.open checks.
    pub header_rlp: Bytes,
}

impl BlockInfo {
    /// `None` when the fields do not hash to the hash the node named.
    fn from_header(header: Header) -> Option<Self> {
        let mut rlp = Vec::with_capacity(640);
        header.inner.encode(&mut rlp);
        (keccak256(&rlp) == header.hash).then(|| Self {
            number: header.inner.number,
            hash: header.hash,
            parent_hash: header.inner.parent_hash,
            timestamp: header.inner.timestamp,
            gas_limit: header.inner.gas_limit,
            base_fee_wei: header.inner.base_fee_per_gas,
            header_rlp: rlp.into(),
        })
    }
}

/// What a mined transaction asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallInfo {
    pub from: Address,
    /// `None` where it made a contract.
    pub to: Option<Address>,
    pub input: Bytes,
}

impl Chain {
    /// The transaction `hash`, as the endpoint tells it.
    pub async fn transaction(&self, hash: B256) -> Result<CallInfo, ChainError> {
        let unknown = || ChainError::Unknown { chain: self.kind(), subject: format!("transaction {hash}") };
        let found: Option<Transaction> = self.request("eth_getTransactionByHash", [hash]).await?;
        let transaction = found.filter(|transaction| *transaction.inner.tx_hash() == hash).ok_or_else(unknown)?;
        let from = transaction.inner.signer();
        Ok(CallInfo { from, to: transaction.inner.to(), input: transaction.inner.input().clone() })
    }

    /// Newest block. Of several endpoints, one that lags does not hold the others back, and one that runs ahead of them does not count:
    /// single reads go to the one that is chosen.
    pub async fn head(&self) -> Result<BlockInfo, ChainError> {
        if self.inner.endpoints.all.len() == 1 {
            return self.require_block(BlockNumberOrTag::Latest).await;
        }
        let mut answered: Vec<(usize, BlockInfo)> = Vec::new();
        for (position, answer) in self.heights(BlockNumberOrTag::Latest).await.into_iter().enumerate() {
            answered.extend(answer.ok().map(|block| (position, block)));
        }
        answered.sort_by_key(|(_, block)| std::cmp::Reverse(block.number));
        let middle = answered.len().saturating_sub(1) / 2;
        match answered.into_iter().nth(middle) {
            Some((position, block)) => {
                self.inner.endpoints.prefer(position);
                Ok(block)
            }
            None => self.require_block(BlockNumberOrTag::Latest).await,
        }
    }

    pub async fn block(&self, number: u64) -> Result<BlockInfo, ChainError> {
        self.require_block(number.into()).await
    }

    /// `None` when no endpoint has the block (yet).
    pub async fn find_block(&self, number: u64) -> Result<Option<BlockInfo>, ChainError> {
        let header = self.request("eth_getBlockByNumber", (BlockNumberOrTag::from(number), false)).await?;
        self.checked(header, number.into())
    }

    /// Newest block that Ethereum's consensus has finalized. Ethereum Classic has none.
    pub async fn finalized(&self) -> Result<BlockInfo, ChainError> {
        if self.kind() == ChainKind::Classic {
            return Err(ChainError::NoFinality { chain: self.kind() });
        }
        self.require_block(BlockNumberOrTag::Finalized).await
    }

    async fn require_block(&self, tag: BlockNumberOrTag) -> Result<BlockInfo, ChainError> {
        let header = self.request("eth_getBlockByNumber", (tag, false)).await?;
        self.checked(header, tag)?.ok_or_else(|| ChainError::Unknown { chain: self.kind(), subject: format!("block {tag}") })
    }

    fn checked(&self, header: Option<Header>, tag: BlockNumberOrTag) -> Result<Option<BlockInfo>, ChainError> {
        let Some(header) = header else { return Ok(None) };
        let mismatch =
            || ChainError::HeaderMismatch { chain: self.kind(), endpoint: "the endpoint".into(), subject: format!("block {tag}") };
        let info = BlockInfo::from_header(header).ok_or_else(mismatch)?;
        match tag {
            BlockNumberOrTag::Number(number) if number != info.number => Err(mismatch()),
            _ => Ok(Some(info)),
        }
    }

    /// Runs a view function; a revert comes back in words.
    pub async fn call<C: SolCall>(&self, to: Address, call: C, at: BlockId) -> Result<C::Return, ChainError> {
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        let answer = self.inner.endpoints.request::<_, Bytes>("eth_call", (request, at)).await;
        let output = answer.map_err(|error| self.call_error("eth_call", C::SIGNATURE, to, error))?;
        self.decode_return::<C>(to, &output)
    }

    pub(super) fn decode_return<C: SolCall>(&self, to: Address, output: &[u8]) -> Result<C::Return, ChainError> {
        C::abi_decode_returns(output).map_err(|error| {
            if output.is_empty() {
                ChainError::NoCode { chain: self.kind(), address: to }
            } else {
                ChainError::Malformed { chain: self.kind(), subject: C::SIGNATURE.into(), reason: error.to_string() }
            }
        })
    }

    /// Turns a refused call into a revert with its reason, where it is one.
    pub(super) fn call_error(&self, method: &'static str, call: &'static str, to: Address, error: EndpointError) -> ChainError {
        let EndpointError::Refused(payload) = error else { return self.plain_error(method, error) };
        match revert_data(&payload) {
            Some(data) => {
                let call = call.split('(').next().unwrap_or(call);
                ChainError::Reverted { chain: self.kind(), call, to, reason: reason_of(&data, &payload), data }
            }
            None => self.plain_error(method, EndpointError::Refused(payload)),
        }
    }

    pub async fn balance(&self, account: Address) -> Result<U256, ChainError> {
        self.request("eth_getBalance", (account, BlockId::latest())).await
    }

    pub async fn code(&self, account: Address) -> Result<Bytes, ChainError> {
        self.request("eth_getCode", (account, BlockId::latest())).await
    }

    /// What a mined transaction was called with.
    pub async fn transaction_input(&self, hash: B256) -> Result<Bytes, ChainError> {
        let found: Option<Transaction> = self.request("eth_getTransactionByHash", (hash,)).await?;
        let unknown = || ChainError::Unknown { chain: self.kind(), subject: format!("transaction {hash}") };
        Ok(found.ok_or_else(unknown)?.input)
    }

    /// keccak256 of the code; that of nothing for an account without code.
    pub async fn code_hash(&self, account: Address) -> Result<B256, ChainError> {
        self.code(account).await.map(keccak256)
    }

    /// Transactions of `account` up to `at`: the next free nonce there.
    pub async fn nonce(&self, account: Address, at: BlockId) -> Result<u64, ChainError> {
        self.request::<_, U64>("eth_getTransactionCount", (account, at)).await.map(|nonce| nonce.to())
    }
}

impl Endpoint {
    /// A checked header from this endpoint and no other.
    pub(super) async fn header(&self, chain: ChainKind, tag: BlockNumberOrTag) -> Result<BlockInfo, ChainError> {
        let subject = || format!("block {tag}");
        let answer = self.request::<_, Option<Header>>("eth_getBlockByNumber", (tag, false)).await;
        let header = match answer {
            Ok(header) => header.ok_or_else(|| ChainError::Unknown { chain, subject: subject() })?,
            Err(EndpointError::Transport(error)) => return Err(error),
            Err(EndpointError::Refused(payload)) => {
                return Err(ChainError::Malformed { chain, subject: subject(), reason: payload.message.into_owned() });
            }
        };
        let mismatch = || ChainError::HeaderMismatch { chain, endpoint: self.name.clone(), subject: subject() };
        let info = BlockInfo::from_header(header).ok_or_else(mismatch)?;
        if tag.as_number().is_some_and(|number| number != info.number) { Err(mismatch()) } else { Ok(info) }
    }
}

/// Data of a revert; empty where the contract gave none. `None` when the error is not a revert.
pub(super) fn revert_data(payload: &ErrorPayload) -> Option<Bytes> {
    // Code 3 is the one geth and its descendants use for a revert with data.
    payload.as_revert_data().or_else(|| (payload.code == 3 || payload.message.contains("revert")).then(Bytes::new))
}

fn reason_of(data: &[u8], payload: &ErrorPayload) -> String {
    abi::decode_revert(data).unwrap_or_else(|| {
        if data.is_empty() { payload.message.to_string() } else { format!("unknown error {}", Bytes::copy_from_slice(data)) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Block 1, which both chains share: proof of work, no base fee. Its hash is known everywhere.
    const BLOCK_1: &str = r#"{
        "number": "0x1",
        "hash": "0x88e96d4537bea4d9c05d12549907b32561d3bf31f45aae734cdc119f13406cb6",
        "parentHash": "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3",
        "sha3Uncles": "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347",
        "miner": "0x05a56e2d52c817161883f50c441c3228cfe54d9f",
        "stateRoot": "0xd67e4d450343046425ae4271474353857ab860dbc0a1dde64b41b5cd3a532bf3",
        "transactionsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "receiptsRoot": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
        "difficulty": "0x3ff800000",
        "totalDifficulty": "0x7ff800000",
        "size": "0x219",
        "gasLimit": "0x1388",
        "gasUsed": "0x0",
        "timestamp": "0x55ba4224",
        "extraData": "0x476574682f76312e302e302f6c696e75782f676f312e342e32",
        "mixHash": "0x969b900de27b6ac6a67742365dd65f55a0526c41fd18e1b16f1a1215c2e66f59",
        "nonce": "0x539bd4979fef1ec4",
        "uncles": [],
        "transactions": []
    }"#;

    fn header(bloom: bool) -> Header {
        let mut json: serde_json::Value = serde_json::from_str(BLOCK_1).unwrap();
        json["logsBloom"] = serde_json::json!(format!("0x{}", if bloom { "01" } else { "00" }.repeat(256)));
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_proof_of_work_header_hashes_to_its_block() {
        let block = BlockInfo::from_header(header(false)).unwrap();
        assert_eq!((block.number, block.timestamp, block.base_fee_wei), (1, 1_438_269_988, None));
        assert_eq!(keccak256(&block.header_rlp), block.hash);
        // WorkVerification reads the timestamp as the twelfth item of the list.
        assert!(block.header_rlp.windows(4).any(|bytes| bytes == 0x55ba4224_u32.to_be_bytes()));
    }

    #[test]
    fn a_header_with_a_foreign_hash_is_refused() {
        assert_eq!(BlockInfo::from_header(header(true)), None);
    }
}
