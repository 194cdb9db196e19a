//! The first process: parked connections to the node, and the end of the container.

use std::ffi::c_int;
use std::io::{self, PipeReader, Write};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::agent::{HELLO, MOUNT, Message, Open, PARKED, SOCKET};
use super::channel::Services;
use super::children::{Children, lock};
use super::logs::StartCommand;
use super::sys::{self, POLLIN, PollFd};

/// Channels at a time, a thread each. More would let one renter's connections use up the processes of the container.
const MAX_CHANNELS: usize = 256;
/// Stack of a channel's thread, which holds a few buffers.
const STACK_BYTES: usize = 256 * 1024;
/// First and longest wait before dialling again. The longest is how late a restarted node may find its containers.
const REDIAL_MS: (i32, i32) = (20, 500);
/// How often threads that could not be started, because the container is full of processes, are tried again.
const TOP_UP_MS: i32 = 500;

/// Where the signal handler writes.
static SIGNALS: AtomicI32 = AtomicI32::new(-1);

/// Serves until the container is told to end.
pub fn run() -> ExitCode {
    sys::close_inherited();
    sys::hide_from_others();
    sys::adopt_orphans();
    sys::set_usual_umask();
    match start() {
        Ok((pool, signals)) => pool.keep(&signals),
        Err(error) => {
            eprintln!("gpumkt-guest: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> io::Result<(Pool, PipeReader)> {
    let (signals, writer) = io::pipe()?;
    // Never closed: the handler may run at any time.
    SIGNALS.store(writer.into_raw_fd(), Ordering::Relaxed);
    sys::on_signal(sys::SIGTERM, note_signal);
    let services = Services { children: Children::watch()?, start: StartCommand::default() };
    Ok((Pool { services, counts: Arc::default() }, signals))
}

extern "C" fn note_signal(_number: c_int) {
    use std::fs::File;
    use std::mem::ManuallyDrop;
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor is open for the life of the program, and this owner of it is never dropped.
    let mut pipe = ManuallyDrop::new(unsafe { File::from_raw_fd(SIGNALS.load(Ordering::Relaxed)) });
    // A write of one byte is safe in a handler. It fails only if the pipe is full of signals.
    let _ = pipe.write(&[0]);
}

/// The threads that hold connections to the node.
#[derive(Clone)]
struct Pool {
    services: Services,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    parked: usize,
    busy: usize,
}

impl Pool {
    /// Keeps connections parked until the end of the container.
    fn keep(&self, signals: &PipeReader) -> ExitCode {
        loop {
            self.top_up();
            let mut fds = [PollFd::new(signals.as_raw_fd(), POLLIN)];
            if sys::poll(&mut fds, TOP_UP_MS).is_ok_and(|ready| ready > 0) {
                return self.end();
            }
        }
    }

    /// Ends all processes politely. Whoever wants it to happen in time kills this one.
    fn end(&self) -> ExitCode {
        // All processes of the container but this one. It fails if there are none.
        let _ = sys::kill(-1, sys::SIGTERM);
        self.services.children.hang_up();
        let _ = sys::kill(-1, sys::SIGCONT);
        while sys::kill(-1, 0).is_ok() {
            sys::pause(REDIAL_MS.0);
        }
        ExitCode::SUCCESS
    }

    /// Starts the threads that are missing.
    fn top_up(&self) {
        let mut counts = lock(&self.counts);
        while counts.parked < PARKED && counts.parked + counts.busy < MAX_CHANNELS {
            let pool = self.clone();
            let started = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || pool.work());
            if started.is_err() {
                return;
            }
            counts.parked += 1;
        }
    }

    /// One thread: parks a connection, serves it, parks the next.
    fn work(&self) {
        let mut wait_ms = REDIAL_MS.0;
        loop {
            let Ok((node, open)) = park() else {
                sys::pause(wait_ms);
                wait_ms = (wait_ms * 2).min(REDIAL_MS.1);
                continue;
            };
            wait_ms = REDIAL_MS.0;
            {
                let mut counts = lock(&self.counts);
                counts.parked -= 1;
                counts.busy += 1;
            }
            self.top_up();
            // An error has closed this channel and concerns no other.
            let _ = self.services.serve(node, open);
            let mut counts = lock(&self.counts);
            counts.busy -= 1;
            if counts.parked >= PARKED {
                return;
            }
            counts.parked += 1;
        }
    }
}

/// Dials the node and waits until it opens a channel.
fn park() -> io::Result<(UnixStream, Open)> {
    let mut node = UnixStream::connect(format!("{MOUNT}/{SOCKET}"))?;
    node.write_all(&HELLO)?;
    let open = Open::read(&mut node).map_err(io::Error::other)?;
    Ok((node, open))
}
