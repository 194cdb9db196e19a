//! The renter's start command, and what it printed.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::agent::{Exec, Exit};
use super::children::{Child, Children, lock};
use super::command;
use super::sys::{self, POLLERR, POLLHUP, POLLOUT, PollFd};

/// Output that is kept. Older bytes are forgotten.
const RING_BYTES: usize = 1 << 20;
/// What the agent's own output grows to where it is a file; then the ring replaces it.
const FILE_BYTES: u64 = 2 * RING_BYTES as u64;
/// What the agent's own output may carry where it is not a file: whoever keeps it may keep all of it.
const BYTES_PER_SECOND: f64 = 64.0 * 1024.0;
/// A pipe takes this much at once or nothing, so a stalled reader never stalls the command.
const CHUNK: usize = 4096;
/// How often a follower that is told nothing looks whether the node is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Runs the start command once, and remembers its output.
#[derive(Clone, Default)]
pub struct StartCommand {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    is_started: bool,
    is_ended: bool,
    ring: VecDeque<u8>,
    /// Bytes ever printed; the ring holds the last of them.
    total: u64,
}

impl Log {
    fn push(&mut self, bytes: &[u8]) {
        let kept = &bytes[bytes.len().saturating_sub(RING_BYTES)..];
        let excess = (self.ring.len() + kept.len()).saturating_sub(RING_BYTES);
        self.ring.drain(..excess);
        self.ring.extend(kept);
        self.total += bytes.len() as u64;
    }

    /// What follows position `from`, at most `limit` bytes, and the position after it. What is forgotten is skipped.
    fn after(&self, from: u64, limit: usize) -> (Vec<u8>, u64) {
        let first = self.total - self.ring.len() as u64;
        let start = (from.max(first) - first) as usize;
        let bytes: Vec<u8> = self.ring.range(start..self.ring.len().min(start + limit)).copied().collect();
        let next = first + (start + bytes.len()) as u64;
        (bytes, next)
    }
}

impl StartCommand {
    /// Starts the command, unless it has been.
    pub fn run(&self, children: &Children, exec: &Exec) -> io::Result<()> {
        let mut log = lock(&self.shared.log);
        if log.is_started {
            return Err(io::Error::from_raw_os_error(sys::EALREADY));
        }
        let mut command = command::prepare(exec)?;
        let (output, writer) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = children.spawn(&mut command)?;
        // The command holds the writing ends: as long as it is there, output would not end.
        drop(command);
        let keeper = self.clone();
        thread::Builder::new().name("start command".into()).spawn(move || keeper.keep(output, &child))?;
        log.is_started = true;
        Ok(())
    }

    /// Sends what is kept and, if asked, what comes, until the command has ended or the node hangs up.
    pub fn send(&self, node: &mut UnixStream, follow: bool) -> io::Result<()> {
        let mut position = 0;
        let end = lock(&self.shared.log).total;
        loop {
            let (bytes, next, is_over) = {
                let log = lock(&self.shared.log);
                let (bytes, next) = log.after(position, 32 * 1024);
                let is_over = if follow { log.is_ended && next == log.total } else { next >= end };
                if bytes.is_empty() && !is_over {
                    drop(self.shared.changed.wait_timeout(log, LOOK).unwrap_or_else(PoisonError::into_inner));
                }
                (bytes, next, is_over)
            };
            position = next;
            node.write_all(&bytes)?;
            if is_over {
                return Ok(());
            }
            let mut fds = [PollFd::new(node.as_raw_fd(), 0)];
            if sys::poll(&mut fds, 0)? > 0 {
                return Ok(());
            }
        }
    }

    /// Reads the output until nobody holds it open.
    fn keep(&self, mut output: PipeReader, child: &Child) {
        let mut copy = Copy::default();
        let mut chunk = [0; CHUNK];
        while let Ok(count @ 1..) = output.read(&mut chunk) {
            self.print(&mut copy, &chunk[..count]);
        }
        // The output may end before the command does.
        let mut fds = [PollFd::new(child.ended.as_raw_fd(), sys::POLLIN)];
        while child.exit().is_none() {
            let _ = sys::poll(&mut fds, -1);
        }
        let ending = match child.exit() {
            Some(Exit::Signal { number, .. }) => format!("[start command ended by signal {number}]\n"),
            Some(Exit::Code(code)) => format!("[start command ended with code {code}]\n"),
            None => String::new(),
        };
        self.print(&mut copy, ending.as_bytes());
        lock(&self.shared.log).is_ended = true;
        self.shared.changed.notify_all();
    }

    fn print(&self, copy: &mut Copy, bytes: &[u8]) {
        let mut log = lock(&self.shared.log);
        log.push(bytes);
        copy.write(bytes, &log.ring);
        drop(log);
        self.shared.changed.notify_all();
    }
}

/// The copy on the agent's own standard output, which the engine keeps.
struct Copy {
    allowance: f64,
    refilled: Instant,
    is_skipping: bool,
}

impl Default for Copy {
    fn default() -> Self {
        Self { allowance: RING_BYTES as f64, refilled: Instant::now(), is_skipping: false }
    }
}

impl Copy {
    fn write(&mut self, bytes: &[u8], ring: &VecDeque<u8>) {
        // SAFETY: standard output is open for the life of the program, and this owner of it is never dropped.
        let mut output = ManuallyDrop::new(unsafe { File::from_raw_fd(1) });
        // A copy that fails is no reason to stop the command.
        let _ = match output.metadata() {
            Ok(metadata) if metadata.is_file() => write_bounded(&mut output, bytes, ring, metadata.len()),
            _ => self.write_slowly(&mut output, bytes),
        };
    }

    fn write_slowly(&mut self, output: &mut File, bytes: &[u8]) -> io::Result<()> {
        let now = Instant::now();
        let earned = now.duration_since(self.refilled).as_secs_f64() * BYTES_PER_SECOND;
        self.allowance = (self.allowance + earned).min(RING_BYTES as f64);
        self.refilled = now;
        let mut fds = [PollFd::new(output.as_raw_fd(), POLLOUT)];
        sys::poll(&mut fds, 0)?;
        let is_ready = fds[0].revents & POLLOUT != 0 && fds[0].revents & (POLLERR | POLLHUP) == 0;
        if !is_ready || self.allowance < bytes.len() as f64 {
            self.is_skipping = true;
            return Ok(());
        }
        self.allowance -= bytes.len() as f64;
        if std::mem::take(&mut self.is_skipping) {
            output.write_all(b"\n[output was left out here]\n")?;
        }
        output.write_all(bytes)
    }
}

/// Appends to a file; one that has grown too long starts again with what the ring holds.
fn write_bounded(output: &mut File, bytes: &[u8], ring: &VecDeque<u8>, length: u64) -> io::Result<()> {
    if length + bytes.len() as u64 <= FILE_BYTES {
        return output.write_all(bytes);
    }
    output.set_len(0)?;
    output.rewind()?;
    let (first, second) = ring.as_slices();
    output.write_all(first)?;
    output.write_all(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_last_bytes_and_knows_where_they_stand() {
        let mut log = Log::default();
        log.push(b"hello ");
        log.push(b"world");
        assert_eq!(log.after(0, 100), (b"hello world".to_vec(), 11));
        assert_eq!(log.after(6, 3), (b"wor".to_vec(), 9));
        assert_eq!(log.after(11, 3), (vec![], 11));
        log.push(&vec![b'x'; RING_BYTES]);
        let (bytes, next) = log.after(0, usize::MAX / 2);
        assert_eq!((bytes.len(), next), (RING_BYTES, RING_BYTES as u64 + 11));
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        log.push(&vec![b'y'; 3 * RING_BYTES]);
        assert_eq!(log.ring.len(), RING_BYTES);
        assert_eq!(log.after(5, 1), (b"y".to_vec(), 3 * RING_BYTES as u64 + 12));
    }

    #[test]
    fn a_file_never_grows_beyond_its_bound() {
        let path = std::env::temp_dir().join(format!("gpumkt-guest-log-{}", std::process::id()));
        let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
        let mut log = Log::default();
        for round in 0..2_000u32 {
            let line = format!("{round:>2047}\n");
            log.push(line.as_bytes());
            let length = file.metadata().unwrap().len();
            write_bounded(&mut file, line.as_bytes(), &log.ring, length).unwrap();
            assert!(file.metadata().unwrap().len() <= FILE_BYTES);
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(kept.ends_with(" 1999\n") && kept.len() >= RING_BYTES);
    }
}
