//! What the times of a run say: rates, shares of the device's limits, the cost of being verified, and earnings.

use alloy::primitives::U256;
use serde::{Deserialize, Serialize};

use crate::gpu::{Limits, Timings};
use crate::types::Amount;
use crate::types::work::{LINE_BYTES, Profile};

/// Mean time between two challenges on Ethereum Classic: the spacing and period of config/chains/mainnet.toml, blocks of 13 s.
const CHALLENGE_INTERVAL_MS: u64 = (70 - 1 + 40) * 13_000;
/// The protocol's share of what a renter pays, as deployed, in hundredths of a percent.
const PROTOCOL_FEE_BPS: u64 = 200;

/// What a rate is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// Seconds of one core: a CPU device shares its cores with everything else on the machine.
    Core,
    /// Seconds of the device.
    Device,
}

/// Rates of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Keccak-256 hashes of the fill.
    pub keccak_mhash_per_second: f64,
    /// Multiply-accumulates of the product.
    pub matmul_gmac_per_second: f64,
    /// Steps of the walk, 128 bytes each.
    pub memory_msteps_per_second: f64,
    /// Hashes of the operands.
    pub operand_mhash_per_second: f64,
}

impl Rates {
    /// Rates of a run of `profile` that took `timings`.
    pub fn of(profile: &Profile, timings: &Timings) -> Self {
        Self {
            keccak_mhash_per_second: per_microsecond(hashes(profile), timings.fill_us),
            matmul_gmac_per_second: per_microsecond(multiplications(profile), timings.product_us) / 1000.0,
            memory_msteps_per_second: per_microsecond(steps(profile), timings.walk_us),
            operand_mhash_per_second: per_microsecond(operand_hashes(profile), timings.operands_us),
        }
    }

    /// How long a run of `profile` takes at these rates, trees apart.
    pub fn predict_us(&self, profile: &Profile) -> u64 {
        let us = hashes(profile) as f64 / self.keccak_mhash_per_second
            + steps(profile) as f64 / self.memory_msteps_per_second
            + operand_hashes(profile) as f64 / self.operand_mhash_per_second
            + multiplications(profile) as f64 / self.matmul_gmac_per_second / 1000.0;
        us as u64
    }
}

/// Rates beside the device's own limits, both on the same basis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    pub basis: Basis,
    pub rates: Rates,
    pub limits: Limits,
    /// Hashes over what the rate of logic instructions allows.
    pub keccak_of_limit: f64,
    /// Bytes of the walk over those of plain random reads.
    pub memory_vs_plain_random_read: f64,
    /// Bytes of the walk over those of a copy.
    pub memory_of_copy: f64,
    /// Multiply-accumulates over the peak of floats; above 1 on integer paths.
    pub matmul_of_float_peak: f64,
    /// Share of making the operands in the time of the product with them.
    pub generation_share: f64,
    /// How many times longer a step takes whoever computes its line instead of reading it.
    pub memory_cheater_slowdown: f64,
}

impl Figures {
    /// Figures of a run whose times, on `basis`, are `timings`.
    pub fn of(profile: &Profile, basis: Basis, timings: &Timings, limits: Limits) -> Self {
        let rates = Rates::of(profile, timings);
        let walk_gb = rates.memory_msteps_per_second * LINE_BYTES as f64 / 1000.0;
        let hashes_per_step = 4.0 * f64::from(profile.hash_iterations);
        Self {
            basis,
            rates,
            limits,
            keccak_of_limit: rates.keccak_mhash_per_second / limits.keccak_mhash_per_second(),
            memory_vs_plain_random_read: walk_gb / limits.random_read_gb_per_second,
            memory_of_copy: walk_gb / limits.copy_gb_per_second,
            matmul_of_float_peak: rates.matmul_gmac_per_second / limits.float_gmac_per_second,
            generation_share: timings.operands_us as f64 / (timings.operands_us + timings.product_us).max(1) as f64,
            memory_cheater_slowdown: hashes_per_step * rates.memory_msteps_per_second / rates.keccak_mhash_per_second,
        }
    }
}

/// Part of the time that goes into being verified, in parts per million: one challenge per mean interval on Ethereum Classic.
pub fn overhead_ppm(total_us: u64) -> u64 {
    total_us * 1000 / CHALLENGE_INTERVAL_MS
}

/// What a device earns while it is rented without a break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earnings {
    pub price_per_hour_wei: Amount,
    /// After the protocol's fee and the pauses for challenges, before gas and electricity.
    pub per_day_wei: Amount,
}

impl Earnings {
    /// Earnings at a price per hour, with the part of the time that is not billed.
    pub fn at(price_per_hour_wei: Amount, overhead_ppm: u64) -> Self {
        let day = price_per_hour_wei.wei().saturating_mul(U256::from(24));
        let billed = day.saturating_mul(U256::from(1_000_000u64.saturating_sub(overhead_ppm))) / U256::from(1_000_000);
        let net = billed.saturating_mul(U256::from(10_000 - PROTOCOL_FEE_BPS)) / U256::from(10_000);
        Self { price_per_hour_wei, per_day_wei: Amount(net) }
    }
}

fn hashes(profile: &Profile) -> u64 {
    profile.memory_bytes / 32 * u64::from(profile.hash_iterations)
}

fn steps(profile: &Profile) -> u64 {
    u64::from(profile.lanes) * u64::from(profile.steps)
}

fn operand_hashes(profile: &Profile) -> u64 {
    2 * u64::from(profile.matrix_size) * (u64::from(profile.words_per_row()) + 1) * u64::from(profile.rounds)
}

fn multiplications(profile: &Profile) -> u64 {
    let size = u64::from(profile.matrix_size);
    size * size * u64::from(profile.inner_size) * u64::from(profile.rounds)
}

fn per_microsecond(count: u64, microseconds: u64) -> f64 {
    count as f64 / microseconds.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work::cpu_test_class;

    const TIMES: Timings = Timings { fill_us: 50, walk_us: 400, operands_us: 100, product_us: 300, trees_us: 50, total_us: 900 };

    #[test]
    fn rates_predict_the_run_they_come_from() {
        let profile = cpu_test_class().0;
        let predicted = Rates::of(&profile, &TIMES).predict_us(&profile);
        assert!((848..=851).contains(&predicted), "{predicted}");
        let more = Profile { memory_bytes: profile.memory_bytes * 2, ..profile };
        assert!((898..=901).contains(&Rates::of(&profile, &TIMES).predict_us(&more)));
    }

    #[test]
    fn a_cheater_pays_for_every_line_it_did_not_keep() {
        let profile = Profile { hash_iterations: 4, ..cpu_test_class().0 };
        let limits =
            Limits { copy_gb_per_second: 1.0, random_read_gb_per_second: 1.0, float_gmac_per_second: 1.0, logic_gop_per_second: 1.0 };
        let figures = Figures::of(&profile, Basis::Core, &TIMES, limits);
        let per_hash_us = 50.0 / hashes(&profile) as f64;
        let per_step_us = 400.0 / steps(&profile) as f64;
        assert!((figures.memory_cheater_slowdown - 16.0 * per_hash_us / per_step_us).abs() < 1e-6);
        assert!((figures.generation_share - 0.25).abs() < 1e-9);
    }

    #[test]
    fn earnings_are_what_is_billed_less_the_fee() {
        assert_eq!(overhead_ppm(4_000_000), 2822);
        let price = Amount::parse_tokens("1").unwrap();
        assert_eq!(Earnings::at(price, 0).per_day_wei, Amount::parse_tokens("23.52").unwrap());
        assert_eq!(Earnings::at(price, 500_000).per_day_wei, Amount::parse_tokens("11.76").unwrap());
    }
}
