//! Renters' containers on a provider's machine, from the payment to the wiped folder, with real containers and without a chain.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use gpumkt::{
    rules::tenancy::{Phase, Policy, Window},
    sandbox::{BubblewrapRuntime, ContainerLimits, ContainerState, DeviceAccess, NetworkPolicy, Runtime, install_agent},
    service::{
        COLUMNS,
        tenants::{LaunchProgress, TenantStatus, Tenants, TenantsConfig},
    },
    store::Store,
    telemetry::{Alerts, Metrics},
    types::{
        agent::{Exec, Exit, Frame},
        launch::LaunchSpec,
    },
};
use tokio::{task::JoinSet, time::Instant};

const RENTAL: u64 = 7;
const PATIENCE: Duration = Duration::from_secs(30);

/// A provider's machine: what survives a restart of its node.
struct Machine {
    folder: tempfile::TempDir,
    limits: ContainerLimits,
    policy: Policy,
}

/// A node on it.
struct Node {
    tenants: Tenants,
    runtime: Arc<BubblewrapRuntime>,
    steps: JoinSet<()>,
}

impl Machine {
    fn new() -> Self {
        Self::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 0 })
    }

    fn with(policy: Policy) -> Self {
        let limits = ContainerLimits { memory_bytes: 256 << 20, disk_bytes: 64 << 20, shm_bytes: 16 << 20, ..ContainerLimits::default() };
        Self { folder: tempfile::tempdir().unwrap(), limits, policy }
    }

    fn rentals(&self) -> std::path::PathBuf {
        self.folder.path().join("rentals")
    }

    fn scratch(&self) -> std::path::PathBuf {
        self.rentals().join(RENTAL.to_string()).join("scratch")
    }

    async fn start_node(&self) -> Node {
        let store = Store::open(&self.folder.path().join("db"), COLUMNS).unwrap();
        let runtime = Arc::new(BubblewrapRuntime::new(&self.rentals()).unwrap());
        let config = TenantsConfig {
            rentals_dir: self.rentals(),
            images_dir: None,
            agent_program: install_agent(self.folder.path()).unwrap(),
            limits: self.limits,
            network: NetworkPolicy::None,
            devices: DeviceAccess::Cpu,
            policy: self.policy,
        };
        let tenants = Tenants::load(store, Some(runtime.clone()), config, Metrics::default(), Alerts::new().0).await.unwrap();
        Node { tenants, runtime, steps: JoinSet::new() }
    }
}

impl Drop for Machine {
    /// Containers outlive nodes on purpose, so a test that failed must take its own along.
    fn drop(&mut self) {
        let state = self.rentals();
        std::thread::spawn(move || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let runtime = BubblewrapRuntime::new(&state).unwrap();
            let _ = tokio.block_on(runtime.stop(RENTAL, Duration::ZERO));
        })
        .join()
        .unwrap();
    }
}

impl Node {
    /// Looks at chain and container until `done`; returns whether `ready` was due at the last look.
    async fn look_until(&mut self, window: Option<Window>, what: &str, mut done: impl AsyncFnMut(&Node, bool) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let windows: BTreeMap<u64, Window> = window.into_iter().map(|window| (RENTAL, window)).collect();
        loop {
            let is_ready = self.tenants.look(&windows, &mut self.steps).await.contains(&RENTAL);
            if done(self, is_ready).await {
                return;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; {:?}", self.status().await);
            tokio::select! {
                Some(_) = self.steps.join_next() => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    async fn launch(&mut self) {
        self.look_until(paid(), "ready", async |_, is_ready| is_ready).await;
    }

    async fn status(&self) -> Option<TenantStatus> {
        self.tenants.status(RENTAL).await.ok()
    }

    /// Runs a shell command in the container; its output, and how it ended.
    async fn run(&self, command: &str) -> (String, Exit) {
        let tenure = self.tenants.tenure(RENTAL).unwrap();
        let exec = Exec { argv: vec![b"-".to_vec(), command.as_bytes().to_vec()], ..Exec::default() };
        let (_input, mut output) = tenure.agent.exec(exec).await.unwrap().split();
        let mut printed = Vec::new();
        loop {
            match output.next().await.unwrap() {
                Frame::Stdout(bytes) | Frame::Stderr(bytes) => printed.extend(bytes),
                Frame::Exited(exit) => return (String::from_utf8_lossy(&printed).into_owned(), exit),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Stops without a word, as a killed process does.
    async fn die(mut self) {
        self.steps.shutdown().await;
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn paid() -> Option<Window> {
    Some(Window { start: 0, end: 0, is_closed: false })
}

fn running() -> Option<Window> {
    Some(Window { start: now() - 5, end: now() + 3_000, is_closed: false })
}

fn over() -> Option<Window> {
    Some(Window { start: now() - 100, end: now() - 1, is_closed: false })
}

async fn is_absent(node: &Node) -> bool {
    node.runtime.state(RENTAL).await.unwrap() == ContainerState::Absent
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_lives_from_payment_to_wiped_folder() {
    let machine = Machine::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 1 });
    let mut node = machine.start_node().await;
    node.launch().await;
    assert_eq!(*node.tenants.progress(RENTAL).unwrap().borrow(), LaunchProgress::Prepared);
    let (printed, exit) = node.run("echo $GPUMKT_RENTAL > ~/note; cat ~/note; exit 3").await;
    assert_eq!((printed.trim(), exit), ("7", Exit::Code(3)));

    node.look_until(over(), "gone", async |node, _| is_absent(node).await).await;
    assert!(node.tenants.tenure(RENTAL).is_err(), "nobody gets in after the end");
    assert!(exists(&machine.scratch().join("note")), "files stay for a while");
    let wiped = async |node: &Node, _| node.status().await.is_none();
    node.look_until(over(), "wiped", wiped).await;
    assert!(!exists(&machine.rentals().join(RENTAL.to_string())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_node_finds_the_renters_processes_alive() {
    let machine = Machine::new();
    let mut node = machine.start_node().await;
    node.launch().await;
    let (pid, _) = node.run("nohup sleep 1000 >/dev/null 2>&1 & echo $!").await;
    node.die().await;
    let mut node = machine.start_node().await;
    // The chain is out of reach: nothing is known but what was stored.
    node.look_until(None, "attached", async |node, _| node.tenants.tenure(RENTAL).is_ok()).await;
    let (printed, exit) = node.run(&format!("cat /proc/{}/comm", pid.trim())).await;
    assert_eq!((printed.trim(), exit), ("sleep", Exit::Code(0)));
    assert_eq!(node.status().await.unwrap().deaths, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_container_comes_back_with_its_files_and_start_command() {
    let machine = Machine::new();
    let mut node = machine.start_node().await;
    node.look_until(paid(), "seen", async |node, _| node.status().await.is_some()).await;
    let command = vec!["sh".into(), "-c".into(), "echo started >> /root/starts; exec sleep 1000".into()];
    // The default launch may have begun already; then this machine's policy was quicker than the renter.
    let _ = node.tenants.set_launch(RENTAL, LaunchSpec { command, ..LaunchSpec::default() });
    node.launch().await;
    node.run("echo kept > ~/file").await;
    node.runtime.stop(RENTAL, Duration::ZERO).await.unwrap();
    node.look_until(running(), "restarted", async |node, _| {
        node.status().await.is_some_and(|status| status.deaths == 1) && node.tenants.tenure(RENTAL).is_ok() && !is_absent(node).await
    })
    .await;
    let deadline = Instant::now() + PATIENCE;
    while node.run("cat ~/file").await.0.trim() != "kept" {
        assert!(Instant::now() < deadline);
    }
    assert!(node.status().await.unwrap().trouble.is_some(), "the renter is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_the_renters_work_and_is_counted() {
    let machine = Machine::new();
    let mut node = machine.start_node().await;
    node.launch().await;
    node.run("(while :; do echo x >> /tmp/ticks; done) >/dev/null 2>&1 &").await;
    let usage = async || node.runtime.usage(RENTAL).await.unwrap().cpu_us;
    let (before, after) = node
        .tenants
        .paused(RENTAL, async {
            let before = usage().await;
            tokio::time::sleep(Duration::from_millis(300)).await;
            (before, usage().await)
        })
        .await;
    assert!(after - before < 50_000, "{before} {after}: it ran on");
    assert!(node.status().await.unwrap().paused_ms >= 300);
    let deadline = Instant::now() + PATIENCE;
    while usage().await <= after + 10_000 {
        assert!(Instant::now() < deadline, "it never went on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_cannot_work_is_told_and_another_one_helps() {
    let machine = Machine::with(Policy { launch_wait_seconds: 60, keep_files_seconds: 0 });
    let mut node = machine.start_node().await;
    node.look_until(paid(), "seen", async |node, _| node.status().await.is_some()).await;
    let wrong = LaunchSpec { image: "local:nothing-like-it".parse().unwrap(), ..LaunchSpec::default() };
    node.tenants.set_launch(RENTAL, wrong).unwrap();
    node.look_until(paid(), "failed", async |node, is_ready| {
        assert!(!is_ready, "no ready for a launch that failed");
        matches!(*node.tenants.progress(RENTAL).unwrap().borrow(), LaunchProgress::Failed { .. })
    })
    .await;
    assert_eq!(node.status().await.unwrap().phase, Phase::Failed);
    node.tenants.set_launch(RENTAL, LaunchSpec::default()).unwrap();
    node.launch().await;
    assert!(node.tenants.set_launch(RENTAL, LaunchSpec { command: vec!["x".into()], ..LaunchSpec::default() }).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_rental_is_never_launched_twice_nor_kept() {
    let machine = Machine::with(Policy { launch_wait_seconds: 60, keep_files_seconds: 0 });
    let mut node = machine.start_node().await;
    node.look_until(paid(), "seen", async |node, _| node.status().await.is_some()).await;
    let cancelled = Window { start: 0, end: 0, is_closed: true };
    node.look_until(Some(cancelled), "forgotten", async |node, _| node.status().await.is_none()).await;
    node.tenants.look(&BTreeMap::from([(RENTAL, cancelled)]), &mut node.steps).await;
    assert!(node.status().await.is_none());
}
