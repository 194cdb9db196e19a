//! `gpumkt bench`: devices, roots for a seed, and measurements.

use std::{io::IsTerminal, ops::ControlFlow, time::Duration};

use alloy::primitives::B256;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    args::{BenchArgs, ModeName},
    commands::Outcome,
    render::{output, table},
};
use crate::{
    client::bench::{self, BenchError, BenchProgress, BenchReport, DeviceInfo, RootsReport, Stage},
    types::work::{Mode, Profile},
};

/// Ticks of the bar per stage: stages report thousandths of themselves.
const STAGE_TICKS: u64 = 1_000;
/// Stages that report, in their order. Windows and rounds come back to earlier ones, so the bar only ever moves on.
const STAGES: [Stage; 3] = [Stage::Fill, Stage::Walk, Stage::Product];

pub async fn run(args: BenchArgs, json: bool) -> Outcome {
    if args.list {
        let devices = blocking(bench::list_devices).await?;
        output(json, &devices, |devices| device_table(devices));
        return Ok(());
    }
    let mode = match args.mode {
        ModeName::Full => Mode::Full,
        ModeName::Light => Mode::Light,
    };
    let profile = bench::class_profile(&args.class, mode)?;
    let (index, runs) = (args.device, args.runs);
    let mut display = Display::new(json);
    match args.seed {
        Some(seed) => {
            let report = blocking(move || bench::roots(index, &profile, seed, &mut |progress| display.show(progress))).await?;
            output(json, &report, roots_text);
        }
        None => {
            let report = blocking(move || bench::bench(index, &profile, None, runs, &mut |progress| display.show(progress))).await?;
            output(json, &report, report_text);
        }
    }
    Ok(())
}

/// Drivers block for as long as they like, so everything that touches a device runs off the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BenchError> + Send + 'static) -> Result<T, BenchError> {
    tokio::task::spawn_blocking(work).await?
}

/// Progress on standard error, so that standard output holds nothing but the result.
enum Display {
    /// With `--json`, standard error holds nothing but an error.
    Silent,
    Bar(ProgressBar),
    Lines {
        last_run: u32,
    },
}

impl Display {
    fn new(json: bool) -> Self {
        if json {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { last_run: 0 };
        }
        let bar = ProgressBar::new(1);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg:<28} [{bar:30}] {elapsed}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar(bar)
    }

    fn show(&mut self, progress: BenchProgress) -> ControlFlow<()> {
        match self {
            Self::Silent => {}
            Self::Bar(bar) => show_bar(bar, progress),
            Self::Lines { last_run } => match progress {
                BenchProgress::Preparing => eprintln!("compiling and checking the kernels"),
                BenchProgress::Running { run, runs, .. } if run != *last_run => {
                    *last_run = run;
                    eprintln!("run {run} of {runs}");
                }
                BenchProgress::Running { .. } => {}
                BenchProgress::Verifying => eprintln!("checking a proof"),
            },
        }
        ControlFlow::Continue(())
    }
}

impl Drop for Display {
    /// The bar goes away whether there is a result or an error.
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn show_bar(bar: &ProgressBar, progress: BenchProgress) {
    match progress {
        BenchProgress::Preparing => bar.set_message("compiling and checking"),
        BenchProgress::Running { run, runs, progress } => {
            let per_run = STAGES.len() as u64 * STAGE_TICKS;
            let stage = STAGES.iter().position(|stage| *stage == progress.stage).unwrap_or_default() as u64;
            let position = u64::from(run.saturating_sub(1)) * per_run + stage * STAGE_TICKS + u64::from(progress.permille);
            bar.set_length(u64::from(runs) * per_run);
            bar.set_position(bar.position().max(position));
            bar.set_message(format!("run {run} of {runs}: {}", progress.stage.name()));
        }
        BenchProgress::Verifying => bar.set_message("checking a proof"),
    }
}

fn device_table(devices: &[DeviceInfo]) -> String {
    let row = |device: &DeviceInfo| {
        vec![
            device.index.to_string(),
            device.name.clone(),
            format!("{:?}", device.kind).to_lowercase(),
            device.platform.clone(),
            device.driver.clone(),
            (device.memory_bytes >> 20).to_string(),
            (device.max_buffer_bytes >> 20).to_string(),
            device.compute_units.to_string(),
        ]
    };
    let header = ["device", "name", "kind", "platform", "driver", "memory MiB", "buffer MiB", "units"];
    table(&header, devices.iter().map(row).collect())
}

fn roots_text(report: &RootsReport) -> String {
    let mut lines = vec![format!("{} ({})", report.device, report.variant), shape(&report.profile)];
    let mut line = |name: &str, value: B256| lines.push(format!("{name:<14} {value}"));
    line("seed", report.seed);
    line("memory root", report.memory_root);
    for (round, root) in (1..).zip(&report.matmul_roots) {
        line(&format!("matmul root {round}"), *root);
    }
    line("work root", report.work_root);
    lines.join("\n")
}

fn report_text(report: &BenchReport) -> String {
    let median = report.median;
    let stages = [
        ("fill", median.fill_us, format!("{:.2} MH/s keccak", report.keccak_mhash_per_second)),
        ("walk", median.walk_us, format!("{:.2} Msteps/s memory", report.memory_msteps_per_second)),
        ("operands", median.operands_us, String::new()),
        ("product", median.product_us, format!("{:.2} GMAC/s matmul", report.matmul_gmac_per_second)),
        ("trees", median.trees_us, String::new()),
        ("total", median.total_us, format!("median of {}", report.runs.len())),
    ];
    let rows = stages.map(|(name, us, rate)| vec![name.to_owned(), milliseconds(us), rate]).into();
    format!(
        "{} ({})\n{}\n{}\n\nverification {} us per sample\nwork root    {}",
        report.device,
        report.variant,
        shape(&report.profile),
        table(&["stage", "ms", "rate"], rows),
        report.verify_us_per_sample,
        report.work_root,
    )
}

fn shape(profile: &Profile) -> String {
    format!(
        "{} MiB, {} lanes of {} steps, {} products of {}x{}x{}",
        profile.memory_bytes >> 20,
        profile.lanes,
        profile.steps,
        profile.rounds,
        profile.matrix_size,
        profile.inner_size,
        profile.matrix_size,
    )
}

fn milliseconds(us: u64) -> String {
    format!("{}.{:03}", us / 1000, us % 1000)
}
