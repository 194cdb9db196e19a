//! The node's network identity: 32 raw bytes, so that no crate's key type leaks between chain and network.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use rand::TryRngCore;
use zeroize::Zeroizing;

use super::KeyError;

/// The seed stored at `path`; made on first use, readable by the owner alone.
pub fn load_or_create_identity(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    match std::fs::read(path) {
        Ok(bytes) => bytes.try_into().map(Zeroizing::new).map_err(|_| KeyError::Identity { path: path.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(source) => Err(KeyError::Unreadable { path: path.into(), source }),
    }
}

fn create(path: &Path) -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let unwritable = |source| KeyError::Unwritable { path: path.into(), source };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(unwritable)?;
    }
    let mut seed = Zeroizing::new([0u8; 32]);
    rand::rngs::OsRng.try_fill_bytes(&mut *seed).map_err(|error| unwritable(std::io::Error::other(error.to_string())))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(unwritable)?;
    file.write_all(&*seed).and_then(|()| file.sync_all()).map_err(unwritable)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_the_same_and_refuses_a_damaged_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        let first = load_or_create_identity(&path).unwrap();
        assert_eq!(*first, *load_or_create_identity(&path).unwrap());
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(load_or_create_identity(&path), Err(KeyError::Identity { .. })));
    }
}
