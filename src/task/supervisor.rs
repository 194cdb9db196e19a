//! Runs services, restarts the recoverable ones with back-off, stops all when one is beyond help.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use rand::Rng;
use tokio::task::JoinSet;

use super::{Fault, Service, Shutdown, TaskError};
use crate::{telemetry::Metrics, types::Coded};

/// First pause before a restart; doubles up to `MAX_BACKOFF`. Too small floods a failing endpoint.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// Longest pause. Too large leaves a healthy node idle after an outage.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// A run this long counts as healthy: the next fault starts from `MIN_BACKOFF` again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// Time between the two shutdown phases. Too small loses in-flight transactions' receipts (they are found again at start).
const GRACE: Duration = Duration::from_secs(10);

/// Owns every task of the process.
pub struct Supervisor {
    shutdown: Shutdown,
    metrics: Metrics,
    tasks: JoinSet<Result<(), Box<dyn Coded>>>,
    signals: Option<BoxFuture<'static, ()>>,
}

impl Supervisor {
    pub fn new(shutdown: Shutdown, metrics: Metrics) -> Self {
        Self { shutdown, metrics, tasks: JoinSet::new(), signals: None }
    }

    /// Starts a service; it runs until shutdown.
    pub fn add(&mut self, service: impl Service) {
        let shutdown = self.shutdown.clone();
        let metrics = self.metrics.clone();
        self.tasks.spawn(keep_running(service, shutdown, metrics));
    }

    /// Starts a plain future that lives as long as the process; it must end by itself on shutdown.
    pub fn add_future(&mut self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let caught = AssertUnwindSafe(future).catch_unwind().await;
            match caught {
                Ok(()) if shutdown.intake.is_cancelled() => Ok(()),
                Ok(()) => Err(Box::new(TaskError::EndedEarly { service: name }) as Box<dyn Coded>),
                Err(panic) => Err(Box::new(TaskError::Panicked { service: name, message: panic_message(&*panic) }) as Box<dyn Coded>),
            }
        });
    }

    /// From now on a signal ends [`Self::run`] instead of the process. Before it the process has nothing to finish; it must be called
    /// before anybody is told that the process is up.
    pub fn take_signals(&mut self) -> Result<(), TaskError> {
        self.signals = Some(self.shutdown.on_signal()?.boxed());
        Ok(())
    }

    /// Waits for a signal or a fatal fault, then stops everything in two phases.
    pub async fn run(mut self) -> Result<(), Box<dyn Coded>> {
        if self.signals.is_none() {
            self.take_signals().map_err(|error| Box::new(error) as Box<dyn Coded>)?;
        }
        let mut signals = self.signals.take().unwrap_or_else(|| std::future::pending().boxed());
        let mut first_error = None;
        loop {
            tokio::select! {
                () = &mut signals => break,
                joined = self.tasks.join_next() => match joined {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(error))) => { first_error = Some(error); break; }
                    Some(Err(error)) => {
                        first_error = Some(Box::new(TaskError::Panicked { service: "unknown", message: error.to_string() }));
                        break;
                    }
                }
            }
        }
        self.shutdown.intake.cancel();
        let drained = tokio::time::timeout(GRACE, async { while self.tasks.join_next().await.is_some() {} }).await;
        self.shutdown.drain.cancel();
        if drained.is_err() {
            tracing::warn!(left = self.tasks.len(), "stopping tasks that did not finish in time");
            self.tasks.shutdown().await;
        }
        first_error.map_or(Ok(()), Err)
    }
}

async fn keep_running(mut service: impl Service, shutdown: Shutdown, metrics: Metrics) -> Result<(), Box<dyn Coded>> {
    let name = service.name();
    let mut backoff = MIN_BACKOFF;
    loop {
        let started = tokio::time::Instant::now();
        let outcome = AssertUnwindSafe(service.run(&shutdown)).catch_unwind().await;
        if shutdown.intake.is_cancelled() {
            return Ok(());
        }
        match outcome {
            Ok(Ok(())) => return Err(Box::new(TaskError::EndedEarly { service: name })),
            Ok(Err(Fault::Fatal(error))) => {
                tracing::error!(service = name, code = error.code(), %error, next_step = error.next_step(), "service failed for good");
                return Err(error);
            }
            Err(panic) => return Err(Box::new(TaskError::Panicked { service: name, message: panic_message(&*panic) })),
            Ok(Err(Fault::Recover(error))) => {
                metrics.service_restarts(name, error.code());
                if started.elapsed() > HEALTHY_AFTER {
                    backoff = MIN_BACKOFF;
                }
                let pause = backoff.mul_f64(rand::rng().random_range(0.5..1.0));
                tracing::warn!(service = name, code = error.code(), %error, pause_ms = pause.as_millis() as u64, "service restarts");
                if !shutdown.pause(pause).await {
                    return Ok(());
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_string()))
        .unwrap_or_else(|| "no message".into())
}
