//! Containers of bubblewrap with the real agent in them: what renters do there, and what they try.

use std::collections::BTreeMap;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gpumkt::sandbox::{
    Agent, BubblewrapRuntime, ContainerLimits, ContainerSpec, ContainerState, DeviceAccess, GuestInput, GuestOutput, NetworkPolicy,
    RentalFolders, Runtime, SandboxError, install_agent,
};
use gpumkt::types::Coded;
use gpumkt::types::agent::{Exec, Exit, Frame, Terminal, WindowSize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const RENTAL: u64 = 7;
const DEADLINE: Duration = Duration::from_secs(30);

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
            limits: ContainerLimits { memory_bytes: 256 << 20, processes: 128, shm_bytes: 32 << 20, ..ContainerLimits::default() },
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
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
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
