//! What OpenSSH reads for one rental: a key, the provider's host key.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{
    client::ClientError,
    sandbox::{SshKeyPair, known_hosts_line, read_public_key},
    types::RentalId,
};

/// File with the path of the key that the renter has brought.
const LOGIN_KEY: &str = "login-key";

/// The folder of one rental under the renter's data folder. Paths are absolute: OpenSSH may run anywhere.
#[derive(Debug, Clone)]
pub struct ShellFiles {
    rental: RentalId,
    folder: PathBuf,
    /// Public key that the renter brings; the private one may be in an agent.
    own_key: Option<PathBuf>,
}

impl ShellFiles {
    /// Makes the folder, and a key where the renter brings none.
    pub fn prepare(data_dir: &Path, rental: RentalId, own_key: Option<&Path>) -> Result<Self, ClientError> {
        let folder = data_dir.join("ssh").join(rental.to_string());
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source| ClientError::File { path, source }
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        let folder = folder.canonicalize().map_err(failed(&folder))?;
        let remembered = fs::read_to_string(folder.join(LOGIN_KEY)).ok().map(PathBuf::from);
        let own_key = own_key.or(remembered.as_deref());
        let own_key = own_key.map(|path| path.canonicalize().map_err(failed(path))).transpose()?;
        let files = Self { rental, folder, own_key };
        match &files.own_key {
            Some(path) => drop(read_public_key(path)?),
            None => drop(SshKeyPair::load_or_create(&files.identity())?),
        }
        Ok(files)
    }

    /// Whoever rented with a key of its own logs in with it from then on.
    pub fn remember_key(data_dir: &Path, rental: RentalId, public_key: &Path) -> Result<(), ClientError> {
        let files = Self::prepare(data_dir, rental, Some(public_key))?;
        let path = files.own_key.unwrap_or_default();
        replace(&files.folder.join(LOGIN_KEY), path.as_os_str().as_encoded_bytes())
    }

    pub fn rental(&self) -> RentalId {
        self.rental
    }

    /// Name of the rental's container for OpenSSH.
    pub fn host(&self) -> String {
        format!("gpumkt-{}", self.rental)
    }

    /// What IdentityFile names: the private key, or the public one of a key that is in an agent.
    pub fn identity(&self) -> PathBuf {
        let Some(public) = &self.own_key else { return self.folder.join("id_ed25519") };
        let private = public.with_extension("");
        if public.extension().is_some_and(|extension| extension == "pub") && private.exists() { private } else { public.clone() }
    }

    pub fn own_key(&self) -> Option<&Path> {
        self.own_key.as_deref()
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// Where the provider was found last.
    pub fn provider(&self) -> PathBuf {
        self.folder.join("provider")
    }

    /// Socket of the connection that commands share.
    pub fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// A file that says of this process's connection that it stood.
    pub fn mark(&self) -> PathBuf {
        self.folder.join(format!("connected.{}", std::process::id()))
    }

    /// Keys that may log in, in SSH wire format.
    pub fn authorized_keys(&self) -> Result<Vec<Vec<u8>>, ClientError> {
        let key = match &self.own_key {
            Some(path) => read_public_key(path)?,
            None => SshKeyPair::load_or_create(&self.identity())?.public_key(),
        };
        Ok(vec![key])
    }

    pub(super) fn write_known_hosts(&self, host_key: &[u8]) -> Result<(), ClientError> {
        let line = known_hosts_line(&self.host(), host_key).ok_or(ClientError::NoShell { rental: self.rental })?;
        replace(&self.known_hosts(), line.as_bytes())
    }
}

/// A public key that SSH can log in with, as an absolute path.
pub fn check_key(path: &Path) -> Result<PathBuf, ClientError> {
    drop(read_public_key(path)?);
    path.canonicalize().map_err(|source| ClientError::File { path: path.into(), source })
}

/// Writes beside and renames: several commands for one rental may run at once.
pub(in crate::client) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ClientError> {
    let partial = path.with_extension(format!("{}.part", std::process::id()));
    let written = fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    written.map_err(|source| ClientError::File { path: path.into(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rental_has_a_key_of_its_own_or_the_one_that_was_brought() {
        let folder = tempfile::tempdir().unwrap();
        let made = ShellFiles::prepare(folder.path(), 12, None).unwrap();
        assert_eq!(made.host(), "gpumkt-12");
        let keys = made.authorized_keys().unwrap();
        assert_eq!(ShellFiles::prepare(folder.path(), 12, None).unwrap().authorized_keys().unwrap(), keys);
        assert_ne!(ShellFiles::prepare(folder.path(), 13, None).unwrap().authorized_keys().unwrap(), keys);

        let public = made.identity().with_extension("pub");
        let brought = ShellFiles::prepare(folder.path(), 14, Some(&public)).unwrap();
        assert_eq!((brought.authorized_keys().unwrap(), brought.identity()), (keys.clone(), made.identity()));
        let only_public = folder.path().join("agent.pub");
        fs::copy(&public, &only_public).unwrap();
        let brought = ShellFiles::prepare(folder.path(), 14, Some(&only_public)).unwrap();
        assert_eq!(brought.identity(), only_public.canonicalize().unwrap(), "the agent has the private key");
        assert!(ShellFiles::prepare(folder.path(), 14, Some(&folder.path().join("none.pub"))).is_err());

        ShellFiles::remember_key(folder.path(), 15, &check_key(&public).unwrap()).unwrap();
        assert_eq!(ShellFiles::prepare(folder.path(), 15, None).unwrap().authorized_keys().unwrap(), keys, "it is remembered");
        assert!(check_key(&made.identity()).is_err(), "a private key is never named in its place");

        made.write_known_hosts(&keys[0]).unwrap();
        assert!(fs::read_to_string(made.known_hosts()).unwrap().starts_with("gpumkt-12 ssh-ed25519 "));
        assert!(made.write_known_hosts(b"no key").is_err());
    }
}
