//! Joins the node's connection with one to a port inside the container.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use super::sys::{self, POLLIN, POLLOUT, PollFd};

const BUFFER: usize = 64 * 1024;

/// Connects to a port on the loopback, whichever family listens. A refusal there is immediate.
pub fn connect(port: u16) -> io::Result<TcpStream> {
    let connect = |address: IpAddr| TcpStream::connect(SocketAddr::new(address, port));
    let stream = connect(Ipv4Addr::LOCALHOST.into()).or_else(|error| connect(Ipv6Addr::LOCALHOST.into()).map_err(|_| error))?;
    // Whoever forwards a port forwards a dialogue.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Carries bytes both ways until both ends are closed, each direction on its own, or until one breaks.
pub fn join(node: &UnixStream, service: &TcpStream) -> io::Result<()> {
    node.set_nonblocking(true)?;
    service.set_nonblocking(true)?;
    let mut inward = Direction::default();
    let mut outward = Direction::default();
    while !(inward.is_closed && outward.is_closed) {
        // Each end is waited for only if something can be done, so that a hang-up at a finished direction does not spin.
        let mut fds = [
            PollFd::wanted(Some(node), inward.reads(), POLLIN),
            PollFd::wanted(Some(service), inward.writes(), POLLOUT),
            PollFd::wanted(Some(service), outward.reads(), POLLIN),
            PollFd::wanted(Some(node), outward.writes(), POLLOUT),
            // The node half-closes or hangs up, and only the latter shows here: then nobody waits for what the service says.
            PollFd::wanted(Some(node), inward.is_closed, 0),
        ];
        sys::poll(&mut fds, -1)?;
        if fds[4].revents != 0 {
            return Ok(());
        }
        if fds[0].revents | fds[1].revents != 0 {
            let mut node = node;
            let mut writer = service;
            inward.step(&mut node, &mut writer, || service.shutdown(Shutdown::Write))?;
        }
        if fds[2].revents | fds[3].revents != 0 {
            let mut service = service;
            let mut writer = node;
            outward.step(&mut service, &mut writer, || node.shutdown(Shutdown::Write))?;
        }
    }
    Ok(())
}

/// One direction, with what was read and is not written yet.
#[derive(Default)]
struct Direction {
    waiting: Vec<u8>,
    written: usize,
    is_ended: bool,
    is_closed: bool,
}

impl Direction {
    fn reads(&self) -> bool {
        !self.is_ended && self.waiting.is_empty()
    }

    fn writes(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn step(&mut self, from: &mut impl Read, to: &mut impl Write, close: impl Fn() -> io::Result<()>) -> io::Result<()> {
        if self.reads() {
            let mut chunk = [0; BUFFER];
            match from.read(&mut chunk) {
                Ok(0) => self.is_ended = true,
                Ok(count) => self.waiting.extend_from_slice(&chunk[..count]),
                Err(error) if is_not_ready(&error) => {}
                Err(error) => return Err(error),
            }
        }
        while self.writes() {
            match to.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_not_ready(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == self.waiting.len() {
                self.waiting.clear();
                self.written = 0;
            }
        }
        if self.is_ended && !self.is_closed {
            self.is_closed = true;
            // Fails if the other end is gone altogether, which its own direction reports.
            let _ = close();
        }
        Ok(())
    }
}

fn is_not_ready(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn carries_both_ways_and_closes_each_direction_on_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mut outside, inside) = UnixStream::pair().unwrap();
        let pump = thread::spawn(move || join(&inside, &connect(port).unwrap()));
        let (mut service, _) = listener.accept().unwrap();
        let big: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
        let sent = big.clone();
        let mut writer = outside.try_clone().unwrap();
        let sender = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut arrived = Vec::new();
        service.read_to_end(&mut arrived).unwrap();
        assert!(arrived == big);
        service.write_all(b"after the end of input").unwrap();
        drop(service);
        let mut back = String::new();
        outside.read_to_string(&mut back).unwrap();
        assert_eq!(back, "after the end of input");
        sender.join().unwrap();
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn a_port_nobody_listens_on_is_refused() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert_eq!(connect(port).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
