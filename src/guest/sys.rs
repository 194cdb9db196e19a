//! What the kernel offers and std does not.

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::agent::{Exit, WindowSize};

pub const EPERM: i32 = 1;
pub const ENOENT: i32 = 2;
pub const EBADF: i32 = 9;
const ECHILD: i32 = 10;
pub const EACCES: i32 = 13;
pub const ENOTDIR: i32 = 20;
pub const EINVAL: i32 = 22;
pub const EMFILE: i32 = 24;
pub const ENAMETOOLONG: i32 = 36;
pub const ENOSYS: i32 = 38;
pub const ELOOP: i32 = 40;
pub const EALREADY: i32 = 114;

pub const SIGHUP: i32 = 1;
pub const SIGTERM: i32 = 15;
pub const SIGCONT: i32 = 18;

pub const O_CREAT: i32 = 0o100;
pub const O_EXCL: i32 = 0o200;
pub const O_NOCTTY: i32 = 0o400;
pub const O_TRUNC: i32 = 0o1000;
pub const O_APPEND: i32 = 0o2000;
pub const O_NONBLOCK: i32 = 0o4000;
const O_RDWR: i32 = 0o2;
const O_CLOEXEC: i32 = 0o2_000_000;

pub const POLLIN: i16 = 1;
pub const POLLOUT: i16 = 4;
pub const POLLERR: i16 = 8;
pub const POLLHUP: i16 = 16;

const PR_SET_DUMPABLE: c_int = 4;
const PR_SET_CHILD_SUBREAPER: c_int = 36;
const TIOCSCTTY: c_ulong = 0x540e;
const TIOCSWINSZ: c_ulong = 0x5414;
const TIOCSPTLCK: c_ulong = 0x4004_5431;
const TIOCGPTPEER: c_ulong = 0x5441;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const RENAME_NOREPLACE: c_uint = 1;
const AT_FDCWD: c_int = -100;
const AT_SYMLINK_NOFOLLOW: c_int = 0x100;
const P_ALL: c_uint = 0;
const WNOHANG: c_int = 1;
const WEXITED: c_int = 4;
const WNOWAIT: c_int = 0x0100_0000;

/// One descriptor to wait for. A negative one is passed over.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct PollFd {
    pub fd: RawFd,
    pub events: i16,
    pub revents: i16,
}

impl PollFd {
    pub fn new(fd: RawFd, events: i16) -> Self {
        Self { fd, events, revents: 0 }
    }

    /// A descriptor only if there is something to wait for: a closed pipe reports that forever, asked or not.
    pub fn wanted(file: Option<&impl AsRawFd>, wanted: bool, events: i16) -> Self {
        Self::new(file.filter(|_| wanted).map_or(-1, AsRawFd::as_raw_fd), events)
    }
}

/// As the kernel lays it out; 32-bit padding of `statvfs` does not exist on 64-bit machines.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub struct FileSystem {
    pub block_bytes: c_ulong,
    pub fragment_bytes: c_ulong,
    pub blocks: c_ulong,
    pub blocks_free: c_ulong,
    pub blocks_available: c_ulong,
    pub files: c_ulong,
    pub files_free: c_ulong,
    pub files_available: c_ulong,
    pub id: c_ulong,
    pub flags: c_ulong,
    pub name_bytes: c_ulong,
    spare: [c_int; 6],
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: c_long,
}

unsafe extern "C" {
    #[link_name = "poll"]
    fn c_poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    fn waitid(kind: c_uint, id: c_uint, info: *mut c_void, options: c_int) -> c_int;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    #[link_name = "kill"]
    fn c_kill(pid: c_int, signal: c_int) -> c_int;
    #[link_name = "setsid"]
    fn c_setsid() -> c_int;
    fn fcntl(fd: c_int, command: c_int, argument: c_long) -> c_int;
    fn prctl(option: c_int, a: c_ulong, b: c_ulong, c: c_ulong, d: c_ulong) -> c_int;
    fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int;
    #[link_name = "signal"]
    fn c_signal(number: c_int, handler: usize) -> usize;
    fn utimensat(folder: c_int, path: *const c_char, times: *const TimeSpec, flags: c_int) -> c_int;
    fn futimens(fd: c_int, times: *const TimeSpec) -> c_int;
    fn renameat2(from_folder: c_int, from: *const c_char, to_folder: c_int, to: *const c_char, flags: c_uint) -> c_int;
    fn umask(mask: c_uint) -> c_uint;
    #[link_name = "statvfs"]
    fn c_statvfs(path: *const c_char, found: *mut FileSystem) -> c_int;
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Waits until a descriptor is ready or the time is over; a negative time waits for ever. An interruption counts as nothing ready.
pub fn poll(fds: &mut [PollFd], timeout_ms: i32) -> io::Result<usize> {
    // SAFETY: pointer and count are those of one mutable slice, whose layout is that of `struct pollfd`.
    let ready = unsafe { c_poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout_ms) };
    match checked(ready) {
        Ok(count) => Ok(count as usize),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            fds.iter_mut().for_each(|fd| fd.revents = 0);
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

/// Waits for a while.
pub fn pause(timeout_ms: i32) {
    // An interruption only shortens the wait.
    let _ = poll(&mut [], timeout_ms);
}

pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes plain numbers.
    checked(unsafe { c_kill(pid, signal) }).map(drop)
}

/// Makes the calling process the leader of a session of its own. Safe between fork and exec.
pub fn setsid() -> io::Result<()> {
    // SAFETY: takes nothing.
    checked(unsafe { c_setsid() }).map(drop)
}

/// Makes the terminal at `fd` the controlling one of the calling session leader. Safe between fork and exec.
pub fn take_terminal(fd: RawFd) -> io::Result<()> {
    // SAFETY: this request takes a number where others take a pointer.
    checked(unsafe { ioctl(fd, TIOCSCTTY, std::ptr::null_mut()) }).map(drop)
}

/// A fresh pseudo-terminal: its master and its slave.
pub fn open_terminal() -> io::Result<(File, File)> {
    let master = File::options().read(true).write(true).open("/dev/ptmx")?;
    let mut unlocked: c_int = 0;
    // SAFETY: the request reads one int, which lives until after the call.
    checked(unsafe { ioctl(master.as_raw_fd(), TIOCSPTLCK, (&raw mut unlocked).cast()) })?;
    // SAFETY: this request takes open flags where others take a pointer.
    let slave = checked(unsafe { ioctl(master.as_raw_fd(), TIOCGPTPEER, (O_RDWR | O_NOCTTY | O_CLOEXEC) as usize as *mut c_void) })?;
    // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
    Ok((master, unsafe { File::from_raw_fd(slave) }))
}

pub fn resize(terminal: &impl AsRawFd, size: WindowSize) -> io::Result<()> {
    let mut size = [size.rows, size.columns, size.width_px, size.height_px];
    // SAFETY: the request reads a `struct winsize`, which is these four numbers in this order.
    checked(unsafe { ioctl(terminal.as_raw_fd(), TIOCSWINSZ, size.as_mut_ptr().cast()) }).map(drop)
}

pub fn set_nonblocking(file: &impl AsRawFd) -> io::Result<()> {
    // SAFETY: these commands take plain numbers.
    let flags = checked(unsafe { fcntl(file.as_raw_fd(), F_GETFL, 0) })?;
    // SAFETY: as above.
    checked(unsafe { fcntl(file.as_raw_fd(), F_SETFL, c_long::from(flags | O_NONBLOCK)) }).map(drop)
}

/// The id of a child that has ended and is not reaped yet; waits for one. `None` if there are no children.
pub fn wait_for_any() -> io::Result<Option<i32>> {
    // `siginfo_t` has 128 bytes; the id is its fifth word.
    let mut info = [0 as c_int; 32];
    // SAFETY: the kernel writes at most 128 bytes, which is the size of the array.
    match checked(unsafe { waitid(P_ALL, 0, info.as_mut_ptr().cast(), WEXITED | WNOWAIT) }) {
        Ok(_) => Ok(Some(info[4])),
        Err(error) if error.raw_os_error() == Some(ECHILD) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reaps one child if it has ended.
pub fn reap(pid: i32) -> Option<Exit> {
    let mut status: c_int = 0;
    // SAFETY: the kernel writes one int, which lives until after the call.
    let reaped = unsafe { waitpid(pid, &raw mut status, WNOHANG) };
    let exit = match status & 0x7f {
        0 => Exit::Code((status >> 8 & 0xff) as u8),
        number => Exit::Signal { number: number as u8, core_dumped: status & 0x80 != 0 },
    };
    (reaped == pid).then_some(exit)
}

/// Keeps other processes of the same user from reading this one's memory and descriptors.
pub fn hide_from_others() {
    // SAFETY: takes plain numbers. It cannot fail with these.
    unsafe { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

/// Makes this process the parent of orphans below it, where it is not the first process anyway.
pub fn adopt_orphans() {
    // SAFETY: takes plain numbers. It cannot fail with these.
    unsafe { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
}

/// Closes what was left open by whoever started this process. Nothing else may be open yet.
pub fn close_inherited() {
    // SAFETY: called before this process opens anything, so no owner of a descriptor exists.
    unsafe { close_range(3, c_uint::MAX, 0) };
}

/// `handler` may do only what is safe in a signal handler.
pub fn on_signal(number: i32, handler: extern "C" fn(c_int)) {
    // SAFETY: the function lives as long as the program.
    unsafe { c_signal(number, handler as usize) };
}

/// Sets a file's times, in seconds since 1970.
pub fn set_times(path: &Path, accessed: u32, modified: u32, follows: bool) -> io::Result<()> {
    let flags = if follows { 0 } else { AT_SYMLINK_NOFOLLOW };
    let path = c_path(path)?;
    let times = [accessed, modified].map(|seconds| TimeSpec { seconds: seconds.into(), nanoseconds: 0 });
    // SAFETY: a terminated string and an array of two times, both alive until after the call.
    checked(unsafe { utimensat(AT_FDCWD, path.as_ptr(), times.as_ptr(), flags) }).map(drop)
}

pub fn set_file_times(file: &File, accessed: u32, modified: u32) -> io::Result<()> {
    let times = [accessed, modified].map(|seconds| TimeSpec { seconds: seconds.into(), nanoseconds: 0 });
    // SAFETY: an array of two times, alive until after the call.
    checked(unsafe { futimens(file.as_raw_fd(), times.as_ptr()) }).map(drop)
}

pub fn file_system(path: &Path) -> io::Result<FileSystem> {
    let path = c_path(path)?;
    let mut found = FileSystem::default();
    // SAFETY: a terminated string, and a structure with the layout of `struct statvfs`.
    checked(unsafe { c_statvfs(path.as_ptr(), &raw mut found) })?;
    Ok(found)
}

/// Renames; fails if the new name is taken.
pub fn rename_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_path(from)?, c_path(to)?);
    // SAFETY: two terminated strings, alive until after the call.
    checked(unsafe { renameat2(AT_FDCWD, from.as_ptr(), AT_FDCWD, to.as_ptr(), RENAME_NOREPLACE) }).map(drop)
}

/// Others may read what is made, and not change it, whatever the node's own setting is.
pub fn set_usual_umask() {
    // SAFETY: takes a plain number and cannot fail.
    unsafe { umask(0o022) };
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from_raw_os_error(EINVAL))
}
