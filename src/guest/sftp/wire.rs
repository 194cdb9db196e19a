//! Packets of SFTP version 3, as draft-ietf-secsh-filexfer-02 lays them out.

use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::super::sys;

/// Longest packet; what OpenSSH's own server takes.
pub const MAX_PACKET: usize = 256 * 1024;

/// What a client asks for.
pub mod request {
    pub const INIT: u8 = 1;
    pub const OPEN: u8 = 3;
    pub const CLOSE: u8 = 4;
    pub const READ: u8 = 5;
    pub const WRITE: u8 = 6;
    pub const LSTAT: u8 = 7;
    pub const FSTAT: u8 = 8;
    pub const SETSTAT: u8 = 9;
    pub const FSETSTAT: u8 = 10;
    pub const OPENDIR: u8 = 11;
    pub const READDIR: u8 = 12;
    pub const REMOVE: u8 = 13;
    pub const MKDIR: u8 = 14;
    pub const RMDIR: u8 = 15;
    pub const REALPATH: u8 = 16;
    pub const STAT: u8 = 17;
    pub const RENAME: u8 = 18;
    pub const READLINK: u8 = 19;
    pub const SYMLINK: u8 = 20;
    pub const EXTENDED: u8 = 200;
}

/// What a server answers.
pub mod reply {
    pub const VERSION: u8 = 2;
    pub const STATUS: u8 = 101;
    pub const HANDLE: u8 = 102;
    pub const DATA: u8 = 103;
    pub const NAME: u8 = 104;
    pub const ATTRS: u8 = 105;
    pub const EXTENDED: u8 = 201;
}

const HAS_SIZE: u32 = 1;
const HAS_OWNER: u32 = 2;
const HAS_PERMISSIONS: u32 = 4;
const HAS_TIMES: u32 = 8;
const HAS_EXTENDED: u32 = 0x8000_0000;

/// Why a request fails.
#[derive(Debug)]
pub enum Failure {
    EndOfFile,
    Malformed,
    Unsupported,
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// The status code, as OpenSSH's server chooses it, and a sentence.
    pub fn status(&self) -> (u32, String) {
        match self {
            Self::EndOfFile => (1, "end of file".into()),
            Self::Malformed => (5, "bad message".into()),
            Self::Unsupported => (8, "operation not supported".into()),
            Self::Io(error) => {
                let code = match error.raw_os_error() {
                    Some(sys::ENOENT | sys::EBADF | sys::ENOTDIR | sys::ELOOP) => 2,
                    Some(sys::EPERM | sys::EACCES) => 3,
                    Some(sys::EINVAL | sys::ENAMETOOLONG) => 5,
                    Some(sys::ENOSYS) => 8,
                    // A zero byte in a path never reaches the kernel.
                    None if error.kind() == io::ErrorKind::InvalidInput => 5,
                    _ => 4,
                };
                (code, error.to_string())
            }
        }
    }
}

/// Reads one packet: its type and the rest. `None` at the end of the connection.
pub fn read_packet(from: &mut impl Read) -> io::Result<Option<(u8, Vec<u8>)>> {
    let mut header = [0; 5];
    if let Err(error) = from.read_exact(&mut header[..1]) {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    from.read_exact(&mut header[1..])?;
    let [a, b, c, d, kind] = header;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if length == 0 || length > MAX_PACKET {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; length - 1];
    from.read_exact(&mut content)?;
    Ok(Some((kind, content)))
}

/// The fields of a request that are not read yet.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn u32(&mut self) -> Result<u32, Failure> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Failure> {
        self.array().map(u64::from_be_bytes)
    }

    pub fn string(&mut self) -> Result<&'a [u8], Failure> {
        let length = self.u32()? as usize;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Failure::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn attributes(&mut self) -> Result<Attributes, Failure> {
        let flags = self.u32()?;
        let mut attributes = Attributes::default();
        if flags & HAS_SIZE != 0 {
            attributes.size = Some(self.u64()?);
        }
        if flags & HAS_OWNER != 0 {
            attributes.owner = Some((self.u32()?, self.u32()?));
        }
        if flags & HAS_PERMISSIONS != 0 {
            attributes.permissions = Some(self.u32()?);
        }
        if flags & HAS_TIMES != 0 {
            attributes.times = Some((self.u32()?, self.u32()?));
        }
        if flags & HAS_EXTENDED != 0 {
            // A count that lies runs into the end of the packet.
            for _ in 0..self.u32()? {
                self.string()?;
                self.string()?;
            }
        }
        Ok(attributes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Failure::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }
}

/// What is to be set, or is known, of a file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub size: Option<u64>,
    pub owner: Option<(u32, u32)>,
    pub permissions: Option<u32>,
    /// Of access and of modification, in seconds since 1970.
    pub times: Option<(u32, u32)>,
}

impl From<&Metadata> for Attributes {
    fn from(metadata: &Metadata) -> Self {
        // The protocol ends in 2106.
        let seconds = |time: i64| u32::try_from(time.max(0)).unwrap_or(u32::MAX);
        Self {
            size: Some(metadata.size()),
            owner: Some((metadata.uid(), metadata.gid())),
            permissions: Some(metadata.mode()),
            times: Some((seconds(metadata.atime()), seconds(metadata.mtime()))),
        }
    }
}

/// An answer in the making.
pub struct Packet(Vec<u8>);

impl Packet {
    pub fn new(kind: u8, id: u32) -> Self {
        let mut packet = Self(vec![0, 0, 0, 0, kind]);
        packet.u32(id);
        packet
    }

    pub fn u32(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn u64(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub fn string(&mut self, text: &[u8]) {
        self.u32(text.len() as u32);
        self.0.extend_from_slice(text);
    }

    pub fn attributes(&mut self, attributes: &Attributes) {
        let flag = |is_there: bool, flag: u32| if is_there { flag } else { 0 };
        let Attributes { size, owner, permissions, times } = attributes;
        self.u32(
            flag(size.is_some(), HAS_SIZE)
                | flag(owner.is_some(), HAS_OWNER)
                | flag(permissions.is_some(), HAS_PERMISSIONS)
                | flag(times.is_some(), HAS_TIMES),
        );
        size.iter().for_each(|size| self.u64(*size));
        let pairs = [*owner, *times];
        let [owner, times] = pairs.map(|pair| pair.map_or(vec![], |(first, second)| vec![first, second]));
        owner.into_iter().chain(*permissions).chain(times).for_each(|number| self.u32(number));
    }

    /// The bytes for the wire.
    pub fn finish(mut self) -> Vec<u8> {
        let length = (self.0.len() - 4) as u32;
        self.0[..4].copy_from_slice(&length.to_be_bytes());
        self.0
    }
}

/// A path as the client means it: relative ones start at the home of the renter.
pub fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(std::ffi::OsStr::from_bytes(bytes))
}
