//! Containers of a real Podman: what a renter can do in them, what not, and what a node sees of them.

mod egress;
mod harness;
mod images;

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command, time::Duration};

use gpumkt::{
    sandbox::{ContainerState, DeviceAccess, EngineOptions, EngineRuntime, NetworkPolicy, Runtime, SandboxError, UserNamespace},
    types::{Coded, agent},
};
use harness::{DEADLINE, Podman, eventually};

/// A harmless device of the machine: it reads as zeros.
struct Device(PathBuf);

impl Device {
    fn new() -> Self {
        let path = PathBuf::from(format!("/dev/gpumkt-test-{}", std::process::id()));
        let made = Command::new("mknod").arg("--mode=666").arg(&path).args(["c", "1", "5"]).status().unwrap();
        assert!(made.success());
        Self(path)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const NO_GRACE: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
async fn a_renter_has_the_run_of_the_container_and_of_nothing_else() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    let facts = runtime.check().await.unwrap();
    assert!(facts.name.starts_with("podman ") && facts.has_images, "{facts:?}");
    let rental = podman.rental(&runtime, 11).await;
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();

    assert_eq!(rental.ok("id -u; hostname; echo $RENTAL; echo $HOME").await, "0\nrental-11\n11\n/root");
    // A folder of one's own on the disk, the rest in memory and bounded.
    rental.ok("echo mine > /root/file && mkdir /root/d && chown 1000:1000 /root/d && chmod 700 /root/file").await;
    assert_eq!(fs::read_to_string(rental.spec.scratch_dir.join("file")).unwrap(), "mine\n");
    rental.ok("touch /tmp/x /run/x /var/tmp/x /dev/shm/x").await;
    rental.refused("head -c 64m /dev/zero > /tmp/big").await;
    rental.ok("rm -f /tmp/big || true").await;
    rental.ok("su nobody -c 'id -u' | grep -q 65534").await;

    for line in [
        "touch /etc/x",
        "touch /x",
        &format!("touch {}/x", agent::MOUNT),
        &format!("echo > {}", agent::PROGRAM),
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /",
        "umount /proc/sys",
        "mknod /root/disk b 254 0",
        "mknod /root/null c 1 3",
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "echo 1 > /sys/kernel/mm/transparent_hugepage/enabled",
        "for f in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do test -e $f && echo 999999999 > $f && exit; done; false",
        "cat /proc/kcore | head -c 1 | grep -q .",
        "ls /proc/acpi | grep -q .",
        "hostname other",
        "ip link set lo mtu 1000",
        "kill -9 1 && sleep 1 && ! kill -0 1",
        "ls /sys/class/net | grep -v lo | grep -q .",
        "ip route | grep -q .",
        "nc -w 1 1.1.1.1 53 < /dev/null",
    ] {
        rental.refused(line).await;
    }
    let status = rental.ok("cat /proc/self/status").await;
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID.
    assert!(status.contains("CapBnd:\t00000000000000fb") && status.contains("CapEff:\t00000000000000fb"), "{status}");

    let usage = runtime.usage(11).await.unwrap();
    assert!(usage.memory_bytes > 0 && usage.memory_bytes < 96 << 20 && usage.cpu_us > 0 && usage.processes > 0, "{usage:?}");
    runtime.stop(11, NO_GRACE).await.unwrap();
    assert_eq!(runtime.state(11).await.unwrap(), ContainerState::Absent);
    assert!(rental.spec.scratch_dir.join("file").exists(), "the renter's files stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_the_node_is_told() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    let rental = podman.rental(&runtime, 12).await;
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();

    // Memory: the process ends, the container does not.
    let bomb = rental.shell("head -c 200m /dev/zero | tail").await;
    assert!(!bomb.is_ok(), "{bomb:?}");
    eventually("the kill is counted", || async { runtime.usage(12).await.unwrap().out_of_memory_kills > 0 }).await;
    assert_eq!(runtime.state(12).await.unwrap(), ContainerState::Running { is_paused: false });

    // Processes.
    let fork = rental.ok("for i in 1 2 3 4 5 6 7 8; do (for j in 1 2 3 4 5 6 7 8 9; do sleep 3 & done) ; done 2>&1 | head -3; true").await;
    assert!(fork.contains("fork"), "{fork}");
    assert!(runtime.usage(12).await.unwrap().processes <= 48);

    // Processor time: half a core, over a second of trying.
    eventually("processes end", || async { runtime.usage(12).await.unwrap().processes < 12 }).await;
    let before = runtime.usage(12).await.unwrap().cpu_us;
    let began = std::time::Instant::now();
    rental.ok("(while :; do :; done) & a=$!; (while :; do :; done) & b=$!; sleep 2; kill $a $b").await;
    let used = runtime.usage(12).await.unwrap().cpu_us - before;
    assert!(u128::from(used) < began.elapsed().as_micros() * 3 / 4, "{used} of {:?}", began.elapsed());

    // The whole container: once its first process is gone, so is everything, and the reason stays known.
    podman.run(&["kill", "--signal", "KILL", "--all"]);
    eventually("the container has ended", || async { matches!(runtime.state(12).await.unwrap(), ContainerState::Exited { .. }) }).await;
    assert_eq!(runtime.state(12).await.unwrap(), ContainerState::Exited { code: 137, is_out_of_memory: true });
    assert!(matches!(runtime.usage(12).await, Err(SandboxError::NotRunning { rental: 12 })));
    assert!(matches!(runtime.pause(12).await, Err(SandboxError::NotRunning { rental: 12 })));

    // A start begins anew and remembers nothing of it.
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    assert_eq!(runtime.usage(12).await.unwrap().out_of_memory_kills, 0);
    runtime.stop(12, NO_GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_finds_its_containers_again_and_only_its_own() {
    let mut podman = Podman::start().await;
    let runtime = podman.runtime();
    let other = EngineRuntime::new(EngineOptions { node: "12D3KooWnode-of-another".into(), ..podman.options() });
    let rental = podman.rental(&runtime, 21).await;
    assert_eq!(runtime.state(21).await.unwrap(), ContainerState::Absent);
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    rental.ok("echo here > /tmp/mark").await;
    runtime.start(&rental.spec).await.unwrap();
    assert_eq!(rental.ok("cat /tmp/mark").await, "here");
    assert_eq!(runtime.list().await.unwrap(), [21]);

    assert_eq!(other.list().await.unwrap(), [0; 0]);
    assert_eq!(other.state(21).await.unwrap(), ContainerState::Absent);
    other.stop(21, NO_GRACE).await.unwrap();

    for _ in 0..2 {
        runtime.pause(21).await.unwrap();
    }
    assert_eq!(runtime.state(21).await.unwrap(), ContainerState::Running { is_paused: true });
    let frozen = runtime.usage(21).await.unwrap().cpu_us;
    runtime.start(&rental.spec).await.unwrap();

    // The engine goes away; the container does not.
    podman.kill_service();
    let gone = runtime.state(21).await.unwrap_err();
    assert!(gone.is_temporary() && gone.code().starts_with("E-SANDBOX-03") && !gone.next_step().is_empty(), "{gone}");
    podman.serve().await;
    assert_eq!(runtime.state(21).await.unwrap(), ContainerState::Running { is_paused: true });
    assert_eq!(runtime.usage(21).await.unwrap().cpu_us, frozen);
    for _ in 0..2 {
        runtime.resume(21).await.unwrap();
    }
    assert_eq!(rental.ok("cat /tmp/mark").await, "here");

    // A node that starts anew knows nothing and finds the same.
    let again = podman.runtime();
    assert_eq!(again.list().await.unwrap(), [21]);
    again.pause(21).await.unwrap();
    let began = std::time::Instant::now();
    again.stop(21, Duration::from_secs(1)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    again.stop(21, NO_GRACE).await.unwrap();
    assert_eq!(again.list().await.unwrap(), [0; 0]);
    for error in [again.pause(21).await.unwrap_err(), again.logs(21, 9).await.unwrap_err(), again.usage(21).await.unwrap_err()] {
        assert!(matches!(error, SandboxError::NoContainer { rental: 21 }), "{error}");
    }
    assert_eq!(podman.run(&["ps", "--all", "--quiet"]), "");
    assert_eq!(podman.run(&["volume", "ls", "--quiet"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_process_prints_is_kept_within_bounds() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    let mut rental = podman.rental(&runtime, 31).await;
    let program = podman.at("talker");
    fs::write(&program, "#!/bin/sh\ni=0\nwhile [ $i -lt 40000 ]; do echo \"line $i of many, to fill the log of this container\"; i=$((i+1)); done\necho done $1\nexec sleep 1000\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    rental.spec.agent_program = program.clone();
    runtime.start(&rental.spec).await.unwrap();
    eventually("it has printed all", || async { runtime.logs(31, 100).await.unwrap().ends_with(b"done init\n") }).await;
    let all = runtime.logs(31, 1 << 30).await.unwrap();
    assert!(all.len() < 2 << 20, "{} bytes", all.len());
    assert_eq!(runtime.logs(31, 10).await.unwrap(), b"done init\n");
    assert!(runtime.logs(31, 0).await.unwrap().is_empty());
    runtime.stop(31, NO_GRACE).await.unwrap();

    // One that ends at once says why.
    fs::write(&program, "#!/bin/sh\necho cannot go on >&2\nexit 3\n").unwrap();
    let started = runtime.start(&rental.spec).await;
    let reason = match started {
        Err(error) => error.to_string(),
        Ok(()) => {
            eventually("it has ended", || async {
                runtime.state(31).await.unwrap() == ContainerState::Exited { code: 3, is_out_of_memory: false }
            })
            .await;
            String::from_utf8(runtime.logs(31, 100).await.unwrap()).unwrap()
        }
    };
    assert!(reason.contains("cannot go on"), "{reason}");
    runtime.stop(31, NO_GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_a_container_is_an_ordinary_user_of_the_machine() {
    let podman = Podman::start().await;
    let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
    assert!(ranges.contains("containers:"), "/etc/subuid has no range for containers; `scripts/setup.sh full` adds one");
    let required = EngineRuntime::new(EngineOptions { user_namespace: UserNamespace::Required, ..podman.options() });
    assert!(!required.check().await.unwrap().unenforced.iter().any(|limit| limit.starts_with("user namespace")));
    let rental = podman.rental(&required, 41).await;
    fs::create_dir_all(rental.spec.scratch_dir.join("old/deep")).unwrap();
    fs::write(rental.spec.scratch_dir.join("old/deep/file"), "from before").unwrap();
    std::os::unix::fs::symlink("/etc/shadow", rental.spec.scratch_dir.join("old/link")).unwrap();
    required.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    let map = rental.ok("cat /proc/self/uid_map").await;
    let numbers: Vec<u64> = map.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert!(numbers[0] == 0 && numbers[1] >= 65_536 && numbers[2] == 65_536, "{map}");
    rental.ok("echo more >> /root/old/deep/file && touch /root/new").await;
    let owner = |path: &std::path::Path| std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(path).unwrap());
    assert_eq!(u64::from(owner(&rental.spec.scratch_dir.join("new"))), numbers[1]);
    assert_eq!(owner(std::path::Path::new("/etc/shadow")), 0, "links are not followed");
    required.stop(41, NO_GRACE).await.unwrap();

    let without = EngineRuntime::new(EngineOptions { user_namespace: UserNamespace::Off, ..podman.options() });
    assert!(without.check().await.unwrap().unenforced.iter().any(|limit| limit.starts_with("user namespace")));
    without.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    assert!(rental.ok("cat /proc/self/uid_map").await.split_whitespace().eq(["0", "0", "4294967295"]));
    assert!(rental.ok("cat /proc/self/status").await.contains("CapEff:\t00000000000000fb"));
    rental.refused("mknod /root/null c 1 3").await;
    rental.refused("cat /root/old/link").await;
    without.stop(41, NO_GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_come_from_cdi_specifications_or_by_name() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    fs::create_dir(podman.at("cdi")).unwrap();
    let library = podman.at("libgpu.so.1.2");
    fs::write(&library, "of the driver").unwrap();
    std::os::unix::fs::symlink("libgpu.so.1.2", podman.at("libgpu.so.1")).unwrap();
    let device = Device::new();
    let path = device.0.display();
    let spec = format!(
        "cdiVersion: 0.6.0\nkind: test.example/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    env: [GPU_INSIDE=yes]\n    deviceNodes:\n    \
         - {{path: {path}, permissions: rwm}}\n    mounts:\n    - {{hostPath: {}, containerPath: /usr/lib/gpu/libgpu.so.1.2, options: [ro]}}\n\
         - name: renamed\n  containerEdits:\n    deviceNodes:\n    - {{path: /dev/gpu0, hostPath: {path}}}\n",
        library.display()
    );
    fs::write(podman.at("cdi").join("test.yaml"), spec).unwrap();
    let mut rental = podman.rental(&runtime, 51).await;
    rental.spec.env.insert("NVIDIA_VISIBLE_DEVICES".into(), "all".into());
    rental.spec.devices = DeviceAccess::Cdi { name: "test.example/gpu=0".into() };
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    assert_eq!(rental.ok(&format!("head -c 4 {path} | wc -c; test -c {path} && echo $GPU_INSIDE")).await, "4\nyes");
    assert_eq!(rental.ok("cat /usr/lib/gpu/libgpu.so.1").await, "of the driver");
    assert_eq!(rental.ok("echo $LD_LIBRARY_PATH $NVIDIA_VISIBLE_DEVICES").await, "/usr/lib/gpu void");
    rental.refused("echo x > /usr/lib/gpu/libgpu.so.1").await;
    runtime.stop(51, NO_GRACE).await.unwrap();

    rental.spec.devices = DeviceAccess::Nodes { paths: vec![device.0.clone()] };
    runtime.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    rental.ok(&format!("head -c 4 {path} | wc -c | grep -q 4")).await;
    runtime.stop(51, NO_GRACE).await.unwrap();

    // What only works as the machine's root is refused with a user namespace, and works without.
    fs::set_permissions(&device.0, fs::Permissions::from_mode(0o660)).unwrap();
    assert_eq!(runtime.start(&rental.spec).await.unwrap_err().code(), "E-SANDBOX-045");
    rental.spec.devices = DeviceAccess::Cdi { name: "test.example/gpu=renamed".into() };
    assert_eq!(runtime.start(&rental.spec).await.unwrap_err().code(), "E-SANDBOX-045");
    let without = EngineRuntime::new(EngineOptions { user_namespace: UserNamespace::Off, ..podman.options() });
    without.start(&rental.spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    rental.ok("head -c 4 /dev/gpu0 | wc -c | grep -q 4").await;
    without.stop(51, NO_GRACE).await.unwrap();
    for (devices, code) in [
        (DeviceAccess::Cdi { name: "test.example/gpu=1".into() }, "E-SANDBOX-044"),
        (DeviceAccess::Nodes { paths: vec!["/dev/no-such-gpu".into()] }, "E-SANDBOX-045"),
        (DeviceAccess::Nodes { paths: vec!["/etc/passwd".into()] }, "E-SANDBOX-045"),
    ] {
        rental.spec.devices = devices;
        let error = runtime.start(&rental.spec).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(runtime.state(51).await.unwrap(), ContainerState::Absent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn specifications_that_an_engine_would_misread_are_refused() {
    let podman = Podman::start().await;
    let runtime = podman.runtime();
    let rental = podman.rental(&runtime, 61).await;
    let refused = async |change: &dyn Fn(&mut gpumkt::sandbox::ContainerSpec)| {
        let mut spec = rental.spec.clone();
        change(&mut spec);
        runtime.start(&spec).await.unwrap_err()
    };
    for error in [
        refused(&|spec| spec.hostname = "a b".into()).await,
        refused(&|spec| spec.limits.memory_bytes = 1).await,
        refused(&|spec| spec.limits.processes = 0).await,
        refused(&|spec| spec.limits.shm_bytes = u64::MAX).await,
        refused(&|spec| drop(spec.env.insert("A=B".into(), "x".into()))).await,
        refused(&|spec| drop(spec.env.insert("A".into(), "x\0y".into()))).await,
        refused(&|spec| spec.agent_dir = spec.agent_dir.join("../agent")).await,
        refused(&|spec| spec.agent_program = "relative".into()).await,
    ] {
        assert_eq!(error.code(), "E-SANDBOX-047", "{error}");
    }
    let error = refused(&|spec| spec.image = "sha256:0000000000000000000000000000000000000000000000000000000000000000".into()).await;
    assert_eq!(error.code(), "E-SANDBOX-052", "{error}");
    // Nothing that these left behind is in the way.
    let mut spec = rental.spec.clone();
    spec.network = NetworkPolicy::None;
    runtime.start(&spec).await.unwrap();
    rental.agent.wait_ready(DEADLINE).await.unwrap();
    runtime.stop(61, NO_GRACE).await.unwrap();
}
