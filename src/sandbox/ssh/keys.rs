//! Key files in OpenSSH's format.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rand::Rng;
use russh::keys::{
    PrivateKey, PublicKey,
    ssh_key::{LineEnding, private::Ed25519Keypair},
};
use secrecy::zeroize::Zeroizing;

use crate::sandbox::SandboxError;

/// Largest key file; any real one is far smaller.
const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;

/// An ed25519 key pair with a file of its own.
#[derive(Debug, Clone)]
pub struct SshKeyPair {
    pub(super) private: PrivateKey,
}

impl SshKeyPair {
    /// Reads the private key at `path`, or makes one: a file of mode 0600 that is complete or absent, and `path.pub` beside it.
    pub fn load_or_create(path: &Path) -> Result<Self, SandboxError> {
        match fs::metadata(path) {
            Ok(found) if found.len() > MAX_KEY_FILE_BYTES => Err(wrong(path, "it is too large")),
            Ok(_) => Self::load(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(wrong(path, error)),
        }
    }

    fn load(path: &Path) -> Result<Self, SandboxError> {
        let text = Zeroizing::new(fs::read_to_string(path).map_err(|error| wrong(path, error))?);
        let private = PrivateKey::from_openssh(text.as_str()).map_err(|error| wrong(path, error))?;
        if private.is_encrypted() {
            return Err(wrong(path, "it is encrypted"));
        }
        Ok(Self { private })
    }

    fn create(path: &Path) -> Result<Self, SandboxError> {
        let mut seed = Zeroizing::new([0u8; 32]);
        rand::rng().fill(&mut seed[..]);
        let private = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
        let text = private.to_openssh(LineEnding::LF).map_err(|error| wrong(path, error))?;
        let public = private.public_key().to_openssh().map_err(|error| wrong(path, error))?;
        let written =
            write_new(path, text.as_bytes(), 0o600).and_then(|()| write_new(&public_path(path), format!("{public}\n").as_bytes(), 0o644));
        written.map_err(|error| wrong(path, error))?;
        // Somebody else may have been first: what the file says counts.
        Self::load(path)
    }

    /// SSH wire format (RFC 4253 section 6.6).
    pub fn public_key(&self) -> Vec<u8> {
        self.private.public_key().to_bytes().unwrap_or_default()
    }
}

/// Reads `ssh-ed25519 AAAA… comment` and returns the key in SSH wire format.
pub fn read_public_key(path: &Path) -> Result<Vec<u8>, SandboxError> {
    let length = fs::metadata(path).map_err(|error| wrong(path, error))?.len();
    if length > MAX_KEY_FILE_BYTES {
        return Err(wrong(path, "it is too large"));
    }
    let text = fs::read_to_string(path).map_err(|error| wrong(path, error))?;
    let key = PublicKey::from_openssh(text.trim()).map_err(|error| wrong(path, error))?;
    if key.algorithm().is_rsa() {
        return Err(wrong(path, "RSA keys are not supported; make one with `ssh-keygen -t ed25519`"));
    }
    key.to_bytes().map_err(|error| wrong(path, error))
}

/// What `known_hosts` says about a host whose key is `public_key` (SSH wire format); `None` where that is no key.
pub fn known_hosts_line(host: &str, public_key: &[u8]) -> Option<String> {
    let key = PublicKey::from_bytes(public_key).ok()?;
    Some(format!("{host} {}\n", key.to_openssh().ok()?))
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
#[cfg(feature = "node")]
pub(super) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(russh::keys::HashAlg::Sha256).to_string()
}

fn public_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Writes beside and links into place, so that of two processes one wins and nobody ever reads half a file.
fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&temporary)?;
    let placed = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&temporary)?;
    placed
}

fn wrong(path: &Path, reason: impl ToString) -> SandboxError {
    SandboxError::SshKey { path: path.into(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ssh/id_ed25519");
        let made = SshKeyPair::load_or_create(&path).unwrap().public_key();
        assert_eq!(SshKeyPair::load_or_create(&path).unwrap().public_key(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_public_key(&folder.path().join("ssh/id_ed25519.pub")).unwrap(), made);
        assert_eq!(fs::read_dir(folder.path().join("ssh")).unwrap().count(), 2, "nothing temporary is left");
        assert!(known_hosts_line("gpumkt-1", &made).unwrap().starts_with("gpumkt-1 ssh-ed25519 AAAA"));
        assert!(known_hosts_line("gpumkt-1", b"nonsense").is_none());

        fs::write(&path, "nonsense").unwrap();
        assert!(SshKeyPair::load_or_create(&path).unwrap_err().to_string().contains("id_ed25519"), "a damaged key is never replaced");
    }

    #[test]
    fn an_ssh_keygen_key_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pub");
        fs::write(&path, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHJK0UZFGkmzUYS4Bh7ZqVkDqhZ/3rPoHZCMmXGmcnaX me@home\n").unwrap();
        assert_eq!(&read_public_key(&path).unwrap()[4..15], b"ssh-ed25519");
        for wrong in ["", "ssh-ed25519", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
            fs::write(&path, wrong).unwrap();
            assert_eq!(crate::types::Coded::code(&read_public_key(&path).unwrap_err()), "E-SANDBOX-050", "{wrong}");
        }
    }
}
