//! What a failed transaction means for the messages in it.

use crate::{chain::ChainError, service::sender::SendError};

/// Errors of an Inbox or KingSet that are about the checkpoint: no message of the batch is to blame.
const ABOUT_CHECKPOINT: [&str; 14] = [
    "CheckpointConflict",
    "CheckpointStale",
    "RootConflict",
    "ZeroRoot",
    "RootNotAccepted",
    "UnknownSet",
    "SetExpired",
    "SetHashMismatch",
    "QuorumNotReached",
    "InvalidSigner",
    "MalformedSignatures",
    "EmptyCheckpoint",
    "Paused",
    "Revoked",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The chain says so already: somebody was faster.
    AlreadyDelivered,
    /// The contract refuses one of the messages.
    Message(String),
    /// The contract refuses the checkpoint, or all of them for now.
    Checkpoint(String),
    /// No gas left: a person has to act.
    Funds(String),
    /// Endpoints, fees, the node itself: nobody's fault, try again.
    Passing(String),
    /// The relay stops.
    Stopped,
}

pub fn judge(error: &SendError) -> Trouble {
    if let Some(reason) = error.revert_reason() {
        let name = reason.split([' ', '{', '(']).next().unwrap_or_default();
        return match name {
            "AlreadyDelivered" => Trouble::AlreadyDelivered,
            name if ABOUT_CHECKPOINT.iter().any(|known| name.contains(known)) => Trouble::Checkpoint(reason.into()),
            _ => Trouble::Message(reason.into()),
        };
    }
    match error {
        SendError::Stopped => Trouble::Stopped,
        SendError::Chain { source: ChainError::InsufficientFunds { .. }, .. } => Trouble::Funds(error.to_string()),
        _ => Trouble::Passing(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, Bytes};

    use super::*;
    use crate::types::ChainKind;

    fn reverted(reason: &str) -> SendError {
        let source = ChainError::Reverted {
            chain: ChainKind::Classic,
            call: "deliver",
            to: Address::ZERO,
            reason: reason.into(),
            data: Bytes::new(),
        };
        SendError::Chain { label: "deliver".into(), source }
    }

    #[test]
    fn errors_are_judged_by_what_they_mean() {
        assert_eq!(judge(&reverted("AlreadyDelivered { index: 4 }")), Trouble::AlreadyDelivered);
        assert!(matches!(judge(&reverted("ForbiddenRecipient { recipient: 0x00 }")), Trouble::Message(_)));
        assert!(matches!(judge(&reverted("SetExpired { setEpoch: 1, expiresAt: 2 }")), Trouble::Checkpoint(_)));
        assert!(matches!(judge(&reverted("unknown error 0x")), Trouble::Message(_)));
        let failed = SendError::Failed { label: String::new(), hash: B256::ZERO, block_number: 1, reason: "InvalidProof".into() };
        assert!(matches!(judge(&failed), Trouble::Message(_)));
        assert_eq!(judge(&SendError::Stopped), Trouble::Stopped);
        let silent = ChainError::Unreachable { chain: ChainKind::Classic, endpoint: "a".into(), reason: "b".into() };
        assert!(matches!(judge(&SendError::Chain { label: String::new(), source: silent }), Trouble::Passing(_)));
    }
}
