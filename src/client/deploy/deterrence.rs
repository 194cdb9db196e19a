//! What a fault costs against what it brings in: a deployment under which a cheat gains is refused.

use alloy::primitives::U256;

use super::{
    DeployError,
    config::{ClassSettings, DeployConfig, StakingSettings},
};
use crate::types::Amount;

/// Mean time between blocks of Ethereum Classic.
const CLASSIC_BLOCK_SECONDS: u64 = 13;
/// A wrong answer costs at least this many times what the commits earn of which one is checked.
const WRONG_ANSWER_FACTOR: u64 = 100;
/// The same of a missing answer. Only the third costs it, so it must outweigh three lots of commits and the work that was not done.
const MISSING_ANSWER_FACTOR: u64 = 4;

/// Most of a slash that goes to whoever reported the fault.
const REPORTER_SHARE_LIMIT_BPS: u32 = 2_000;
/// Of every slash, lost to all who took part: a renter and a reporter may be the provider's friends.
const LOST_SHARE_MINIMUM_BPS: u32 = 5_000;

impl StakingSettings {
    /// The bounds that StakingManager would refuse without saying which.
    pub(super) fn check(&self) -> Result<(), String> {
        let slash = &self.slash;
        let shares = [slash.burn_bps, slash.treasury_bps, slash.renter_bps, slash.reporter_bps].map(u32::from);
        if shares.iter().sum::<u32>() != 10_000 {
            return Err(format!("the shares of a slash sum to {} instead of 10000", shares.iter().sum::<u32>()));
        }
        if shares[3] > REPORTER_SHARE_LIMIT_BPS {
            let (share, limit) = (shares[3], REPORTER_SHARE_LIMIT_BPS);
            return Err(format!(
                "staking.slash.reporter_bps is {share}, but at most {limit}: who reports its own device must lose more than it gets back"
            ));
        }
        if shares[0] + shares[1] < LOST_SHARE_MINIMUM_BPS {
            let (lost, least) = (shares[0] + shares[1], LOST_SHARE_MINIMUM_BPS);
            return Err(format!("staking.slash: burn and treasury get {lost} together, but must get at least {least} of 10000"));
        }
        let minima = [self.minimum_provider_stake, self.minimum_queen_stake, self.minimum_king_stake];
        if minima.iter().any(|minimum| minimum.wei() < U256::from(10).pow(U256::from(18))) {
            return Err("minimum stakes are at least 1 token".into());
        }
        Ok(())
    }
}

impl DeployConfig {
    /// A commit that was not computed is found with one in `proof_rate`: what it costs then must outweigh all that were not found.
    pub(super) fn check_deterrence(&self, class: &ClassSettings) -> Result<(), DeployError> {
        let verification = &self.verification;
        let blocks = U256::from(verification.beacon_spacing.saturating_sub(1).saturating_add(verification.beacon_period));
        let per_hour = class.price_ceiling_per_hour.wei() + class.reward_per_hour.map(Amount::wei).unwrap_or_default();
        let interval = per_hour * blocks * U256::from(CLASSIC_BLOCK_SECONDS) / U256::from(3_600);
        let undetected = interval * U256::from(verification.proof_rate);
        let ways_out = "proof_rate, price_ceiling_per_hour or reward_per_hour";
        // No more can be taken than is locked.
        let penalty = self.staking.missing_answer_penalty.min(class.required_stake);
        let faults = [
            ("a wrong answer", class.required_stake, WRONG_ANSWER_FACTOR, "required_stake"),
            ("a missing answer", penalty, MISSING_ANSWER_FACTOR, "staking.missing_answer_penalty (at most required_stake counts)"),
        ];
        for (fault, cost, factor, key) in faults {
            let minimum = Amount(undetected * U256::from(factor));
            if cost < minimum {
                let reason = format!(
                    "class {}: {fault} costs {cost} tokens, but must cost {minimum} ({factor} x proof_rate x what a device earns from one \
                     challenge to the next): raise {key}, or lower {ways_out}",
                    class.name
                );
                return Err(DeployError::Config { reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVNET: &str = include_str!("../../../config/chains/devnet.toml");

    fn refused(changes: &[(&str, &str)]) -> String {
        let mut text = DEVNET.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        DeployConfig::from_toml(&text).expect_err("accepted").to_string()
    }

    /// (price 4 + reward 1) for 8 blocks of 13 s: 0.1444 tokens from one challenge to the next.
    #[test]
    fn a_deployment_whose_faults_pay_is_refused_with_its_numbers() {
        let told = refused(&[("missing_answer_penalty = \"25\"", "missing_answer_penalty = \"0.5\"")]);
        assert!(told.contains("a missing answer costs 0.5 tokens, but must cost 0.5777") && told.contains("4 x proof_rate"), "{told}");
        let told = refused(&[("required_stake = \"500\"", "required_stake = \"14\"")]);
        assert!(told.contains("a wrong answer costs 14 tokens, but must cost 14.44") && told.contains("required_stake"), "{told}");
        // What a device earns without a renter counts too.
        let told = refused(&[("reward_per_hour = \"1\"", "reward_per_hour = \"300\"")]);
        assert!(told.contains("a wrong answer costs 500 tokens"), "{told}");
        let told = refused(&[("proof_rate = 1", "proof_rate = 200")]);
        assert!(told.contains("100 x proof_rate"), "{told}");
    }

    #[test]
    fn a_slash_that_comes_back_to_the_cheat_is_refused() {
        let told = refused(&[("reporter_bps = 1000", "reporter_bps = 2001"), ("renter_bps = 2000", "renter_bps = 999")]);
        assert!(told.contains("reporter_bps is 2001, but at most 2000"), "{told}");
        let told = refused(&[("burn_bps = 5000", "burn_bps = 2000"), ("renter_bps = 2000", "renter_bps = 5000")]);
        assert!(told.contains("burn and treasury get 4000"), "{told}");
        let told = refused(&[("reporter_bps = 1000", "reporter_bps = 999")]);
        assert!(told.contains("sum to 9999"), "{told}");
    }
}
