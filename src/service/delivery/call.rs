//! The calls that bring messages to an Inbox.

use alloy::{primitives::B256, sol_types::SolCall};

use crate::{
    rules::{quorum::QuorumSignatures, tree::MessageTree},
    types::{abi::Inbox, bridge::BridgeMessage, wire::CheckpointData},
};

/// What a message is proven against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cover {
    /// A root that the destination has accepted.
    Accepted { count: u32, root: B256 },
    /// A checkpoint with a quorum that the destination has not seen.
    Signed(Box<(CheckpointData, QuorumSignatures)>),
}

impl Cover {
    pub fn count(&self) -> u32 {
        match self {
            Cover::Accepted { count, .. } => *count,
            Cover::Signed(signed) => signed.0.count,
        }
    }

    pub fn root(&self) -> B256 {
        match self {
            Cover::Accepted { root, .. } => *root,
            Cover::Signed(signed) => signed.0.root,
        }
    }
}

/// Calldata that delivers consecutive `messages`; `None` where the own tree does not hold them yet.
pub fn encode(cover: &Cover, messages: &[BridgeMessage], tree: &MessageTree) -> Option<Vec<u8>> {
    let first = messages.first()?;
    let count = cover.count();
    let single = messages.len() == 1;
    let range = || tree.range_proof(first.index, u32::try_from(messages.len()).ok()?, count);
    let sent: Vec<Inbox::Message> = messages.iter().map(message).collect();
    Some(match cover {
        Cover::Accepted { root, .. } if single => {
            Inbox::deliverCall { message: message(first), root: *root, proof: tree.proof(first.index, count)? }.abi_encode()
        }
        Cover::Accepted { root, .. } => Inbox::deliverRangeCall { messages: sent, root: *root, siblings: range()? }.abi_encode(),
        Cover::Signed(signed) if single => {
            let (checkpoint, quorum) = (checkpoint(&signed.0), quorum(&signed.1));
            let proofs = vec![tree.proof(first.index, count)?];
            Inbox::submitAndDeliverCall { checkpoint, quorum, messages: sent, proofs }.abi_encode()
        }
        Cover::Signed(signed) => {
            let (checkpoint, quorum) = (checkpoint(&signed.0), quorum(&signed.1));
            Inbox::submitAndDeliverRangeCall { checkpoint, quorum, messages: sent, siblings: range()? }.abi_encode()
        }
    })
}

fn message(message: &BridgeMessage) -> Inbox::Message {
    Inbox::Message {
        index: message.index,
        origin: message.origin,
        sender: message.sender,
        destination: message.destination,
        recipient: message.recipient,
        body: message.body.clone(),
    }
}

fn checkpoint(data: &CheckpointData) -> Inbox::Checkpoint {
    Inbox::Checkpoint {
        originChainId: data.origin_chain_id,
        outbox: data.outbox,
        setEpoch: data.set_epoch,
        root: data.root,
        count: data.count,
        blockNumber: data.block_number,
        blockHash: data.block_hash,
        blockTimestamp: data.block_timestamp,
    }
}

fn quorum(quorum: &QuorumSignatures) -> Inbox::Quorum {
    Inbox::Quorum { members: quorum.members.clone(), signerBitmap: quorum.signer_bitmap, signatures: quorum.signatures.clone().into() }
}
