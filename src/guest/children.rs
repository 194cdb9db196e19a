//! Starts and reaps processes: those that were asked for, and the orphans that the first process inherits.

use std::collections::HashMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::agent::Exit;
use super::sys;

/// Added to how far a process fills the container's memory, in thousandths.
const VICTIM_SCORE: &str = "500";

/// All children of this process.
#[derive(Clone, Default)]
pub struct Children {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    running: Mutex<HashMap<i32, Watch>>,
    started: Condvar,
}

struct Watch {
    is_terminal: bool,
    exit: Arc<Mutex<Option<Exit>>>,
    /// Closed when the child has ended, which wakes whoever polls the other end.
    _ended: PipeWriter,
}

/// A process that was asked for.
pub struct Child {
    pub pid: i32,
    exit: Arc<Mutex<Option<Exit>>>,
    pub ended: PipeReader,
    /// Its pipes.
    pub process: std::process::Child,
}

impl Child {
    pub fn exit(&self) -> Option<Exit> {
        *lock(&self.exit)
    }

    /// Signals the process group of a child that is not reaped; afterwards the number may be somebody else's.
    pub fn signal_group(&self, signal: i32) {
        let exit = lock(&self.exit);
        if exit.is_none() {
            // Fails if the group is gone, which is what a signal would lead to as well.
            let _ = sys::kill(-self.pid, signal);
        }
    }
}

impl Children {
    /// Starts the thread that reaps.
    pub fn watch() -> io::Result<Self> {
        let children = Self::default();
        let reaper = children.clone();
        thread::Builder::new().name("reaper".into()).spawn(move || reaper.reap())?;
        Ok(children)
    }

    /// Starts a command that leads a process group of its own, on pipes or files.
    pub fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.spawn_on(command.process_group(0), false)
    }

    /// Starts a command that leads a session of its own at a terminal.
    pub fn spawn_at_terminal(&self, command: &mut Command) -> io::Result<Child> {
        self.spawn_on(command, true)
    }

    /// Tells what leads a session at a terminal that the terminal goes: shells there ignore politer signals.
    pub fn hang_up(&self) {
        for (pid, _) in lock(&self.shared.running).iter().filter(|(_, watch)| watch.is_terminal) {
            // Not reaped while the lock is held; one that has ended takes no notice.
            let _ = sys::kill(*pid, sys::SIGHUP);
        }
    }

    fn spawn_on(&self, command: &mut Command, is_terminal: bool) -> io::Result<Child> {
        let exit = Arc::new(Mutex::new(None));
        let (ended, writer) = io::pipe()?;
        // Held until the child is known, so that it cannot be reaped as a stranger; std itself reaps one that cannot be executed.
        let mut running = lock(&self.shared.running);
        let process = command.spawn();
        self.shared.started.notify_all();
        let process = process?;
        let pid = process.id() as i32;
        prefer_as_victim(pid);
        running.insert(pid, Watch { is_terminal, exit: exit.clone(), _ended: writer });
        Ok(Child { pid, exit, ended, process })
    }

    fn reap(&self) {
        loop {
            let ended = sys::wait_for_any();
            let mut running = lock(&self.shared.running);
            match ended {
                Ok(Some(pid)) => {
                    let watch = running.get(&pid);
                    let mut exit = watch.map(|watch| lock(&watch.exit));
                    if let Some(status) = sys::reap(pid) {
                        if let Some(exit) = &mut exit {
                            **exit = Some(status);
                        }
                        drop(exit);
                        running.remove(&pid);
                    }
                }
                // No children: none can appear before one is started.
                Ok(None) if running.is_empty() => drop(self.shared.started.wait(running)),
                Ok(None) | Err(_) => {}
            }
        }
    }
}

/// When memory is short, the kernel shall kill what the renter runs rather than the agent, without which nobody can log in.
fn prefer_as_victim(pid: i32) {
    // Where /proc is not to be written to, all are equal victims.
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), VICTIM_SCORE);
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
