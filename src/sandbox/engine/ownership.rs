//! Who owns the folders of a container whose root is not the machine's root.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown},
    path::{Path, PathBuf},
};

use super::super::SandboxError;

/// Files that are handed over at most: more would hold up the start for minutes.
const MAX_FILES: usize = 2_000_000;

/// User and group of this machine that the root of the process's user namespace is.
pub fn root_of(pid: u32) -> Option<(u32, u32)> {
    let read = |name: &str| parse_root(&fs::read_to_string(format!("/proc/{pid}/{name}")).ok()?);
    Some((read("uid_map")?, read("gid_map")?))
}

/// Lines hold the first identifier inside, the first outside and their number.
fn parse_root(map: &str) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<u32>().ok());
        (numbers.next()? == Some(0)).then(|| numbers.next()?)?
    })
}

/// Makes the scratch folder of a new rental. Only its container has a way to it.
pub fn make_scratch_dir(folder: &Path) -> Result<(), SandboxError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| SandboxError::Folder { path: folder.to_owned(), source })
}

/// Lets everybody pass through the agent's folder: inside a user namespace its owner is nobody. Who gets as far as the folder is for
/// the folders above it, which the container does not see.
pub fn open_agent_dir(folder: &Path) -> Result<(), SandboxError> {
    let fault = |source| SandboxError::Folder { path: folder.to_owned(), source };
    let mode = fs::metadata(folder).map_err(fault)?.permissions().mode();
    if mode & 0o011 != 0o011 {
        fs::set_permissions(folder, fs::Permissions::from_mode(mode | 0o011)).map_err(fault)?;
    }
    Ok(())
}

/// Gives the folder and all in it to `owner`, the folder itself last: once it is handed over, so is everything. Nothing of the renter
/// runs yet, so no path can change underneath. Links are not followed.
pub fn hand_over(folder: &Path, owner: (u32, u32)) -> Result<(), SandboxError> {
    let fault = |path: &Path, source| SandboxError::Folder { path: path.to_owned(), source };
    let top = fs::symlink_metadata(folder).map_err(|error| fault(folder, error))?;
    if (top.uid(), top.gid()) == owner {
        return Ok(());
    }
    let mut left: Vec<PathBuf> = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).map_err(|error| fault(&next, error))? {
            let path = entry.map_err(|error| fault(&next, error))?.path();
            let found = fs::symlink_metadata(&path).map_err(|error| fault(&path, error))?;
            lchown(&path, Some(owner.0), Some(owner.1)).map_err(|error| fault(&path, error))?;
            if found.is_dir() {
                left.push(path);
            }
            seen += 1;
            if seen > MAX_FILES {
                return Err(fault(folder, std::io::Error::other("it holds too many files")));
            }
        }
    }
    lchown(folder, Some(owner.0), Some(owner.1)).map_err(|error| fault(folder, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_namespace_is_read_from_its_map() {
        assert_eq!(parse_root("         0 2147483647      65536\n"), Some(2_147_483_647));
        assert_eq!(parse_root("1 100 5\n0 7 1\n"), Some(7));
        for map in ["", "1 100 5", "0", "0 x 1", "x"] {
            assert_eq!(parse_root(map), None, "{map}");
        }
    }
}
