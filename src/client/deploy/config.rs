//! What a deployment consists of: one TOML file, unknown keys refused.

use alloy::primitives::{Address, FixedBytes, U256, keccak256};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::{
    DeployError,
    emission::{self, Allocation, EmissionSettings},
};
use crate::types::{
    Amount,
    abi::{governance, gpu_rental, king_set, rental_court, staking_manager, work_verification},
    work::Profile,
};

/// Members of a King set, as KingSet bounds them.
const MEMBER_LIMIT: usize = 21;
/// How much the chains' clocks and the steps of a deployment may lie apart. Too little makes KingSet refuse the expiry.
const CLOCK_MARGIN_SECONDS: u64 = 86_400;
/// What a person must put in place begins with this.
const FILL_IN: &str = "FILL IN";
/// Ethereum, Ethereum Classic, OP Mainnet, Base, Arbitrum One.
const VALUABLE_CHAINS: [u64; 5] = [1, 61, 10, 8_453, 42_161];
const FAUCET_INTERVAL_SECONDS: u64 = 60;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployConfig {
    pub chains: ChainIds,
    pub token: TokenSettings,
    pub emission: EmissionSettings,
    pub kings: KingSettings,
    pub verification: VerificationSettings,
    pub reputation: ReputationSettings,
    pub staking: StakingSettings,
    pub rental: RentalSettings,
    pub court: CourtSettings,
    pub governance: GovernanceSettings,
    pub classes: Vec<ClassSettings>,
    /// Gives GPUTOKEN away on networks where it is worth nothing.
    pub faucet: Option<FaucetSettings>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainIds {
    pub ethereum: u64,
    pub classic: u64,
    /// JSON-RPC endpoints, in order of preference; the command line's take their place.
    #[serde(default)]
    pub ethereum_rpc: Vec<String>,
    #[serde(default)]
    pub classic_rpc: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSettings {
    /// Most tokens that can ever be minted.
    #[serde(deserialize_with = "tokens")]
    pub cap: Amount,
    /// What the allocations must add up to.
    #[serde(deserialize_with = "tokens")]
    pub genesis_total: Amount,
    pub genesis: Vec<Allocation>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KingSettings {
    pub set_epoch: u64,
    /// From the moment the deployment starts.
    pub valid_seconds: u64,
    /// How long a set stays valid after the next one was installed; longer than Ethereum Classic takes to be final.
    pub overlap_seconds: u32,
    /// From one rotation to the next.
    pub minimum_delay_seconds: u32,
    /// How long Kings have to sign a nominated set, and anybody to bring it to both chains.
    pub signing_window_seconds: u32,
    /// Of a set, from its nomination. The first set's `valid_seconds` are a day less at least.
    pub lifetime_seconds: u32,
    pub members: Vec<KingMember>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KingMember {
    pub operator: Address,
    pub weight: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationSettings {
    pub queens: Vec<Address>,
    pub beacon_period: u64,
    pub beacon_spacing: u64,
    pub commit_window_blocks: u64,
    pub dispute_window_blocks: u64,
    pub answer_window_blocks: u64,
    pub proof_rate: u32,
    pub proof_samples: u32,
    pub committee_size: u32,
    /// Queens per shard; a set of no more than that is one shard.
    pub shard_size: u32,
    /// Owners below which a challenge is never void for all.
    pub min_owners: u32,
    pub mode_slack_seconds: u64,
    pub bridge_max_seconds: u64,
    /// Time in which missing answers and unmeasured commits of a device add up.
    pub grace_window_seconds: u64,
    pub max_per_call: u32,
    /// Blocks of a window for `value_cap`: the stride at which Kings sign Ethereum Classic.
    pub cap_window_blocks: u64,
    /// Most that reports make newly due within such a window.
    #[serde(deserialize_with = "tokens")]
    pub value_cap: Amount,
    /// Bond of a dispute, in wei of Ethereum Classic's coin.
    pub dispute_bond_wei: u64,
    /// Gas price above which nothing is refunded from gas funds.
    pub gas_price_cap_wei: u64,
    /// Gas of an answer of the largest class.
    pub answer_gas: u32,
    /// Gas limit of a block of Ethereum Classic.
    pub block_gas: u32,
    /// Disputes that one Queen may have open at once.
    pub open_disputes: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReputationSettings {
    pub half_life_challenges: u32,
    pub prior_ppm: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StakingSettings {
    #[serde(deserialize_with = "tokens")]
    pub minimum_provider_stake: Amount,
    #[serde(deserialize_with = "tokens")]
    pub minimum_queen_stake: Amount,
    #[serde(deserialize_with = "tokens")]
    pub minimum_king_stake: Amount,
    pub unbonding_seconds: u64,
    /// What a third missing answer costs, at most the class stake.
    #[serde(deserialize_with = "tokens")]
    pub missing_answer_penalty: Amount,
    /// A device earns staking rewards on a full pass at most this old.
    pub pass_freshness_seconds: u64,
    pub queen_set_interval_seconds: u64,
    pub queen_set_minimum: u16,
    /// Most of a stake that one vote may burn.
    pub vote_slash_cap_bps: u16,
    pub slash: SlashSettings,
}

/// Where a slash goes; the four sum to 10,000.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlashSettings {
    pub burn_bps: u16,
    pub treasury_bps: u16,
    pub renter_bps: u16,
    pub reporter_bps: u16,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RentalSettings {
    pub protocol_fee_bps: u16,
    #[serde(deserialize_with = "tokens")]
    pub bridge_fee: Amount,
    #[serde(deserialize_with = "tokens")]
    pub ready_fee: Amount,
    pub ready_window_seconds: u64,
    pub start_window_seconds: u64,
    pub minimum_bill_seconds: u64,
    pub freshness_seconds: u64,
    pub settle_timeout_seconds: u64,
}

/// Complaints and what else Queens judge for renters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourtSettings {
    #[serde(deserialize_with = "tokens")]
    pub bond: Amount,
    #[serde(deserialize_with = "tokens")]
    pub judge_fee: Amount,
    pub committee_size: u8,
    pub draw_delay_blocks: u8,
    pub verdict_window_seconds: u32,
    pub finality_seconds: u32,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GovernanceSettings {
    pub voting_delay_seconds: u32,
    pub voting_period_seconds: u32,
    #[serde(deserialize_with = "tokens")]
    pub proposal_threshold: Amount,
    pub quorum_percent: u8,
    pub late_quorum_extension_seconds: u32,
    pub timelock_delay_seconds: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaucetSettings {
    /// Minted to it at genesis.
    #[serde(deserialize_with = "tokens")]
    pub supply: Amount,
    /// For each account, once per interval.
    #[serde(deserialize_with = "tokens")]
    pub amount: Amount,
    pub interval_seconds: u64,
    /// For all accounts together, per day.
    #[serde(deserialize_with = "tokens")]
    pub daily_limit: Amount,
}

/// A device class: its stake on Ethereum and its profiles on Ethereum Classic.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassSettings {
    pub name: String,
    pub version: u32,
    #[serde(deserialize_with = "tokens")]
    pub required_stake: Amount,
    /// What TokenDistributor rewards a provider with per verified hour; absent for nothing.
    #[serde(default, deserialize_with = "optional_tokens")]
    pub reward_per_hour: Option<Amount>,
    /// Highest price per hour for which the stake deters: what a fault costs is compared with what a device earns at it. Zero compares
    /// nothing.
    #[serde(default, deserialize_with = "tokens")]
    pub price_ceiling_per_hour: Amount,
    pub full: Profile,
    pub light: Profile,
}

pub(super) fn tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    let text = String::deserialize(deserializer)?;
    let amount = Amount::parse_tokens(&text).map_err(D::Error::custom)?;
    if amount.wei() >= U256::from(1) << 96 { Err(D::Error::custom(format!("{text} tokens is beyond any supply"))) } else { Ok(amount) }
}

fn optional_tokens<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Amount>, D::Error> {
    tokens(deserializer).map(Some)
}

/// Amounts are below 2^96 wei since they were parsed.
pub(super) fn wei(amount: Amount) -> u128 {
    amount.wei().saturating_to()
}

/// Fails with every key whose value a person must fill in first.
pub fn require_filled(file: &toml::Table) -> Result<(), DeployError> {
    let mut keys = Vec::new();
    for (key, value) in file {
        collect_unset(key.clone(), value, &mut keys);
    }
    if keys.is_empty() { Ok(()) } else { Err(DeployError::Unset { keys }) }
}

fn collect_unset(key: String, value: &toml::Value, found: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if text.starts_with(FILL_IN) => found.push(key),
        toml::Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                collect_unset(format!("{key}[{position}]"), item, found);
            }
        }
        toml::Value::Table(table) => {
            for (name, item) in table {
                collect_unset(format!("{key}.{name}"), item, found);
            }
        }
        _ => {}
    }
}

impl DeployConfig {
    /// Parses and checks a deployment file.
    pub fn from_toml(text: &str) -> Result<Self, DeployError> {
        let invalid = |error: toml::de::Error| DeployError::Config { reason: error.to_string() };
        require_filled(&text.parse().map_err(invalid)?)?;
        let config: Self = toml::from_str(text).map_err(invalid)?;
        config.check()?;
        Ok(config)
    }

    pub fn check(&self) -> Result<(), DeployError> {
        let refuse = |reason: String| Err(DeployError::Config { reason });
        if self.chains.ethereum == self.chains.classic {
            return refuse("both chains have the same chain id".into());
        }
        self.check_faucet()?;
        emission::check(self)?;
        self.check_kings()?;
        self.staking.check().or_else(refuse)?;
        // Stake that is on its way out is still there when the last report of a rental may come.
        if self.staking.unbonding_seconds <= self.rental.settle_timeout_seconds {
            return refuse("staking.unbonding_seconds must exceed rental.settle_timeout_seconds".into());
        }
        if self.verification.queens.is_empty() {
            return refuse("there must be Queens".into());
        }
        if self.classes.is_empty() {
            return refuse("there must be a device class".into());
        }
        for class in &self.classes {
            for (mode, profile) in [("full", &class.full), ("light", &class.light)] {
                if let Err(error) = profile.validate_class() {
                    return refuse(format!("class {} ({mode}): {error}", class.name));
                }
            }
            self.check_deterrence(class)?;
        }
        Ok(())
    }

    fn check_kings(&self) -> Result<(), DeployError> {
        let refuse = |reason: String| Err(DeployError::Config { reason });
        let kings = &self.kings;
        if kings.members.is_empty() || kings.members.iter().any(|king| king.weight == 0) {
            return refuse("there must be Kings, each with a weight".into());
        }
        if kings.members.len() > MEMBER_LIMIT {
            return refuse(format!("a King set has at most {MEMBER_LIMIT} members"));
        }
        let members = self.king_members();
        if members.windows(2).any(|pair| pair[0][..20] == pair[1][..20]) {
            return refuse("a King is listed twice".into());
        }
        let [overlap, delay, window, lifetime] =
            [kings.overlap_seconds, kings.minimum_delay_seconds, kings.signing_window_seconds, kings.lifetime_seconds].map(u64::from);
        if overlap == 0 || window == 0 || overlap + window > delay || delay + 2 * window > lifetime {
            return refuse("a King set's overlap and signing window must fit into the delay, and the delay into its lifetime".into());
        }
        if kings.valid_seconds == 0 || kings.valid_seconds.saturating_add(CLOCK_MARGIN_SECONDS) > lifetime {
            return refuse(format!("the first King set must be valid for {CLOCK_MARGIN_SECONDS} s less than the lifetime of a set"));
        }
        Ok(())
    }

    fn check_faucet(&self) -> Result<(), DeployError> {
        let refuse = |reason: &str| Err(DeployError::Config { reason: reason.into() });
        let Some(faucet) = &self.faucet else { return Ok(()) };
        let chains = [self.chains.ethereum, self.chains.classic];
        if chains.iter().any(|chain| VALUABLE_CHAINS.contains(chain)) {
            return refuse("a faucet is for test networks: here GPUTOKEN is worth something");
        }
        if faucet.amount.wei().is_zero() || faucet.amount > faucet.daily_limit || faucet.daily_limit > faucet.supply {
            return refuse("a faucet gives some amount, which its daily limit exceeds, which its supply exceeds");
        }
        if faucet.interval_seconds < FAUCET_INTERVAL_SECONDS {
            return refuse("a faucet's interval is at least a minute");
        }
        Ok(())
    }

    /// Members as KingSet takes them: `address << 96 | weight`, ascending by address.
    pub fn king_members(&self) -> Vec<FixedBytes<32>> {
        let pack = |king: &KingMember| {
            let mut word = [0u8; 32];
            word[..20].copy_from_slice(king.operator.as_slice());
            word[24..].copy_from_slice(&king.weight.to_be_bytes());
            FixedBytes(word)
        };
        let mut members: Vec<_> = self.kings.members.iter().map(pack).collect();
        members.sort_unstable();
        members
    }

    /// Stands for the contents, so that a half-done deployment is not continued with other ones. Endpoints may change meanwhile.
    pub(super) fn fingerprint(&self) -> String {
        let chains = ChainIds { ethereum_rpc: Vec::new(), classic_rpc: Vec::new(), ..self.chains.clone() };
        keccak256(format!("{:?}", Self { chains, ..self.clone() })).to_string()
    }

    pub(super) fn staking_parameters(&self) -> staking_manager::IStakingManager::Parameters {
        let staking = &self.staking;
        staking_manager::IStakingManager::Parameters {
            minimumProviderStake: wei(staking.minimum_provider_stake),
            minimumQueenStake: wei(staking.minimum_queen_stake),
            minimumKingStake: wei(staking.minimum_king_stake),
            missingAnswerPenalty: wei(staking.missing_answer_penalty),
            unbondingPeriod: staking.unbonding_seconds,
            passFreshness: staking.pass_freshness_seconds,
            queenSetInterval: staking.queen_set_interval_seconds,
            queenSetMinimum: staking.queen_set_minimum,
            voteSlashCapBps: staking.vote_slash_cap_bps,
            burnBps: staking.slash.burn_bps,
            treasuryBps: staking.slash.treasury_bps,
            renterBps: staking.slash.renter_bps,
            reporterBps: staking.slash.reporter_bps,
        }
    }

    pub(super) fn class_stakes(&self) -> Vec<staking_manager::IStakingManager::ClassStake> {
        let convert = |class: &ClassSettings| staking_manager::IStakingManager::ClassStake {
            classVersion: class.version,
            requiredStake: wei(class.required_stake),
        };
        self.classes.iter().map(convert).collect()
    }

    pub(super) fn rental_parameters(&self) -> gpu_rental::IGPURental::Parameters {
        let rental = &self.rental;
        gpu_rental::IGPURental::Parameters {
            protocolFeeBps: rental.protocol_fee_bps,
            bridgeFee: wei(rental.bridge_fee),
            readyFee: wei(rental.ready_fee),
            readyWindow: rental.ready_window_seconds,
            startWindow: rental.start_window_seconds,
            minimumBill: rental.minimum_bill_seconds,
            freshness: rental.freshness_seconds,
            settleTimeout: rental.settle_timeout_seconds,
        }
    }

    pub(super) fn king_times(&self) -> king_set::KingSet::Times {
        let kings = &self.kings;
        king_set::KingSet::Times {
            overlap: kings.overlap_seconds,
            minimumDelay: kings.minimum_delay_seconds,
            signingWindow: kings.signing_window_seconds,
            lifetime: kings.lifetime_seconds,
        }
    }

    pub(super) fn court_parameters(&self) -> rental_court::IRentalCourt::Parameters {
        let court = &self.court;
        rental_court::IRentalCourt::Parameters {
            bond: wei(court.bond),
            judgeFee: wei(court.judge_fee),
            committeeSize: court.committee_size,
            drawDelay: court.draw_delay_blocks,
            verdictWindow: court.verdict_window_seconds,
            finalitySeconds: court.finality_seconds,
        }
    }

    pub(super) fn governance_settings(&self) -> governance::Governance::Settings {
        let governance = &self.governance;
        governance::Governance::Settings {
            votingDelaySeconds: alloy::primitives::aliases::U48::from(governance.voting_delay_seconds),
            votingPeriodSeconds: governance.voting_period_seconds,
            proposalThreshold: governance.proposal_threshold.wei(),
            quorumPercent: U256::from(governance.quorum_percent),
            lateQuorumExtensionSeconds: alloy::primitives::aliases::U48::from(governance.late_quorum_extension_seconds),
        }
    }

    pub(super) fn verification_parameters(&self) -> work_verification::WorkVerification::WorkParameters {
        let verification = &self.verification;
        work_verification::WorkVerification::WorkParameters {
            beaconPeriod: verification.beacon_period,
            beaconSpacing: verification.beacon_spacing,
            commitWindow: verification.commit_window_blocks,
            disputeWindow: verification.dispute_window_blocks,
            answerWindow: verification.answer_window_blocks,
            proofRate: verification.proof_rate,
            proofSamples: verification.proof_samples,
            committeeSize: verification.committee_size,
            modeSlack: verification.mode_slack_seconds,
            bridgeMax: verification.bridge_max_seconds,
            shardSize: verification.shard_size,
            minOwners: verification.min_owners,
            graceWindow: verification.grace_window_seconds,
            maxPerCall: verification.max_per_call,
            capWindow: verification.cap_window_blocks,
            valueCap: wei(verification.value_cap),
            disputeBond: verification.dispute_bond_wei.into(),
            gasPriceCap: verification.gas_price_cap_wei,
            answerGas: verification.answer_gas,
            blockGas: verification.block_gas,
            openDisputes: verification.open_disputes,
        }
    }

    pub(super) fn class_profiles(&self) -> Vec<work_verification::WorkVerification::ClassProfile> {
        let convert = |class: &ClassSettings| work_verification::WorkVerification::ClassProfile {
            classVersion: class.version,
            stake: wei(class.required_stake),
            full: (&class.full).into(),
            light: (&class.light).into(),
        };
        self.classes.iter().map(convert).collect()
    }
}
