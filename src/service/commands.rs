//! What an operator tells a node: a file in the data folder, left by a command, taken by the node when it next looks. Works whether
//! the node runs or not, and is guarded by the folder's permissions.

use std::{io, path::Path};

use serde::{Serialize, de::DeserializeOwned};

const FOLDER: &str = "commands";
/// A command is a few numbers; anything larger is none.
const MAX_BYTES: u64 = 64 * 1024;

/// Leaves `command` for the node whose data is in `data_dir`; replaces one of the same name that was not taken yet.
pub fn leave<T: Serialize>(data_dir: &Path, name: &str, command: &T) -> io::Result<()> {
    let folder = data_dir.join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let text = serde_json::to_string(command).map_err(io::Error::other)?;
    let partial = folder.join(format!("{name}.part"));
    std::fs::write(&partial, text)?;
    std::fs::rename(partial, folder.join(format!("{name}.json")))
}

/// The command that waits, if any. It stays until [`done`], so that a crash in between repeats it.
pub fn waiting<T: DeserializeOwned>(data_dir: &Path, name: &str) -> Option<T> {
    let path = data_dir.join(FOLDER).join(format!("{name}.json"));
    let length = std::fs::metadata(&path).ok()?.len();
    let parsed = (length <= MAX_BYTES).then(|| std::fs::read(&path).ok()).flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if parsed.is_none() {
        tracing::warn!(path = %path.display(), "not a command, removed");
        done(data_dir, name);
    }
    parsed
}

pub fn done(data_dir: &Path, name: &str) {
    let path = data_dir.join(FOLDER).join(format!("{name}.json"));
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a command that was carried out cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_stays_until_it_is_done_and_rubbish_does_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(waiting::<u32>(folder.path(), "retry"), None);
        leave(folder.path(), "retry", &7u32).unwrap();
        assert_eq!(waiting::<u32>(folder.path(), "retry"), Some(7));
        assert_eq!(waiting::<u32>(folder.path(), "retry"), Some(7), "a crash before it was carried out loses nothing");
        done(folder.path(), "retry");
        assert_eq!(waiting::<u32>(folder.path(), "retry"), None);
        std::fs::write(folder.path().join("commands/retry.json"), "rubbish").unwrap();
        assert_eq!(waiting::<u32>(folder.path(), "retry"), None);
        assert!(!folder.path().join("commands/retry.json").exists());
    }
}
