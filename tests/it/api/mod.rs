//! The public interface over real contracts: every answer as docs/openapi.json describes it, through reorganisations, rebuilds and
//! hostile requests.

mod clients;
pub mod desk;
mod schema;

use alloy::primitives::U256;
use desk::{Desk, Served, generous};
use gpumkt::{
    chain::BlockId,
    client::{Clients, Mode, delegation, rent, stake, token},
    config::ApiSection,
    keys::Strength,
    types::{
        Amount, Role,
        abi::{GPURental, GPURentalTerms, GPUToken, StakingManager, StakingPools},
        bridge::{Body, DeviceReport, WorkReport},
    },
};
use serde_json::{Value, json};

const HOUR: u32 = 3_600;

fn tokens(text: &str) -> Amount {
    Amount::parse_tokens(text).unwrap()
}

fn lower(address: alloy::primitives::Address) -> String {
    format!("{address:#x}")
}

/// A device that can be rented, with the word that only the bridge could bring.
pub async fn offer_device(desk: &Desk) -> u64 {
    let provider = desk.clients("provider").await;
    stake::stake(&provider, Role::Provider, tokens("5000"), provider.signer.address(), b"peer", Mode::Send).await.unwrap();
    let (device, _) = stake::register_device(&provider, 1, desk.address("worker")).await.unwrap();
    for (price, region) in [(1_000_000_000_000_000u128, "eu"), (2_000_000_000_000_000, "us")] {
        let terms = stake::OfferTerms {
            device,
            price_per_second_wei: price,
            min_duration_seconds: 10,
            max_duration_seconds: 86_400,
            region: region.into(),
            attributes: "{\"cpu\":\"<script>\"}".into(),
        };
        stake::create_offer(&provider, &terms).await.unwrap();
    }
    let now = provider.ethereum.head().await.unwrap().timestamp;
    let report = DeviceReport {
        deviceId: device,
        lastFullPass: now,
        reputationPpm: 750_000,
        performancePermille: 1_100,
        faults: 0,
        settledIndex: 1,
    };
    deliver(desk, provider.book.ethereum.staking_manager, Body::DeviceReport(report)).await;
    device
}

/// What the Inbox hands to a contract once the Kings have signed it.
pub async fn deliver(desk: &Desk, to: alloy::primitives::Address, body: Body) {
    let book = desk.site.book();
    let (origin, sender) = (book.classic.chain_id, book.classic.work_verification);
    let call = GPURental::handleCall { origin, sender, body: body.encode(), deliverer: desk.address("relay") };
    desk.impersonate(book.ethereum.bridge.inbox, to, call).await;
}

/// Two challenges passed, fifty seconds verified of what `covered_until` covers.
pub fn half_done(rental: u64, covered_until: u64) -> WorkReport {
    WorkReport {
        rentalId: rental,
        termsVersion: 1,
        coveredUntil: covered_until,
        verifiedSeconds: 50,
        due: 2,
        passed: 2,
        performancePermille: 1_000,
        isFinal: false,
        value: 0,
        closingMissed: false,
    }
}

async fn change_offer(provider: &Clients, offer: u64, price_per_second: u128, paused: bool) {
    let call = GPURentalTerms::changeOfferCall { offerId: offer, pricePerSecond: price_per_second, paused };
    provider.ethereum_wallet().send("changeOffer", provider.book.ethereum.gpu_rental, call).await.unwrap();
}

fn sum(money: &Value) -> U256 {
    ["paid_wei", "refunded_wei", "fees_wei", "held_wei"].iter().map(|part| amount(&money[*part])).fold(U256::ZERO, |sum, part| sum + part)
}

fn amount(value: &Value) -> U256 {
    U256::from_str_radix(value.as_str().unwrap(), 10).unwrap()
}

/// Every path that the description has, on a market with these things in it.
async fn check_all(served: &Served, desk: &Desk) {
    let (provider, challenge) = (lower(desk.address("provider")), "1");
    for path in schema::paths() {
        if path == "/events" {
            continue;
        }
        let filled = path.replace("{address}", &provider).replace("{origin}", "ethereum").replace("{index}", "0");
        let filled = filled.replace("{block}", challenge).replace("{id}", if path.contains("allocations") { "0" } else { "1" });
        let missing = ["/challenges/", "/cases/", "/proposals/"].iter().any(|part| path.starts_with(part));
        match () {
            () if path == "/openapi.json" => assert_eq!(served.send(path, &[]).await.status(), 200),
            () if missing => assert_eq!(served.refused(&filled).await, (404, "E-API-004".into()), "{filled}"),
            () if path.ends_with("/quote") => drop(served.get(&format!("{filled}?duration_seconds=60")).await),
            () => drop(served.get(&filled).await),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_is_told_step_by_step_with_its_money() {
    let desk = Desk::new().await;
    let device = offer_device(&desk).await;
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), generous()).await;
    let offers =
        served.until("/offers?available=true", "two offers", |page| page["items"].as_array().is_some_and(|all| all.len() == 2)).await;
    assert_eq!(offers["items"][0]["price_per_hour_wei"], "3600000000000000000", "the cheaper of equals first");
    assert_eq!(offers["items"][0]["score_ppm"], "750000");
    for (query, count) in [("region=us", 1), ("max_price_per_hour_wei=3600000000000000000", 1), ("min_score_ppm=750001", 0), ("class=2", 0)]
    {
        assert_eq!(served.get(&format!("/offers?{query}")).await["items"].as_array().unwrap().len(), count, "{query}");
    }

    let renter = desk.clients("renter").await;
    let quote = rent::quote(&renter, 1, HOUR).await.unwrap();
    let told = served.get(&format!("/offers/1/quote?duration_seconds={HOUR}")).await;
    assert_eq!(told["total_wei"], quote.total_wei.wei().to_string(), "as the contract counts");
    let sessions =
        rent::SessionKeys { folder: desk.site.path("sessions"), password: desk.site.accounts.password(), strength: Strength::Devnet };
    let mut stream = served.stream("?rental=1", None).await;
    let (rental, _) = rent::rent(&renter, &quote, &sessions).await.unwrap();
    let heard = stream.event().await;
    assert_eq!((heard.kind.as_str(), heard.data["rental"].as_str()), ("rental_requested", Some("1")));
    let asked = served.until("/rentals/1", "the rental", |rental| rental["state"] == "requested").await;
    assert_eq!(asked["money"]["held_wei"], quote.total_wei.wei().to_string());
    assert_eq!(served.get("/offers/1").await["availability"]["state"], "rented");

    let provider = desk.clients("provider").await;
    let rentals = provider.book.ethereum.gpu_rental;
    provider.ethereum_wallet().send("ready", rentals, GPURental::readyCall { rentalId: rental }).await.unwrap();
    desk.site.ethereum.ask("evm_increaseTime", json!([100])).await.unwrap();
    let report = half_done(rental, provider.ethereum.head().await.unwrap().timestamp + 60);
    deliver(&desk, rentals, Body::WorkReport(report)).await;
    let running = served.until("/rentals/1", "the report", |rental| rental["verified_seconds"] == "50").await;
    assert_eq!(running["state"], "active");
    assert_eq!(sum(&running["money"]), amount(&running["money"]["escrowed_wei"]));
    rent::end(&renter, rental).await.unwrap();
    served.until("/rentals/1", "its end", |rental| rental["terms_version"] == "2").await;

    // The contract's word and the index's are the same.
    let view = rent::rental(&renter, rental).await.unwrap();
    let told = served.get("/rentals/1").await;
    for (name, there) in [("escrowed_wei", view.escrowed_wei), ("paid_wei", view.paid_wei), ("refunded_wei", view.refunded_wei)] {
        assert_eq!(amount(&told["money"][name]), there.wei(), "{name}");
    }
    let steps = served.get("/rentals/1/events?limit=100").await;
    let kinds: Vec<&str> = steps["items"].as_array().unwrap().iter().map(|step| step["type"].as_str().unwrap()).collect();
    let wanted = ["rental_requested", "rental_ready", "work_report_applied", "terms_changed"];
    let mut found = kinds.iter();
    assert!(wanted.iter().all(|step| found.any(|kind| kind == step)), "{kinds:?}");
    let messages = served.get("/rentals/1/messages").await;
    assert_eq!(messages["items"].as_array().unwrap().len(), 2, "the terms, twice");
    assert_eq!(served.get(&format!("/devices/{device}")).await["worker"], lower(desk.address("worker")));
    check_all(&served, &desk).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stakes_are_counted_as_the_contract_counts_them() {
    let desk = Desk::new().await;
    offer_device(&desk).await;
    let (provider, renter) = (desk.clients("provider").await, desk.clients("renter").await);
    let account = provider.signer.address();
    let staking = provider.book.ethereum.staking_manager;
    let commission = StakingPools::announceCommissionCall { commissionBps: 500 };
    provider.ethereum_wallet().send("announceCommission", staking, commission).await.unwrap();
    delegation::delegate(&renter, account, tokens("100"), Mode::Send).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), generous()).await;
    let path = format!("/stakes/{account:#x}");
    let told = served.until(&path, "the delegation", |stake| stake["pool"]["total_wei"] == tokens("100").wei().to_string()).await;
    assert_eq!((&told["role"], &told["pool"]["commission_bps"]), (&json!("provider"), &json!("500")));
    // A fault takes from own and delegated stake in proportion.
    let fault = gpumkt::types::bridge::FaultProven {
        deviceId: 1,
        challengeBlock: 1,
        reason: 1,
        reporter: desk.address("relay"),
        renter: renter.signer.address(),
    };
    deliver(&desk, provider.book.ethereum.staking_manager, Body::FaultProven(fault)).await;
    let told = served.until(&path, "the slash", |stake| stake["slashed_wei"] != "0").await;
    let there = stake::staker(&provider, account).await.unwrap();
    assert_eq!((amount(&told["staked_wei"]), amount(&told["locked_wei"])), (there.staked_wei.wei(), there.locked_wei.wei()));
    let delegated = delegation::delegation(&renter, renter.signer.address()).await.unwrap();
    let page = served.get(&format!("{path}/delegations")).await;
    assert_eq!(amount(&page["items"][0]["value_wei"]), delegated.delegated_wei.wei());
    let credits = StakingManager::creditsCall { account: renter.signer.address() };
    let owed = renter.ethereum.call(renter.book.ethereum.staking_manager, credits, BlockId::latest()).await.unwrap();
    let holder = served.get(&format!("/accounts/{:#x}", renter.signer.address())).await;
    assert_eq!(amount(&holder["stake_credit_wei"]), owed);
    assert_eq!(served.get("/slashes").await["items"][0]["reason"], "wrong_proof");
    assert_eq!(served.get("/offers/1").await["availability"]["state"], "unstaked");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reorganisation_takes_entries_back_and_a_rebuilt_index_is_equal() {
    let desk = Desk::new().await;
    offer_device(&desk).await;
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), generous()).await;
    // The newest thing there is, so that the stream starts with what comes after it.
    served.until("/offers/1", "the report", |offer| offer["score_ppm"] == "750000").await;
    let mut stream = served.stream("", None).await;
    let relay = desk.clients("relay").await;
    let before = served.get("/offers").await;
    let provider = desk.clients("provider").await;
    change_offer(&provider, 1, 5, true).await;
    served.until("/offers/1", "the change", |offer| offer["is_paused"] == true).await;
    let heard = stream.event().await;
    assert_eq!(heard.kind, "offer_changed");

    // The branch with the change is replaced by one without it.
    desk.site.ethereum.set_automine(false).await.unwrap();
    desk.site.ethereum.reorg(1).await.unwrap();
    desk.site.ethereum.mine(1).await.unwrap();
    let answer = served.until("/offers/1", "the old branch", |offer| offer["is_paused"] == false || offer["code"] == "E-API-004").await;
    assert_eq!(answer["price_per_second_wei"], before["items"][0]["price_per_second_wei"]);
    let reorg = stream.event().await;
    assert_eq!((reorg.kind.as_str(), reorg.data["chain"].as_str()), ("reorg", Some("ethereum")));
    desk.site.ethereum.set_automine(true).await.unwrap();
    change_offer(&provider, 1, 6, false).await;
    served.until("/offers/1", "the new change", |offer| offer["price_per_second_wei"] == "6").await;
    let heard = loop {
        let heard = stream.event().await;
        if heard.data["amount_wei"] == "6" {
            break heard;
        }
    };

    // A stream goes on after the event it heard last, and not from before a reorganisation.
    token::transfer(&desk.clients("renter").await, relay.signer.address(), tokens("1"), Mode::Send).await.unwrap();
    change_offer(&provider, 1, 7, false).await;
    let mut resumed = served.stream("", Some(&heard.id)).await;
    assert_eq!(resumed.event().await.data["amount_wei"], "7");
    let mut by_query = served.stream(&format!("?last_event_id={}", heard.id), None).await;
    assert_eq!(by_query.event().await.data["amount_wei"], "7");
    let stale = heard.id.replace(|character: char| character.is_ascii_hexdigit() && character.is_alphabetic(), "0");
    for (last, reason) in [("nonsense", "unknown_id"), (stale.as_str(), "reorganised")] {
        if last == heard.id {
            continue;
        }
        let mut lost = served.stream("", Some(last)).await;
        let heard = lost.next().await;
        assert_eq!((heard.kind.as_str(), heard.data["reason"].as_str()), ("reset", Some(reason)), "{last}");
    }

    // The same from nothing, and from a store that was closed.
    served.until("/offers/1", "the last change", |offer| offer["price_per_second_wei"] == "7").await;
    let rebuilt = desk.serve(&folder.path().join("other"), generous()).await;
    for index in [&served, &rebuilt] {
        index.until("/config", "the classes", |config| config["classes"][0]["full"].is_object()).await;
    }
    let paths = ["/offers", "/providers", "/stakes", "/messages", "/allocations", "/distribution", "/config", "/slashes"];
    for path in paths {
        assert_eq!(served.get(path).await, rebuilt.get(path).await, "{path}");
    }
    let mut elsewhere = rebuilt.stream("", Some(&heard.id)).await;
    assert_eq!(elsewhere.event().await.data["amount_wei"], "7", "an id means the same at another node");
    drop((stream, resumed, by_query, elsewhere));
    let offers = served.get("/offers").await;
    served.stop().await;
    rebuilt.stop().await;
    let reopened = desk.serve(&folder.path().join("db"), generous()).await;
    assert_eq!(reopened.get("/offers").await, offers);
    reopened.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_refused_and_limits_hold() {
    let desk = Desk::new().await;
    offer_device(&desk).await;
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), ApiSection { cors_origins: vec!["https://a.example".into()], ..generous() }).await;
    let long = format!("/offers?region={}", "a".repeat(3_000));
    for (path, status, code) in [
        ("/nothing", 404, "E-API-001"),
        ("/offers/1/nothing", 404, "E-API-001"),
        ("/offers/../config", 404, "E-API-001"),
        ("/offers/999", 404, "E-API-004"),
        ("/offers/-1", 400, "E-API-002"),
        ("/offers/18446744073709551616", 400, "E-API-002"),
        ("/offers/%31", 400, "E-API-002"),
        ("/offers?limit=0", 400, "E-API-002"),
        ("/offers?limit=1&limit=1", 400, "E-API-002"),
        ("/offers?unknown=1", 400, "E-API-002"),
        ("/offers?sort=%27%3B--", 400, "E-API-002"),
        ("/offers?cursor=abcd", 400, "E-API-003"),
        ("/providers/0x12", 400, "E-API-002"),
        ("/messages/mars/1", 400, "E-API-002"),
        ("/proposals/99999999999999999999999999999999999999999999999999999999999999999999999999999999", 400, "E-API-002"),
        ("/events?rental=x", 400, "E-API-002"),
        (long.as_str(), 414, "E-API-009"),
    ] {
        let path = if path.contains("..") { "/offers/..%2fconfig/x/y" } else { path };
        assert_eq!(served.refused(path).await, (status, code.into()), "{path}");
    }
    let posted = served.http.post(served.url("/offers")).body("{}").send().await.unwrap();
    assert_eq!((posted.status().as_u16(), posted.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));

    let first = served.send("/offers", &[("origin", "https://a.example")]).await;
    let header = |name: &str| first.headers().get(name).map(|value| value.to_str().unwrap().to_string()).unwrap_or_default();
    assert_eq!(header("access-control-allow-origin"), "https://a.example");
    assert_eq!((header("x-content-type-options"), header("x-frame-options")), ("nosniff".into(), "DENY".into()));
    let tag = header("etag");
    assert_eq!(served.send("/offers", &[("if-none-match", &tag)]).await.status(), 304);
    let stranger = served.send("/offers", &[("origin", "https://b.example")]).await;
    assert!(stranger.headers().get("access-control-allow-origin").is_none());
    let provider = desk.clients("provider").await;
    change_offer(&provider, 2, 9, false).await;
    served.until("/offers/2", "the change", |offer| offer["price_per_second_wei"] == "9").await;
    assert_eq!(served.send("/offers", &[("if-none-match", &tag)]).await.status(), 200, "a change has another tag");
    let page = served.http.get(format!("http://{}/rentals/1", served.address)).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));

    // Pages: nothing twice, nothing left out.
    let all = served.get("/allocations?limit=100").await["items"].as_array().unwrap().clone();
    let (mut paged, mut next) = (Vec::new(), String::new());
    loop {
        let page = served.get(&format!("/allocations?limit=1{next}")).await;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!(paged, all);
    served.stop().await;

    let strict = ApiSection { requests_per_second: 1, burst: 200, max_streams: 1, ..ApiSection::default() };
    let served = desk.serve(&folder.path().join("strict"), strict).await;
    let held = served.stream("", None).await;
    assert_eq!(served.refused("/events").await, (503, "E-API-008".into()));
    drop(held);
    let limited = loop {
        let response = served.send("/offers", &[]).await;
        if response.status() == 429 {
            break response;
        }
    };
    assert!(limited.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
    let told: Value = limited.json().await.unwrap();
    assert_eq!(told["code"], "E-API-005");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_deployment_are_allocated_and_solvent() {
    let desk = Desk::new().await;
    let folder = tempfile::tempdir().unwrap();
    let served = desk.serve(&folder.path().join("db"), generous()).await;
    let network = served.until("/network", "solvency", |network| network["solvency"].as_array().is_some_and(|all| all.len() == 2)).await;
    schema::check("/network", 200, &network);
    assert!(network["solvency"].as_array().unwrap().iter().all(|position| position["is_solvent"] == true));
    assert_eq!(network["kings"].as_array().unwrap().len(), 2);
    let config = served.until("/config", "the classes", |config| config["classes"][0]["full"].is_object()).await;
    schema::check("/config", 200, &config);
    let clients = desk.clients("renter").await;
    let name = clients.ethereum.call(clients.book.ethereum.gpu_token, GPUToken::nameCall {}, BlockId::latest()).await.unwrap();
    assert_eq!(config["token"]["name"], name);
    served.stop().await;
}
