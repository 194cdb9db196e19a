//! What a node and the agent inside a renter's container say to each other.
//!
//! The agent dials the node's socket and parks the connection; the node turns a parked connection into one channel by writing an
//! [`Open`]. So the node never follows a path that the container controls, and a node that restarts is dialled again. Uses nothing but
//! `std`: the agent, which has no dependencies, compiles this very file.
//!
//! Every frame is a tag (1 byte), a length (4 bytes, big-endian) and the payload. Either side takes the other for hostile.

use std::io::{self, Read, Write};

/// First bytes of every connection, sent by the agent.
pub const HELLO: [u8; 8] = *b"gpumkt\x00\x01";
/// Name of the node's socket in the folder that is mounted at [`MOUNT`].
pub const SOCKET: &str = "node.sock";
/// Where the node's socket folder stands inside the container, read-only.
pub const MOUNT: &str = "/run/gpumkt";
/// Where the agent's own program stands inside the container, read-only.
pub const PROGRAM: &str = "/.gpumkt-guest";
/// Parked connections an agent keeps. Fewer make a burst of channels wait for a dial, more are idle descriptors.
pub const PARKED: usize = 4;
/// Largest payload. A larger one only costs memory: bulk data is sent in many frames or, after `Opened`, raw.
pub const MAX_PAYLOAD: usize = 64 * 1024;
/// Most arguments, and most variables, of a command.
pub const MAX_WORDS: usize = 1024;

/// What a channel is for; the first frame, from the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Open {
    /// Runs a command. Afterwards both sides send [`Frame`]s until [`Frame::Exited`].
    Exec(Exec),
    /// Connects to a TCP port on the container's loopback. Afterwards raw bytes, each direction closed on its own.
    Connect { port: u16 },
    /// Serves SFTP version 3. Afterwards raw bytes.
    Sftp,
    /// Sends what the start command has printed, and with `follow` what it will. Afterwards raw bytes from the agent.
    Logs { follow: bool },
    /// Starts the renter's start command, once in the life of the container. Closed by the agent after the answer.
    Start(Exec),
    /// Asks for nothing but the answer.
    Ping,
}

/// A command. Empty `argv` means the login shell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exec {
    pub argv: Vec<Vec<u8>>,
    /// Added to the environment of the container.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    pub terminal: Option<Terminal>,
}

/// A pseudo-terminal, as RFC 4254 section 6.2 describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terminal {
    /// Value of TERM.
    pub name: Vec<u8>,
    pub size: WindowSize,
}

/// Size of a terminal in characters and, where known, pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WindowSize {
    pub columns: u16,
    pub rows: u16,
    pub width_px: u16,
    pub height_px: u16,
}

/// Answer to an [`Open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Opened,
    /// `errno` of what failed (0 where none applies), and a sentence.
    Refused {
        errno: i32,
        reason: String,
    },
}

/// What travels on an `Exec` channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// To the command; empty means end of input.
    Stdin(Vec<u8>),
    Resize(WindowSize),
    /// Number of a signal for the command's process group.
    Signal(u8),
    /// From the command.
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// Last frame.
    Exited(Exit),
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Code(u8),
    Signal { number: u8, core_dumped: bool },
}

/// Why bytes are not a frame.
#[derive(Debug)]
pub enum AgentError {
    Io(io::Error),
    Malformed(&'static str),
}

impl std::fmt::Display for AgentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the channel broke: {error}"),
            Self::Malformed(what) => write!(f, "not a frame: {what}"),
        }
    }
}

impl std::error::Error for AgentError {}

impl From<io::Error> for AgentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A message as tag and payload.
pub trait Message: Sized {
    fn encode(&self) -> (u8, Vec<u8>);
    fn decode(tag: u8, payload: &[u8]) -> Result<Self, AgentError>;

    /// The whole frame.
    fn to_bytes(&self) -> Vec<u8> {
        let (tag, payload) = self.encode();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
        bytes.push(tag);
        // A payload is far below 4 GiB; the receiver checks it against MAX_PAYLOAD.
        bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&payload);
        bytes
    }

    fn write(&self, to: &mut impl Write) -> Result<(), AgentError> {
        to.write_all(&self.to_bytes())?;
        Ok(to.flush()?)
    }

    fn read(from: &mut impl Read) -> Result<Self, AgentError> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header)?;
        let (tag, length) = parse_header(header)?;
        let mut payload = vec![0; length];
        from.read_exact(&mut payload)?;
        Self::decode(tag, &payload)
    }
}

/// Bytes before a payload.
pub const HEADER_BYTES: usize = 5;

/// Tag and length of the payload that follows.
pub fn parse_header(header: [u8; HEADER_BYTES]) -> Result<(u8, usize), AgentError> {
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if length > MAX_PAYLOAD {
        return Err(AgentError::Malformed("payload too long"));
    }
    Ok((header[0], length))
}

impl Message for Open {
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Open::Exec(exec) => (1, exec.encode()),
            Open::Connect { port } => (2, port.to_be_bytes().to_vec()),
            Open::Sftp => (3, Vec::new()),
            Open::Logs { follow } => (4, vec![u8::from(*follow)]),
            Open::Start(exec) => (5, exec.encode()),
            Open::Ping => (6, Vec::new()),
        }
    }

    fn decode(tag: u8, payload: &[u8]) -> Result<Self, AgentError> {
        let mut fields = Fields(payload);
        let open = match tag {
            1 => Open::Exec(Exec::decode(&mut fields)?),
            2 => Open::Connect { port: fields.u16()? },
            3 => Open::Sftp,
            4 => Open::Logs { follow: fields.flag()? },
            5 => Open::Start(Exec::decode(&mut fields)?),
            6 => Open::Ping,
            _ => return Err(AgentError::Malformed("unknown channel")),
        };
        fields.end()?;
        Ok(open)
    }
}

impl Message for Answer {
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Answer::Opened => (16, Vec::new()),
            Answer::Refused { errno, reason } => {
                let mut payload = errno.to_be_bytes().to_vec();
                payload.extend_from_slice(reason.as_bytes());
                (17, payload)
            }
        }
    }

    fn decode(tag: u8, payload: &[u8]) -> Result<Self, AgentError> {
        let mut fields = Fields(payload);
        match tag {
            16 => fields.end().map(|()| Answer::Opened),
            17 => {
                let errno = i32::from_be_bytes(fields.array()?);
                Ok(Answer::Refused { errno, reason: String::from_utf8_lossy(fields.0).into_owned() })
            }
            _ => Err(AgentError::Malformed("unknown answer")),
        }
    }
}

impl Message for Frame {
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Frame::Stdin(bytes) => (32, bytes.clone()),
            Frame::Resize(size) => (33, size.encode()),
            Frame::Signal(number) => (34, vec![*number]),
            Frame::Stdout(bytes) => (35, bytes.clone()),
            Frame::Stderr(bytes) => (36, bytes.clone()),
            Frame::Exited(Exit::Code(code)) => (37, vec![0, *code, 0]),
            Frame::Exited(Exit::Signal { number, core_dumped }) => (37, vec![1, *number, u8::from(*core_dumped)]),
        }
    }

    fn decode(tag: u8, payload: &[u8]) -> Result<Self, AgentError> {
        let mut fields = Fields(payload);
        let frame = match tag {
            32 => return Ok(Frame::Stdin(payload.to_vec())),
            35 => return Ok(Frame::Stdout(payload.to_vec())),
            36 => return Ok(Frame::Stderr(payload.to_vec())),
            33 => Frame::Resize(WindowSize::decode(&mut fields)?),
            34 => Frame::Signal(fields.u8()?),
            37 => match (fields.u8()?, fields.u8()?, fields.flag()?) {
                (0, code, false) => Frame::Exited(Exit::Code(code)),
                (1, number, core_dumped) => Frame::Exited(Exit::Signal { number, core_dumped }),
                _ => return Err(AgentError::Malformed("unknown ending")),
            },
            _ => return Err(AgentError::Malformed("unknown frame")),
        };
        fields.end()?;
        Ok(frame)
    }
}

impl WindowSize {
    fn encode(self) -> Vec<u8> {
        [self.columns, self.rows, self.width_px, self.height_px].iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn decode(fields: &mut Fields) -> Result<Self, AgentError> {
        Ok(Self { columns: fields.u16()?, rows: fields.u16()?, width_px: fields.u16()?, height_px: fields.u16()? })
    }
}

impl Exec {
    fn encode(&self) -> Vec<u8> {
        let mut payload = (self.argv.len() as u16).to_be_bytes().to_vec();
        self.argv.iter().for_each(|word| put(&mut payload, word));
        payload.extend_from_slice(&(self.env.len() as u16).to_be_bytes());
        for (name, value) in &self.env {
            put(&mut payload, name);
            put(&mut payload, value);
        }
        payload.push(u8::from(self.terminal.is_some()));
        if let Some(terminal) = &self.terminal {
            put(&mut payload, &terminal.name);
            payload.extend_from_slice(&terminal.size.encode());
        }
        payload
    }

    fn decode(fields: &mut Fields) -> Result<Self, AgentError> {
        let mut exec = Exec::default();
        for _ in 0..fields.count()? {
            exec.argv.push(fields.word()?);
        }
        for _ in 0..fields.count()? {
            exec.env.push((fields.word()?, fields.word()?));
        }
        if fields.flag()? {
            exec.terminal = Some(Terminal { name: fields.word()?, size: WindowSize::decode(fields)? });
        }
        Ok(exec)
    }
}

fn put(payload: &mut Vec<u8>, word: &[u8]) {
    payload.extend_from_slice(&(word.len() as u32).to_be_bytes());
    payload.extend_from_slice(word);
}

/// The rest of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], AgentError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(AgentError::Malformed("truncated"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], AgentError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn u8(&mut self) -> Result<u8, AgentError> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, AgentError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, AgentError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(AgentError::Malformed("not a flag")),
        }
    }

    fn count(&mut self) -> Result<usize, AgentError> {
        let count = usize::from(self.u16()?);
        if count > MAX_WORDS { Err(AgentError::Malformed("too many words")) } else { Ok(count) }
    }

    /// No word holds a zero byte: neither arguments nor variables can.
    fn word(&mut self) -> Result<Vec<u8>, AgentError> {
        let length = u32::from_be_bytes(self.array()?) as usize;
        let word = self.take(length)?;
        if word.contains(&0) { Err(AgentError::Malformed("a zero byte in a word")) } else { Ok(word.to_vec()) }
    }

    fn end(&self) -> Result<(), AgentError> {
        if self.0.is_empty() { Ok(()) } else { Err(AgentError::Malformed("trailing bytes")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<M: Message + PartialEq + std::fmt::Debug>(message: M) {
        let bytes = message.to_bytes();
        assert_eq!(M::read(&mut bytes.as_slice()).unwrap(), message);
        for cut in 0..bytes.len() {
            assert!(M::read(&mut &bytes[..cut]).is_err(), "{message:?} cut at {cut}");
        }
    }

    #[test]
    fn messages_survive_the_trip_and_truncated_ones_are_refused() {
        let size = WindowSize { columns: 80, rows: 24, width_px: 0, height_px: 7 };
        let terminal = Some(Terminal { name: b"xterm".to_vec(), size });
        let exec = Exec { argv: vec![b"sh".to_vec(), vec![]], env: vec![(b"A".to_vec(), b"1=2".to_vec())], terminal };
        for open in [Open::Exec(exec.clone()), Open::Start(Exec::default()), Open::Connect { port: 8888 }, Open::Logs { follow: true }] {
            round_trip(open);
        }
        round_trip(Answer::Refused { errno: 2, reason: String::new() });
        for frame in [
            Frame::Resize(size),
            Frame::Signal(15),
            Frame::Stdout(vec![1; 9]),
            Frame::Exited(Exit::Code(255)),
            Frame::Exited(Exit::Signal { number: 9, core_dumped: true }),
        ] {
            round_trip(frame);
        }
    }

    #[test]
    fn hostile_frames_are_refused() {
        assert!(parse_header([1, 255, 255, 255, 255]).is_err());
        for (tag, payload) in [
            (0, &[][..]),
            (2, &[0, 1, 2]),
            (4, &[2]),
            (1, &[0xff, 0xff]),
            (1, &[0, 1, 0xff, 0xff, 0xff, 0xff]),
            (1, &[0, 1, 0, 0, 0, 1, 0, 0, 0, 0]),
        ] {
            assert!(Open::decode(tag, payload).is_err(), "{tag} {payload:?}");
        }
        assert!(Frame::decode(37, &[2, 0, 0]).is_err());
    }

    /// What is taken for a message is sent on as one.
    fn read_as<M: Message + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        if let Ok(message) = M::read(&mut &*bytes) {
            assert_eq!(M::read(&mut message.to_bytes().as_slice()).unwrap(), message);
        }
    }

    proptest::proptest! {
        /// Both sides read what the other one sends: a container's helper is the renter's, a node the provider's.
        #[test]
        fn strangers_messages_never_panic(tag: u8, payload: Vec<u8>, length: Option<u32>) {
            let length = length.unwrap_or(payload.len() as u32).to_be_bytes();
            for tag in [tag, tag % 7, 16 + tag % 2, 32 + tag % 6] {
                let bytes = [&[tag][..], &length, &payload].concat();
                read_as::<Open>(&bytes);
                read_as::<Answer>(&bytes);
                read_as::<Frame>(&bytes);
            }
        }

        #[test]
        fn damaged_messages_never_panic(words: Vec<Vec<u8>>, at: proptest::sample::Index, value: u8) {
            let exec = Exec { argv: words, env: vec![(b"A".to_vec(), b"b".to_vec())], terminal: Some(Terminal::default()) };
            let mut bytes = Open::Exec(exec).to_bytes();
            let place = at.index(bytes.len());
            bytes[place] = value;
            read_as::<Open>(&bytes);
        }
    }
}
