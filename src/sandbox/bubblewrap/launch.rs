//! Starts `bwrap` for one container: its arguments, and what has to happen between fork and exec.
//!
//! A node that runs as root gives each container a user id of its own before bubblewrap starts, so that root inside is nobody outside.
//! That user can reach neither the rental's folders nor the agent's program by their paths; they are mounted at [`DOOR`] for it, in a
//! mount namespace that only bubblewrap sees.

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, setrlimit};

use super::record::Files;
use super::seccomp;
use crate::sandbox::process::READ_ONLY_PATHS;
use crate::sandbox::{ContainerSpec, DeviceAccess};
use crate::types::agent::{MOUNT, PROGRAM};

const BWRAP: &str = "bwrap";
/// A folder that every system has and the container hides.
const DOOR: &CStr = c"/tmp";
const DOOR_AGENT: &CStr = c"/tmp/agent";
const DOOR_SCRATCH: &CStr = c"/tmp/scratch";
const DOOR_PROGRAM: &CStr = c"/tmp/program";
/// Files at a time and process.
const OPEN_FILES: u64 = 65_536;
/// The one size that keeps the kernel from writing core dumps as well as from piping them to a program of the host.
const CORE_BYTES: u64 = 1;

/// Files that programs expect in any system. The provider's own would tell who its users are.
const ETC: [(&str, &str); 4] = [
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
];

/// What the kernel is to bound by itself, where there is no control group for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FallbackLimits {
    pub memory_bytes: Option<u64>,
    pub processes: Option<u64>,
}

/// Everything a start needs.
pub struct Launch<'a> {
    pub spec: &'a ContainerSpec,
    pub files: &'a Files,
    /// User and group id of the container outside; `None` for the node's own.
    pub user: Option<u32>,
    pub doors: Vec<File>,
    pub fallback: FallbackLimits,
}

/// A started `bwrap`, which runs the container's first process only when told to.
pub struct Launched {
    pub child: tokio::process::Child,
    gate: PipeWriter,
    /// Keeps the other end open, see [`Launch::start`].
    _gate: PipeReader,
}

impl Launched {
    pub fn release(mut self) -> io::Result<tokio::process::Child> {
        self.gate.write_all(b"1")?;
        Ok(self.child)
    }
}

impl Launch<'_> {
    /// Starts `bwrap`. It has both ends of the gate: if the node dies before it is opened, the container never runs.
    pub fn start(self) -> io::Result<Launched> {
        let log = File::options().create(true).truncate(true).read(true).write(true).open(self.files.log())?;
        // Appending, because the agent shortens the file while bubblewrap may write to it, too.
        let log = File::options().append(true).open(self.files.log()).map(|append| (log, append))?.1;
        let status = File::create(self.files.status())?;
        let (gate_reader, gate) = io::pipe()?;
        let mut kept: Vec<RawFd> = vec![status.as_raw_fd(), gate_reader.as_raw_fd(), gate.as_raw_fd()];
        let mut data = Vec::new();
        let mut arguments = self.arguments(|content| {
            let file = in_memory(content)?;
            let fd = file.as_raw_fd();
            data.push(file);
            Ok(fd)
        })?;
        for (option, fd) in [("--json-status-fd", status.as_raw_fd()), ("--block-fd", gate_reader.as_raw_fd())] {
            arguments.extend([OsString::from(option), fd.to_string().into()]);
        }
        // Not on the command line, which everybody on this machine can read: the environment has the renter's secrets.
        let arguments = in_memory(&arguments.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect::<Vec<u8>>())?;
        kept.push(arguments.as_raw_fd());
        kept.extend(data.iter().map(AsRawFd::as_raw_fd));
        let mut command = Command::new(BWRAP);
        command.arg("--args").arg(arguments.as_raw_fd().to_string()).args(["--", PROGRAM, "init"]);
        // Nothing of the node's environment, and nothing of the container's either: bubblewrap itself shall not obey it.
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir("/");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let before_exec = self.before_exec(kept)?;
        // SAFETY: the closure only calls the kernel, with what was prepared before the fork.
        unsafe { command.pre_exec(move || before_exec.run()) };
        let child = tokio::process::Command::from(command).spawn()?;
        drop((data, arguments, status));
        Ok(Launched { child, gate, _gate: gate_reader })
    }

    fn arguments(&self, mut data: impl FnMut(&[u8]) -> io::Result<RawFd>) -> io::Result<Vec<OsString>> {
        let spec = self.spec;
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&dyn AsRef<std::ffi::OsStr>]| arguments.extend(words.iter().map(|word| word.as_ref().to_owned()));
        add(&[&"--unshare-all", &"--unshare-user", &"--uid", &"0", &"--gid", &"0", &"--cap-drop", &"ALL"]);
        add(&[&"--as-pid-1", &"--new-session", &"--hostname", &spec.hostname]);
        add(&[&"--ro-bind", &"/usr", &"/usr"]);
        for path in READ_ONLY_PATHS {
            // Where /lib is a link into /usr it must stay one: drivers find their files relative to their own path.
            match std::fs::read_link(path) {
                Ok(target) => add(&[&"--symlink", &target, path]),
                Err(_) => add(&[&"--ro-bind-try", path, path]),
            }
        }
        for (path, content) in ETC {
            add(&[&"--ro-bind-data", &data(content.as_bytes())?.to_string(), &path]);
        }
        add(&[&"--ro-bind-data", &data(format!("{}\n", spec.hostname).as_bytes())?.to_string(), &"/etc/hostname"]);
        let shm_bytes = spec.limits.shm_bytes.to_string();
        add(&[&"--proc", &"/proc", &"--dev", &"/dev"]);
        for path in ["/tmp", "/dev/shm"] {
            add(&[&"--perms", &"1777", &"--size", &shm_bytes, &"--tmpfs", &path]);
        }
        add(&[&"--symlink", &"/tmp", &"/var/tmp", &"--dir", &"/run", &"--symlink", &"/run", &"/var/run"]);
        if let DeviceAccess::Nodes { paths } = &spec.devices {
            paths.iter().for_each(|path| add(&[&"--dev-bind", path, path]));
        }
        let [agent, scratch, program] = self.sources();
        add(&[&"--bind", &scratch, &"/root", &"--ro-bind", &agent, &MOUNT, &"--ro-bind", &program, &PROGRAM]);
        add(&[&"--remount-ro", &"/dev", &"--remount-ro", &"/", &"--chdir", &"/root"]);
        for (name, value) in &spec.env {
            add(&[&"--setenv", name, value]);
        }
        if cfg!(target_arch = "x86_64") {
            add(&[&"--seccomp", &data(&seccomp::filter())?.to_string()]);
        }
        Ok(arguments)
    }

    /// Where bubblewrap finds the folder of the agent, the scratch folder and the agent's program.
    fn sources(&self) -> [PathBuf; 3] {
        if self.user.is_some() {
            return [DOOR_AGENT, DOOR_SCRATCH, DOOR_PROGRAM].map(|path| PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes())));
        }
        [&self.spec.agent_dir, &self.spec.scratch_dir, &self.spec.agent_program].map(PathBuf::clone)
    }

    fn before_exec(&self, kept: Vec<RawFd>) -> io::Result<BeforeExec> {
        let mut limits = vec![
            (Resource::RLIMIT_CORE, CORE_BYTES),
            // More than the node itself may have cannot be given.
            (Resource::RLIMIT_NOFILE, nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE)?.1.min(OPEN_FILES)),
        ];
        limits.extend(self.fallback.memory_bytes.map(|bytes| (Resource::RLIMIT_DATA, bytes)));
        limits.extend(self.fallback.processes.map(|count| (Resource::RLIMIT_NPROC, count)));
        let groups = device_groups(&self.spec.devices)?;
        let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
        let user = match self.user {
            None => None,
            Some(id) => Some(User {
                id,
                groups,
                agent: path(&self.spec.agent_dir)?,
                scratch: path(&self.spec.scratch_dir)?,
                program: path(&self.spec.agent_program)?,
            }),
        };
        Ok(BeforeExec { doors: self.doors.iter().map(File::try_clone).collect::<io::Result<_>>()?, limits, kept, user })
    }
}

/// Groups that may use the devices, for the container's user to join; fails if something is no device.
fn device_groups(devices: &DeviceAccess) -> io::Result<Vec<libc::gid_t>> {
    let DeviceAccess::Nodes { paths } = devices else { return Ok(Vec::new()) };
    let mut groups = Vec::new();
    for path in paths {
        let metadata = std::fs::metadata(path)?;
        let is_device = path.starts_with("/dev") && metadata.file_type().is_char_device();
        if !is_device {
            return Err(io::Error::other(format!("{} is no device", path.display())));
        }
        if metadata.gid() != 0 && metadata.mode() & 0o060 == 0o060 {
            groups.push(metadata.gid());
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Ok(groups)
}

fn in_memory(content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(c"gpumkt", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(content)?;
    io::Seek::rewind(&mut file)?;
    Ok(file)
}

/// What the new process does before it becomes `bwrap`. Prepared before the fork; afterwards nothing may allocate.
struct BeforeExec {
    doors: Vec<File>,
    limits: Vec<(Resource, u64)>,
    kept: Vec<RawFd>,
    user: Option<User>,
}

struct User {
    id: u32,
    groups: Vec<libc::gid_t>,
    agent: CString,
    scratch: CString,
    program: CString,
}

impl BeforeExec {
    fn run(&self) -> io::Result<()> {
        for mut door in &self.doors {
            door.write_all(b"0")?;
        }
        // A terminal that ends the node shall not end its containers.
        nix::unistd::setsid()?;
        for (resource, limit) in &self.limits {
            setrlimit(*resource, *limit, *limit)?;
        }
        if let Some(user) = &self.user {
            user.become_it()?;
        }
        for fd in &self.kept {
            // SAFETY: takes plain numbers; the descriptors are open, for the fork copied them.
            checked(unsafe { libc::fcntl(*fd, libc::F_SETFD, 0) })?;
        }
        Ok(())
    }
}

impl User {
    fn become_it(&self) -> io::Result<()> {
        // SAFETY: takes a plain number.
        checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        // What is mounted here stays here, and what is unmounted outside is unmounted here as well.
        mount(None, c"/", libc::MS_REC | libc::MS_SLAVE)?;
        let agent = clone_mount(&self.agent)?;
        let scratch = clone_mount(&self.scratch)?;
        let program = clone_mount(&self.program)?;
        mount(Some(c"tmpfs"), DOOR, libc::MS_NOSUID | libc::MS_NODEV)?;
        // SAFETY: terminated strings and plain numbers.
        unsafe {
            checked(libc::mkdir(DOOR_AGENT.as_ptr(), 0o755))?;
            checked(libc::mkdir(DOOR_SCRATCH.as_ptr(), 0o755))?;
            checked(libc::mknod(DOOR_PROGRAM.as_ptr(), libc::S_IFREG | 0o755, 0))?;
        }
        attach(agent, DOOR_AGENT)?;
        attach(scratch, DOOR_SCRATCH)?;
        attach(program, DOOR_PROGRAM)?;
        // SAFETY: a list with its length, and plain numbers. Called directly: the C library's own would change threads that are not there.
        unsafe {
            checked(libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr()) as i32)?;
            checked(libc::syscall(libc::SYS_setresgid, self.id, self.id, self.id) as i32)?;
            checked(libc::syscall(libc::SYS_setresuid, self.id, self.id, self.id) as i32)
        }
    }
}

fn checked(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn mount(kind: Option<&CStr>, target: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    let kind = kind.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: terminated strings or null, which mount(2) allows where a flag says that nothing is mounted.
    checked(unsafe { libc::mount(kind, target.as_ptr(), kind, flags, std::ptr::null()) })
}

/// A copy of the mount at a path, to be attached elsewhere.
fn clone_mount(path: &CStr) -> io::Result<i32> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: a terminated string and plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    checked(fd as i32).map(|()| fd as i32)
}

fn attach(fd: i32, target: &CStr) -> io::Result<()> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: terminated strings and plain numbers.
    checked(unsafe { libc::syscall(libc::SYS_move_mount, fd, c"".as_ptr(), libc::AT_FDCWD, target.as_ptr(), flags) } as i32)
}
