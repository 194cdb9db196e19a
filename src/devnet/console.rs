//! Progress of a devnet as it happens: a spinner on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// A finished step of the scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Stage {
    pub name: String,
    /// Seconds from the start to the beginning of the step.
    pub started_s: f64,
    pub wall_s: f64,
}

/// Cloneable; all clones write to the same terminal.
#[derive(Clone)]
pub struct Console {
    started: Instant,
    bar: Option<ProgressBar>,
    stages: Arc<Mutex<Vec<Stage>>>,
}

impl Console {
    /// `steps` is how many stages the scenario has.
    pub fn new(steps: u64) -> Self {
        let bar = std::io::stdout().is_terminal().then(|| spinner(steps));
        Self { started: Instant::now(), bar, stages: Arc::default() }
    }

    /// Runs one stage of the scenario and shows how long it took.
    pub async fn stage<T, E>(&self, name: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begun = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_message(name.to_string());
        }
        let outcome = work.await;
        let stage =
            Stage { name: name.into(), started_s: begun.duration_since(self.started).as_secs_f64(), wall_s: begun.elapsed().as_secs_f64() };
        if outcome.is_ok() {
            self.line(&format!("{name} ({:.1} s)", stage.wall_s));
            if let Some(bar) = &self.bar {
                bar.inc(1);
            }
        }
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).push(stage);
        outcome
    }

    /// One line with the time since the start.
    pub fn line(&self, text: &str) {
        let line = format!("{:>6.1} s  {text}", self.started.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    pub fn stages(&self) -> Vec<Stage> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

fn spinner(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {elapsed} {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
