//! What requests do to files.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, ReadDir};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::sys;
use super::listing;
use super::wire::{Attributes, Failure, MAX_PACKET, path};

/// Open files and folders of one client.
const MAX_HANDLES: usize = 256;
/// Most bytes of one read or write; the rest of a packet is its head.
const MAX_DATA: usize = MAX_PACKET - 1024;
/// Entries of a folder in one answer. 255 bytes of name, twice, and the line leave it far below the longest packet.
const ENTRIES: usize = 100;
/// Permission bits that a mode holds beside the kind of file.
const PERMISSION_BITS: u32 = 0o7777;

mod flag {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const APPEND: u32 = 4;
    pub const CREATE: u32 = 8;
    pub const TRUNCATE: u32 = 16;
    pub const EXCLUSIVE: u32 = 32;
}

/// A file in an answer.
#[derive(Debug)]
pub struct Entry {
    pub name: Vec<u8>,
    pub line: Vec<u8>,
    pub attributes: Attributes,
}

/// What one client has open.
#[derive(Default)]
pub struct Files {
    open: HashMap<[u8; 4], Handle>,
    next: u32,
}

enum Handle {
    File(File),
    Folder { path: PathBuf, entries: ReadDir, is_begun: bool },
}

impl Files {
    pub fn open(&mut self, name: &[u8], flags: u32, attributes: &Attributes) -> Result<[u8; 4], Failure> {
        if flags & (flag::READ | flag::WRITE) == 0 {
            return Err(Failure::Malformed);
        }
        let open =
            [(flag::APPEND, sys::O_APPEND), (flag::CREATE, sys::O_CREAT), (flag::TRUNCATE, sys::O_TRUNC), (flag::EXCLUSIVE, sys::O_EXCL)];
        // Neither a pipe without a writer nor a terminal shall take this thread away.
        let custom = open.iter().filter(|(asked, _)| flags & asked != 0).fold(sys::O_NONBLOCK | sys::O_NOCTTY, |all, (_, flag)| all | flag);
        let mut options = OpenOptions::new();
        options.read(flags & flag::READ != 0).write(flags & flag::WRITE != 0).custom_flags(custom);
        options.mode(attributes.permissions.unwrap_or(0o666) & 0o777);
        self.keep(|| Ok(Handle::File(options.open(path(name))?)))
    }

    pub fn open_folder(&mut self, name: &[u8]) -> Result<[u8; 4], Failure> {
        let path = path(name);
        self.keep(|| Ok(Handle::Folder { entries: fs::read_dir(&path)?, path, is_begun: false }))
    }

    pub fn close(&mut self, handle: &[u8]) -> Result<(), Failure> {
        let key: [u8; 4] = handle.try_into().map_err(|_| Failure::Malformed)?;
        self.open.remove(&key).map(drop).ok_or_else(unknown_handle)
    }

    pub fn read(&mut self, handle: &[u8], offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let file = self.file(handle)?;
        let mut data = vec![0; (length as usize).min(MAX_DATA)];
        let count = file.read_at(&mut data, offset)?;
        if count == 0 && length > 0 {
            return Err(Failure::EndOfFile);
        }
        data.truncate(count);
        Ok(data)
    }

    pub fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> Result<(), Failure> {
        Ok(self.file(handle)?.write_all_at(data, offset)?)
    }

    pub fn list(&mut self, handle: &[u8]) -> Result<Vec<Entry>, Failure> {
        let Handle::Folder { path, entries, is_begun } = self.handle(handle)? else { return Err(Failure::Malformed) };
        let mut listed = Vec::new();
        if !std::mem::replace(is_begun, true) {
            for name in [".", ".."] {
                listed.extend(path.join(name).symlink_metadata().map(|metadata| entry(name.as_bytes(), &metadata)));
            }
        }
        // One that has been removed meanwhile is passed over.
        let found = entries.flatten().filter_map(|found| Some(entry(found.file_name().as_bytes(), &found.metadata().ok()?)));
        listed.extend(found.take(ENTRIES));
        if listed.is_empty() { Err(Failure::EndOfFile) } else { Ok(listed) }
    }

    pub fn stat(&mut self, handle: &[u8]) -> Result<Attributes, Failure> {
        match self.handle(handle)? {
            Handle::File(file) => Ok((&file.metadata()?).into()),
            Handle::Folder { path, .. } => Ok((&path.metadata()?).into()),
        }
    }

    pub fn set(&mut self, handle: &[u8], attributes: &Attributes) -> Result<(), Failure> {
        let file = match self.handle(handle)? {
            Handle::File(file) => file,
            Handle::Folder { path, .. } => &File::open(path)?,
        };
        if let Some(size) = attributes.size {
            file.set_len(size)?;
        }
        if let Some((user, group)) = attributes.owner {
            fchown(file, Some(user), Some(group))?;
        }
        if let Some(mode) = attributes.permissions {
            file.set_permissions(Permissions::from_mode(mode & PERMISSION_BITS))?;
        }
        if let Some((accessed, modified)) = attributes.times {
            sys::set_file_times(file, accessed, modified)?;
        }
        Ok(())
    }

    pub fn sync(&mut self, handle: &[u8]) -> Result<(), Failure> {
        Ok(self.file(handle)?.sync_all()?)
    }

    pub fn file_system(&mut self, handle: &[u8]) -> Result<[u64; 11], Failure> {
        match self.handle(handle)? {
            Handle::File(file) => statistics(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd()))),
            Handle::Folder { path, .. } => statistics(path),
        }
    }

    fn keep(&mut self, open: impl FnOnce() -> Result<Handle, Failure>) -> Result<[u8; 4], Failure> {
        if self.open.len() >= MAX_HANDLES {
            return Err(Failure::Io(io::Error::from_raw_os_error(sys::EMFILE)));
        }
        let handle = open()?;
        // Numbers come round only after four thousand million; one that is still in use then is skipped.
        while self.open.contains_key(&self.next.to_be_bytes()) {
            self.next = self.next.wrapping_add(1);
        }
        let key = self.next.to_be_bytes();
        self.next = self.next.wrapping_add(1);
        self.open.insert(key, handle);
        Ok(key)
    }

    fn handle(&mut self, handle: &[u8]) -> Result<&mut Handle, Failure> {
        let key: [u8; 4] = handle.try_into().map_err(|_| Failure::Malformed)?;
        self.open.get_mut(&key).ok_or_else(unknown_handle)
    }

    fn file(&mut self, handle: &[u8]) -> Result<&mut File, Failure> {
        match self.handle(handle)? {
            Handle::File(file) => Ok(file),
            Handle::Folder { .. } => Err(Failure::Malformed),
        }
    }
}

fn unknown_handle() -> Failure {
    Failure::Io(io::Error::from_raw_os_error(sys::EBADF))
}

fn entry(name: &[u8], metadata: &Metadata) -> Entry {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64);
    let line = [listing::line(metadata, now_s).as_bytes(), name].concat();
    Entry { name: name.to_vec(), line, attributes: metadata.into() }
}

/// A name alone, where an answer has no use for more.
fn bare_entry(name: &Path) -> Entry {
    let name = name.as_os_str().as_bytes().to_vec();
    Entry { line: name.clone(), name, attributes: Attributes::default() }
}

pub fn stat(name: &[u8], follows: bool) -> Result<Attributes, Failure> {
    let path = path(name);
    let metadata = if follows { path.metadata()? } else { path.symlink_metadata()? };
    Ok((&metadata).into())
}

pub fn set(name: &[u8], attributes: &Attributes, follows: bool) -> Result<(), Failure> {
    let path = path(name);
    let is_link = !follows && path.symlink_metadata()?.is_symlink();
    if let Some(size) = attributes.size {
        OpenOptions::new().write(true).custom_flags(sys::O_NONBLOCK | sys::O_NOCTTY).open(&path)?.set_len(size)?;
    }
    if let Some((user, group)) = attributes.owner {
        let change = if follows { chown(&path, Some(user), Some(group)) } else { lchown(&path, Some(user), Some(group)) };
        change?;
    }
    // A link has no permissions of its own.
    if let Some(mode) = attributes.permissions.filter(|_| !is_link) {
        fs::set_permissions(&path, Permissions::from_mode(mode & PERMISSION_BITS))?;
    }
    if let Some((accessed, modified)) = attributes.times {
        sys::set_times(&path, accessed, modified, follows)?;
    }
    Ok(())
}

pub fn remove(name: &[u8]) -> Result<(), Failure> {
    Ok(fs::remove_file(path(name))?)
}

pub fn make_folder(name: &[u8], attributes: &Attributes) -> Result<(), Failure> {
    Ok(DirBuilder::new().mode(attributes.permissions.unwrap_or(0o777) & 0o777).create(path(name))?)
}

pub fn remove_folder(name: &[u8]) -> Result<(), Failure> {
    Ok(fs::remove_dir(path(name))?)
}

/// Renames, and fails if the new name is taken.
pub fn rename(from: &[u8], to: &[u8]) -> Result<(), Failure> {
    let (from, to) = (path(from), path(to));
    match sys::rename_without_replacing(&from, &to) {
        // Not every file system can.
        Err(error) if matches!(error.raw_os_error(), Some(sys::EINVAL | sys::ENOSYS)) && to.symlink_metadata().is_err() => {
            Ok(fs::rename(from, to)?)
        }
        other => Ok(other?),
    }
}

/// Renames, and replaces what has the new name.
pub fn replace(from: &[u8], to: &[u8]) -> Result<(), Failure> {
    Ok(fs::rename(path(from), path(to))?)
}

pub fn link(target: &[u8], name: &[u8]) -> Result<(), Failure> {
    // The target is text: a relative one starts where the link is.
    Ok(std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path(name))?)
}

pub fn hard_link(from: &[u8], to: &[u8]) -> Result<(), Failure> {
    Ok(fs::hard_link(path(from), path(to))?)
}

pub fn read_link(name: &[u8]) -> Result<Entry, Failure> {
    Ok(bare_entry(&fs::read_link(path(name))?))
}

/// The absolute path without links. Its last part need not exist: clients ask before they make it.
pub fn real_path(name: &[u8]) -> Result<Entry, Failure> {
    let path = path(name);
    let error = match path.canonicalize() {
        Ok(real) => return Ok(bare_entry(&real)),
        Err(error) => error,
    };
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(last)) if error.raw_os_error() == Some(sys::ENOENT) => Ok(bare_entry(&parent.canonicalize()?.join(last))),
        _ => Err(error.into()),
    }
}

/// As [`real_path`], with `~` for the renter's home.
pub fn expand(name: &[u8]) -> Result<Entry, Failure> {
    match name {
        b"~" => real_path(b"."),
        [b'~', b'/', rest @ ..] => real_path(&[b"./", rest].concat()),
        [b'~', user @ ..] => {
            let user = String::from_utf8_lossy(user).into_owned();
            Err(Failure::Io(io::Error::other(format!("no home of user {user:?} is known"))))
        }
        _ => real_path(name),
    }
}

pub fn file_system(name: &[u8]) -> Result<[u64; 11], Failure> {
    statistics(&path(name))
}

fn statistics(path: &Path) -> Result<[u64; 11], Failure> {
    let found = sys::file_system(path)?;
    Ok([
        found.block_bytes,
        found.fragment_bytes,
        found.blocks,
        found.blocks_free,
        found.blocks_available,
        found.files,
        found.files_free,
        found.files_available,
        found.id,
        // Of these, the protocol knows two: read-only, and programs do not change their user.
        found.flags & 3,
        found.name_bytes,
    ])
}

/// Longest packet, read and write, and most handles.
pub fn limits() -> [u64; 4] {
    [MAX_PACKET as u64, MAX_DATA as u64, MAX_DATA as u64, MAX_HANDLES as u64]
}
