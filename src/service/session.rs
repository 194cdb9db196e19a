//! What renter and provider say to each other on a session stream.
//!
//! The stream is authenticated by the network (the renter's peer id); the login binds that peer to the key named in `rent`. Every frame
//! is a length (4 bytes, big-endian) and a postcard value.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    sandbox::{KernelJob, KernelResult},
    types::{Coded, RentalId},
};

/// Name of the stream protocol.
pub const SESSION_PROTOCOL: &str = "/gpumkt/1/session";
/// Largest frame. A kernel's buffers travel in one; larger jobs belong into a container.
pub const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;
/// Step in which a frame is read, so that a length alone reserves no memory.
const READ_STEP_BYTES: usize = 1024 * 1024;

/// First frame of the renter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    pub rental: RentalId,
    /// Multihash bytes of the renter's peer id.
    pub public_key: Vec<u8>,
    /// Unix seconds after which the key may not log in.
    pub expiry: u64,
    /// EIP-712 `SessionKey`, compact, by the key named in `rent`.
    pub key_signature: Vec<u8>,
    /// Unix seconds of the login.
    pub opened_at: u64,
    /// EIP-712 `SessionOpened`, compact, by the same key: the provider's evidence that it let the renter in.
    pub opened_signature: Vec<u8>,
}

/// First frame of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginAnswer {
    Welcome,
    Refused { code: String, reason: String },
}

impl<T> From<&Result<T, SessionError>> for LoginAnswer {
    fn from(outcome: &Result<T, SessionError>) -> Self {
        match outcome {
            Ok(_) => Self::Welcome,
            Err(error) => Self::Refused { code: error.code().into(), reason: error.to_string() },
        }
    }
}

/// What the renter asks for once it is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SessionRequest {
    RunKernel(Box<KernelJob>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SessionReply {
    Finished(Box<KernelResult>),
    Refused { code: String, reason: String },
}

impl SessionReply {
    pub fn refused(code: &str, reason: impl std::fmt::Display) -> Self {
        Self::Refused { code: code.into(), reason: reason.to_string() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("the stream broke: {0}")]
    Stream(#[from] std::io::Error),
    #[error("a frame of {bytes} bytes, at most {limit} are allowed")]
    Oversize { bytes: usize, limit: usize },
    #[error("a frame cannot be read: {0}")]
    Malformed(#[from] postcard::Error),
    #[error("the other side did not answer in time")]
    TimedOut,
    #[error("rental {rental} is not hosted here")]
    UnknownRental { rental: RentalId },
    #[error("rental {rental} is not running: it runs from {start} to {end}")]
    NotRunning { rental: RentalId, start: u64, end: u64 },
    #[error("the login names another peer than the one that holds this stream")]
    WrongPeer,
    #[error("the session key expired at {expiry}")]
    Expired { expiry: u64 },
    #[error("clocks differ: theirs {theirs}, ours {ours}")]
    Clock { theirs: u64, ours: u64 },
    #[error("the login is not signed by the session key of the rental")]
    WrongSignature,
    #[error("the provider refused ({refusal}): {reason}")]
    Refused { refusal: String, reason: String },
}

impl Coded for SessionError {
    fn code(&self) -> &'static str {
        match self {
            SessionError::Stream(_) | SessionError::Oversize { .. } | SessionError::Malformed(_) => "E-SESSION-001",
            SessionError::TimedOut => "E-SESSION-002",
            SessionError::UnknownRental { .. } | SessionError::NotRunning { .. } => "E-SESSION-003",
            SessionError::WrongPeer | SessionError::WrongSignature => "E-SESSION-004",
            SessionError::Expired { .. } | SessionError::Clock { .. } => "E-SESSION-005",
            SessionError::Refused { .. } => "E-SESSION-006",
        }
    }

    fn next_step(&self) -> String {
        match self {
            SessionError::Stream(_) | SessionError::TimedOut => "try again; the rental is unharmed".into(),
            SessionError::Oversize { .. } => "send smaller buffers, or split the work".into(),
            SessionError::Malformed(_) => "use the same version on both sides".into(),
            SessionError::UnknownRental { .. } | SessionError::NotRunning { .. } => "see `gpumkt rentals` for what is running".into(),
            SessionError::WrongPeer | SessionError::WrongSignature => "log in from the machine that rented, or with its session key".into(),
            SessionError::Expired { .. } => "log in again: a new key is signed".into(),
            SessionError::Clock { .. } => "set the clock, for example with systemd-timesyncd".into(),
            SessionError::Refused { .. } => "read the reason: it is the provider that refused".into(),
        }
    }
}

pub async fn write_frame<T: Serialize>(writer: &mut (impl AsyncWrite + Unpin), value: &T) -> Result<(), SessionError> {
    let bytes = postcard::to_stdvec(value)?;
    if bytes.len() > MAX_FRAME_BYTES {
        return Err(SessionError::Oversize { bytes: bytes.len(), limit: MAX_FRAME_BYTES });
    }
    writer.write_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).await?;
    writer.write_all(&bytes).await?;
    Ok(writer.flush().await?)
}

pub async fn read_frame<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<T, SessionError> {
    let ended = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
    read_frame_or_end(reader).await?.ok_or_else(|| ended().into())
}

/// `None` when the other side has closed between two frames.
pub async fn read_frame_or_end<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, SessionError> {
    let length = match reader.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if length > MAX_FRAME_BYTES {
        return Err(SessionError::Oversize { bytes: length, limit: MAX_FRAME_BYTES });
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let start = bytes.len();
        bytes.resize(length.min(start + READ_STEP_BYTES), 0);
        reader.read_exact(&mut bytes[start..]).await?;
    }
    Ok(Some(postcard::from_bytes(&bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_travel_and_hostile_ones_are_refused() {
        let (mut near, mut far) = tokio::io::duplex(64);
        let answer = LoginAnswer::Refused { code: "E".into(), reason: "x".repeat(500) };
        let (sent, received) = tokio::join!(write_frame(&mut near, &answer), read_frame::<LoginAnswer>(&mut far));
        sent.unwrap();
        assert_eq!(received.unwrap(), answer);

        near.write_u32(u32::MAX).await.unwrap();
        assert!(matches!(read_frame::<LoginAnswer>(&mut far).await, Err(SessionError::Oversize { .. })));
        near.write_u32(3).await.unwrap();
        near.write_all(&[9, 9, 9]).await.unwrap();
        assert!(matches!(read_frame::<LoginAnswer>(&mut far).await, Err(SessionError::Malformed(_))));
        drop(near);
        assert!(read_frame_or_end::<LoginAnswer>(&mut far).await.unwrap().is_none());
    }
}
