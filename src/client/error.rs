//! What one-shot operations can fail with.

use std::path::PathBuf;

use alloy::primitives::{Address, B256};

#[cfg(feature = "node")]
use crate::store::StoreError;
use crate::{
    chain::ChainError,
    config::ConfigError,
    keys::KeyError,
    net::NetError,
    sandbox::SandboxError,
    service::session::{SessionError, UNKNOWN_RENTAL_CODE},
    types::{Amount, ChainKind, Coded, OfferId, RentalId},
};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Chain(#[from] ChainError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[cfg(feature = "node")]
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{label} failed on {chain} in transaction {transaction}: {reason}")]
    Failed { label: String, chain: ChainKind, transaction: B256, reason: String },
    #[error("{label} was sent to {chain} as {transaction}, but is not in a block yet")]
    NotMined { label: String, chain: ChainKind, transaction: B256 },
    #[error("{what} costs {cost} GPUTOKEN, account {account} holds {balance}")]
    InsufficientTokens { what: &'static str, account: Address, cost: Amount, balance: Amount },
    #[error("the rental costs {cost} GPUTOKEN, more than the {limit} you allowed")]
    TooExpensive { cost: Amount, limit: Amount },
    #[error("offer {offer} does not exist")]
    UnknownOffer { offer: OfferId },
    #[error("offer {offer} cannot be rented now: {reason}")]
    NotRentable { offer: OfferId, reason: String },
    #[error("rental {rental} does not exist")]
    UnknownRental { rental: RentalId },
    #[error("rental {rental} did not become {expected} within {seconds} s; it is {state}")]
    StateTimeout { rental: RentalId, expected: &'static str, state: String, seconds: u64 },
    #[error("the session key of rental {rental} is not on this machine: no {}", path.display())]
    NoSessionKey { rental: RentalId, path: PathBuf },
    #[error("nobody knows how to reach provider {provider}")]
    ProviderUnknown { provider: Address },
    #[error("argument {argument:?}: {reason}")]
    Argument { argument: String, reason: String },
    #[error("{} cannot be read or written: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the launch of rental {rental} failed: {source}")]
    Launch { rental: RentalId, source: Box<ClientError> },
    #[error("no offer matches rental {rental}, whose provider failed")]
    NoMatch { rental: RentalId },
    #[error("an earlier run may have paid for another device in place of rental {rental}: {} says so, the chain does not show it yet", path.display())]
    FailoverUnsure { rental: RentalId, path: PathBuf },
    #[error("there is no faucet on chain {chain_id}")]
    NoFaucet { chain_id: u64 },
    #[error("the proposal file {} is not usable: {reason}", path.display())]
    ProposalFile { path: PathBuf, reason: String },
    #[error("action {position} of the proposal would fail: {reason}")]
    ProposalAction { position: usize, reason: String },
    #[error("no proposal {given}")]
    UnknownProposal { given: String },
    #[error("{account} has {votes} votes, a proposal takes {threshold}")]
    TooFewVotes { account: Address, votes: Amount, threshold: Amount },
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("there is no `{program}` on this machine")]
    NoOpenSsh { program: &'static str },
    #[error("rental {rental} is {state}")]
    NotActive { rental: RentalId, state: String },
    #[error("the provider of rental {rental} offers no SSH for it")]
    NoShell { rental: RentalId },
    #[error("port {port} of this machine cannot be used: {source}")]
    LocalPort { port: u16, source: std::io::Error },
    #[error("{program} cannot be started: {source}")]
    Start { program: &'static str, source: std::io::Error },
    #[error("no node at {address} describes its network: {reason}")]
    NodeAnswer { address: std::net::SocketAddr, reason: String },
    #[error("nobody of the network was met")]
    NobodyThere,
    #[error("the signature cannot be made: {0}")]
    Signing(#[from] alloy::signers::Error),
}

impl ClientError {
    /// The other side may not have seen yet what stands on chain, or may be starting: asking again can help.
    pub(super) fn is_premature(&self) -> bool {
        match self {
            ClientError::Session(SessionError::Refused { refusal, .. }) => refusal == UNKNOWN_RENTAL_CODE,
            ClientError::Session(SessionError::Stream(_) | SessionError::TimedOut) | ClientError::Net(_) => true,
            ClientError::ProviderUnknown { .. } => true,
            _ => false,
        }
    }
}

impl Coded for ClientError {
    fn code(&self) -> &'static str {
        match self {
            ClientError::Chain(error) => error.code(),
            ClientError::Config(error) => error.code(),
            ClientError::Key(error) => error.code(),
            ClientError::Net(error) => error.code(),
            ClientError::Session(error) => error.code(),
            #[cfg(feature = "node")]
            ClientError::Store(error) => error.code(),
            ClientError::Failed { .. } => "E-CLIENT-001",
            ClientError::NotMined { .. } => "E-CLIENT-002",
            ClientError::InsufficientTokens { .. } => "E-CLIENT-003",
            ClientError::TooExpensive { .. } => "E-CLIENT-004",
            ClientError::UnknownOffer { .. } | ClientError::UnknownRental { .. } => "E-CLIENT-005",
            ClientError::NotRentable { .. } => "E-CLIENT-006",
            ClientError::StateTimeout { .. } => "E-CLIENT-007",
            ClientError::NoSessionKey { .. } => "E-CLIENT-008",
            ClientError::ProviderUnknown { .. } => "E-CLIENT-009",
            ClientError::Argument { .. } => "E-CLIENT-010",
            ClientError::File { .. } => "E-CLIENT-011",
            ClientError::Cancelled => "E-CLIENT-012",
            ClientError::Signing(_) => "E-CLIENT-013",
            ClientError::Launch { .. } => "E-CLIENT-014",
            ClientError::NoMatch { .. } => "E-CLIENT-015",
            ClientError::FailoverUnsure { .. } => "E-CLIENT-016",
            ClientError::NoFaucet { .. } => "E-CLIENT-060",
            ClientError::ProposalFile { .. } => "E-CLIENT-061",
            ClientError::ProposalAction { .. } => "E-CLIENT-062",
            ClientError::UnknownProposal { .. } => "E-CLIENT-063",
            ClientError::TooFewVotes { .. } => "E-CLIENT-064",
            ClientError::Sandbox(error) => error.code(),
            ClientError::NoOpenSsh { .. } | ClientError::Start { .. } => "E-CLIENT-050",
            ClientError::NotActive { .. } => "E-CLIENT-051",
            ClientError::NoShell { .. } => "E-CLIENT-052",
            ClientError::LocalPort { .. } => "E-CLIENT-053",
            ClientError::NodeAnswer { .. } => "E-CLIENT-070",
            ClientError::NobodyThere => "E-CLIENT-071",
        }
    }

    fn next_step(&self) -> String {
        match self {
            ClientError::Chain(error) => error.next_step(),
            ClientError::Config(error) => error.next_step(),
            ClientError::Key(error) => error.next_step(),
            ClientError::Net(error) => error.next_step(),
            ClientError::Session(error) => error.next_step(),
            #[cfg(feature = "node")]
            ClientError::Store(error) => error.next_step(),
            ClientError::Failed { .. } => "read the reason; only gas was spent".into(),
            ClientError::NotMined { transaction, .. } => format!("look up {transaction} before you try again: it may still be mined"),
            ClientError::InsufficientTokens { account, .. } => {
                format!("send GPUTOKEN to {account}, or choose a smaller amount or a shorter duration; nothing was paid")
            }
            ClientError::TooExpensive { .. } => "raise --max-cost or choose another offer".into(),
            ClientError::UnknownOffer { .. } => "see `gpumkt market` for what is on offer".into(),
            ClientError::UnknownRental { .. } => "see `gpumkt rentals` for yours".into(),
            ClientError::NotRentable { .. } => "choose another offer, or wait; nothing was paid".into(),
            ClientError::StateTimeout { .. } => "see `gpumkt rentals`; an unready rental is refunded in full with `gpumkt end`".into(),
            ClientError::NoSessionKey { .. } => "use the machine and data_dir that rented".into(),
            ClientError::ProviderUnknown { .. } => "check network.bootstrap; the provider may also be offline".into(),
            ClientError::Argument { .. } => "the command's `--help` shows the forms an argument takes".into(),
            ClientError::File { .. } => "check the path and its permissions".into(),
            ClientError::Cancelled => "nothing was sent; answer y on a terminal, or pass --yes".into(),
            ClientError::Signing(_) => "check the keystore".into(),
            ClientError::Launch { rental, .. } => {
                format!("`gpumkt launch {rental}` tries again, also with another image; `gpumkt end {rental}` refunds what was paid")
            }
            ClientError::NoMatch { .. } => "see `gpumkt market --all`; what was not used of the failed rental is refunded".into(),
            ClientError::FailoverUnsure { .. } => {
                "wait for the transaction; if it is certain that none was sent, remove the file and try again".into()
            }
            ClientError::NoFaucet { .. } => "ask somebody who has GPUTOKEN; only test networks have a faucet".into(),
            ClientError::ProposalFile { .. } => "correct the file; nothing was sent".into(),
            ClientError::ProposalAction { .. } => {
                "correct the action; nothing was sent. One that depends on an action before it can be proposed with --unchecked".into()
            }
            ClientError::UnknownProposal { .. } => "see `gpumkt gov list`; the first digits of an id are enough".into(),
            ClientError::TooFewVotes { .. } => {
                "delegate votes to the account first (`gpumkt token delegate`), also your own: tokens vote only once delegated".into()
            }
            ClientError::Sandbox(error) => error.next_step(),
            ClientError::NoOpenSsh { .. } | ClientError::Start { .. } => {
                "install OpenSSH's client (Debian, Ubuntu: `apt install openssh-client`) and make sure it is on the PATH".into()
            }
            ClientError::NotActive { .. } => "see `gpumkt rentals`; a rental can be used once it is active and until it ends".into(),
            ClientError::NoShell { .. } => "run kernels with `gpumkt run RENTAL KERNEL.cl`, or rent an offer that runs containers".into(),
            ClientError::NodeAnswer { .. } => "start the node, or name its http.listen with --http; --visit needs no node".into(),
            ClientError::NobodyThere => "check network.bootstrap; `gpumkt doctor` tries each of its nodes".into(),
            ClientError::LocalPort { .. } => "choose another local port: LOCAL:REMOTE, such as 9000:8888".into(),
        }
    }
}
