//! What a hostile renter tries in a container of bubblewrap, with a real node around it. tests/it/engine.rs holds the same for Podman.

use std::{
    net::TcpListener,
    process::{Child, Command},
    time::{Duration, Instant},
};

use gpumkt::{sandbox::ContainerLimits, types::agent::Exit};

use super::tenants::{Machine, Node, RENTAL, running};

/// A process of the machine that nobody inside may reach.
struct Bystander(Child);

impl Bystander {
    fn new() -> Self {
        Self(Command::new("sleep").arg("987").spawn().unwrap())
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn refused(node: &Node, line: &str) {
    let (printed, exit) = node.run(line).await;
    assert!(exit != Exit::Code(0), "{line} succeeded: {printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out_of_the_container() {
    let machine = Machine::new();
    let mut node = machine.start_node().await;
    node.launch().await;
    let mut bystander = Bystander::new();
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (source, data, pid) = (env!("CARGO_MANIFEST_DIR"), machine.folder.path().display().to_string(), bystander.0.id());
    let lines = [
        // Mounts.
        "mount -t tmpfs none /mnt".to_string(),
        "mount --bind /proc /tmp".into(),
        "mount -o remount,rw /usr".into(),
        "umount /proc".into(),
        "unshare -U true".into(),
        "unshare -rm true".into(),
        "chroot /proc/1/root true".into(),
        // Devices.
        "mknod /root/disk b 254 0".into(),
        "mknod /root/null c 1 3 && echo x > /root/null".into(),
        "cat /dev/mem".into(),
        "cat /dev/kmsg".into(),
        "ls /dev/vda /dev/sda /dev/nvme0n1 /dev/kvm".into(),
        // The machine's system.
        "touch /usr/x".into(),
        "touch /etc/x".into(),
        "echo 1 > /proc/sys/kernel/panic".into(),
        "echo b > /proc/sysrq-trigger".into(),
        "echo 1 > /sys/kernel/mm/transparent_hugepage/enabled".into(),
        "echo 1 > /sys/fs/cgroup/memory.max".into(),
        "dmesg".into(),
        "hostname other".into(),
        // The machine's files, also by the ways of others.
        format!("test -e {source}"),
        format!("test -e {data}"),
        "cat /etc/shadow".into(),
        format!("ls /proc/{pid}/root"),
        "ln -s /etc/shadow /root/link && cat /root/link".into(),
        // Processes outside.
        format!("kill -9 {pid}"),
        format!("test -e /proc/{pid}/comm"),
        // The network: this machine, its metadata service, others.
        format!("timeout 3 bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'"),
        "timeout 3 bash -c 'exec 3<>/dev/tcp/169.254.169.254/80'".into(),
        "timeout 3 bash -c 'exec 3<>/dev/tcp/10.0.0.1/22'".into(),
        "timeout 3 bash -c 'exec 3<>/dev/tcp/1.1.1.1/53'".into(),
        "grep -v -e lo: -e Inter -e face /proc/net/dev".into(),
    ];
    for line in &lines {
        refused(&node, line).await;
    }
    node.run("pkill -9 sleep; kill -9 -1").await;
    assert!(bystander.is_alive(), "a signal got out");
    let status = node.run("cat /proc/self/status").await.0;
    assert!(status.contains("NoNewPrivs:\t1") && status.contains("Seccomp:\t2"), "{status}");
    assert!(status.contains("CapBnd:\t0000000000000000") || status.contains("CapEff:\t0000000000000000"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_go_off_inside() {
    let mut machine = Machine::new();
    machine.limits = ContainerLimits { processes: 64, memory_bytes: 128 << 20, ..machine.limits };
    let mut node = machine.start_node().await;
    node.launch().await;
    let (said, _) = node.run("i=0; while [ $i -lt 300 ]; do sleep 5 & i=$((i+1)); done 2>&1 | tail -1; true").await;
    let processes = node.runtime_usage().await.processes;
    assert!(processes <= 64 + 8, "{processes} processes: {said}");
    // Whatever the container does, the node answers.
    let asked = Instant::now();
    assert_eq!(node.status().await.unwrap().rental, RENTAL);
    assert!(asked.elapsed() < Duration::from_secs(5));

    let (_, exit) = node.run("head -c 600m /dev/zero | tail").await;
    assert!(exit != Exit::Code(0), "600 MiB within 128");
    // It is killed inside, or the container is started again: in either case one gets in.
    let back = async |node: &Node, _| node.tenants.tenure(RENTAL).is_ok();
    node.look_until(running(), "back", back).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_bomb_is_stopped_and_its_files_stay() {
    let mut machine = Machine::new();
    machine.limits = ContainerLimits { disk_bytes: 8 << 20, ..machine.limits };
    let mut node = machine.start_node().await;
    node.launch().await;
    let shutdown = gpumkt::task::Shutdown::new();
    let (tenants, stop) = (node.tenants.clone(), shutdown.clone());
    let watching =
        tokio::spawn(
            async move { gpumkt::task::Service::run(&mut gpumkt::service::tenants::DiskService { tenants }, &stop).await.is_ok() },
        );
    node.run("(while :; do head -c 1m /dev/zero >> ~/bomb; sleep 0.05; done) >/dev/null 2>&1 &").await;
    let stopped = async |node: &Node, _| {
        node.status().await.and_then(|status| status.trouble).is_some_and(|trouble| trouble.reason.contains("on disk"))
    };
    node.look_until(running(), "stopped", stopped).await;
    let back = async |node: &Node, _| node.tenants.tenure(RENTAL).is_ok();
    node.look_until(running(), "back", back).await;
    let size = || std::fs::metadata(machine.scratch().join("bomb")).unwrap().len();
    let (before, processes) = (size(), node.run("pgrep -f '[h]ead -c 1m' | wc -l").await.0);
    assert_eq!(processes.trim(), "0", "the bomb is gone");
    assert!(before > 8 << 20 && size() == before, "its files stay, and grow no more");
    shutdown.intake.cancel();
    assert!(watching.await.unwrap());
}
