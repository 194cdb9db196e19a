//! Container Device Interface: turns a device's name into what a container needs of the host.
//!
//! Done here rather than by the engine, because Podman's Docker-compatible API ignores such requests before version 5.4 and Docker's
//! before 28.2. Hooks cannot be run from outside of a container's creation. What NVIDIA's hooks do is replaced: links to libraries by
//! mounts of the same file under the link's name, the linker's cache by LD_LIBRARY_PATH.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::FileTypeExt,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::super::SandboxError;

/// Largest specification file.
const MAX_SPEC_BYTES: u64 = 4 << 20;
/// Most devices, mounts or variables of one container.
const MAX_EDITS: usize = 1_024;

/// What a container gets of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits {
    pub nodes: Vec<Node>,
    /// Read-only, by the path inside the container.
    pub mounts: BTreeMap<PathBuf, PathBuf>,
    pub env: BTreeMap<String, String>,
    /// Folders inside the container with libraries that the linker has to find.
    pub library_folders: BTreeSet<PathBuf>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub host: PathBuf,
    pub inside: PathBuf,
    /// Of `r` and `w`; never `m`, which would let the container make nodes.
    pub permissions: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    cdi_version: String,
    kind: String,
    devices: Vec<Device>,
    container_edits: ContainerEdits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Device {
    // Written as a number by some generators.
    name: serde_json::Value,
    container_edits: ContainerEdits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerEdits {
    env: Vec<String>,
    device_nodes: Vec<DeviceNode>,
    mounts: Vec<Mount>,
    hooks: Vec<Hook>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DeviceNode {
    path: String,
    host_path: String,
    permissions: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Mount {
    host_path: String,
    container_path: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hook {
    args: Vec<String>,
}

/// What the named device needs, from the specifications in `folders`; later folders win, as the standard says.
pub fn resolve(name: &str, folders: &[PathBuf]) -> Result<Edits, SandboxError> {
    let refuse = |reason: String| SandboxError::Cdi { name: name.chars().take(200).collect(), reason };
    let (kind, device) = name.split_once('=').ok_or_else(|| refuse("it is not of the form vendor.example/class=device".into()))?;
    let mut found: Option<(PathBuf, Edits)> = None;
    let mut unread = Vec::new();
    for folder in folders {
        let mut here: Option<(PathBuf, Edits)> = None;
        for file in spec_files(folder) {
            let spec = match read(&file) {
                Ok(spec) => spec,
                // Somebody else's broken file is no reason to refuse this device, unless it would have been the one.
                Err(reason) => {
                    unread.push(format!("{}: {reason}", file.display()));
                    continue;
                }
            };
            if spec.kind != kind {
                continue;
            }
            let Some(matching) = spec.devices.iter().find(|candidate| is_named(&candidate.name, device)) else { continue };
            if let Some((other, _)) = &here {
                return Err(refuse(format!("both {} and {} define it", other.display(), file.display())));
            }
            let edits = collect([&spec.container_edits, &matching.container_edits])
                .map_err(|reason| refuse(format!("{}: {reason}", file.display())))?;
            here = Some((file, edits));
        }
        found = here.or(found);
    }
    let searched =
        || folders.iter().map(|folder| folder.display().to_string()).chain(unread.iter().cloned()).collect::<Vec<_>>().join(", ");
    let (_, edits) = found.ok_or_else(|| refuse(format!("no specification defines it; looked in {}", searched())))?;
    Ok(edits)
}

fn is_named(name: &serde_json::Value, wanted: &str) -> bool {
    name.as_str().map_or_else(|| name.as_u64().is_some_and(|number| number.to_string() == wanted), |name| name == wanted)
}

fn spec_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_spec = |path: &PathBuf| path.extension().is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|known| ending == *known));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_spec).take(MAX_EDITS).collect();
    files.sort();
    files
}

fn read(file: &Path) -> Result<Spec, String> {
    let size = std::fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_SPEC_BYTES {
        return Err(format!("{size} bytes are too many"));
    }
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    // JSON is YAML.
    let spec: Spec = serde_yaml_ng::from_str(&text).map_err(|error| error.to_string())?;
    let mut version = spec.cdi_version.split('.').map(|number| number.parse::<u32>().ok());
    match (version.next().flatten(), version.next().flatten()) {
        (Some(0), Some(3..=9)) | (Some(1), Some(_)) => Ok(spec),
        _ => Err(format!("version {:?} is not known here", spec.cdi_version)),
    }
}

fn collect(parts: [&ContainerEdits; 2]) -> Result<Edits, String> {
    let mut edits = Edits::default();
    for part in parts {
        if part.device_nodes.len().max(part.mounts.len()).max(part.env.len()) > MAX_EDITS {
            return Err("too many entries".into());
        }
        for node in &part.device_nodes {
            let host = if node.host_path.is_empty() { &node.path } else { &node.host_path };
            let permissions = if node.permissions.is_empty() { "rw" } else { &node.permissions };
            let permissions: String = permissions.chars().filter(|letter| matches!(letter, 'r' | 'w')).collect();
            edits.nodes.push(device_node(Path::new(host), Path::new(&node.path), permissions)?);
        }
        for mount in &part.mounts {
            add_mount(&mut edits, mount)?;
        }
        for variable in &part.env {
            let (name, value) = variable.split_once('=').ok_or_else(|| format!("{variable:?} is not a variable"))?;
            edits.env.insert(name.to_owned(), value.to_owned());
        }
        for hook in &part.hooks {
            let folders = hook.args.windows(2).filter(|pair| pair[0] == "--folder").map(|pair| PathBuf::from(&pair[1]));
            edits.library_folders.extend(folders.filter(|folder| is_plain(folder)));
        }
    }
    Ok(edits)
}

fn add_mount(edits: &mut Edits, mount: &Mount) -> Result<(), String> {
    let (host, inside) = (Path::new(&mount.host_path), Path::new(&mount.container_path));
    if !(mount.kind.is_empty() || mount.kind == "bind") {
        return Err(format!("mounts of type {:?} are not supported", mount.kind));
    }
    if !is_plain(host) || !is_plain(inside) || is_reserved(inside) {
        return Err(format!("the mount {:?} on {:?} is not acceptable", mount.host_path, mount.container_path));
    }
    if !host.exists() {
        return Err(format!("{} does not exist on this machine", host.display()));
    }
    edits.mounts.insert(inside.to_owned(), host.to_owned());
    let file_name = host.file_name().unwrap_or_default().to_string_lossy();
    if let (true, Some(folder)) = (file_name.contains(".so"), inside.parent()) {
        edits.library_folders.insert(folder.to_owned());
        for link in links_to(host) {
            edits.mounts.entry(folder.join(link)).or_insert_with(|| host.to_owned());
        }
    }
    Ok(())
}

/// Names beside `file` that lead to it: programs ask for `libcuda.so.1`, the specification names `libcuda.so.550.54`.
fn links_to(file: &Path) -> Vec<PathBuf> {
    let Ok(real) = file.canonicalize() else { return Vec::new() };
    // Only links of the same library: a folder of a whole system has thousands of others.
    let stem = file.file_name().and_then(|name| name.to_str()).and_then(|name| name.split(".so").next()).unwrap_or_default().to_owned();
    let entries = file.parent().map(std::fs::read_dir).into_iter().flatten().flatten().flatten();
    let named_alike =
        entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.split(".so").next() == Some(stem.as_str())));
    let links = named_alike.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    links
        .filter(|entry| entry.path().canonicalize().is_ok_and(|target| target == real))
        .map(|entry| entry.file_name().into())
        .take(16)
        .collect()
}

/// Device nodes named one by one, where there is no specification.
pub fn from_nodes(paths: &[PathBuf]) -> Result<Edits, SandboxError> {
    let node =
        |path: &PathBuf| device_node(path, path, "rw".into()).map_err(|reason| SandboxError::DeviceNode { path: path.clone(), reason });
    Ok(Edits { nodes: paths.iter().map(node).collect::<Result<_, _>>()?, ..Edits::default() })
}

fn device_node(host: &Path, inside: &Path, permissions: String) -> Result<Node, String> {
    for path in [host, inside] {
        if !is_plain(path) || !path.starts_with("/dev") || path == Path::new("/dev") {
            return Err(format!("{} is not a path below /dev", path.display()));
        }
    }
    if permissions.is_empty() {
        return Err("it may be neither read nor written".into());
    }
    let kind = std::fs::metadata(host).map_err(|error| format!("{}: {error}", host.display()))?.file_type();
    // A block device is a disk, never a GPU.
    if !kind.is_char_device() {
        return Err(format!("{} is not a character device", host.display()));
    }
    Ok(Node { host: host.to_owned(), inside: inside.to_owned(), permissions })
}

/// Whether a path is absolute and means what it says.
pub fn is_plain(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return false };
    let parts_are_names = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    path.is_absolute() && parts_are_names && text.len() < 4_096 && !text.contains("/./") && !text.chars().any(|letter| letter.is_control())
}

/// Places inside a container that nothing may be mounted over.
pub fn is_reserved(inside: &Path) -> bool {
    use crate::types::agent;
    let kernel = ["/proc", "/sys", "/dev", "/root", agent::MOUNT, agent::PROGRAM];
    inside == Path::new("/") || kernel.iter().any(|place| inside.starts_with(place) || Path::new(place).starts_with(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, text: &str) {
        std::fs::write(folder.join(name), text).unwrap();
    }

    fn resolve_in(folder: &Path, name: &str) -> Result<Edits, String> {
        resolve(name, &[folder.to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_specification_like_nvidias_becomes_nodes_mounts_and_variables() {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        std::fs::create_dir(&libraries).unwrap();
        write(&libraries, "libcuda.so.550.54", "elf");
        write(&libraries, "libother.so.1", "elf");
        std::os::unix::fs::symlink("libcuda.so.550.54", libraries.join("libcuda.so.1")).unwrap();
        std::os::unix::fs::symlink("libcuda.so.1", libraries.join("libcuda.so")).unwrap();
        let yaml = format!(
            "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ncontainerEdits:\n  env: [NVIDIA_VISIBLE_DEVICES=void]\n  mounts:\n  - hostPath: {lib}/libcuda.so.550.54\n    containerPath: /usr/lib64/libcuda.so.550.54\n    options: [ro, nosuid]\n  hooks:\n  - hookName: createContainer\n    path: /usr/bin/nvidia-cdi-hook\n    args: [nvidia-cdi-hook, update-ldcache, --folder, /usr/lib64/more]\ndevices:\n- name: 0\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n      hostPath: /dev/null\n      permissions: rwm\n- name: all\n  containerEdits: {{}}\n",
            lib = libraries.display()
        );
        write(folder.path(), "nvidia.yaml", &yaml);
        write(folder.path(), "broken.json", "{");
        let edits = resolve_in(folder.path(), "nvidia.com/gpu=0").unwrap();
        assert_eq!(edits.nodes, [Node { host: "/dev/null".into(), inside: "/dev/nvidia0".into(), permissions: "rw".into() }]);
        let inside: Vec<_> = edits.mounts.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(inside, ["/usr/lib64/libcuda.so", "/usr/lib64/libcuda.so.1", "/usr/lib64/libcuda.so.550.54"]);
        assert!(edits.mounts.values().all(|host| host == &libraries.join("libcuda.so.550.54")));
        assert_eq!(edits.env["NVIDIA_VISIBLE_DEVICES"], "void");
        assert_eq!(edits.library_folders.len(), 2);
        assert!(resolve_in(folder.path(), "nvidia.com/gpu=all").unwrap().nodes.is_empty());
        let unknown = resolve_in(folder.path(), "nvidia.com/gpu=7").unwrap_err();
        assert!(unknown.contains("no specification") && unknown.contains("broken.json"), "{unknown}");
    }

    #[test]
    fn specifications_cannot_name_places_that_are_not_theirs() {
        let folder = tempfile::tempdir().unwrap();
        for (edits, why) in [
            (r#"{"deviceNodes":[{"path":"/etc/passwd"}]}"#, "below /dev"),
            (r#"{"deviceNodes":[{"path":"/dev/../etc/passwd"}]}"#, "below /dev"),
            (r#"{"deviceNodes":[{"path":"/dev/absent-device"}]}"#, "No such file"),
            (r#"{"deviceNodes":[{"path":"/dev/shm"}]}"#, "character device"),
            (r#"{"deviceNodes":[{"path":"/dev/null","permissions":"m"}]}"#, "neither read nor written"),
            (r#"{"mounts":[{"hostPath":"/etc","containerPath":"/proc/x"}]}"#, "not acceptable"),
            (r#"{"mounts":[{"hostPath":"/etc","containerPath":"/"}]}"#, "not acceptable"),
            (r#"{"mounts":[{"hostPath":"/etc","containerPath":"/run"}]}"#, "not acceptable"),
            (r#"{"mounts":[{"hostPath":"etc","containerPath":"/opt/x"}]}"#, "not acceptable"),
            (r#"{"mounts":[{"hostPath":"/no/such","containerPath":"/opt/x"}]}"#, "does not exist"),
            (r#"{"mounts":[{"hostPath":"/etc","containerPath":"/opt/x","type":"overlay"}]}"#, "not supported"),
            (r#"{"env":["NOVALUE"]}"#, "not a variable"),
        ] {
            let text = format!(r#"{{"cdiVersion":"0.6.0","kind":"a.b/c","devices":[{{"name":"x","containerEdits":{edits}}}]}}"#);
            write(folder.path(), "spec.json", &text);
            let error = resolve_in(folder.path(), "a.b/c=x").unwrap_err();
            assert!(error.contains(why), "{edits}: {error}");
        }
    }

    #[test]
    fn a_later_folder_wins_and_a_conflict_in_one_folder_is_an_error() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let spec = |variable: &str| {
            format!(r#"{{"cdiVersion":"0.8.0","kind":"a.b/c","devices":[{{"name":"x","containerEdits":{{"env":["A={variable}"]}}}}]}}"#)
        };
        write(first.path(), "a.json", &spec("1"));
        write(second.path(), "a.json", &spec("2"));
        let folders = [first.path().to_owned(), second.path().to_owned()];
        assert_eq!(resolve("a.b/c=x", &folders).unwrap().env["A"], "2");
        write(second.path(), "b.json", &spec("3"));
        assert!(resolve("a.b/c=x", &folders).is_err());
        write(first.path(), "old.json", r#"{"cdiVersion":"0.2.0","kind":"a.b/d","devices":[{"name":"x"}]}"#);
        assert!(resolve("a.b/d=x", &folders).is_err());
        assert!(resolve("nonsense", &folders).is_err());
    }
}
