//! What keeps rentals moving besides their ordinary course: maintenance, aborts, deadlines, fees.

use alloy::{
    primitives::U256,
    sol_types::{SolCall, SolEvent},
};
use serde::Serialize;

use super::{ClientError, Clients, evidence};
use crate::{
    chain::{BlockId, LogQuery, Receipt},
    types::{
        Amount, RentalId,
        abi::{GPURental, Inbox, RentalCourt},
    },
};

/// Newest checkpoints that are looked at: any from after the deadline will do.
const CHECKPOINTS: usize = 16;

/// Maintenance of a rental's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Maintenance {
    pub rental: RentalId,
    /// Unix seconds.
    pub from: u64,
    pub until: u64,
}

/// Provider: the device will be away. Not paid and not held against the provider.
pub async fn declare_maintenance(clients: &Clients, window: Maintenance) -> Result<Receipt, ClientError> {
    let call = GPURental::declareMaintenanceCall { rentalId: window.rental, from: window.from, until: window.until };
    clients.ethereum_wallet().send("declareMaintenance", clients.book.ethereum.gpu_rental, call).await
}

/// What was declared for a rental, and how long before its start the next one must be.
pub async fn maintenance(clients: &Clients, rental: RentalId) -> Result<(Vec<Maintenance>, u32), ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let details = clients.ethereum.call(contract, GPURental::detailsCall { rentalId: rental }, BlockId::latest()).await?;
    let safeguards = clients.ethereum.call(contract, GPURental::safeguardsOfCall { rentalId: rental }, BlockId::latest()).await?;
    let declared = details.pauses.iter().map(|pause| Maintenance { rental, from: pause.from, until: pause.until });
    Ok((declared.collect(), safeguards.maintenanceNotice))
}

/// Provider: ends a rental at once. It counts as the provider's fault.
pub async fn abort(clients: &Clients, rental: RentalId) -> Result<Receipt, ClientError> {
    clients.ethereum_wallet().send("abortRental", clients.book.ethereum.gpu_rental, GPURental::abortRentalCall { rentalId: rental }).await
}

/// Anybody: hands the protocol's fees to the TokenDistributor.
pub async fn collect_fees(clients: &Clients) -> Result<(Amount, Receipt), ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let receipt = clients.ethereum_wallet().send("collectFees", contract, GPURental::collectFeesCall {}).await?;
    let to = clients.book.ethereum.token_distributor;
    let moved = receipt.logs.iter().filter_map(|log| log.decode::<crate::types::abi::GPUToken::Transfer>());
    let amount = moved.filter(|event| event.from == contract && event.to == to).fold(U256::ZERO, |sum, event| sum + event.value);
    Ok((Amount(amount), receipt))
}

/// How a rental without reports was moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Settled {
    /// The refund can be executed after this, Unix seconds.
    Requested {
        executable_at: u64,
    },
    Closed,
}

/// Anybody, after the deadline of a rental whose reports never came: asks for the refund of what was not reported, or executes it.
pub async fn settle(clients: &Clients, rental: RentalId) -> Result<(Settled, Receipt), ClientError> {
    let contract = clients.book.ethereum.gpu_rental;
    let chain = &clients.ethereum;
    let deadline = chain.call(contract, GPURental::deadlineOfCall { rentalId: rental }, BlockId::latest()).await?;
    let details = chain.call(contract, GPURental::detailsCall { rentalId: rental }, BlockId::latest()).await?;
    let now = chain.head().await?.timestamp;
    let close = GPURental::closeAfterDeadlineCall { rentalId: rental };
    let hard_deadline =
        deadline + u64::from(chain.call(contract, GPURental::safeguardsOfCall { rentalId: rental }, BlockId::latest()).await?.hardDeadline);
    if details.deadlineRequestedAt != 0 || now > hard_deadline || now <= deadline {
        // Where it is too early, the contract says until when.
        let receipt = clients.ethereum_wallet().send("closeAfterDeadline", contract, close).await?;
        return Ok((Settled::Closed, receipt));
    }
    let (checkpoint, quorum) = newest_checkpoint(clients, deadline).await?;
    let call = RentalCourt::requestDeadlineCall { rentalId: rental, checkpoint, quorum };
    let receipt = clients.ethereum_wallet().send("requestDeadline", clients.book.ethereum.rental_court, call).await?;
    let requested = receipt.logs.iter().find_map(|log| log.decode::<GPURental::DeadlineRequested>());
    Ok((Settled::Requested { executable_at: requested.map_or(0, |event| event.executableAt) }, receipt))
}

/// A checkpoint of Ethereum Classic that the Kings signed, as somebody has brought it to Ethereum: the proof that the bridge works.
async fn newest_checkpoint(clients: &Clients, deadline: u64) -> Result<(RentalCourt::Checkpoint, RentalCourt::Quorum), ClientError> {
    let inbox = clients.book.ethereum.bridge.inbox;
    let from = evidence::first_block_at(&clients.ethereum, deadline, clients.book.ethereum.start_block).await?;
    let topics = vec![vec![Inbox::CheckpointAccepted::SIGNATURE_HASH]];
    let accepted = evidence::all_logs(&clients.ethereum, LogQuery { addresses: vec![inbox], topics, from, to: 0 }).await?;
    for log in accepted.iter().rev().take(CHECKPOINTS) {
        let input = clients.ethereum.transaction_input(log.tx_hash).await?;
        if let Some(found) = signed_checkpoint(&input) {
            return Ok(found);
        }
    }
    let reason = "no checkpoint has been accepted since its deadline: run `gpumkt relay`, or wait for the hard deadline".into();
    Err(ClientError::Argument { argument: "RENTAL".into(), reason })
}

fn signed_checkpoint(input: &[u8]) -> Option<(RentalCourt::Checkpoint, RentalCourt::Quorum)> {
    let (checkpoint, quorum) = if let Ok(call) = Inbox::submitCheckpointCall::abi_decode(input) {
        (call.checkpoint, call.quorum)
    } else if let Ok(call) = Inbox::submitAndDeliverCall::abi_decode(input) {
        (call.checkpoint, call.quorum)
    } else {
        let call = Inbox::submitAndDeliverRangeCall::abi_decode(input).ok()?;
        (call.checkpoint, call.quorum)
    };
    let checkpoint = RentalCourt::Checkpoint {
        originChainId: checkpoint.originChainId,
        outbox: checkpoint.outbox,
        setEpoch: checkpoint.setEpoch,
        root: checkpoint.root,
        count: checkpoint.count,
        blockNumber: checkpoint.blockNumber,
        blockHash: checkpoint.blockHash,
        blockTimestamp: checkpoint.blockTimestamp,
    };
    let quorum = RentalCourt::Quorum { members: quorum.members, signerBitmap: quorum.signerBitmap, signatures: quorum.signatures };
    Some((checkpoint, quorum))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256, Bytes};

    use super::*;

    #[test]
    fn a_checkpoint_is_read_from_any_transaction_that_brings_one() {
        let checkpoint = Inbox::Checkpoint {
            originChainId: 61,
            outbox: Address::repeat_byte(1),
            setEpoch: 2,
            root: B256::repeat_byte(3),
            count: 4,
            blockNumber: 5,
            blockHash: B256::repeat_byte(6),
            blockTimestamp: 7,
        };
        let quorum =
            Inbox::Quorum { members: vec![B256::repeat_byte(8)], signerBitmap: U256::from(1), signatures: Bytes::from(vec![9; 64]) };
        let alone = Inbox::submitCheckpointCall { checkpoint: checkpoint.clone(), quorum: quorum.clone() };
        let together = Inbox::submitAndDeliverCall { checkpoint, quorum, messages: Vec::new(), proofs: Vec::new() };
        for input in [alone.abi_encode(), together.abi_encode()] {
            let (found, signed) = signed_checkpoint(&input).unwrap();
            assert_eq!((found.originChainId, found.count, found.blockTimestamp), (61, 4, 7));
            assert_eq!(signed.signatures.len(), 64);
        }
        assert!(signed_checkpoint(&[1, 2, 3, 4]).is_none() && signed_checkpoint(&[]).is_none());
    }
}
