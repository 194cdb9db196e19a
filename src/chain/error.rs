//! What can go wrong between this node and a chain.

use alloy::primitives::{Address, B256, Bytes, U256, utils::format_ether};

use crate::types::{ChainKind, Coded, refusal};

#[derive(Debug, Clone, thiserror::Error)]
pub enum ChainError {
    #[error("no {chain} endpoint answers; {endpoint} said: {reason}")]
    Unreachable { chain: ChainKind, endpoint: String, reason: String },
    #[error("{endpoint} serves chain id {found}, but {chain} is configured as chain id {expected}")]
    WrongChainId { chain: ChainKind, endpoint: String, expected: u64, found: u64 },
    #[error("the {chain} endpoint number {position} is not a usable http(s) URL: {reason}")]
    InvalidUrl { chain: ChainKind, position: usize, reason: String },
    #[error("account {account} on {chain} holds {} coins, this transaction needs {}", format_ether(*.have_wei), format_ether(*.need_wei))]
    InsufficientFunds { chain: ChainKind, account: Address, need_wei: U256, have_wei: U256 },
    #[error("{call} to {to} on {chain} reverts: {reason}")]
    Reverted { chain: ChainKind, call: &'static str, to: Address, reason: String, data: Bytes },
    #[error("nonce {nonce} of {account} on {chain} is already used")]
    NonceTooLow { chain: ChainKind, account: Address, nonce: u64 },
    #[error("{chain} refuses transaction {hash} as underpriced: {reason}")]
    Underpriced { chain: ChainKind, hash: B256, reason: String },
    #[error("only {agreeing} of {needed} needed {chain} endpoints agree on {subject}: {answers}")]
    Disagreement { chain: ChainKind, subject: String, agreeing: usize, needed: usize, answers: String },
    #[error("{chain} has {configured} endpoint(s) configured, an agreed read needs at least two")]
    TooFewEndpoints { chain: ChainKind, configured: usize },
    #[error("{endpoint} gave a header for {subject} that does not hash to the block hash it names")]
    HeaderMismatch { chain: ChainKind, endpoint: String, subject: String },
    #[error("{chain} does not know {subject}")]
    Unknown { chain: ChainKind, subject: String },
    #[error("{chain} answered {method} with error {code}: {message}")]
    Rpc { chain: ChainKind, method: &'static str, code: i64, message: String },
    #[error("the answer of {chain} to {subject} cannot be read: {reason}")]
    Malformed { chain: ChainKind, subject: String, reason: String },
    #[error("{chain} has no finalized tag: finality there is a depth")]
    NoFinality { chain: ChainKind },
    #[error("a transaction for {chain} cannot be signed: {reason}")]
    Signing { chain: ChainKind, reason: String },
    #[error("no contract stands at {address} on {chain}")]
    NoCode { chain: ChainKind, address: Address },
}

impl ChainError {
    /// Whether another endpoint, or the same one later, may answer: the request itself was fine.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::WrongChainId { .. }
                | Self::Disagreement { .. }
                | Self::HeaderMismatch { .. }
                | Self::Unknown { .. }
                | Self::Malformed { .. }
        )
    }
}

impl Coded for ChainError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "E-CHAIN-001",
            Self::WrongChainId { .. } => "E-CHAIN-002",
            Self::InvalidUrl { .. } => "E-CHAIN-003",
            Self::InsufficientFunds { .. } => "E-CHAIN-004",
            Self::Reverted { .. } => "E-CHAIN-005",
            Self::NonceTooLow { .. } => "E-CHAIN-006",
            Self::Underpriced { .. } => "E-CHAIN-007",
            Self::Disagreement { .. } => "E-CHAIN-008",
            Self::TooFewEndpoints { .. } => "E-CHAIN-009",
            Self::HeaderMismatch { .. } => "E-CHAIN-010",
            Self::Unknown { .. } => "E-CHAIN-011",
            Self::Rpc { .. } => "E-CHAIN-012",
            Self::Malformed { .. } => "E-CHAIN-013",
            Self::NoFinality { .. } => "E-CHAIN-014",
            Self::Signing { .. } => "E-CHAIN-015",
            Self::NoCode { .. } => "E-CHAIN-016",
        }
    }

    fn next_step(&self) -> String {
        match self {
            Self::Unreachable { chain, .. } => {
                format!("check that the node is running and that the rpc list of {chain} names its address; add a second endpoint")
            }
            Self::WrongChainId { chain, expected, .. } => {
                format!("point the rpc list of {chain} to a node of chain {expected}, or correct chain_id")
            }
            Self::InvalidUrl { chain, .. } => {
                format!("write every entry of the rpc list of {chain} as http://host:port or https://host/path")
            }
            Self::InsufficientFunds { chain, account, need_wei, have_wei } => {
                let missing = need_wei.saturating_sub(*have_wei);
                format!("send at least {} coins of {chain} to {account}", format_ether(missing))
            }
            Self::Reverted { reason, .. } => refusal::advice(reason),
            Self::NonceTooLow { .. } => "let no other program send from this account; the node takes the next nonce by itself".into(),
            Self::Underpriced { .. } => "raise the fee cap, or wait until the network is less busy".into(),
            Self::Disagreement { chain, .. } => {
                format!("check the endpoints of {chain}: one is on another branch, behind, or lying; nothing is signed until they agree")
            }
            Self::TooFewEndpoints { chain, .. } => format!("configure at least two independent rpc endpoints for {chain}"),
            Self::HeaderMismatch { endpoint, .. } => {
                format!("stop using {endpoint}: it does not serve an honest chain, or a fork this build does not know")
            }
            Self::Unknown { chain, .. } => format!("wait until the {chain} node has caught up, or use one that keeps this history"),
            Self::Rpc { chain, .. } => format!("read the message; if the {chain} node lacks the method, use another client"),
            Self::Malformed { chain, .. } => {
                format!("check that the endpoint of {chain} is an execution client and the addresses belong to this deployment")
            }
            Self::NoFinality { .. } => "report this: it is a defect of this build".into(),
            Self::Signing { .. } => "check the keystore or the remote signer".into(),
            Self::NoCode { chain, .. } => format!("check the address book: its contracts are not deployed on this {chain}"),
        }
    }
}
