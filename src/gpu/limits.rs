//! What a device does at most in plain loops (`kernels/limits.cl`): the bars that the protocol's kernels are held against.

use std::time::Instant;

use ocl::Buffer;
use serde::{Deserialize, Serialize};

use super::device;
use super::engine::cpu_time_us;
use super::error::GpuError;
use super::program::{Arg, Kernels, LIMIT_SOURCES};
use super::variant::Variant;

/// Launches of each loop; the fastest counts, because a limit is what nothing disturbed.
const REPEATS: u32 = 5;
/// u64 of the buffers that are copied and read at random: more than caches hold, unless the device allows less.
const BUFFER_WORDS: u64 = 8 << 20;
/// Work-items and steps of the loops in registers: a few milliseconds on a core and on a GPU alike.
const CPU_ITEMS: u64 = 64;
const GPU_ITEMS: u64 = 1 << 20;
const CPU_STEPS: u32 = 20_000;
const GPU_STEPS: u32 = 512;
const READ_STEPS: u32 = 512;
/// 64-bit operations of one Keccak-f as the kernels are written: 61 of logic and 29 rotations in each of 24 rounds.
const KECCAK_OPERATIONS: f64 = 24.0 * 90.0;

/// Peak rates. Of a CPU device per second of a core, because a busy machine lends it an unknown share; of others per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes read and written by a copy.
    pub copy_gb_per_second: f64,
    /// Bytes read as lines of 128 at addresses that depend on nothing.
    pub random_read_gb_per_second: f64,
    /// Multiply-adds of floats.
    pub float_gmac_per_second: f64,
    /// Operations of 64 bits in the mix of Keccak.
    pub logic_gop_per_second: f64,
}

impl Limits {
    /// Hashes that fit into the logic rate.
    pub fn keccak_mhash_per_second(&self) -> f64 {
        self.logic_gop_per_second * 1e3 / KECCAK_OPERATIONS
    }

    /// Measures device `index`, with random reads over `window_bytes`. Blocks for about a second.
    pub fn measure(index: usize, window_bytes: u64) -> Result<Self, GpuError> {
        let open = device::open(index)?;
        let kernels = Kernels::build_sources(&open, Variant::Portable, &LIMIT_SOURCES, None)?;
        let words = BUFFER_WORDS.max(window_bytes / 8).min(kernels.info.max_buffer_bytes / 16).next_multiple_of(1 << 16);
        let (from, to) = (kernels.allocate(words)?, kernels.allocate(words)?);
        let (vector_width, chains) = (kernels.vector_width as u64, kernels.chains as u64);
        let on_cpu = kernels.on_cpu();
        let items_per_copy = vector_width * if on_cpu { 64 } else { 1 };
        let copies = words / items_per_copy;
        // Pages that nobody has written are all the same page.
        kernels.run("limit_copy", copies, &[Arg::Buffer(&to), Arg::Buffer(&from)])?;
        let copy_us = fastest_us(&kernels, "limit_copy", copies, &[Arg::Buffer(&from), Arg::Buffer(&to)])?;
        let (items, steps) = if on_cpu { (CPU_ITEMS, CPU_STEPS) } else { (GPU_ITEMS, GPU_STEPS) };
        let out: Buffer<u64> = kernels.allocate(items)?;
        let in_registers = [Arg::Buffer(&out), Arg::U32(steps)];
        let float_us = fastest_us(&kernels, "limit_float", items, &in_registers)?;
        let logic_us = fastest_us(&kernels, "limit_logic", items, &in_registers)?;
        let reads = [Arg::Buffer(&from), Arg::Buffer(&out), Arg::U64((window_bytes / 128).min(words / 16)), Arg::U32(READ_STEPS)];
        let read_us = fastest_us(&kernels, "limit_random_read", items, &reads)?;
        let float_lanes = if on_cpu { 16 } else { 1 };
        let steps = u64::from(steps);
        Ok(Self {
            copy_gb_per_second: giga_per_second(copies * items_per_copy * 16, copy_us),
            random_read_gb_per_second: giga_per_second(items * chains * u64::from(READ_STEPS) * 128, read_us),
            float_gmac_per_second: giga_per_second(items * steps * 16 * float_lanes, float_us),
            logic_gop_per_second: giga_per_second(items * steps * 24 * vector_width, logic_us),
        })
    }
}

fn fastest_us(kernels: &Kernels, name: &'static str, items: u64, args: &[Arg<'_>]) -> Result<u64, GpuError> {
    let mut fastest = u64::MAX;
    // The first launch compiles on some devices.
    for repeat in 0..=REPEATS {
        let (started, cpu_us) = (Instant::now(), cpu_time_us());
        kernels.run(name, items, args)?;
        let elapsed_us = if kernels.on_cpu() { cpu_time_us().saturating_sub(cpu_us) } else { started.elapsed().as_micros() as u64 };
        if repeat > 0 {
            fastest = fastest.min(elapsed_us.max(1));
        }
    }
    Ok(fastest)
}

fn giga_per_second(count: u64, microseconds: u64) -> f64 {
    count as f64 / microseconds as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_is_measured() {
        let limits = Limits::measure(0, 1 << 20).unwrap();
        for rate in [
            limits.copy_gb_per_second,
            limits.random_read_gb_per_second,
            limits.float_gmac_per_second,
            limits.logic_gop_per_second,
            limits.keccak_mhash_per_second(),
        ] {
            assert!(rate.is_finite() && rate > 0.0, "{limits:?}");
        }
    }
}
