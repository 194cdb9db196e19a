//! What the kernel counts for a container, in both versions of control groups.

use std::path::{Path, PathBuf};

use super::super::Usage;

const MOUNT: &str = "/sys/fs/cgroup";

/// The control groups of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    memory: PathBuf,
    cpu: PathBuf,
    pids: PathBuf,
    is_unified: bool,
}

impl Groups {
    /// Of the container `id` with the first process `pid`. Nothing where the engine's processes are not this machine's, or where the
    /// groups are nobody's own: then the numbers would be another's.
    pub fn of(pid: u32, id: &str) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        Self::parse(&text, id, Path::new(MOUNT))
    }

    fn parse(text: &str, id: &str, mount: &Path) -> Option<Self> {
        if id.len() < 12 {
            return None;
        }
        // hierarchy:controllers:path
        let lines: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':')).collect();
        let own = |path: &str| {
            // The group of the container itself: engines make more groups below it.
            let parts: Vec<&str> = path.split('/').collect();
            let end = parts.iter().position(|part| part.contains(id))?;
            (!parts.contains(&"..")).then(|| parts[1..=end].iter().collect::<PathBuf>())
        };
        let version_1 = |controller: &str| {
            let (controllers, path) = lines.iter().find(|(controllers, _)| controllers.split(',').any(|name| name == controller))?;
            let folder = mount.join(controllers);
            let folder = if folder.exists() { folder } else { mount.join(controller) };
            Some(folder.join(own(path)?))
        };
        if let (Some(memory), Some(cpu), Some(pids)) = (version_1("memory"), version_1("cpuacct"), version_1("pids")) {
            return Some(Self { memory, cpu, pids, is_unified: false });
        }
        let (_, path) = lines.iter().find(|(controllers, _)| controllers.is_empty())?;
        let group = mount.join(own(path)?);
        group.join("memory.current").exists().then(|| Self { memory: group.clone(), cpu: group.clone(), pids: group, is_unified: true })
    }

    pub fn usage(&self) -> Option<Usage> {
        let (memory_bytes, cpu_us) = if self.is_unified {
            let used = number(&self.memory.join("memory.current"))?;
            (
                used.saturating_sub(field(&self.memory.join("memory.stat"), "inactive_file")?),
                field(&self.cpu.join("cpu.stat"), "usage_usec")?,
            )
        } else {
            let used = number(&self.memory.join("memory.usage_in_bytes"))?;
            let cache = field(&self.memory.join("memory.stat"), "total_inactive_file")?;
            (used.saturating_sub(cache), number(&self.cpu.join("cpuacct.usage"))? / 1_000)
        };
        let processes = u32::try_from(number(&self.pids.join("pids.current"))?).ok()?;
        Some(Usage { memory_bytes, cpu_us, processes, out_of_memory_kills: self.out_of_memory_kills()? })
    }

    pub fn out_of_memory_kills(&self) -> Option<u32> {
        let file = if self.is_unified { "memory.events" } else { "memory.oom_control" };
        u32::try_from(field(&self.memory.join(file), "oom_kill")?).ok()
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// A value from a file with a name and a number on each line.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.split_once(' ').filter(|(found, _)| *found == name)?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "cce44ad12f5454b99bdeca51d3d4ace4ca16fbf4103bc4e7d07d9d1528cc6ce4";

    fn put(folder: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(folder).unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(folder.join(name), text).unwrap());
    }

    #[test]
    fn both_versions_give_the_same_numbers() {
        let mount = tempfile::tempdir().unwrap();
        let expected = Usage { memory_bytes: 60, cpu_us: 7, processes: 3, out_of_memory_kills: 2 };

        let group = format!("libpod_parent/libpod-{ID}");
        put(
            &mount.path().join("memory").join(&group),
            &[
                ("memory.usage_in_bytes", "100\n"),
                ("memory.stat", "cache 1\ntotal_inactive_file 40\n"),
                ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ],
        );
        put(&mount.path().join("cpu,cpuacct").join(&group), &[("cpuacct.usage", "7900\n")]);
        put(&mount.path().join("pids").join(&group), &[("pids.current", "3\n")]);
        let text = format!("9:name=systemd:/{group}\n8:pids:/{group}\n4:memory:/{group}/sub\n2:cpu,cpuacct:/{group}\n0::/{group}\n");
        assert_eq!(Groups::parse(&text, ID, mount.path()).unwrap().usage(), Some(expected));

        let group = format!("machine.slice/libpod-{ID}.scope");
        put(
            &mount.path().join(&group),
            &[
                ("memory.current", "100\n"),
                ("memory.stat", "anon 5\ninactive_file 40\n"),
                ("memory.events", "low 0\noom 3\noom_kill 2\n"),
                ("cpu.stat", "usage_usec 7\nuser_usec 5\n"),
                ("pids.current", "3\n"),
            ],
        );
        assert_eq!(Groups::parse(&format!("0::/{group}/container\n"), ID, mount.path()).unwrap().usage(), Some(expected));
    }

    #[test]
    fn groups_of_others_are_not_read() {
        let mount = tempfile::tempdir().unwrap();
        put(&mount.path().join("user.slice"), &[("memory.current", "1\n")]);
        for text in ["0::/user.slice\n", "0::/\n", "", "0::/../libpod-", "x"] {
            assert_eq!(Groups::parse(text, ID, mount.path()), None, "{text}");
        }
        assert_eq!(Groups::parse("0::/user.slice\n", "user", mount.path()), None);
    }
}
