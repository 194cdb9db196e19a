//! What renter and provider say to each other on a session stream.
//!
//! The stream is authenticated by the network (the renter's peer id); the login binds that peer to the key named in `rent`, so one that
//! somebody copied is refused from any other peer. Every frame is a length (4 bytes, big-endian) and a postcard value. On
//! [`SESSION_PROTOCOL`] requests and replies follow the login, on [`SHELL_PROTOCOL`] raw bytes of SSH.

use alloy::{
    primitives::Address,
    sol_types::{Eip712Domain, SolStruct},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{
    sandbox::{KernelJob, KernelResult},
    service::told::{LaunchProgress, TenantStatus},
    types::{
        Coded, RentalId,
        launch::LaunchSpec,
        signing::{SessionKey, recover_compact},
    },
};

/// Stream protocol of kernels: frames all along.
pub const SESSION_PROTOCOL: &str = "/gpumkt/1/session";
/// Stream protocol of the renter's access: a login and its answer, then SSH.
pub const SHELL_PROTOCOL: &str = "/gpumkt/1/shell";
/// Largest login and largest answer to one: whoever sends it is not let in yet.
pub const MAX_LOGIN_BYTES: usize = 64 * 1024;
/// Most SSH keys of one login. Each costs a signature check.
pub const MAX_SSH_KEYS: usize = 8;
/// Largest frame. A kernel's buffers travel in one; larger jobs belong into a container.
pub const MAX_FRAME_BYTES: usize = 256 * 1024 * 1024;
/// Code of a refusal by a provider that does not host the rental, or not now.
pub const UNKNOWN_RENTAL_CODE: &str = "E-SESSION-003";
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
    /// Keys that SSH on this stream accepts; at most [`MAX_SSH_KEYS`].
    pub ssh_keys: Vec<NamedKey>,
}

/// An SSH key, named by the rental's session key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedKey {
    /// SSH wire format (RFC 4253 section 6.6).
    pub public_key: Vec<u8>,
    /// Unix seconds after which the key may not log in.
    pub expiry: u64,
    /// EIP-712 `SessionKey`, compact, by the key named in `rent`.
    pub signature: Vec<u8>,
}

impl Login {
    /// The SSH keys, each checked against the rental's session key; one that fails refuses the login.
    pub fn authorized_keys(&self, domain: &Eip712Domain, session_key: Address, now: u64) -> Result<Vec<Vec<u8>>, SessionError> {
        if self.ssh_keys.len() > MAX_SSH_KEYS {
            return Err(SessionError::TooManyKeys { keys: self.ssh_keys.len(), limit: MAX_SSH_KEYS });
        }
        let checked = self.ssh_keys.iter().map(|named| {
            if !is_ssh_key(&named.public_key) {
                return Err(SessionError::NotSshKey);
            }
            if named.expiry <= now {
                return Err(SessionError::Expired { expiry: named.expiry });
            }
            let statement = SessionKey { rentalId: self.rental, publicKey: named.public_key.clone().into(), expiry: named.expiry };
            match recover_compact(statement.eip712_signing_hash(domain), &named.signature) {
                Some(signer) if signer == session_key => Ok(named.public_key.clone()),
                _ => Err(SessionError::WrongSignature),
            }
        });
        checked.collect()
    }
}

/// `SessionKey` also names peer ids. Only an SSH key starts with the length of a printable name, which fits and is not all there is.
fn is_ssh_key(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return false };
    let length = u32::from_be_bytes(*length) as usize;
    let name = rest.get(..length).unwrap_or_default();
    (4..=64).contains(&name.len()) && name.len() < rest.len() && name.iter().all(u8::is_ascii_graphic)
}

/// First frame of the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginAnswer {
    /// The SSH host key of this provider in SSH wire format; empty where it offers no SSH.
    Welcome {
        ssh_host_key: Vec<u8>,
    },
    Refused {
        code: String,
        reason: String,
    },
}

impl LoginAnswer {
    pub fn new<T>(outcome: &Result<T, SessionError>, ssh_host_key: &[u8]) -> Self {
        match outcome {
            Ok(_) => Self::Welcome { ssh_host_key: ssh_host_key.to_vec() },
            Err(error) => Self::Refused { code: error.code().into(), reason: error.to_string() },
        }
    }
}

/// What the renter asks for once it is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SessionRequest {
    /// Says what to start; answered with every [`LaunchProgress`] until the last one.
    Launch(Box<LaunchSpec>),
    Status,
    RunKernel(Box<KernelJob>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum SessionReply {
    Progress(LaunchProgress),
    Status(Box<TenantStatus>),
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
    #[error("what the login names is not an SSH key")]
    NotSshKey,
    #[error("the login names {keys} SSH keys, at most {limit} are allowed")]
    TooManyKeys { keys: usize, limit: usize },
    #[error("the provider answered something else than what was asked")]
    Unexpected,
    #[error("the provider refused ({refusal}): {reason}")]
    Refused { refusal: String, reason: String },
}

/// Longest reason that is passed on; a compiler's messages are the longest honest ones.
const MAX_REASON_CHARS: usize = 16 * 1024;

impl SessionError {
    /// What the other side said, without what would steer a terminal.
    pub fn refused(code: &str, reason: &str) -> Self {
        let harmless = |text: &str, limit: usize| {
            text.chars().take(limit).filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
        };
        Self::Refused { refusal: harmless(code, 32), reason: harmless(reason, MAX_REASON_CHARS) }
    }
}

impl Coded for SessionError {
    fn code(&self) -> &'static str {
        match self {
            SessionError::Stream(_) | SessionError::Oversize { .. } | SessionError::Malformed(_) | SessionError::Unexpected => {
                "E-SESSION-001"
            }
            SessionError::TimedOut => "E-SESSION-002",
            SessionError::UnknownRental { .. } | SessionError::NotRunning { .. } => UNKNOWN_RENTAL_CODE,
            SessionError::WrongPeer | SessionError::WrongSignature => "E-SESSION-004",
            SessionError::Expired { .. } | SessionError::Clock { .. } => "E-SESSION-005",
            SessionError::Refused { .. } => "E-SESSION-006",
            SessionError::NotSshKey | SessionError::TooManyKeys { .. } => "E-SESSION-007",
        }
    }

    fn next_step(&self) -> String {
        match self {
            SessionError::Stream(_) | SessionError::TimedOut => "try again; the rental is unharmed".into(),
            SessionError::Oversize { .. } => "send smaller buffers, or split the work".into(),
            SessionError::Malformed(_) | SessionError::Unexpected => "use the same version on both sides".into(),
            SessionError::UnknownRental { .. } | SessionError::NotRunning { .. } => "see `gpumkt rentals` for what is running".into(),
            SessionError::WrongPeer | SessionError::WrongSignature => "log in from the machine that rented, or with its session key".into(),
            SessionError::Expired { .. } => "log in again: a new key is signed".into(),
            SessionError::Clock { .. } => "set the clock, for example with systemd-timesyncd".into(),
            SessionError::Refused { .. } => "read the reason: it is the provider that refused".into(),
            SessionError::NotSshKey | SessionError::TooManyKeys { .. } => {
                "name fewer keys, and public ones as `ssh-keygen` writes them".into()
            }
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
    read_frame_or_end(reader).await?.ok_or_else(ended)
}

/// [`Login`] or [`LoginAnswer`]: small, because the other side has not shown yet that it means well.
pub async fn read_login_frame<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<T, SessionError> {
    read_at_most(reader, MAX_LOGIN_BYTES).await?.ok_or_else(ended)
}

fn ended() -> SessionError {
    std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into()
}

/// `None` when the other side has closed between two frames.
pub async fn read_frame_or_end<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin)) -> Result<Option<T>, SessionError> {
    read_at_most(reader, MAX_FRAME_BYTES).await
}

async fn read_at_most<T: DeserializeOwned>(reader: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Option<T>, SessionError> {
    let length = match reader.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if length > limit {
        return Err(SessionError::Oversize { bytes: length, limit });
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
    use alloy::signers::{SignerSync, local::PrivateKeySigner};

    use super::*;
    use crate::types::signing::{compact, contract_domain};

    fn named(domain: &Eip712Domain, signer: &PrivateKeySigner, public_key: &[u8], expiry: u64) -> NamedKey {
        let statement = SessionKey { rentalId: 7, publicKey: public_key.to_vec().into(), expiry };
        let signature = signer.sign_hash_sync(&statement.eip712_signing_hash(domain)).unwrap();
        NamedKey { public_key: public_key.to_vec(), expiry, signature: compact(&signature).to_vec() }
    }

    fn login(ssh_keys: Vec<NamedKey>) -> Login {
        let unused = Vec::new();
        Login {
            rental: 7,
            public_key: unused.clone(),
            expiry: 0,
            key_signature: unused.clone(),
            opened_at: 0,
            opened_signature: unused,
            ssh_keys,
        }
    }

    #[test]
    fn only_ssh_keys_that_the_session_key_names_are_accepted() {
        let (domain, signer) = (contract_domain(1, Address::repeat_byte(2)), PrivateKeySigner::random());
        let key = [&[0, 0, 0, 11][..], b"ssh-ed25519", &[0, 0, 0, 32], &[5; 32]].concat();
        let check = |keys: Vec<NamedKey>| login(keys).authorized_keys(&domain, signer.address(), 100);
        let good = named(&domain, &signer, &key, 101);
        assert_eq!(check(vec![good.clone()]).unwrap(), std::slice::from_ref(&key));
        assert!(check(Vec::new()).unwrap().is_empty());

        let stranger = named(&domain, &PrivateKeySigner::random(), &key, 101);
        assert!(matches!(check(vec![good.clone(), stranger]), Err(SessionError::WrongSignature)));
        let stretched = NamedKey { expiry: 102, ..good.clone() };
        assert!(matches!(check(vec![stretched]), Err(SessionError::WrongSignature)));
        assert!(matches!(check(vec![named(&domain, &signer, &key, 100)]), Err(SessionError::Expired { expiry: 100 })));
        let other_domain = named(&contract_domain(2, Address::repeat_byte(2)), &signer, &key, 101);
        assert!(matches!(check(vec![other_domain]), Err(SessionError::WrongSignature)));
        assert!(matches!(check(vec![good; MAX_SSH_KEYS + 1]), Err(SessionError::TooManyKeys { .. })));
        let peer_id = [&[0, 36, 8, 1, 18, 32][..], &[7; 32]].concat();
        for wrong in [&peer_id[..], &[], &[0, 0, 0, 11], &key[..15]] {
            assert!(matches!(check(vec![named(&domain, &signer, wrong, 101)]), Err(SessionError::NotSshKey)), "{wrong:?}");
        }
    }

    #[test]
    fn a_refusal_cannot_steer_a_terminal() {
        let error = SessionError::refused("E\x1b]0;x\x07", &format!("line 1\nline\u{9b}2J 2{}", "x".repeat(1 << 20)));
        let text = error.to_string();
        assert!(text.contains("line 1\nline2J 2xxx") && text.len() < 20_000);
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()));
    }

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
        near.write_u32(MAX_LOGIN_BYTES as u32 + 1).await.unwrap();
        assert!(matches!(read_login_frame::<Login>(&mut far).await, Err(SessionError::Oversize { limit: MAX_LOGIN_BYTES, .. })));
        drop(near);
        assert!(read_frame_or_end::<LoginAnswer>(&mut far).await.unwrap().is_none());
    }

    /// Whatever comes, a frame is a value or an error; a value goes its way again as it came.
    fn read_as<T: Serialize + DeserializeOwned>(frame: &[u8], limit: usize) {
        let mut reader = frame;
        let outcome = futures::executor::block_on(read_at_most::<T>(&mut reader, limit));
        if let Ok(Some(value)) = outcome {
            let bytes = postcard::to_stdvec(&value).unwrap();
            let again = postcard::from_bytes::<T>(&bytes).unwrap();
            assert_eq!(postcard::to_stdvec(&again).unwrap(), bytes);
        }
    }

    fn read_as_everything(frame: &[u8]) {
        read_as::<Login>(frame, MAX_LOGIN_BYTES);
        read_as::<LoginAnswer>(frame, MAX_LOGIN_BYTES);
        read_as::<SessionRequest>(frame, MAX_FRAME_BYTES);
        read_as::<SessionReply>(frame, MAX_FRAME_BYTES);
        if let Ok(login) = postcard::from_bytes::<Login>(frame.get(4..).unwrap_or_default()) {
            // Nobody signed it.
            assert!(login.ssh_keys.is_empty() || login.authorized_keys(&contract_domain(1, Address::ZERO), Address::ZERO, 0).is_err());
        }
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    proptest::proptest! {
        #[test]
        fn strangers_frames_never_panic(bytes: Vec<u8>) {
            read_as_everything(&bytes);
            read_as_everything(&framed(&bytes));
        }

        #[test]
        fn damaged_frames_never_panic(
            key: Vec<u8>,
            expiry: u64,
            code: String,
            at: proptest::sample::Index,
            value: u8,
            cut: proptest::sample::Index,
        ) {
            let named = NamedKey { public_key: key.clone(), expiry, signature: vec![1; 64] };
            let job = KernelJob {
                source: code.clone(),
                kernel_name: code.clone(),
                global_size: [1; 3],
                local_size: None,
                args: Vec::new(),
                build_options: vec![code.clone()],
            };
            let values = [
                postcard::to_stdvec(&Login { public_key: key, ..login(vec![named]) }).unwrap(),
                postcard::to_stdvec(&LoginAnswer::Refused { code: code.clone(), reason: code.clone() }).unwrap(),
                postcard::to_stdvec(&SessionRequest::RunKernel(Box::new(job))).unwrap(),
                postcard::to_stdvec(&SessionRequest::Launch(Box::default())).unwrap(),
                postcard::to_stdvec(&SessionReply::Refused { reason: code.clone(), code }).unwrap(),
            ];
            for mut bytes in values {
                let place = at.index(bytes.len());
                bytes[place] = value;
                read_as_everything(&framed(&bytes));
                bytes.truncate(cut.index(bytes.len() + 1));
                read_as_everything(&framed(&bytes));
            }
        }
    }
}
