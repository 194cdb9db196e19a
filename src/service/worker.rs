//! A thread of its own for one OpenCL device: kernels block, async tasks must not.

use alloy::primitives::B256;
use tokio::sync::{mpsc, oneshot};

use crate::{
    gpu::{self, Engine, GpuError, GpuRun, ignore_progress},
    types::{Coded, work::Profile},
};

/// Challenges that may wait for the device. More than a few can not be done in time anyway.
const QUEUE: usize = 4;

struct Job {
    profile: Profile,
    seed: B256,
    reply: oneshot::Sender<Result<GpuRun, GpuError>>,
}

#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Gpu(#[from] GpuError),
    #[error("the thread of device {device} has stopped")]
    Stopped { device: usize },
}

impl Coded for WorkerError {
    fn code(&self) -> &'static str {
        match self {
            WorkerError::Gpu(error) => error.code(),
            WorkerError::Stopped { .. } => "E-WORK-001",
        }
    }

    fn next_step(&self) -> String {
        match self {
            WorkerError::Gpu(error) => Coded::next_step(error),
            WorkerError::Stopped { .. } => "read the log lines before this one and restart the node".into(),
        }
    }
}

/// Cloneable access to the device; jobs run one after the other.
#[derive(Clone)]
pub struct GpuWorker {
    device: usize,
    jobs: mpsc::Sender<Job>,
}

impl GpuWorker {
    /// Whether `device` exists, without the cost of opening it.
    pub async fn check(device: usize) -> Result<(), WorkerError> {
        let found = tokio::task::spawn_blocking(move || gpu::find(device)).await;
        found.map_err(|_| WorkerError::Stopped { device })??;
        Ok(())
    }

    /// Opens the device, tests its kernels and runs each profile once, so that the first challenge is not slower than the others.
    pub async fn start(device: usize, warm_up: Vec<Profile>) -> Result<Self, WorkerError> {
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let (ready, opened) = oneshot::channel();
        let spawned = std::thread::Builder::new().name(format!("gpu-{device}")).spawn(move || work(device, &warm_up, ready, receiver));
        if let Err(error) = spawned {
            tracing::error!(%error, "cannot start a thread");
            return Err(WorkerError::Stopped { device });
        }
        opened.await.map_err(|_| WorkerError::Stopped { device })??;
        Ok(Self { device, jobs })
    }

    /// Computes one challenge.
    pub async fn run(&self, profile: Profile, seed: B256) -> Result<GpuRun, WorkerError> {
        let (reply, answer) = oneshot::channel();
        let stopped = || WorkerError::Stopped { device: self.device };
        self.jobs.send(Job { profile, seed, reply }).await.map_err(|_| stopped())?;
        Ok(answer.await.map_err(|_| stopped())??)
    }
}

fn work(device: usize, warm_up: &[Profile], ready: oneshot::Sender<Result<(), GpuError>>, mut jobs: mpsc::Receiver<Job>) {
    let opened = Engine::new(device).and_then(|mut engine| {
        warm_up.iter().try_for_each(|profile| engine.warm_up(profile))?;
        Ok(engine)
    });
    let mut engine = match opened {
        Ok(engine) => engine,
        Err(error) => {
            // Nobody listens only when the node is already stopping.
            let _ = ready.send(Err(error));
            return;
        }
    };
    if ready.send(Ok(())).is_err() {
        return;
    }
    while let Some(job) = jobs.blocking_recv() {
        let result = engine.run(&job.profile, job.seed, &mut ignore_progress);
        // The asker gave up: its challenge is over.
        let _ = job.reply.send(result);
    }
}
