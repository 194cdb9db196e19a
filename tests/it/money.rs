//! Commands around GPUTOKEN as a person types them: amounts, dry runs, refusals before gas is spent, a proposal from file to effect.

use std::fs;

use gpumkt::{
    chain::{BlockId, Chain, ChainConfig},
    devnet::chains::Anvil,
    types::{
        ChainKind,
        abi::{GPUToken, StakingManager},
    },
};
use serde_json::{Value, json};

use super::deploy::{Site, preset, succeeded};

const UNIT: u128 = 1_000_000_000_000_000_000;

/// A deployed market, and configurations of accounts on it.
struct Bank {
    site: Site,
}

impl Bank {
    async fn new() -> Self {
        let site = Site::new().await;
        // A hundredth of the supply decides, so that four Kings can; time passes only where a case says so.
        let text = preset("devnet.toml")
            .replace("quorum_percent = 4", "quorum_percent = 1")
            .replace("voting_delay_seconds = 1", "voting_delay_seconds = 600")
            .replace("voting_period_seconds = 30", "voting_period_seconds = 3600")
            .replace("timelock_delay_seconds = 2", "timelock_delay_seconds = 600");
        fs::write(site.path("deployment.toml"), text).unwrap();
        succeeded(&site.deploy().output().unwrap());
        Self { site }
    }

    fn run(&self, account: &str, arguments: &[&str]) -> std::process::Output {
        self.site.run(account, arguments)
    }

    fn does(&self, account: &str, arguments: &[&str]) -> Value {
        self.site.does(account, arguments)
    }

    fn says(&self, account: &str, arguments: &[&str]) -> String {
        self.site.says(account, arguments)
    }

    /// Code and cause of a command that fails, and that it cost nothing.
    async fn refused(&self, account: &str, arguments: &[&str]) -> (String, String) {
        let before = self.nonce(account).await;
        let output = self.run(account, &[arguments, &["--json"]].concat());
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}");
        assert_eq!(self.nonce(account).await, before, "{arguments:?} sent something");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        let text = |key: &str| error["error"][key].as_str().unwrap().to_string();
        (text("code"), text("cause"))
    }

    async fn ethereum(&self) -> Chain {
        let anvil: &Anvil = &self.site.ethereum;
        Chain::connect(ChainConfig::new(ChainKind::Ethereum, anvil.chain_id(), vec![anvil.url()])).await.unwrap()
    }

    async fn nonce(&self, account: &str) -> u64 {
        self.ethereum().await.nonce(self.site.accounts.address(account).unwrap(), BlockId::latest()).await.unwrap()
    }

    async fn tokens(&self, account: &str) -> u128 {
        let call = GPUToken::balanceOfCall { account: self.site.accounts.address(account).unwrap() };
        self.ethereum().await.call(self.site.book().ethereum.gpu_token, call, BlockId::latest()).await.unwrap().to()
    }

    async fn pass(&self, seconds: u64) {
        self.site.ethereum.ask("evm_increaseTime", json!([seconds])).await.unwrap();
        self.site.ethereum.mine(1).await.unwrap();
    }

    fn address(&self, account: &str) -> String {
        self.site.accounts.address(account).unwrap().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_shown_sent_and_asked_for() {
    let bank = Bank::new().await;
    let (renter, worker) = (bank.address("renter"), bank.address("worker"));
    let before = bank.tokens("renter").await;

    let dry = bank.does("renter", &["token", "transfer", &worker, "12.5 GPUTOKEN", "--dry-run"]);
    assert_eq!((dry["transaction"]["dry_run"].as_bool(), dry["transaction"]["transaction"].is_null()), (Some(true), true));
    assert_eq!(bank.tokens("renter").await, before, "a dry run moves nothing");
    let said = bank.says("renter", &["token", "transfer", &worker, "12.5"]);
    assert!(said.starts_with(&format!("12.5 GPUTOKEN to {worker}: 0x")), "{said}");
    assert_eq!((bank.tokens("renter").await, bank.tokens("worker").await), (before - 125 * UNIT / 10, 125 * UNIT / 10));

    for (arguments, code, cause) in [
        (vec!["token", "transfer", &worker, "51000"], "E-CLIENT-003", "the transfer costs 51000"),
        (vec!["token", "transfer", &worker, "0"], "E-CLIENT-010", "zero"),
        (vec!["token", "transfer", "0x0000000000000000000000000000000000000000", "1"], "E-CLIENT-010", "nobody"),
        (
            vec!["token", "transfer", &bank.site.book().ethereum.staking_manager.to_string(), "1"],
            "E-CLIENT-010",
            "a contract of this market",
        ),
        (vec!["withdraw"], "E-CHAIN-005", "ZeroAmount"),
        (vec!["vesting", "release", "99"], "E-CHAIN-005", "UnknownAllocation { id: 99 }"),
        (vec!["gov", "show", "123"], "E-CLIENT-063", "no proposal 123"),
    ] {
        let (found, told) = bank.refused("renter", &arguments).await;
        assert!(found == code && told.contains(cause), "{arguments:?}: {found} {told}");
    }

    bank.does("renter", &["token", "approve", &worker, "3"]);
    let call = GPUToken::allowanceCall { owner: renter.parse().unwrap(), spender: worker.parse().unwrap() };
    let allowed = bank.ethereum().await.call(bank.site.book().ethereum.gpu_token, call, BlockId::latest()).await.unwrap();
    assert_eq!(allowed.to::<u128>(), 3 * UNIT);

    bank.does("worker", &["token", "faucet"]);
    assert_eq!(bank.tokens("worker").await, 1_012_500_000_000_000_000_000);
    let (code, cause) = bank.refused("worker", &["token", "faucet"]).await;
    assert!(code == "E-CHAIN-005" && cause.contains("TooEarly { account: "), "{cause}");
    bank.pass(60).await;
    bank.does("worker", &["token", "faucet"]);

    let shown = bank.does("renter", &["token", "balance", &worker]);
    assert_eq!(shown["token"]["balance_wei"], "2012500000000000000000");
    assert_eq!((&shown["stake"]["role"], &shown["token"]["votes_wei"]), (&json!("none"), &json!("0")));
    bank.does("worker", &["token", "delegate", &worker]);
    assert_eq!(bank.does("worker", &["token", "balance"])["token"]["votes_wei"], "2012500000000000000000");
}

#[tokio::test(flavor = "multi_thread")]
async fn stake_comes_back_after_its_time_and_allocations_are_listed() {
    let bank = Bank::new().await;
    let before = bank.tokens("provider").await;
    let dry = bank.does("provider", &["stake", "provider", "2000", "--dry-run"]);
    assert_eq!((&dry["transaction"]["action"], &dry["transaction"]["dry_run"]), (&json!("stake"), &json!(true)));
    for wrong in [vec!["stake", "provider", "0"], vec!["stake", "provider", "999", "--dry-run"]] {
        bank.refused("provider", &wrong).await;
    }
    assert_eq!(bank.tokens("provider").await, before);
    bank.does("provider", &["stake", "provider", "2000 GPUTOKEN"]);
    let (code, cause) = bank.refused("provider", &["unstake", "1500"]).await;
    assert!(code == "E-CHAIN-005" && cause.contains("BelowMinimum { "), "{cause}");
    bank.does("provider", &["unstake", "2000"]);
    let (_, cause) = bank.refused("provider", &["withdraw"]).await;
    assert!(cause.contains("StillUnbonding { unbondsAt: "), "{cause}");
    bank.pass(86_400).await;
    let withdrawn = bank.does("provider", &["withdraw"]);
    assert_eq!(withdrawn["result"]["amount_wei"], "2000000000000000000000");
    assert_eq!(bank.tokens("provider").await, before);

    bank.does("provider", &["stake", "provider", "2000"]);
    assert_eq!(bank.does("provider", &["devices"]), json!([]));
    bank.does("provider", &["offer", "--class", "1", "--price", "1"]);
    let devices = bank.does("renter", &["devices", "--account", &bank.address("provider")]);
    assert_eq!((&devices[0]["device"], &devices[0]["class_version"], &devices[0]["removed_at"]), (&json!(1), &json!(1), &json!(0)));
    bank.refused("renter", &["devices", "--remove", "1"]).await;
    bank.does("provider", &["devices", "--remove", "1"]);
    let call = StakingManager::deviceCall { deviceId: 1 };
    let device = bank.ethereum().await.call(bank.site.book().ethereum.staking_manager, call, BlockId::latest()).await.unwrap();
    assert_ne!(device.removedAt, 0);

    // Somebody else's stake behind the provider: not before it has announced a commission.
    let provider = bank.address("provider");
    let dry = bank.does("renter", &["delegate", &provider, "100", "--dry-run"]);
    assert_eq!(dry["transaction"]["action"], "approve");
    bank.does("renter", &["token", "approve", &bank.site.book().ethereum.staking_manager.to_string(), "100"]);
    bank.refused("renter", &["delegate", &provider, "100"]).await;
    let (code, cause) = bank.refused("renter", &["undelegate", "1"]).await;
    assert!(code == "E-CLIENT-010" && cause.contains("more than the 0 that are delegated"), "{cause}");
    assert_eq!(bank.does("renter", &["rewards", "show"])["rewards"]["earned_wei"], "0");
    assert_eq!(bank.says("renter", &["rewards", "claim"]).trim(), "Nothing to claim.");
    delegation_comes_and_goes(&bank).await;

    let all = bank.does("renter", &["vesting", "list", "--all"]);
    let team = all.as_array().unwrap().iter().find(|vesting| vesting["is_revocable"] == true).unwrap();
    assert_eq!(team["amount_wei"], "100000000000000000000000000");
    assert!(bank.says("provider", &["vesting", "list"]).contains("100000"), "its own, paid at genesis");
}

/// The provider has staked, and the renter has allowed 100 tokens.
async fn delegation_comes_and_goes(bank: &Bank) {
    let provider = bank.address("provider");
    let (code, cause) = bank.refused("renter", &["commission", "10"]).await;
    assert!(code == "E-CHAIN-005" && cause.contains("RoleMismatch { "), "{cause}");
    assert_eq!(bank.run("provider", &["commission", "50.5"]).status.code(), Some(2), "beyond what the contract takes");
    assert!(bank.says("provider", &["commission", "10"]).starts_with("delegations are open at a commission of 10 %: 0x"));
    let later = bank.does("provider", &["commission", "12.5"]);
    assert_eq!(later["result"]["commission_bps"], 1250);
    assert_ne!(later["result"]["counts_from"], 0, "a dearer one is announced");

    let before = bank.tokens("renter").await;
    bank.does("renter", &["delegate", &provider, "100"]);
    assert_eq!(bank.tokens("renter").await, before - 100 * UNIT);
    let shown = bank.does("renter", &["rewards", "show"]);
    assert_eq!(shown["delegation"]["delegated_wei"], "100000000000000000000");
    assert_eq!(shown["delegation"]["account"].as_str().unwrap().to_lowercase(), provider.to_lowercase());
    bank.does("renter", &["undelegate", "40"]);
    let (_, cause) = bank.refused("renter", &["undelegate", "--withdraw"]).await;
    assert!(cause.contains("StillUnbonding { unbondsAt: "), "{cause}");
    bank.pass(86_400).await;
    assert_eq!(bank.does("renter", &["undelegate", "--withdraw"])["result"]["amount_wei"], "40000000000000000000");
    assert_eq!(bank.tokens("renter").await, before - 60 * UNIT);

    let dry = bank.does("provider", &["add-stake", "50", "--dry-run"]);
    assert_eq!(dry["transaction"]["action"], "approve");
    bank.does("provider", &["add-stake", "50"]);
    assert_eq!(bank.does("provider", &["token", "balance"])["stake"]["staked_wei"], "2050000000000000000000");

    let emission = bank.does("renter", &["rewards", "emission"]);
    assert_eq!((&emission["emitted_wei"], &emission["own_fees_wei"]), (&json!("0"), &json!("0")));
    assert_ne!(emission["budget_wei"], "0");
    let (code, cause) = bank.refused("renter", &["rewards", "settle", "1"]).await;
    assert!(code == "E-CHAIN-005" && cause.contains("UnknownRental { "), "{cause}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_goes_from_its_file_to_its_effect() {
    let bank = Bank::new().await;
    let file = bank.site.path("proposal.toml");
    let text = r#"
        title = "A second class"
        description = "Devices of class 7 lock 750 tokens."
        [[actions]]
        contract = "StakingManager"
        function = "setClass"
        arguments = { classVersion = 7, required = "750 GPUTOKEN" }
    "#;
    fs::write(&file, text).unwrap();
    let propose = ["gov", "propose", file.to_str().unwrap()];
    let (code, cause) = bank.refused("king-1", &propose).await;
    assert!(code == "E-CLIENT-064" && cause.contains("has 0 votes, a proposal takes 1000"), "{cause}");
    for king in ["king-1", "king-2", "king-3", "king-4"] {
        bank.does(king, &["token", "delegate", &bank.address(king)]);
    }
    bank.pass(2).await;

    fs::write(
        &file,
        text.replace("setClass", "transferOwnership")
            .replace("classVersion = 7, required = \"750 GPUTOKEN\"", "newOwner = \"0x0000000000000000000000000000000000000000\""),
    )
    .unwrap();
    let (code, cause) = bank.refused("king-1", &propose).await;
    assert!(code == "E-CLIENT-062" && cause.contains("OwnableInvalidOwner"), "{cause}");
    fs::write(&file, text).unwrap();

    let id = bank.does("king-1", &propose)["result"]["proposal"].as_str().unwrap().to_string();
    let short = &id[..12];
    assert_eq!(bank.does("renter", &["gov", "show", short])["state"], "pending");
    let (_, cause) = bank.refused("king-1", &["gov", "queue", short]).await;
    assert!(cause.contains("GovernorUnexpectedProposalState"), "{cause}");
    bank.pass(601).await;
    bank.does("king-1", &["gov", "vote", short, "for", "--reason", "more devices"]);
    for king in ["king-2", "king-3", "king-4"] {
        bank.does(king, &["gov", "vote", short, "for"]);
    }
    let (_, cause) = bank.refused("king-2", &["gov", "vote", short, "against"]).await;
    assert!(cause.contains("GovernorAlreadyCastVote"), "{cause}");
    let said = bank.says("renter", &["gov", "show", short]);
    for line in
        ["title     A second class", "4000000 for, 0 against", "StakingManager.setClass", "required = 750 GPUTOKEN", "classVersion = 7"]
    {
        assert!(said.contains(line), "{said}");
    }
    bank.pass(3_700).await;
    bank.does("renter", &["gov", "queue", &id]);
    bank.refused("renter", &["gov", "execute", &id]).await;
    bank.pass(601).await;
    bank.does("renter", &["gov", "execute", &id]);
    assert!(bank.says("renter", &["gov", "list"]).contains("executed"));
    let call = StakingManager::requiredStakeCall { classVersion: 7 };
    let required = bank.ethereum().await.call(bank.site.book().ethereum.staking_manager, call, BlockId::latest()).await.unwrap();
    assert_eq!(required.to::<u128>(), 750 * UNIT);

    let second = bank.does(
        "king-1",
        &["gov", "propose", {
            fs::write(&file, text.replace("second", "third")).unwrap();
            file.to_str().unwrap()
        }],
    );
    let second = second["result"]["proposal"].as_str().unwrap();
    bank.does("king-1", &["gov", "cancel", second]);
    assert_eq!(bank.does("renter", &["gov", "show", second])["state"], "canceled");
}
