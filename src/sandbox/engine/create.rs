//! From what a rental asks for to what an engine is told.
//!
//! Nothing is left to the engine's or the image's defaults that could weaken the isolation or let a container write to the disk
//! outside of its scratch folder.

use std::{
    collections::{BTreeMap, HashMap},
    fs::Metadata,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, ImageInspect, Mount,
    MountType, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use nix::sys::resource::{Resource, getrlimit};

use super::{
    super::{ContainerLimits, ContainerSpec, SandboxError},
    cdi::{Edits, is_plain, is_reserved},
    connect::{Engine, Kind, is_selinux_enforcing},
};
use crate::types::agent;

/// What root needs to use a shell, to install software below /root and to become other users: owners and modes of files, users of
/// processes, signals. Left out are, beside everything that reaches the machine: device nodes (MKNOD), raw sockets (NET_RAW),
/// changing root (SYS_CHROOT), file capabilities (SETFCAP) and ports below 1024, which engines allow to everybody in a container.
const CAPABILITIES: &[&str] = &["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"];
/// /run holds sockets and process ids.
const RUN_BYTES: u64 = 16 << 20;
/// Least memory with which a container starts reliably.
const MIN_MEMORY_BYTES: u64 = 16 << 20;
/// What engines take for a limit of processes; a few are the agent's own.
const MIN_PROCESSES: u32 = 8;
/// Open files of one process: loaders of training data keep thousands.
const MAX_OPEN_FILES: u64 = 65_536;
/// Processes of one user; Podman's service lowers its own hard limit to 32768, and nobody can give more than they have.
const MAX_USER_PROCESSES: u64 = 16_384;
const MAX_ENV_BYTES: usize = 128 << 10;
const MAX_VOLUMES: usize = 32;
/// What the first process prints is kept up to this size.
const LOG_SIZE: &str = "1m";
/// Makes the kernel end a container's processes before anything else on the machine.
const OOM_SCORE_ADJ: i64 = 500;

/// What a container is made from, all of it checked.
pub struct Plan<'a> {
    pub spec: &'a ContainerSpec,
    pub image: &'a ImageInspect,
    pub engine: &'a Engine,
    pub edits: &'a Edits,
    pub labels: HashMap<String, String>,
    pub network_mode: &'a str,
    /// Resolvers of its own, and no IPv6.
    pub dns: Option<Vec<String>>,
    pub userns_mode: Option<&'a str>,
}

fn refuse<T>(what: &'static str, reason: impl Into<String>) -> Result<T, SandboxError> {
    Err(SandboxError::ContainerSpec { what, reason: reason.into() })
}

/// Refuses what an engine would misread or what would fail late.
pub fn check(spec: &ContainerSpec, is_namespaced: bool) -> Result<(), SandboxError> {
    let ContainerLimits { memory_bytes, cpu_millis, processes, shm_bytes, .. } = spec.limits;
    if memory_bytes < MIN_MEMORY_BYTES || i64::try_from(memory_bytes).is_err() {
        return refuse("memory limit", format!("{memory_bytes} bytes; the least is {MIN_MEMORY_BYTES}"));
    }
    if cpu_millis < 10 || processes < MIN_PROCESSES || shm_bytes == 0 || shm_bytes > memory_bytes {
        return refuse(
            "limits",
            format!("at least 10 thousandths of a core, {MIN_PROCESSES} processes, and shared memory within the memory limit"),
        );
    }
    let label = |text: &str| {
        !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !text.starts_with('-')
    };
    if !label(&spec.hostname) {
        return refuse("host name", "letters, digits and hyphens, at most 63");
    }
    check_env(&spec.env)?;
    for path in [&spec.agent_dir, &spec.scratch_dir, &spec.agent_program] {
        check_mountable(path)?;
    }
    let stat = |path: &PathBuf| std::fs::metadata(path).map_err(|source| SandboxError::Folder { path: path.clone(), source });
    if !stat(&spec.agent_dir)?.is_dir() || !stat(&spec.scratch_dir)?.is_dir() {
        return refuse("folders", "the agent's or the scratch folder is not a folder");
    }
    let program: Metadata = stat(&spec.agent_program)?;
    // Inside a user namespace the file belongs to nobody that is known there.
    let wanted = if is_namespaced { 0o005 } else { 0o500 };
    if !program.is_file() || program.permissions().mode() & wanted != wanted {
        return refuse("agent program", format!("{} is not executable there (mode 0755)", spec.agent_program.display()));
    }
    Ok(())
}

fn check_env(env: &BTreeMap<String, String>) -> Result<(), SandboxError> {
    let name = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if let Some(bad) = env.keys().find(|key| !name(key)) {
        return refuse("environment", format!("{bad:?} is not a name of a variable"));
    }
    if let Some((name, _)) = env.iter().find(|(_, value)| value.contains('\0')) {
        return refuse("environment", format!("the value of {name} has a zero byte"));
    }
    if env.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() > MAX_ENV_BYTES {
        return refuse("environment", format!("more than {MAX_ENV_BYTES} bytes"));
    }
    Ok(())
}

/// Podman turns mounts into comma-separated words.
fn check_mountable(path: &Path) -> Result<(), SandboxError> {
    if is_plain(path) && !path.to_string_lossy().contains([',', '"', '=', ':', '\\']) {
        return Ok(());
    }
    refuse("folders", format!("{} is not a plain absolute path without commas, colons and quotes", path.display()))
}

/// Refuses device nodes that the container's root could see but not open.
pub fn check_nodes(edits: &Edits, is_namespaced: bool) -> Result<(), SandboxError> {
    for node in &edits.nodes {
        check_mountable(&node.host)?;
        check_mountable(&node.inside)?;
        let found = std::fs::metadata(&node.host).map_err(|source| SandboxError::Folder { path: node.host.clone(), source })?;
        let refuse = |reason: String| Err(SandboxError::DeviceNode { path: node.host.clone(), reason });
        // There, runtimes lay the machine's own node over one of the same name instead of making one.
        if is_namespaced && node.host != node.inside {
            let inside = node.inside.display();
            return refuse(format!("inside it is to be {inside}, which takes a container without a user namespace of its own"));
        }
        let wanted = if node.permissions.contains('w') { 0o006 } else { 0o004 };
        if is_namespaced && found.permissions().mode() & wanted != wanted {
            let reason = format!(
                "its mode is {:04o}, but a container with its own user namespace needs {:04o}; or run containers without one",
                found.permissions().mode() & 0o7777,
                wanted
            );
            return refuse(reason);
        }
    }
    edits.mounts.iter().try_for_each(|(inside, host)| check_mountable(inside).and_then(|()| check_mountable(host)))
}

pub fn body(plan: &Plan<'_>) -> Result<ContainerCreateBody, SandboxError> {
    Ok(ContainerCreateBody {
        hostname: Some(plan.spec.hostname.clone()),
        user: Some("0:0".into()),
        env: Some(environment(plan)),
        image: plan.image.id.clone(),
        // Images may have a check of their own, which the engine would run beside the agent.
        healthcheck: Some(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        working_dir: Some("/".into()),
        entrypoint: Some(vec![agent::PROGRAM.into(), "init".into()]),
        cmd: Some(Vec::new()),
        labels: Some(plan.labels.clone()),
        stop_signal: Some("SIGTERM".into()),
        tty: Some(false),
        open_stdin: Some(false),
        host_config: Some(host_config(plan)?),
        ..ContainerCreateBody::default()
    })
}

fn host_config(plan: &Plan<'_>) -> Result<HostConfig, SandboxError> {
    let Plan { spec, engine, edits, .. } = plan;
    let limits = &spec.limits;
    let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let mut security = vec!["no-new-privileges".to_owned()];
    if is_selinux_enforcing() {
        security.push("label=disable".into());
    }
    let nodes = edits.nodes.iter().map(|node| DeviceMapping {
        path_on_host: Some(node.host.to_string_lossy().into_owned()),
        path_in_container: Some(node.inside.to_string_lossy().into_owned()),
        cgroup_permissions: Some(node.permissions.clone()),
    });
    Ok(HostConfig {
        memory: Some(signed(limits.memory_bytes)),
        // Memory and swap together: no swap.
        memory_swap: Some(signed(limits.memory_bytes)),
        nano_cpus: Some(i64::from(limits.cpu_millis) * 1_000_000),
        pids_limit: Some(i64::from(limits.processes)),
        oom_score_adj: Some(OOM_SCORE_ADJ),
        ulimits: Some(ulimits()),
        devices: Some(nodes.collect()),
        mounts: Some(mounts(plan)),
        tmpfs: Some(tmpfs(plan)?),
        shm_size: Some(signed(limits.shm_bytes)),
        readonly_rootfs: Some(true),
        cap_drop: Some(vec!["ALL".into()]),
        cap_add: Some(CAPABILITIES.iter().map(|name| (*name).to_owned()).collect()),
        privileged: Some(false),
        security_opt: Some(security),
        userns_mode: plan.userns_mode.map(str::to_owned),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        ipc_mode: Some("private".into()),
        network_mode: Some(plan.network_mode.to_owned()),
        publish_all_ports: Some(false),
        dns: plan.dns.clone(),
        sysctls: plan.dns.is_some().then(without_ipv6),
        init: Some(false),
        auto_remove: Some(false),
        restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
        log_config: Some(log_config(engine.kind)),
        ..HostConfig::default()
    })
}

fn without_ipv6() -> HashMap<String, String> {
    let place = |name: &str| (format!("net.ipv6.conf.{name}.disable_ipv6"), "1".to_owned());
    if Path::new("/proc/sys/net/ipv6").exists() { [place("all"), place("default")].into() } else { HashMap::new() }
}

fn log_config(kind: Kind) -> HostConfigLogConfig {
    let mut options = HashMap::from([("max-size".to_owned(), LOG_SIZE.to_owned())]);
    if kind == Kind::Docker {
        options.insert("max-file".into(), "1".into());
    }
    HostConfigLogConfig { typ: Some("json-file".into()), config: Some(options) }
}

/// Explicit, because engines raise them to values that machines with lower hard limits refuse. The number of processes is held by the
/// control group; this limit would count the processes of all containers of a user together.
fn ulimits() -> Vec<ResourcesUlimits> {
    let at_most = |resource, most: u64| getrlimit(resource).map_or(most, |(_, hard)| hard.min(most));
    let limit = |name: &str, value: u64| {
        let value = i64::try_from(value).ok();
        ResourcesUlimits { name: Some(name.into()), soft: value, hard: value }
    };
    vec![
        limit("nofile", at_most(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES)),
        limit("nproc", at_most(Resource::RLIMIT_NPROC, MAX_USER_PROCESSES)),
        limit("core", 0),
    ]
}

fn mounts(plan: &Plan<'_>) -> Vec<Mount> {
    let bind = |host: &Path, inside: &str, read_only: bool| Mount {
        target: Some(inside.to_owned()),
        source: Some(host.to_string_lossy().into_owned()),
        typ: Some(MountType::BIND),
        read_only: Some(read_only),
        ..Mount::default()
    };
    let spec = plan.spec;
    let mut mounts = vec![
        bind(&spec.scratch_dir, "/root", false),
        bind(&spec.agent_dir, agent::MOUNT, true),
        bind(&spec.agent_program, agent::PROGRAM, true),
    ];
    mounts.extend(plan.edits.mounts.iter().map(|(inside, host)| bind(host, &inside.to_string_lossy(), true)));
    mounts
}

/// Writable places in memory. Volumes that the image declares become such places too: the engine would make folders on the disk for
/// them, which nobody limits.
fn tmpfs(plan: &Plan<'_>) -> Result<HashMap<String, String>, SandboxError> {
    let place = |bytes: u64, mode: &str| format!("rw,nosuid,nodev,size={bytes},mode={mode}");
    let shared = plan.spec.limits.shm_bytes;
    let mut places = HashMap::from([
        ("/tmp".to_owned(), place(shared, "1777")),
        ("/var/tmp".to_owned(), place(shared, "1777")),
        ("/run".to_owned(), place(RUN_BYTES, "755")),
    ]);
    let volumes: Vec<&String> = plan.image.config.iter().flat_map(|config| config.volumes.iter().flatten()).collect();
    let unfit = |reason: String| Err(SandboxError::ImageUnfit { image: plan.image.id.clone().unwrap_or_default(), reason });
    if volumes.len() > MAX_VOLUMES {
        return unfit(format!("it declares {} volumes, {MAX_VOLUMES} is the most", volumes.len()));
    }
    for volume in volumes {
        let path = volume.trim_end_matches('/');
        // The scratch folder lies over it.
        if path == "/root" {
            continue;
        }
        if !is_plain(Path::new(path)) || (is_reserved(Path::new(path)) && path != "/run") || path.contains([',', ':']) {
            return unfit(format!("it declares a volume at {volume:?}"));
        }
        places.entry(path.to_owned()).or_insert_with(|| place(shared, "755"));
    }
    Ok(places)
}

/// The image's own variables are added by the engine, where these do not name them.
fn environment(plan: &Plan<'_>) -> Vec<String> {
    let mut env = plan.spec.env.clone();
    env.extend(plan.edits.env.clone());
    env.insert("HOME".into(), "/root".into());
    // NVIDIA's runtime, where it is the engine's default, gives every GPU to whatever container asks for it in its environment.
    env.insert("NVIDIA_VISIBLE_DEVICES".into(), "void".into());
    if !plan.edits.library_folders.is_empty() {
        let of_image = plan.image.config.iter().flat_map(|config| config.env.iter().flatten());
        let known = of_image.filter_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH=")).next_back();
        let mut folders: Vec<String> = env.get("LD_LIBRARY_PATH").map(String::as_str).or(known).into_iter().map(str::to_owned).collect();
        folders.extend(plan.edits.library_folders.iter().map(|folder| folder.to_string_lossy().into_owned()));
        env.insert("LD_LIBRARY_PATH".into(), folders.into_iter().filter(|folder| !folder.is_empty()).collect::<Vec<_>>().join(":"));
    }
    env.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}
