//! The life of one command: its channel, its input and its outputs, in one loop.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::agent::{AgentError, Frame, HEADER_BYTES, MAX_PAYLOAD, Message, parse_header};
use super::command::Running;
use super::sys::{self, POLLERR, POLLHUP, POLLIN, POLLOUT, PollFd};

/// Input that a command has not read yet; beyond it, the channel is not read either.
const MAX_WAITING_INPUT: usize = 256 * 1024;
/// Output that the node has not read yet; beyond it, the command is not read either.
const MAX_WAITING_OUTPUT: usize = 256 * 1024;
const CHUNK: usize = 32 * 1024;
/// How long what a command leaves behind may be silent before its channel is closed though they hold its output open.
const QUIET: Duration = Duration::from_millis(200);
/// How long it may talk.
const LINGER: Duration = Duration::from_secs(2);
/// Types the end of input at a terminal.
const END_OF_TRANSMISSION: u8 = 4;

/// Serves a command until it has ended and its output is delivered, or until the node hangs up.
pub fn run(node: UnixStream, running: Running) -> io::Result<()> {
    node.set_nonblocking(true)?;
    let mut session = Session {
        node,
        running,
        received: Vec::new(),
        waiting_input: VecDeque::new(),
        is_input_ended: false,
        waiting_output: VecDeque::new(),
        ended: None,
        last_output: Instant::now(),
    };
    let outcome = session.serve();
    if outcome.is_err() {
        // Closing a terminal hangs up for what is in its foreground; this is for pipes.
        session.running.child.signal_group(sys::SIGHUP);
        session.running.child.signal_group(sys::SIGCONT);
    }
    outcome
}

struct Session {
    node: UnixStream,
    running: Running,
    /// Part of a frame.
    received: Vec<u8>,
    waiting_input: VecDeque<u8>,
    is_input_ended: bool,
    waiting_output: VecDeque<u8>,
    /// When the command was seen to have ended.
    ended: Option<Instant>,
    last_output: Instant,
}

impl Session {
    fn serve(&mut self) -> io::Result<()> {
        while !self.is_done() {
            self.step()?;
        }
        if let Some(exit) = self.running.child.exit() {
            self.waiting_output.extend(Frame::Exited(exit).to_bytes());
        }
        while !self.waiting_output.is_empty() {
            let mut fds = [PollFd::new(self.node.as_raw_fd(), POLLOUT)];
            sys::poll(&mut fds, -1)?;
            self.send()?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let Some(ended) = self.ended else { return false };
        let are_closed = self.running.outputs.iter().all(Option::is_none);
        let is_quiet = self.last_output.max(ended).elapsed() >= QUIET || ended.elapsed() >= LINGER;
        are_closed || (is_quiet && self.waiting_output.is_empty())
    }

    fn step(&mut self) -> io::Result<()> {
        let has_room = self.waiting_output.len() < MAX_WAITING_OUTPUT;
        let reads = self.waiting_input.len() < MAX_WAITING_INPUT;
        let node_events = if reads { POLLIN } else { 0 } | if self.waiting_output.is_empty() { 0 } else { POLLOUT };
        let [output, errors] = &self.running.outputs;
        let mut fds = [
            PollFd::new(self.node.as_raw_fd(), node_events),
            PollFd::wanted(self.running.input.as_ref(), !self.waiting_input.is_empty(), POLLOUT),
            PollFd::wanted(output.as_ref(), has_room, POLLIN),
            PollFd::wanted(errors.as_ref(), has_room, POLLIN),
            PollFd::wanted(Some(&self.running.child.ended), self.ended.is_none(), POLLIN),
        ];
        sys::poll(&mut fds, if self.ended.is_some() { QUIET.as_millis() as i32 / 4 } else { -1 })?;
        let [node, input, outputs @ .., ended] = fds;
        if node.revents & (POLLHUP | POLLERR) != 0 {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if node.revents & POLLIN != 0 {
            self.receive()?;
        }
        if input.revents != 0 || (input.fd < 0 && self.is_input_ended) {
            self.feed();
        }
        for (index, output) in outputs.iter().enumerate() {
            if output.revents != 0 {
                self.collect(index);
            }
        }
        if ended.revents != 0 && self.running.child.exit().is_some() {
            self.ended = Some(Instant::now());
        }
        self.send()
    }

    /// Takes in what the node sent.
    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        let count = match self.node.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if is_not_ready(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.received.extend_from_slice(&chunk[..count]);
        let mut at = 0;
        while let Some((frame, length)) = next_frame(&self.received[at..]).map_err(io::Error::other)? {
            at += length;
            self.obey(frame)?;
        }
        self.received.drain(..at);
        Ok(())
    }

    fn obey(&mut self, frame: Frame) -> io::Result<()> {
        match frame {
            Frame::Stdin(_) if self.is_input_ended => {}
            Frame::Stdin(bytes) if bytes.is_empty() => {
                self.is_input_ended = true;
                if self.running.is_terminal {
                    self.waiting_input.push_back(END_OF_TRANSMISSION);
                }
            }
            // Nobody reads it any more.
            Frame::Stdin(_) if self.running.input.is_none() => {}
            Frame::Stdin(bytes) => self.waiting_input.extend(bytes),
            Frame::Resize(size) => {
                if let (Some(terminal), true) = (&self.running.input, self.running.is_terminal) {
                    sys::resize(terminal, size)?;
                }
            }
            Frame::Signal(number) => self.running.child.signal_group(number.into()),
            Frame::Stdout(_) | Frame::Stderr(_) | Frame::Exited(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }

    /// Gives the command its input, and the end of it.
    fn feed(&mut self) {
        let Some(input) = &mut self.running.input else { return };
        while !self.waiting_input.is_empty() {
            match input.write(self.waiting_input.as_slices().0) {
                Ok(count) => drop(self.waiting_input.drain(..count)),
                Err(error) if is_not_ready(&error) => return,
                Err(_) => {
                    // It has closed its input: the rest goes nowhere, as with a shell's pipe.
                    self.waiting_input.clear();
                    self.running.input = None;
                    return;
                }
            }
        }
        // A terminal stays open: it is resized by the same descriptor.
        if self.is_input_ended && !self.running.is_terminal {
            self.running.input = None;
        }
    }

    fn collect(&mut self, index: usize) {
        let Some(output) = &mut self.running.outputs[index] else { return };
        let mut chunk = [0; CHUNK];
        match output.read(&mut chunk) {
            Ok(count @ 1..) => {
                let bytes = chunk[..count].to_vec();
                let frame = if index == 0 { Frame::Stdout(bytes) } else { Frame::Stderr(bytes) };
                self.waiting_output.extend(frame.to_bytes());
                self.last_output = Instant::now();
            }
            Err(error) if is_not_ready(&error) => {}
            // A terminal that nobody has open any more reports an error instead of its end.
            Ok(0) | Err(_) => self.running.outputs[index] = None,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while !self.waiting_output.is_empty() {
            match self.node.write(self.waiting_output.as_slices().0) {
                Ok(count) => drop(self.waiting_output.drain(..count)),
                Err(error) if is_not_ready(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The first frame in what has arrived, and its length; `None` while it is incomplete.
fn next_frame(received: &[u8]) -> Result<Option<(Frame, usize)>, AgentError> {
    let Some((header, rest)) = received.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let (tag, length) = parse_header(*header)?;
    debug_assert!(length <= MAX_PAYLOAD);
    match rest.get(..length) {
        Some(payload) => Ok(Some((Frame::decode(tag, payload)?, HEADER_BYTES + length))),
        None => Ok(None),
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
