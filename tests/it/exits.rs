//! Ways out that are not part of an ordinary rental, as a person takes them.

use alloy::{
    primitives::{U256, utils::parse_ether},
    sol_types::SolCall,
};
use gpumkt::{
    chain::BlockId,
    client::rent,
    keys::Strength,
    types::{
        abi::{GPURental, GPURentalTerms, GPUToken, WorkVerification},
        bridge::Body,
    },
};
use serde_json::json;

use crate::api::{deliver, desk::Desk, half_done, offer_device};

const DELAY_S: u32 = 7_200;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_veto_holds_back_is_released_after_its_time() {
    let desk = Desk::new().await;
    offer_device(&desk).await;
    let (renter, provider) = (desk.clients("renter").await, desk.clients("provider").await);
    let eth = renter.book.ethereum;
    let veto = GPURentalTerms::setVetoCall { amount: alloy::primitives::aliases::U96::from(1_000_000_000u64), delay: DELAY_S };
    desk.impersonate(eth.timelock, eth.gpu_rental, veto).await;
    assert!(desk.site.says("renter", &["release"]).contains("Nothing is held back"));

    let sessions =
        rent::SessionKeys { folder: desk.site.path("sessions"), password: desk.site.accounts.password(), strength: Strength::Devnet };
    let quote = rent::quote(&renter, 1, 3_600).await.unwrap();
    let (rental, _) = rent::rent(&renter, &quote, &sessions).await.unwrap();
    provider.ethereum_wallet().send("ready", eth.gpu_rental, GPURental::readyCall { rentalId: rental }).await.unwrap();
    desk.site.ethereum.ask("evm_increaseTime", json!([100])).await.unwrap();
    let report = half_done(rental, provider.ethereum.head().await.unwrap().timestamp + 60);
    deliver(&desk, eth.gpu_rental, Body::WorkReport(report)).await;

    let early = desk.site.does("renter", &["release"]);
    assert_eq!((early["released"].as_array().unwrap().len(), early["waiting"].as_array().unwrap().len()), (0, 1), "{early}");
    let amount = early["waiting"][0]["amount_wei"].as_str().unwrap().to_string();
    desk.site.ethereum.ask("evm_increaseTime", json!([u64::from(DELAY_S) + 3_600])).await.unwrap();
    desk.site.ethereum.mine(1).await.unwrap();
    // Anybody may; the refund stays the renter's.
    let address = desk.address("renter");
    let released = desk.site.does("relay", &["release", "--to", &address.to_string()]);
    assert_eq!((&released["released"][0]["amount_wei"], released["waiting"].as_array().unwrap().len()), (&json!(amount), 0), "{released}");
    let balance = async || {
        let call = GPUToken::balanceOfCall { account: address };
        provider.ethereum.call(eth.gpu_token, call, BlockId::latest()).await.unwrap()
    };
    let before = balance().await;
    let rehearsed = desk.site.does("renter", &["claim", "--dry-run"]);
    assert_eq!((&rehearsed["result"]["amount_wei"], &rehearsed["transaction"]["transaction"]), (&json!(amount), &json!(null)));
    assert_eq!(balance().await, before, "a rehearsal moves nothing");
    assert_eq!(desk.site.does("renter", &["claim"])["result"]["amount_wei"], amount);
    assert_eq!((balance().await - before).to_string(), amount);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gas_fund_is_paid_out_to_whom_its_owner_names() {
    let desk = Desk::new().await;
    let provider = desk.clients("provider").await;
    let (work, worker) = (provider.book.classic.work_verification, desk.address("worker"));
    let held = parse_ether("0.25").unwrap();
    let deposit = WorkVerification::depositCall { account: desk.address("provider") };
    let (from, data) = (desk.address("relay"), alloy::hex::encode_prefixed(deposit.abi_encode()));
    let transaction = json!([{ "from": from, "to": work, "value": held, "data": data, "gasPrice": "0x3b9aca00" }]);
    desk.site.classic.ask("eth_sendTransaction", transaction).await.unwrap();
    let before = provider.classic.balance(worker).await.unwrap();
    let told = desk.site.does("provider", &["withdraw-fund", "--to", &worker.to_string()]);
    assert_eq!(told["amount_wei"], held.to_string());
    assert_eq!(provider.classic.balance(worker).await.unwrap() - before, held);
    let call = WorkVerification::fundOfCall { account: desk.address("provider") };
    assert_eq!(provider.classic.call(work, call, BlockId::latest()).await.unwrap(), U256::ZERO);
    let again = desk.site.run("provider", &["withdraw-fund"]);
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("its gas fund is empty"));
}
