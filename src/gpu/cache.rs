//! Compiled programs on disk, so that a node with a slow compiler is ready at once after a restart.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use alloy::primitives::{B256, keccak256};

/// Most bytes that the folder may hold; the entries unused for longest go first. A few programs of a few MB each are in use at
/// a time.
const MAX_BYTES: u64 = 256 << 20;
const EXTENSION: &str = "program";

/// A folder of programs by key. Nothing in it is trusted: what is damaged is compiled again.
#[derive(Clone, Debug)]
pub struct ProgramCache {
    folder: PathBuf,
    max_bytes: u64,
}

impl ProgramCache {
    /// A cache in `folder`, which is made when something is stored.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), max_bytes: MAX_BYTES }
    }

    /// The cache of this user: `$GPUMKT_CACHE_DIR`, else `$XDG_CACHE_HOME/gpumkt`, else `~/.cache/gpumkt`; None where none is set.
    pub fn of_user() -> Option<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        variable("GPUMKT_CACHE_DIR")
            .or_else(|| variable("XDG_CACHE_HOME").map(|base| base.join("gpumkt")))
            .or_else(|| variable("HOME").map(|home| home.join(".cache/gpumkt")))
            .map(Self::new)
    }

    /// Where the programs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The key of a program: everything that its machine code depends on.
    pub fn key(parts: &[&str]) -> B256 {
        let mut preimage = Vec::new();
        for part in parts {
            preimage.extend_from_slice(&(part.len() as u64).to_be_bytes());
            preimage.extend_from_slice(part.as_bytes());
        }
        keccak256(preimage)
    }

    /// The program stored under `key`, unless it is missing or damaged.
    pub fn load(&self, key: B256) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut bytes = fs::read(&path).ok()?;
        let sound = bytes.len() > 32 && keccak256(&bytes[32..]).as_slice() == &bytes[..32];
        if !sound {
            tracing::debug!(path = %path.display(), "a damaged program is compiled again");
            self.remove(key);
            return None;
        }
        // The time of the last use decides what goes first. Where it cannot be set, the time of writing does.
        if let Ok(file) = fs::File::open(&path) {
            file.set_modified(SystemTime::now()).ok();
        }
        Some(bytes.split_off(32))
    }

    /// Stores a program. A cache that cannot be written is no reason to fail: it only costs time at the next start.
    pub fn store(&self, key: B256, program: &[u8]) {
        if let Err(error) = self.write(key, program).and_then(|()| self.prune()) {
            tracing::debug!(folder = %self.folder.display(), %error, "a compiled program was not kept");
        }
    }

    /// Forgets a program that the driver refuses.
    pub fn remove(&self, key: B256) {
        fs::remove_file(self.path(key)).ok();
    }

    /// Written beside its place and renamed, so that a reader never sees half of it.
    fn write(&self, key: B256, program: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let partial = self.folder.join(format!("{key}.{}.partial", std::process::id()));
        let mut file = fs::File::create(&partial)?;
        file.write_all(keccak256(program).as_slice())?;
        file.write_all(program)?;
        drop(file);
        fs::rename(&partial, self.path(key)).inspect_err(|_| {
            fs::remove_file(&partial).ok();
        })
    }

    fn prune(&self) -> std::io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION || extension == "partial") {
                let metadata = entry.metadata()?;
                entries.push((metadata.modified()?, metadata.len(), path));
            }
        }
        entries.sort();
        let mut total: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        for (_, bytes, path) in entries {
            if total <= self.max_bytes {
                break;
            }
            fs::remove_file(path)?;
            total -= bytes;
        }
        Ok(())
    }

    fn path(&self, key: B256) -> PathBuf {
        self.folder.join(format!("{key}.{EXTENSION}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded_and_what_is_damaged_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ProgramCache::new(folder.path().join("made when needed"));
        let key = ProgramCache::key(&["device", "driver 1", "source"]);
        assert_eq!(cache.load(key), None);
        cache.store(key, b"machine code");
        assert_eq!(cache.load(key).as_deref(), Some(b"machine code".as_slice()));
        for damage in [b"short".as_slice(), &[0; 64]] {
            fs::write(cache.path(key), damage).unwrap();
            assert_eq!(cache.load(key), None);
            assert!(!cache.path(key).exists());
        }
        cache.store(key, b"machine code");
        assert!(cache.load(key).is_some());
    }

    #[test]
    fn keys_tell_apart_what_only_joins_to_the_same() {
        assert_ne!(ProgramCache::key(&["ab", "c"]), ProgramCache::key(&["a", "bc"]));
    }

    #[test]
    fn the_folder_is_bounded_and_keeps_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = ProgramCache { folder: folder.path().into(), max_bytes: 300 };
        let keys: Vec<B256> = (0..5u8).map(B256::repeat_byte).collect();
        for (age, key) in keys.iter().rev().enumerate() {
            cache.store(*key, &[7; 68]);
            if let Ok(file) = fs::File::open(cache.path(*key)) {
                file.set_modified(SystemTime::now() - std::time::Duration::from_secs(age as u64 * 60)).unwrap();
            }
        }
        cache.prune().unwrap();
        let kept: Vec<bool> = keys.iter().map(|key| cache.path(*key).exists()).collect();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), 3);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let cache = ProgramCache::new(file.join("below a file"));
        cache.store(B256::ZERO, b"x");
        assert_eq!(cache.load(B256::ZERO), None);
    }
}
