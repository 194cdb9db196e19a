//! A look at the rented device from inside: its nodes must be there, be devices, and open.

use std::{ffi::OsString, fs::OpenOptions, os::unix::fs::FileTypeExt, path::PathBuf, process::ExitCode};

/// Tells on standard error what is wrong with each of `paths`; succeeds if nothing is.
pub fn check(paths: impl Iterator<Item = OsString>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for path in paths.map(PathBuf::from) {
        if let Err(reason) = check_one(&path) {
            eprintln!("{}: {reason}", path.display());
            code = ExitCode::FAILURE;
        }
    }
    code
}

fn check_one(path: &PathBuf) -> Result<(), String> {
    let kind = std::fs::metadata(path).map_err(|error| error.to_string())?.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return Err("is not a device".to_owned());
    }
    OpenOptions::new().read(true).write(true).open(path).map(drop).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_from_files() {
        assert!(check_one(&"/dev/null".into()).is_ok());
        assert!(check_one(&"/dev/nothing-like-it".into()).is_err());
        assert!(check_one(&"/etc/passwd".into()).is_err());
    }
}
