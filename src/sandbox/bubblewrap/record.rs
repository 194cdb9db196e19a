//! What is remembered of a container on disk, and the processes it names.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::libc;
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroups;

/// A running container, or one that has ended and is not removed yet.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    /// Process ids mean nothing after a reboot.
    boot: String,
    /// The first process of the container.
    pub init: Process,
    /// `bwrap` itself, which waits for it outside.
    pub launcher: Process,
    pub cgroups: Cgroups,
}

impl Record {
    pub fn new(init: Process, launcher: Process, cgroups: Cgroups) -> Self {
        Self { boot: boot_id(), init, launcher, cgroups }
    }

    /// `None` if there is none, or only part of one: then nothing was started.
    pub fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// Writes it durably.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("new");
        let mut file = std::fs::File::create(&temporary)?;
        serde_json::to_writer(&mut file, self)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    }

    pub fn is_running(&self) -> bool {
        self.boot == boot_id() && self.init.is_alive()
    }
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A process that cannot be mistaken for another with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks between boot and its start.
    start_ticks: u64,
}

impl Process {
    pub fn of(pid: i32) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, start_ticks: stat.start_ticks })
    }

    pub fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether a signal has stopped it.
    pub fn is_stopped(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_ticks == self.start_ticks && stat.state == 'T')
    }

    /// Name of the program that it executes.
    pub fn program(self) -> Option<String> {
        let name = std::fs::read_to_string(format!("/proc/{}/comm", self.pid)).ok()?;
        self.is_alive().then(|| name.trim_end().to_owned())
    }

    /// Signals it, and never another that got its number in between. One that is gone is no error.
    pub fn signal(self, number: i32) -> io::Result<()> {
        // SAFETY: takes plain numbers and returns a new descriptor.
        let opened = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if opened < 0 {
            return gone_is_fine(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor, and nobody else knows it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(opened as i32) };
        if !self.is_alive() {
            return Ok(());
        }
        let nothing = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: takes plain numbers and a null pointer, which means the usual information.
        let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), number, nothing, 0) };
        if sent < 0 { gone_is_fine(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// It and everything below it, which for a container's first process is the whole container: orphans become its children.
    pub fn tree(self) -> Vec<(Process, Stat)> {
        let mut children: HashMap<i32, Vec<(Process, Stat)>> = HashMap::new();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::read(pid)?))) {
                children.entry(stat.parent).or_default().push((Process { pid, start_ticks: stat.start_ticks }, stat));
            }
        }
        let mut found: Vec<(Process, Stat)> = Vec::new();
        found.extend(Stat::read(self.pid).filter(|stat| stat.start_ticks == self.start_ticks).map(|stat| (self, stat)));
        let mut at = 0;
        while let Some((process, _)) = found.get(at) {
            found.extend(children.remove(&process.pid).unwrap_or_default());
            at += 1;
        }
        found
    }
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}

/// A line of `/proc/PID/stat`, see `man 5 proc`.
#[derive(Debug, Clone, Copy)]
pub struct Stat {
    pub state: char,
    parent: i32,
    /// User and system time.
    pub cpu_ticks: u64,
    start_ticks: u64,
    pub resident_pages: u64,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &str) -> Option<Self> {
        // The name stands in parentheses and may contain any.
        let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            cpu_ticks: number(11)? + number(12)?,
            start_ticks: number(19)?,
            resident_pages: number(21)?,
        })
    }
}

/// What `bwrap --json-status-fd` has written so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub child_pid: Option<i32>,
    pub exit_code: Option<i32>,
}

impl Status {
    pub fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut status = Self::default();
        for entry in serde_json::Deserializer::from_str(&text).into_iter::<serde_json::Value>().flatten() {
            let number = |name: &str| entry.get(name).and_then(serde_json::Value::as_i64).and_then(|number| i32::try_from(number).ok());
            status.child_pid = status.child_pid.or(number("child-pid"));
            status.exit_code = status.exit_code.or(number("exit-code"));
        }
        status
    }
}

/// The files of one container beside its folders.
#[derive(Debug, Clone)]
pub struct Files {
    pub root: PathBuf,
}

impl Files {
    pub fn record(&self) -> PathBuf {
        self.root.join("container.json")
    }

    pub fn status(&self) -> PathBuf {
        self.root.join("container.status")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("container.log")
    }

    pub fn remove(&self) -> io::Result<()> {
        // The record goes last: as long as it is there, the rest is looked for.
        for path in [self.status(), self.log(), self.record()] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_with_its_number() {
        let own = Process::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive() && !own.is_stopped());
        let other = Process { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive());
        // Would end the test if it reached it.
        other.signal(libc::SIGKILL).unwrap();
        own.signal(0).unwrap();
        assert!(own.tree().iter().any(|(process, _)| *process == own));
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let rest = (4..=52).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let stat = Stat::parse(&format!("7 (a) Z (b) R {rest}")).unwrap();
        assert_eq!((stat.state, stat.parent, stat.cpu_ticks, stat.start_ticks, stat.resident_pages), ('R', 4, 14 + 15, 22, 24));
        assert!(Stat::parse("7 (a) R 1 2").is_none() && Stat::parse("").is_none());
    }

    #[test]
    fn the_status_is_read_while_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        assert_eq!(Status::load(&path), Status::default());
        for (text, child_pid, exit_code) in [
            ("{ \"child-pid\": 12", None, None),
            ("{ \"child-pid\": 12, \"net-namespace\": 4026532 }\n", Some(12), None),
            ("{ \"child-pid\": 12 }\n{ \"exit-code\": 137 }\n", Some(12), Some(137)),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Status::load(&path), Status { child_pid, exit_code }, "{text}");
        }
    }
}
