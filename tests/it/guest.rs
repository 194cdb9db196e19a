//! Containers of bubblewrap with the real agent in them: what renters do there, and what they try.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpumkt::sandbox::{
    Agent, BubblewrapRuntime, ContainerLimits, ContainerSpec, ContainerState, DeviceAccess, GuestInput, GuestOutput, GuestStream,
    NetworkPolicy, RentalFolders, Runtime, SandboxError, install_agent,
};
use gpumkt::types::Coded;
use gpumkt::types::agent::{Exec, Exit, Frame, Terminal, WindowSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::poll;

const RENTAL: u64 = 7;
/// For anything that is done in a moment on a machine that has nothing else to do.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running container, ended with the test.
struct Container {
    runtime: BubblewrapRuntime,
    agent: Option<Agent>,
    spec: ContainerSpec,
    folder: tempfile::TempDir,
}

impl Container {
    async fn start() -> Self {
        Self::start_with(|_| ()).await
    }

    async fn start_with(change: impl FnOnce(&mut ContainerSpec)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rentals = folder.path().join("rentals");
        let folders = RentalFolders::new(&rentals, RENTAL);
        let mut spec = ContainerSpec {
            rental: RENTAL,
            image: "host".into(),
            hostname: "rental-7".into(),
            env: BTreeMap::from([("GPUMKT_RENTAL".into(), "7".into())]),
            limits: ContainerLimits { memory_bytes: 256 << 20, shm_bytes: 32 << 20, ..ContainerLimits::default() },
            network: NetworkPolicy::None,
            devices: DeviceAccess::Cpu,
            agent_dir: folders.agent(),
            scratch_dir: folders.scratch(),
            agent_program: install_agent(&folder.path().join("guest")).unwrap(),
        };
        change(&mut spec);
        let runtime = BubblewrapRuntime::new(&rentals).unwrap();
        let agent = Agent::listen(&spec.agent_dir).unwrap();
        let container = Self { runtime, agent: Some(agent), spec, folder };
        container.runtime.start(&container.spec).await.unwrap();
        container.agent().wait_ready(DEADLINE).await.unwrap();
        container
    }

    fn agent(&self) -> &Agent {
        self.agent.as_ref().unwrap()
    }

    fn rentals(&self) -> PathBuf {
        self.folder.path().join("rentals")
    }

    async fn shell(&self, text: &str) -> Ending {
        self.exec(&["sh", "-c", text], b"").await
    }

    async fn exec(&self, words: &[&str], input: &[u8]) -> Ending {
        let (mut writer, reader) = self.agent().exec(command(words)).await.unwrap().split();
        let feed = async {
            // A command that does not read its input may end first.
            let _ = writer.write(input).await;
            let _ = writer.end().await;
        };
        tokio::join!(feed, collect(reader)).1
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let rentals = self.rentals();
        // A test that failed must not leave processes behind; here there is no runtime to wait with.
        let stop = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { BubblewrapRuntime::new(&rentals).unwrap().stop(RENTAL, Duration::ZERO).await })
        });
        stop.join().unwrap().unwrap();
    }
}

fn command(words: &[&str]) -> Exec {
    Exec { argv: words.iter().map(|word| word.as_bytes().to_vec()).collect(), ..Exec::default() }
}

#[derive(Debug, PartialEq)]
struct Ending {
    output: Vec<u8>,
    errors: Vec<u8>,
    exit: Exit,
}

impl Ending {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).trim_end().to_owned()
    }
}

async fn collect(mut reader: GuestOutput) -> Ending {
    let mut ending = Ending { output: vec![], errors: vec![], exit: Exit::Code(0) };
    loop {
        match tokio::time::timeout(DEADLINE, reader.next()).await.expect("the command is silent").unwrap() {
            Frame::Stdout(bytes) => ending.output.extend(bytes),
            Frame::Stderr(bytes) => ending.errors.extend(bytes),
            Frame::Exited(exit) => {
                ending.exit = exit;
                return ending;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Reads until the output contains a text, and returns all of it.
async fn read_until(reader: &mut GuestOutput, text: &str) -> String {
    let mut all = String::new();
    while !all.contains(text) {
        match tokio::time::timeout(DEADLINE, reader.next()).await.unwrap_or_else(|_| panic!("no {text:?} in {all:?}")).unwrap() {
            Frame::Stdout(bytes) => all.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?} before {text:?} in {all:?}"),
        }
    }
    all
}

async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    poll::until(what, DEADLINE, async || is_so().await).await;
}

async fn terminal(container: &Container, words: &[&str]) -> (GuestInput, GuestOutput) {
    let size = WindowSize { columns: 100, rows: 40, width_px: 0, height_px: 0 };
    let exec = Exec { terminal: Some(Terminal { name: b"xterm-256color".to_vec(), size }), ..command(words) };
    container.agent().exec(exec).await.unwrap().split()
}

#[tokio::test]
async fn commands_report_how_they_end() {
    let container = Container::start().await;
    let ending = container.shell("echo out; echo err >&2; exit 3").await;
    assert_eq!(ending, Ending { output: b"out\n".into(), errors: b"err\n".into(), exit: Exit::Code(3) });
    assert_eq!(container.shell("kill -TERM $$").await.exit, Exit::Signal { number: 15, core_dumped: false });
    assert_eq!(container.exec(&["-", "echo $GPUMKT_RENTAL $PWD | tr a-z A-Z"], b"").await.text(), "7 /ROOT");
    let missing = container.agent().exec(command(&["no-such-program"])).await.err().unwrap();
    assert!(matches!(missing, SandboxError::AgentRefused { errno: 2, .. }), "{missing}");
    assert_eq!(missing.code(), "E-SANDBOX-016");
    let huge = container.agent().exec(command(&["echo", &"x".repeat(70_000)])).await.err().unwrap();
    assert!(matches!(huge, SandboxError::TooLarge { .. }), "{huge}");
}

#[tokio::test]
async fn root_inside_is_nobody_outside() {
    let container = Container::start().await;
    container.shell("echo mine > /root/file; chmod 4755 /root/file").await;
    let node = nix::unistd::geteuid().as_raw();
    let owner = std::fs::metadata(container.spec.scratch_dir.join("file")).unwrap().uid();
    assert_eq!(owner == node, node != 0, "the renter's file belongs to user {owner}");
    let status = container.shell("cat /proc/self/status /proc/1/status").await.text();
    for (name, value) in [("CapEff", "0000000000000000"), ("CapPrm", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
        let lines: Vec<&str> = status.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).collect();
        assert_eq!(lines, [value, value], "{name}");
    }
    for refused in [
        "unshare -U true",
        "mount -t tmpfs none /mnt",
        "echo x > /usr/x",
        "echo x > /x",
        "echo x > /dev/x",
        "echo x > /run/gpumkt/x",
        "echo x > /.gpumkt-guest",
        "cat /proc/1/environ",
        "echo x > /proc/1/fd/1",
        "echo 1 > /proc/sys/kernel/printk",
        "kill -9 1; kill -0 1 && exit 9",
        "cat /etc/shadow",
        "ls /work /home /var/lib",
    ] {
        assert_ne!(container.shell(refused).await.exit, Exit::Code(0), "{refused}");
    }
    let seen = container.shell("ls /proc | grep -c '^[0-9]*$'; cat /proc/net/dev | grep -c :; hostname; ls -a /root").await.text();
    assert!(seen.contains("\n1\nrental-7\n"), "{seen}");
    let foreign = container.shell("tr '\\0' '\\n' < /proc/self/environ").await.text();
    assert!(!foreign.contains("CARGO") && foreign.contains("GPUMKT_RENTAL=7"), "{foreign}");
}

/// A device that belongs to a group which root inside is not in by itself, as GPUs do. Only root can make one.
struct GroupDevice(PathBuf);

impl GroupDevice {
    fn create() -> Option<Self> {
        use nix::sys::stat::{Mode, SFlag, makedev, mknod};
        let device = Self(format!("/dev/gpumkt-test-{}", std::process::id()).into());
        let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IWGRP;
        mknod(&device.0, SFlag::S_IFCHR, mode, makedev(1, 5)).ok()?;
        std::fs::set_permissions(&device.0, std::fs::Permissions::from_mode(0o660)).unwrap();
        std::os::unix::fs::chown(&device.0, None, Some(54_321)).unwrap();
        Some(device)
    }
}

impl Drop for GroupDevice {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn only_the_given_devices_are_there_and_they_can_be_used() {
    let device = GroupDevice::create();
    let paths: Vec<PathBuf> = device.iter().map(|device| device.0.clone()).collect();
    let container = Container::start_with(|spec| spec.devices = DeviceAccess::Nodes { paths: paths.clone() }).await;
    for path in &paths {
        assert_eq!(container.shell(&format!("head -c 3 {} | wc -c", path.display())).await.text(), "3");
    }
    let nodes = container.shell("find /dev -maxdepth 1 -name '[!f]*' -type c").await.text();
    let usual = ["/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero"].map(PathBuf::from);
    for node in nodes.lines().map(PathBuf::from) {
        assert!(usual.contains(&node) || paths.contains(&node), "{}", node.display());
    }
}

#[tokio::test]
async fn input_and_output_of_ten_megabytes_come_through() {
    let container = Container::start().await;
    let input: Vec<u8> = (0..10_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let ending = container.exec(&["cat"], &input).await;
    assert_eq!(ending.exit, Exit::Code(0));
    assert!(ending.output == input, "{} bytes came back", ending.output.len());
    // What ignores its input ends all the same.
    assert_eq!(container.exec(&["true"], &input[..1_000_000]).await.exit, Exit::Code(0));
}

#[tokio::test]
async fn terminals_have_a_size_and_follow_it() {
    let container = Container::start().await;
    let (mut writer, mut reader) = terminal(&container, &["bash", "--norc"]).await;
    writer.write(b"stty size; echo $TERM; tty\n").await.unwrap();
    let shown = read_until(&mut reader, "/dev/pts/").await;
    assert!(shown.contains("40 100") && shown.contains("xterm-256color"), "{shown}");
    writer.write(b"trap 'echo resized to $(stty size)' WINCH; echo 'ready'\n").await.unwrap();
    read_until(&mut reader, "\rready").await;
    writer.resize(WindowSize { columns: 81, rows: 25, width_px: 0, height_px: 0 }).await.unwrap();
    writer.write(b"\n").await.unwrap();
    read_until(&mut reader, "resized to 25 81").await;
    // Ctrl-C reaches the foreground, not the shell.
    writer.write(b"sleep 1000 || echo interrupted\n").await.unwrap();
    until("sleep runs", || async { container.shell("pgrep -x sleep").await.exit == Exit::Code(0) }).await;
    writer.write(&[3]).await.unwrap();
    until("sleep is interrupted", || async { container.shell("pgrep -x sleep").await.exit == Exit::Code(1) }).await;
    writer.write(b"exit 5\n").await.unwrap();
    assert_eq!(collect(reader).await.exit, Exit::Code(5));
}

#[tokio::test]
async fn many_commands_run_at_once() {
    let container = Container::start().await;
    let commands = (0..24).map(|number| {
        let container = &container;
        async move { container.shell(&format!("head -c 100000 /dev/zero; echo; echo {number}")).await.text() }
    });
    for (number, text) in futures::future::join_all(commands).await.into_iter().enumerate() {
        assert!(text.ends_with(&format!("\n{number}")) && text.len() > 100_000, "{number}: {}", text.len());
    }
}

#[tokio::test]
async fn hanging_up_ends_what_does_not_ignore_it() {
    let container = Container::start().await;
    let (writer, mut reader) =
        container.agent().exec(command(&["sh", "-c", "sleep 1001 & nohup sleep 1002 & echo started; wait"])).await.unwrap().split();
    read_until(&mut reader, "started").await;
    until("both run", || async { container.shell("pgrep -fx 'sleep 100[12]' | wc -l").await.text() == "2" }).await;
    drop((writer, reader));
    until("one is hung up", || async { container.shell("pgrep -fx 'sleep 1001'").await.exit == Exit::Code(1) }).await;
    assert_eq!(container.shell("pgrep -fx 'sleep 1002'").await.exit, Exit::Code(0));
    // Signals go to the whole group.
    let (mut writer, mut reader) = container.agent().exec(command(&["sh", "-c", "sleep 1003 & echo started; wait"])).await.unwrap().split();
    read_until(&mut reader, "started").await;
    writer.signal(15).await.unwrap();
    assert_eq!(collect(reader).await.exit, Exit::Signal { number: 15, core_dumped: false });
    until("it has ended", || async { container.shell("pgrep -fx 'sleep 1003'").await.exit == Exit::Code(1) }).await;
}

#[tokio::test]
async fn ports_are_reached_in_a_container_without_network() {
    let container = Container::start().await;
    let serve = "import socket\ns = socket.create_server(('127.0.0.1', 8888))\nprint('up', flush=True)\nc = s.accept()[0]\n\
        d = b''.join(iter(lambda: c.recv(65536), b''))\nc.sendall(b'%d bytes' % len(d))";
    let (_writer, mut reader) = container.agent().exec(command(&["python3", "-c", serve])).await.unwrap().split();
    read_until(&mut reader, "up").await;
    let mut stream = container.agent().connect(8888).await.unwrap();
    stream.write_all(&vec![1; 3_000_000]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "3000000 bytes");
    let refused = container.agent().connect(9).await.unwrap_err();
    assert!(matches!(refused, SandboxError::AgentRefused { errno: 111, .. }), "{refused}");
}

/// Sends one request of SFTP and returns kind and content of the answer.
async fn ask(stream: &mut GuestStream, kind: u8, content: &[u8]) -> (u8, Vec<u8>) {
    let length = (content.len() as u32 + 1).to_be_bytes();
    stream.write_all(&[&length[..], &[kind], content].concat()).await.unwrap();
    let length = stream.read_u32().await.unwrap() as usize;
    let kind = stream.read_u8().await.unwrap();
    let mut answer = vec![0; length - 1];
    stream.read_exact(&mut answer).await.unwrap();
    (kind, answer)
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
}

#[tokio::test]
async fn files_are_served_inside_the_container() {
    let container = Container::start().await;
    container.shell("mkdir dir; echo content > dir/file; ln -s dir/file link").await;
    let mut stream = container.agent().sftp().await.unwrap();
    assert_eq!(ask(&mut stream, 1, &3u32.to_be_bytes()).await.0, 2);
    let id = 9u32.to_be_bytes();
    let (kind, answer) = ask(&mut stream, 16, &[&id[..], &text(".")].concat()).await;
    assert_eq!((kind, &answer[..17]), (104, &[&id[..], &[0, 0, 0, 1], &text("/root")].concat()[..]));
    let (kind, answer) = ask(&mut stream, 3, &[&id[..], &text("link"), &1u32.to_be_bytes(), &[0; 4]].concat()).await;
    assert_eq!(kind, 102);
    let (kind, answer) = ask(&mut stream, 5, &[&id[..], &answer[4..], &0u64.to_be_bytes(), &9999u32.to_be_bytes()].concat()).await;
    assert_eq!((kind, &answer[4..]), (103, &text("content\n")[..]));
    // Neither the provider's files nor the agent's own.
    for (path, flags, code) in [("/etc/shadow", 1u32, 2u8), ("/usr/bin/env", 2, 3), ("/proc/1/mem", 2, 3), ("/proc/1/fd/1", 2, 3)] {
        let (kind, answer) = ask(&mut stream, 3, &[&id[..], &text(path), &flags.to_be_bytes(), &[0; 4]].concat()).await;
        assert_eq!((kind, answer[7]), (101, code), "{path}");
    }
}

#[tokio::test]
async fn the_stock_sftp_client_gets_along_with_the_server() {
    let home = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let program = install_agent(outside.path()).unwrap();
    std::fs::write(outside.path().join("big"), vec![7; 5_000_000]).unwrap();
    let script = "put big\nmkdir sub\nput -p big sub/copy\nrename big moved\nsymlink moved alias\nln moved hard\nchmod 600 moved\nls -la\n\
        get moved back\ndf -h\nrm hard\n-rmdir sub\n-get nothing\n-rename -l moved sub/copy\npwd\n";
    std::fs::write(outside.path().join("script"), script).unwrap();
    let mut command = tokio::process::Command::new("sftp");
    command
        .arg("-b")
        .arg("script")
        .arg("-D")
        .arg(format!("{} sftp", program.display()))
        .current_dir(outside.path())
        .env("HOME", home.path());
    let output = tokio::time::timeout(DEADLINE, command.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    for expected in [
        "-rw------- ",
        "lrwxrwxrwx ",
        "alias",
        "Remote working directory: ",
        "sub\": Failure",
        "sub/copy\": Failure",
        "nothing\" not found",
    ] {
        assert!(printed.contains(expected), "no {expected:?} in {printed}");
    }
    assert_eq!(std::fs::read(outside.path().join("back")).unwrap(), vec![7; 5_000_000]);
    assert_eq!(std::fs::read_link(home.path().join("alias")).unwrap(), PathBuf::from("moved"));
    let mut names: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["alias", "moved", "sub"]);
}

#[tokio::test]
async fn the_start_command_runs_once_and_its_output_stays_bounded() {
    let container = Container::start().await;
    let agent = container.agent();
    agent
        .start_command(command(&["sh", "-c", "echo begin; while [ ! -e end ]; do seq 1 20000; done; echo end of output; exit 4"]))
        .await
        .unwrap();
    agent.start_command(command(&["touch", "/root/again"])).await.unwrap();
    let mut follower = agent.logs(true).await.unwrap();
    let (mut chunk, mut total) = (vec![0; 1 << 16], 0);
    while total < 5_000_000 {
        total += follower.read(&mut chunk).await.unwrap();
    }
    container.shell("touch end").await;
    let mut rest = Vec::new();
    follower.read_to_end(&mut rest).await.unwrap();
    let ending = "end of output\n[start command ended with code 4]\n";
    assert!(String::from_utf8_lossy(&rest).ends_with(ending));
    let mut kept = Vec::new();
    agent.logs(false).await.unwrap().read_to_end(&mut kept).await.unwrap();
    assert_eq!(kept.len(), 1 << 20);
    let log = container.runtime.logs(RENTAL, 1000).await.unwrap();
    assert!(String::from_utf8_lossy(&log).ends_with(ending) && log.len() == 1000);
    let bytes = std::fs::metadata(container.rentals().join("7/container.log")).unwrap().len();
    assert!(bytes <= 2 << 20, "the log has {bytes} bytes");
    assert_eq!(container.shell("ls again").await.exit, Exit::Code(2));
}

#[tokio::test]
async fn a_node_that_restarts_finds_its_container() {
    let mut container = Container::start().await;
    container.shell("nohup sh -c 'while :; do echo x >> alive; sleep 0.05; done' >/dev/null 2>&1 &").await;
    container.agent = None;
    let size = || std::fs::metadata(container.spec.scratch_dir.join("alive")).map_or(0, |metadata| metadata.len());
    let before = size();
    until("it runs without the node", || async { size() > before + 4 }).await;
    container.runtime = BubblewrapRuntime::new(&container.rentals()).unwrap();
    let agent = Agent::listen(&container.spec.agent_dir).unwrap();
    agent.wait_ready(DEADLINE).await.unwrap();
    container.agent = Some(agent);
    container.runtime.start(&container.spec).await.unwrap();
    assert_eq!(container.runtime.list().await.unwrap(), [RENTAL]);
    assert_eq!(container.runtime.state(RENTAL).await.unwrap(), ContainerState::Running { is_paused: false });
    assert_eq!(container.exec(&["pgrep", "-cf", "while :"], b"").await.text(), "1");
    assert_eq!(container.exec(&["cat"], b"again").await.output, b"again");
}

#[tokio::test]
async fn a_paused_container_stands_still_and_goes_on() {
    let container = Container::start().await;
    container.shell("nohup sh -c 'while :; do echo x >> alive; sleep 0.01; done' >/dev/null 2>&1 &").await;
    let size = || std::fs::metadata(container.spec.scratch_dir.join("alive")).map_or(0, |metadata| metadata.len());
    until("it runs", || async { size() > 10 }).await;
    container.runtime.pause(RENTAL).await.unwrap();
    container.runtime.pause(RENTAL).await.unwrap();
    assert_eq!(container.runtime.state(RENTAL).await.unwrap(), ContainerState::Running { is_paused: true });
    let (before, cpu_us) = (size(), container.runtime.usage(RENTAL).await.unwrap().cpu_us);
    let waiting = container.shell("echo after the pause");
    tokio::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut waiting).await.is_err());
    assert_eq!((size(), container.runtime.usage(RENTAL).await.unwrap().cpu_us), (before, cpu_us));
    container.runtime.resume(RENTAL).await.unwrap();
    assert_eq!(waiting.await.text(), "after the pause");
    until("it goes on", || async { size() > before }).await;
    // One that is paused can be ended, too.
    container.runtime.pause(RENTAL).await.unwrap();
    container.runtime.stop(RENTAL, Duration::from_secs(10)).await.unwrap();
    assert_eq!(container.runtime.state(RENTAL).await.unwrap(), ContainerState::Absent);
    assert_eq!(container.runtime.pause(RENTAL).await.unwrap_err().code(), "E-SANDBOX-020");
}

fn first_process(container: &Container) -> i32 {
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(container.rentals().join("7/container.json")).unwrap()).unwrap();
    i32::try_from(record["init"]["pid"].as_i64().unwrap()).unwrap()
}

#[tokio::test]
async fn a_memory_bomb_hits_only_itself() {
    let container = Container::start().await;
    let bomb = container.exec(&["python3", "-c", "b = bytearray(2 << 30); print(len(b))"], b"").await;
    if container.runtime.check().await.unwrap().unenforced.iter().any(|limit| limit.starts_with("memory")) {
        // Without a control group each process is bounded on its own, and is told.
        assert!(String::from_utf8_lossy(&bomb.errors).contains("MemoryError"), "{bomb:?}");
        return;
    }
    assert_eq!(bomb.exit, Exit::Signal { number: 9, core_dumped: false });
    let usage = container.runtime.usage(RENTAL).await.unwrap();
    assert!(usage.out_of_memory_kills >= 1 && usage.memory_bytes <= 256 << 20 && usage.processes >= 1, "{usage:?}");
    assert_eq!(container.shell("echo still here").await.text(), "still here");
    // Memory files count as well.
    let filled = container.shell("head -c 100000000 /dev/zero > /dev/shm/x").await;
    assert_ne!(filled.exit, Exit::Code(0));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(first_process(&container)), nix::sys::signal::Signal::SIGKILL).unwrap();
    let ended = ContainerState::Exited { code: 137, is_out_of_memory: true };
    until("it has ended", || async { container.runtime.state(RENTAL).await.unwrap() == ended }).await;
    // It can be started again.
    container.runtime.start(&container.spec).await.unwrap();
    container.agent().wait_ready(DEADLINE).await.unwrap();
    assert_eq!(container.runtime.usage(RENTAL).await.unwrap().out_of_memory_kills, 0);
}

/// Processes on this machine that execute the container's copy of the agent or were started below it.
fn leftovers(container: &Container, marker: &str) -> usize {
    let program = std::fs::metadata(&container.spec.agent_program).unwrap().ino();
    let is_left = |path: &std::path::Path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        std::fs::metadata(path.join("exe")).is_ok_and(|exe| exe.ino() == program) || String::from_utf8_lossy(&line).contains(marker)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| is_left(&entry.path())).count()
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_nothing_survives_the_end() {
    let container = Container::start_with(|spec| spec.limits.processes = 128).await;
    container.shell("nohup bash -c 'bomb() { sleep 98765 & bomb | bomb & }; bomb' >/dev/null 2>&1 &").await;
    until("it is full", || async { container.runtime.usage(RENTAL).await.unwrap().processes > 100 }).await;
    assert!(container.runtime.usage(RENTAL).await.unwrap().processes <= 128 + 16);
    assert!(leftovers(&container, "98765") > 1);
    container.runtime.stop(RENTAL, Duration::ZERO).await.unwrap();
    assert_eq!(leftovers(&container, "98765"), 0);
    assert_eq!(container.runtime.list().await.unwrap(), [] as [u64; 0]);
    container.runtime.stop(RENTAL, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn the_end_is_announced_and_folders_stay() {
    let container = Container::start().await;
    let (_writer, mut reader) = container
        .agent()
        .exec(command(&["bash", "-c", "trap 'echo bye > bye; exit' TERM; echo up; sleep 1000 & wait"]))
        .await
        .unwrap()
        .split();
    read_until(&mut reader, "up").await;
    let begun = Instant::now();
    container.runtime.stop(RENTAL, DEADLINE * 2).await.unwrap();
    assert!(begun.elapsed() < DEADLINE, "it waited for nothing");
    assert_eq!(std::fs::read_to_string(container.spec.scratch_dir.join("bye")).unwrap(), "bye\n");
    assert_eq!(container.runtime.state(RENTAL).await.unwrap(), ContainerState::Absent);
}

#[tokio::test]
async fn what_bubblewrap_cannot_do_is_refused() {
    let container = Container::start().await;
    let facts = container.runtime.check().await.unwrap();
    assert!(facts.name.starts_with("bubblewrap ") && !facts.has_images && !facts.has_egress, "{facts:?}");
    let changes: [fn(&mut ContainerSpec); 3] = [
        |spec| spec.network = NetworkPolicy::Egress,
        |spec| spec.image = "docker.io/library/debian:12".into(),
        |spec| spec.devices = DeviceAccess::Cdi { name: "nvidia.com/gpu=0".into() },
    ];
    for change in changes {
        let mut spec = container.spec.clone();
        change(&mut spec);
        assert_eq!(container.runtime.start(&spec).await.unwrap_err().code(), "E-SANDBOX-018");
    }
    let folder = ContainerSpec { devices: DeviceAccess::Nodes { paths: vec!["/etc".into()] }, rental: 8, ..container.spec.clone() };
    assert_eq!(container.runtime.start(&folder).await.unwrap_err().code(), "E-SANDBOX-020");
    assert_eq!(container.runtime.list().await.unwrap(), [RENTAL], "nothing is left of the others");
}
