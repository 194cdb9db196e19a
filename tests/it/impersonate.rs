//! Transactions in the name of a contract, as only a development chain takes them: what Governance decides, without the votes.

use std::time::Duration;

use alloy::{
    primitives::{Address, U256},
    sol_types::SolCall,
};
use gpumkt::devnet::chains::Anvil;
use serde_json::json;

use crate::poll;

const DEADLINE: Duration = Duration::from_secs(120);

pub async fn send_as(anvil: &Anvil, from: Address, to: Address, call: impl SolCall) {
    anvil.set_balance(from, U256::from(10u64.pow(18))).await.unwrap();
    anvil.ask("anvil_impersonateAccount", json!([from])).await.unwrap();
    let data = alloy::hex::encode_prefixed(call.abi_encode());
    let hash = anvil.ask("eth_sendTransaction", json!([{ "from": from, "to": to, "data": data, "gas": "0x2dc6c0" }])).await.unwrap();
    let receipt = poll::find("a receipt", DEADLINE, poll::PACE, async || {
        let receipt = anvil.ask("eth_getTransactionReceipt", json!([hash])).await.unwrap();
        (!receipt.is_null()).then_some(receipt)
    })
    .await;
    assert_eq!(receipt["status"], "0x1", "{receipt}");
}
