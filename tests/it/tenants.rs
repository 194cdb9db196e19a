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

use crate::poll;

pub const RENTAL: u64 = 7;
const PATIENCE: Duration = Duration::from_secs(30);

/// A provider's machine: what survives a restart of its node.
pub struct Machine {
    pub folder: tempfile::TempDir,
    pub limits: ContainerLimits,
    policy: Policy,
}

/// A node on it.
pub struct Node {
    pub tenants: Tenants,
    pub runtime: Arc<BubblewrapRuntime>,
    steps: JoinSet<()>,
}

impl Machine {
    pub fn new() -> Self {
        Self::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 0, idle_warning_seconds: 0 })
    }

    pub fn with(policy: Policy) -> Self {
        let limits = ContainerLimits { memory_bytes: 256 << 20, disk_bytes: 64 << 20, shm_bytes: 16 << 20, ..ContainerLimits::default() };
        Self { folder: tempfile::tempdir().unwrap(), limits, policy }
    }

    fn rentals(&self) -> std::path::PathBuf {
        self.folder.path().join("rentals")
    }

    pub fn scratch(&self) -> std::path::PathBuf {
        self.rentals().join(RENTAL.to_string()).join("scratch")
    }

    pub async fn start_node(&self) -> Node {
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
    pub async fn look_until(&mut self, window: Option<Window>, what: &str, mut done: impl AsyncFnMut(&Node, bool) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut ticks = poll::every(Duration::from_millis(50));
        let windows: BTreeMap<u64, Window> = window.into_iter().map(|window| (RENTAL, window)).collect();
        loop {
            let is_ready = self.tenants.look(&windows, &mut self.steps).await.contains(&RENTAL);
            if done(self, is_ready).await {
                return;
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}; {:?}", self.status().await);
            tokio::select! {
                Some(_) = self.steps.join_next() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    pub async fn launch(&mut self) {
        self.look_until(paid(), "ready", async |_, is_ready| is_ready).await;
    }

    pub async fn status(&self) -> Option<TenantStatus> {
        self.tenants.status(RENTAL).await.ok()
    }

    /// Runs a shell command in the container; its output, and how it ended.
    pub async fn run(&self, command: &str) -> (String, Exit) {
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

    pub async fn runtime_usage(&self) -> gpumkt::sandbox::Usage {
        self.runtime.usage(RENTAL).await.unwrap()
    }

    /// Stops without a word, as a killed process does.
    async fn die(mut self) {
        self.steps.shutdown().await;
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn paid() -> Option<Window> {
    Some(Window::default())
}

pub fn running() -> Option<Window> {
    Some(Window { start: now() - 5, end: now() + 3_000, ..Window::default() })
}

fn over() -> Option<Window> {
    Some(Window { start: now() - 100, end: now() - 1, ..Window::default() })
}

async fn is_absent(node: &Node) -> bool {
    node.runtime.state(RENTAL).await.unwrap() == ContainerState::Absent
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rental_lives_from_payment_to_wiped_folder() {
    let machine = Machine::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 1, idle_warning_seconds: 0 });
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
            // Long enough for a process that is not paused to work for as long.
            let mut witness = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
            let before = usage().await;
            poll::until("a witness that works", PATIENCE, async || processor_ticks(witness.id()) >= 30).await;
            let after = usage().await;
            witness.kill().unwrap();
            witness.wait().unwrap();
            (before, after)
        })
        .await;
    assert!(after - before < 50_000, "{before} {after}: it ran on");
    assert!(node.status().await.unwrap().paused_ms >= 300);
    poll::until("it goes on", PATIENCE, async || usage().await > after + 10_000).await;
}

/// Hundredths of a second that a process has worked.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields 14 and 15 of the line, of which the second, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_cannot_work_is_told_and_another_one_helps() {
    let machine = Machine::with(Policy { launch_wait_seconds: 60, keep_files_seconds: 0, idle_warning_seconds: 0 });
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
    let machine = Machine::with(Policy { launch_wait_seconds: 60, keep_files_seconds: 0, idle_warning_seconds: 0 });
    let mut node = machine.start_node().await;
    node.look_until(paid(), "seen", async |node, _| node.status().await.is_some()).await;
    let cancelled = Window { is_closed: true, ..Window::default() };
    node.look_until(Some(cancelled), "forgotten", async |node, _| node.status().await.is_none()).await;
    node.tenants.look(&BTreeMap::from([(RENTAL, cancelled)]), &mut node.steps).await;
    assert!(node.status().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extension_moves_the_warnings_and_interrupts_nothing() {
    let machine = Machine::new();
    let mut node = machine.start_node().await;
    node.launch().await;
    let (pid, _) = node.run("nohup sleep 1000 >/dev/null 2>&1 & echo $!").await;
    let mut notices = node.tenants.tenure(RENTAL).unwrap().notices;
    let until = |seconds: u64| Some(Window { start: now() - 1_000, end: now() + seconds, ..Window::default() });
    let warned = async |node: &Node, _| node.status().await.is_some_and(|status| status.end > now()) && !notices.is_empty();
    node.look_until(until(300), "warned", warned).await;
    assert!(notices.recv().await.unwrap().contains("minutes"));
    // Two hours more: what was warned of is off, and comes again at its time.
    node.look_until(until(7_500), "seen", async |node, _| node.status().await.is_some_and(|status| status.end > now() + 7_000)).await;
    assert!(notices.is_empty(), "no warning two hours ahead");
    let again = async |_: &Node, _| !notices.is_empty();
    node.look_until(until(500), "warned again", again).await;
    let (printed, exit) = node.run(&format!("cat /proc/{}/comm", pid.trim())).await;
    assert_eq!((printed.trim(), exit), ("sleep", Exit::Code(0)), "it ran on through all of that");
}

const OTHER: u64 = 8;

/// Looks at two rentals, of which the second shares the container of the first, until `done` says so of the second.
async fn look_at_both(node: &mut Node, first: Window, second: Window, what: &str, done: fn(&[u64], &TenantStatus) -> bool) {
    let windows = BTreeMap::from([(RENTAL, first), (OTHER, Window { leader: Some(RENTAL), ..second })]);
    poll::until(what, PATIENCE, async || {
        let ready = node.tenants.look(&windows, &mut node.steps).await;
        node.tenants.status(OTHER).await.is_ok_and(|status| done(&ready, &status))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rentals_of_several_devices_share_one_container_until_the_last_is_over() {
    let machine = Machine::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 60, idle_warning_seconds: 0 });
    let mut node = machine.start_node().await;
    let (paid, running) = (paid().unwrap(), running().unwrap());
    look_at_both(&mut node, paid, paid, "both are ready", |ready, _| ready == [RENTAL, OTHER]).await;
    assert_eq!(node.runtime.list().await.unwrap(), [RENTAL], "one container");
    node.run("echo shared > ~/mark").await;
    let tenure = node.tenants.tenure(OTHER).unwrap();
    drop(tenure);
    assert!(node.tenants.set_launch(OTHER, LaunchSpec { command: vec!["x".into()], ..LaunchSpec::default() }).is_err());
    look_at_both(&mut node, running, running, "both run", |_, status| status.start != 0 && status.shares == Some(RENTAL)).await;

    // One of them ends: what runs goes on for the other.
    let over = over().unwrap();
    look_at_both(&mut node, running, over, "the second is over", |_, status| status.ended.is_some()).await;
    assert_eq!(node.run("cat ~/mark").await.0.trim(), "shared");
    assert_eq!(node.status().await.unwrap().deaths, 0);
    let gone = async |node: &Node, _| is_absent(node).await;
    node.look_until(Some(over), "gone", gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_device_is_told_of() {
    let machine = Machine::with(Policy { launch_wait_seconds: 0, keep_files_seconds: 0, idle_warning_seconds: 3 });
    let mut node = machine.start_node().await;
    node.launch().await;
    let mut notices = node.tenants.tenure(RENTAL).unwrap().notices;
    let shutdown = gpumkt::task::Shutdown::new();
    let (tenants, stop) = (node.tenants.clone(), shutdown.clone());
    let watching =
        tokio::spawn(
            async move { gpumkt::task::Service::run(&mut gpumkt::service::tenants::DiskService { tenants }, &stop).await.is_ok() },
        );
    let notice = tokio::time::timeout(PATIENCE, notices.recv()).await.unwrap().unwrap();
    assert!(notice.contains("Nothing has run here") && notice.contains("gpumkt end 7"), "{notice}");
    assert!(node.status().await.unwrap().idle_seconds >= 3);
    node.run("(while :; do :; done) >/dev/null 2>&1 &").await;
    let busy = async |node: &Node, _| node.status().await.is_some_and(|status| status.idle_seconds == 0);
    node.look_until(running(), "busy", busy).await;
    shutdown.intake.cancel();
    assert!(watching.await.unwrap());
}
