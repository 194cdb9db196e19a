//! Control groups of one container: version 2 where it has the controller, version 1 otherwise.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::Process;
use crate::sandbox::ContainerLimits;

/// All containers of all nodes are below a group of this name.
const PARENT: &str = "gpumkt";
/// Threads and processes of the agent and of bubblewrap, which are not the renter's.
pub const OWN_TASKS: u64 = 16;
/// Group that the node itself moves to where it has to make room.
const LEAF: &str = "gpumkt-node";
const PERIOD_US: u64 = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Controller {
    Memory,
    Pids,
    Cpu,
    /// Counts processor time; with version 2, every group does.
    Cpuacct,
    /// Stops processes; with version 2, every group can.
    Freezer,
}

const CONTROLLERS: [Controller; 5] = [Controller::Memory, Controller::Pids, Controller::Cpu, Controller::Cpuacct, Controller::Freezer];

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Freezer => "freezer",
        }
    }

    fn is_built_into_v2(self) -> bool {
        matches!(self, Self::Cpuacct | Self::Freezer)
    }
}

/// A group for one controller.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Slot {
    controller: Controller,
    folder: PathBuf,
    is_v2: bool,
}

/// The groups of one container. Where a controller is missing, its limit is not enforced by a group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroups {
    slots: Vec<Slot>,
}

impl Cgroups {
    /// Makes the groups and sets the limits. Returns with them, for each limit that is not enforced, its controller and the reason.
    pub fn create(name: &str, limits: &ContainerLimits) -> (Self, Vec<(&'static str, String)>) {
        let mut cgroups = Self::default();
        let mut missing = Vec::new();
        let mounts = Mounts::read();
        for controller in CONTROLLERS {
            match mounts.group(controller, name).and_then(|slot| slot.limit(limits).map(|()| slot)) {
                Ok(slot) => cgroups.slots.push(slot),
                Err(error) => missing.push((controller.name(), error.to_string())),
            }
        }
        (cgroups, missing)
    }

    /// Those that a container of this name would have, for the case that nothing else is known of it.
    pub fn existing(name: &str) -> Self {
        let mounts = Mounts::read();
        let places = CONTROLLERS.iter().flat_map(|controller| mounts.places(*controller, name));
        Self { slots: places.filter(|slot| slot.folder.is_dir()).collect() }
    }

    pub fn limits(&self, controller: &str) -> bool {
        self.slots.iter().any(|slot| slot.controller.name() == controller)
    }

    /// Files through which a process joins by writing `0`.
    pub fn doors(&self) -> io::Result<Vec<File>> {
        self.folders().iter().map(|folder| File::options().write(true).open(folder.join("cgroup.procs"))).collect()
    }

    /// Stops all processes or lets them go on. `false` if that takes longer, or cannot be done with groups.
    pub fn freeze(&self, is_frozen: bool) -> io::Result<bool> {
        let Some(slot) = self.slot(Controller::Freezer) else { return Ok(false) };
        match (slot.is_v2, is_frozen) {
            (true, _) => slot.write("cgroup.freeze", if is_frozen { "1" } else { "0" })?,
            (false, true) => slot.write("freezer.state", "FROZEN")?,
            (false, false) => slot.write("freezer.state", "THAWED")?,
        }
        Ok(self.is_frozen() == is_frozen)
    }

    pub fn is_frozen(&self) -> bool {
        match self.slot(Controller::Freezer) {
            Some(slot) if slot.is_v2 => slot.field("cgroup.events", "frozen") == Some(1),
            Some(slot) => slot.read("freezer.state").is_ok_and(|state| state.trim() == "FROZEN"),
            None => false,
        }
    }

    pub fn out_of_memory_kills(&self) -> Option<u64> {
        let slot = self.slot(Controller::Memory)?;
        slot.field(if slot.is_v2 { "memory.events" } else { "memory.oom_control" }, "oom_kill")
    }

    pub fn memory_bytes(&self) -> Option<u64> {
        let slot = self.slot(Controller::Memory)?;
        slot.number(if slot.is_v2 { "memory.current" } else { "memory.usage_in_bytes" })
    }

    pub fn cpu_us(&self) -> Option<u64> {
        let slot = self.slot(Controller::Cpuacct)?;
        if slot.is_v2 { slot.field("cpu.stat", "usage_usec") } else { slot.number("cpuacct.usage").map(|time_ns| time_ns / 1000) }
    }

    pub fn processes(&self) -> Vec<Process> {
        let lists = self.folders().into_iter().map(|folder| std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default());
        let mut pids: Vec<i32> = lists.flat_map(|list| list.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()).collect();
        pids.sort_unstable();
        pids.dedup();
        pids.into_iter().filter_map(Process::of).collect()
    }

    /// Removes the groups; fails while processes are in them.
    pub fn remove(&self) -> io::Result<()> {
        for folder in self.folders() {
            match std::fs::remove_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn slot(&self, controller: Controller) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.controller == controller)
    }

    fn folders(&self) -> Vec<&Path> {
        let mut folders: Vec<&Path> = self.slots.iter().map(|slot| slot.folder.as_path()).collect();
        folders.sort_unstable();
        folders.dedup();
        folders
    }
}

impl Slot {
    fn limit(&self, limits: &ContainerLimits) -> io::Result<()> {
        let memory = limits.memory_bytes.to_string();
        let quota = u64::from(limits.cpu_millis) * PERIOD_US / 1000;
        match (self.controller, self.is_v2) {
            (Controller::Memory, true) => {
                self.write("memory.max", &memory)?;
                // Without swap there is nothing to limit.
                let _ = self.write("memory.swap.max", "0");
                Ok(())
            }
            (Controller::Memory, false) => {
                self.write("memory.limit_in_bytes", &memory)?;
                let _ = self.write("memory.memsw.limit_in_bytes", &memory);
                Ok(())
            }
            (Controller::Pids, _) => self.write("pids.max", &(u64::from(limits.processes) + OWN_TASKS).to_string()),
            (Controller::Cpu, true) => self.write("cpu.max", &format!("{quota} {PERIOD_US}")),
            (Controller::Cpu, false) => {
                self.write("cpu.cfs_period_us", &PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())
            }
            (Controller::Cpuacct | Controller::Freezer, _) => Ok(()),
        }
    }

    fn read(&self, file: &str) -> io::Result<String> {
        std::fs::read_to_string(self.folder.join(file))
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        std::fs::write(self.folder.join(file), value)
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.read(file).ok()?.trim().parse().ok()
    }

    /// The number after a name, in a file of such lines.
    fn field(&self, file: &str, name: &str) -> Option<u64> {
        let text = self.read(file).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    }
}

/// Where the hierarchies of this machine are, and where this process stands in them.
#[derive(Debug, Default)]
struct Mounts {
    /// Controllers and folder of each hierarchy of version 1.
    v1: Vec<(Vec<String>, PathBuf)>,
    v2: Option<PathBuf>,
    /// This process's own group of version 2, below that mount.
    own_v2: Option<PathBuf>,
}

impl Mounts {
    fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&text("/proc/self/mountinfo"), &text("/proc/self/cgroup"))
    }

    fn parse(mountinfo: &str, own: &str) -> Self {
        let mut mounts = Self::default();
        for line in mountinfo.lines() {
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let (Some(root), Some(folder)) = (before.split(' ').nth(3), before.split(' ').nth(4)) else { continue };
            let after: Vec<&str> = after.split(' ').collect();
            match after.as_slice() {
                // A part of a hierarchy, as in a container, has its own names for groups.
                _ if root != "/" => {}
                ["cgroup", _, options] => mounts.v1.push((options.split(',').map(str::to_owned).collect(), folder.into())),
                ["cgroup2", ..] => mounts.v2 = Some(folder.into()),
                _ => {}
            }
        }
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        // Where it has moved below its own group, see `make_v2`, that one is meant.
        let own = own.map(|own| own.strip_suffix(LEAF).map_or(own, |above| above.trim_end_matches('/')));
        mounts.own_v2 = mounts.v2.as_ref().zip(own).map(|(mount, own)| mount.join(own));
        mounts
    }

    /// Where a group for this controller may be: version 1 if it has the controller, since then version 2 has not.
    fn places(&self, controller: Controller, name: &str) -> Vec<Slot> {
        let v1 = self.v1.iter().find(|(controllers, _)| controllers.iter().any(|found| found == controller.name()));
        if let Some((_, mount)) = v1 {
            return vec![Slot { controller, folder: mount.join(PARENT).join(name), is_v2: false }];
        }
        let parents = [&self.v2, &self.own_v2].into_iter().flatten();
        parents.map(|parent| Slot { controller, folder: parent.join(PARENT).join(name), is_v2: true }).collect()
    }

    /// Makes a group for this controller.
    fn group(&self, controller: Controller, name: &str) -> io::Result<Slot> {
        let mut failure = io::Error::other("no control group hierarchy is mounted");
        for slot in self.places(controller, name) {
            let made = if slot.is_v2 { make_v2(&slot) } else { std::fs::create_dir_all(&slot.folder) };
            match made {
                Ok(()) => return Ok(slot),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// With version 2 each group has to hand a controller down, and may do so only if no process is in it itself.
fn make_v2(slot: &Slot) -> io::Result<()> {
    std::fs::create_dir_all(&slot.folder)?;
    if slot.controller.is_built_into_v2() {
        return Ok(());
    }
    let parents: Vec<&Path> = slot.folder.ancestors().skip(1).take(2).collect();
    for parent in parents.into_iter().rev() {
        let hand_down = || std::fs::write(parent.join("cgroup.subtree_control"), format!("+{}", slot.controller.name()));
        match hand_down() {
            // A node that runs in a group delegated to it makes room by moving below it.
            Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
                let leaf = parent.join(LEAF);
                std::fs::create_dir_all(&leaf)?;
                std::fs::write(leaf.join("cgroup.procs"), "0")?;
                hand_down()?;
            }
            other => other?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
25 20 0:22 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
28 25 0:25 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
29 25 0:26 /docker/1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
30 1 8:1 / / rw - ext4 /dev/sda1 rw";

    #[test]
    fn each_controller_is_found_where_it_is() {
        let mounts = Mounts::parse(HYBRID, "4:freezer:/x\n0::/user.slice/a.service\n");
        let places = |controller| mounts.places(controller, "7").into_iter().map(|slot| (slot.folder, slot.is_v2)).collect::<Vec<_>>();
        assert_eq!(places(Controller::Cpu), [("/sys/fs/cgroup/cpu,cpuacct/gpumkt/7".into(), false)]);
        assert_eq!(places(Controller::Freezer), [("/sys/fs/cgroup/freezer/gpumkt/7".into(), false)]);
        let unified = ["gpumkt/7", "user.slice/a.service/gpumkt/7"].map(|end| (Path::new("/sys/fs/cgroup/unified").join(end), true));
        assert_eq!(places(Controller::Memory), unified);
        assert_eq!(places(Controller::Pids), unified, "a part of a hierarchy is not used");
        let moved = Mounts::parse(HYBRID, "0::/user.slice/a.service/gpumkt-node\n");
        assert_eq!(moved.own_v2, mounts.own_v2);
        assert!(Mounts::parse("", "").group(Controller::Memory, "7").is_err());
    }
}
