//! `gpumkt bench`: devices, roots for a seed, and measurements.

use std::{io::IsTerminal, ops::ControlFlow, path::Path, time::Duration};

use alloy::primitives::B256;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    args::{BenchArgs, ModeName},
    commands::Outcome,
    render::{OperatorError, output, table},
};
use crate::{
    client::{
        Clients,
        bench::{self, Basis, BenchError, BenchProgress, BenchReport, ClassForecast, DeviceInfo, Earnings, Figures, RootsReport, Stage},
        market,
    },
    config::NodeConfig,
    types::{
        Amount,
        work::{Mode, Profile},
    },
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
    let (index, runs) = (args.device, args.runs);
    let mut display = Display::new(json);
    if args.calibrate {
        let class = args.class.clone();
        let measured = blocking(move || bench::calibrate_class(index, &class, runs, &mut |progress| display.show(progress))).await?;
        let text = measured.to_toml(&args.class, args.stake)?;
        output(json, &measured, |_| text.trim_end().to_owned());
        return Ok(());
    }
    let mode = match args.mode {
        ModeName::Full => Mode::Full,
        ModeName::Light => Mode::Light,
    };
    let profile = bench::class_profile(&args.class, mode)?;
    if let Some(seed) = args.seed {
        let report = blocking(move || bench::roots(index, &profile, seed, &mut |progress| display.show(progress))).await?;
        output(json, &report, roots_text);
        return Ok(());
    }
    let price = match (args.price, &args.config) {
        (None, Some(config)) => market_price(config).await?,
        (price, _) => price,
    };
    let report = blocking(move || bench::bench(index, &profile, None, runs, &mut |progress| display.show(progress))).await?;
    let earnings = price.map(|price| Earnings::at(price, report.overhead_ppm));
    let report = PricedReport { report, earnings };
    output(json, &report, report_text);
    Ok(())
}

/// A report, with what the device earns where there is a price.
#[derive(Serialize)]
struct PricedReport {
    #[serde(flatten)]
    report: BenchReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    earnings: Option<Earnings>,
}

/// Median price per hour of everything on offer; None where nothing is.
async fn market_price(config: &Path) -> Result<Option<Amount>, OperatorError> {
    let clients = Clients::reader(&NodeConfig::load(config, &[])?).await?;
    let everything = market::Filter { include_unavailable: true, ..market::Filter::default() };
    let mut prices: Vec<Amount> = market::market(&clients, &everything).await?.iter().map(|offer| offer.price_per_hour_wei).collect();
    prices.sort();
    Ok(prices.get(prices.len() / 2).copied())
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
                BenchProgress::Limits => eprintln!("measuring the device's limits"),
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
        BenchProgress::Limits => bar.set_message("measuring the device's limits"),
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

fn report_text(priced: &PricedReport) -> String {
    let report = &priced.report;
    let mut text = format!(
        "{} ({})\n{}\n{}\n\n{}\n\n{}\n\n",
        report.device,
        report.variant,
        shape(&report.profile),
        stage_table(report),
        figure_table(&report.figures),
        class_table(report),
    );
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<24} {value}\n"));
    line("verification", format!("{} us of a core per sample", report.verify_us_per_sample));
    line("overhead", format!("{} of the time, with one such challenge in 20 minutes", percent(report.overhead_ppm as f64 / 1e6)));
    line("cheater without memory", format!("{:.1} times slower per step", report.figures.memory_cheater_slowdown));
    match &priced.earnings {
        Some(earnings) => line(
            "earnings",
            format!("{} GPUTOKEN a day if always rented at {} an hour, before gas", earnings.per_day_wei, earnings.price_per_hour_wei),
        ),
        None => line("earnings", "no price: name one with --price, or take the market's with --config".to_owned()),
    }
    line("work root", report.work_root.to_string());
    text.trim_end().to_owned()
}

fn stage_table(report: &BenchReport) -> String {
    let (median, rates) = (report.median, report.rates);
    let stages = [
        ("fill", median.fill_us, format!("{:.2} MH/s keccak", rates.keccak_mhash_per_second)),
        ("walk", median.walk_us, format!("{:.2} Msteps/s memory", rates.memory_msteps_per_second)),
        ("operands", median.operands_us, format!("{:.2} MH/s keccak", rates.operand_mhash_per_second)),
        ("product", median.product_us, format!("{:.2} GMAC/s matmul", rates.matmul_gmac_per_second)),
        ("trees", median.trees_us, String::new()),
        ("total", median.total_us, format!("median of {}", report.runs.len())),
    ];
    table(&["stage", "ms", "rate"], stages.map(|(name, us, rate)| vec![name.to_owned(), milliseconds(us), rate]).into())
}

/// Best rates beside the device's limits.
fn figure_table(figures: &Figures) -> String {
    let (rates, limits) = (figures.rates, figures.limits);
    let walk_gb = rates.memory_msteps_per_second * 0.128;
    let row = |name: &str, value: f64, unit: &str, limit: f64, what: &str| {
        vec![name.to_owned(), format!("{value:.2} {unit}"), format!("{limit:.2} {unit}"), percent(value / limit), what.to_owned()]
    };
    let rows = vec![
        row("keccak", rates.keccak_mhash_per_second, "MH/s", limits.keccak_mhash_per_second(), "logic instructions"),
        row("memory", walk_gb, "GB/s", limits.random_read_gb_per_second, "plain random reads of 128 bytes"),
        row("memory", walk_gb, "GB/s", limits.copy_gb_per_second, "copy"),
        row("matmul", rates.matmul_gmac_per_second, "GMAC/s", limits.float_gmac_per_second, "float multiply-adds"),
    ];
    let best = match figures.basis {
        Basis::Core => "best per core",
        Basis::Device => "best",
    };
    let share = percent(figures.generation_share);
    format!("{}\nmaking the operands takes {share} of a product's time", table(&["kernel", best, "limit", "share", "limited by"], rows))
}

fn class_table(report: &BenchReport) -> String {
    let row = |class: &ClassForecast| {
        let verdict = match class.margin_permille {
            _ if !class.fits => "too little memory".to_owned(),
            Some(margin) if margin >= 0 => format!("passes, {} to spare", percent(margin as f64 / 1e3)),
            Some(margin) => format!("too slow by {}", percent(-margin as f64 / 1e3)),
            None => "not calibrated yet".to_owned(),
        };
        vec![class.class.clone(), milliseconds(class.predicted_ms * 1000), verdict]
    };
    table(&["class", "predicted ms", "verdict"], report.classes.iter().map(row).collect())
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
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
