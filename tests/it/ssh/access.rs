//! Commands and terminals.

use std::process::Stdio;

use gpumkt::types::agent::Exec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Setup, finish, read_until, text, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_have_exact_output_and_exit_codes() {
    let setup = Setup::new().await;
    let output = setup.run("printf 'a\\0b'; printf oops >&2; exit 42").await;
    assert_eq!((output.stdout.as_slice(), text(&output.stderr).as_str()), (&b"a\0b"[..], "oops"));
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(setup.run("true").await.status.code(), Some(0));
    assert_eq!(setup.run("no-such-command-at-all").await.status.code(), Some(127));
    let killed = setup.run("kill -TERM $$").await;
    assert_eq!(killed.status.code(), Some(255), "what OpenSSH answers for a signal");
    assert_eq!(text(&setup.run("echo $GPUMKT_RENTAL; hostname").await.stdout), "7\ngpumkt-7\n");
    let summary = setup.outcome().await.unwrap();
    assert!(summary.key.starts_with("SHA256:") && summary.channels == 1, "{summary:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_ends_where_the_renter_ends_it() {
    let setup = Setup::new().await;
    let mut child = setup.ssh(&["x@127.0.0.1", "wc -c; echo done"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&vec![b'x'; 300_000]).await.unwrap();
    drop(input);
    assert_eq!(text(&finish(child).await.stdout), "300000\ndone\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_has_its_size_and_hears_of_a_new_one() {
    let setup = Setup::new().await;
    let terminal = nix::pty::openpty(None, None).unwrap();
    let resize = |rows: &str, columns: &str| {
        let slave = terminal.slave.try_clone().unwrap();
        let done = std::process::Command::new("stty").args(["rows", rows, "cols", columns]).stdin(slave).status();
        assert!(done.unwrap().success());
    };
    resize("31", "101");
    // Input and output are the terminal; the container's output is read from a pipe.
    let script = "trap 'stty size' WINCH; tty; stty size; echo $TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = setup.ssh(&["-tt", "x@127.0.0.1", script]);
    command.env("TERM", "xterm-256color").stdin(terminal.slave.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let first = read_until(&mut output, "ready").await;
    assert!(first.contains("/dev/pts/") && first.contains("31 101") && first.contains("xterm-256color"), "{first}");
    resize("52", "133");
    let pid = nix::unistd::Pid::from_raw(child.id().unwrap() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGWINCH).unwrap();
    read_until(&mut output, "52 133").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_takes_commands_and_shows_notices() {
    let setup = Setup::new().await;
    let mut child = setup.ssh(&["-tt", "x@127.0.0.1"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output, mut errors) = (child.stdin.take().unwrap(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
    input.write_all(b"echo login-shell=$((6*7)); pwd\n").await.unwrap();
    read_until(&mut output, "login-shell=42").await;
    setup.notices.send("this rental ends in 10 minutes\x1b[2J".into()).unwrap();
    let shown = read_until(&mut errors, "minutes[2J\r\n").await;
    assert!(shown.contains("\r\n[gpumkt] this rental ends in 10 minutes"), "{shown:?}");
    input.write_all(b"exit 3\n").await.unwrap();
    assert_eq!(finish(child).await.status.code(), Some(3));

    // Without a terminal somebody parses the output.
    let mut child = setup.ssh(&["x@127.0.0.1", "echo ready; read line"]).stdin(Stdio::piped()).spawn().unwrap();
    let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    read_until(&mut output, "ready").await;
    setup.notices.send("not for programs".into()).unwrap();
    drop(input);
    let rest = finish(child).await;
    assert!(!text(&rest.stderr).contains("not for programs"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hanging_up_ends_what_ran() {
    let setup = Setup::new().await;
    for arguments in [&["-tt"][..], &["-T"]] {
        let script = "echo started; sleep 987654";
        let mut child = setup.ssh(&[arguments, &["x@127.0.0.1", script]].concat()).stdin(Stdio::piped()).spawn().unwrap();
        read_until(&mut child.stdout.take().unwrap(), "started").await;
        let is_running = async || setup.run("pgrep -f '[s]leep 987654'").await.status.success();
        assert!(is_running().await);
        child.kill().await.unwrap();
        until("the command is gone", async || !is_running().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn harmless_variables_arrive_and_others_do_not() {
    let setup = Setup::new().await;
    let mut command = setup.ssh(&["-o", "SetEnv=LC_TEST=de LD_TEST=x GPUMKT_JOB=9 PATH=/nowhere", "x@127.0.0.1"]);
    command.arg("echo \"$LC_TEST,$LD_TEST,$GPUMKT_JOB,$PATH\"");
    let output = finish(command.spawn().unwrap()).await;
    let line = text(&output.stdout);
    assert!(line.starts_with("de,,9,/") && !line.contains("nowhere"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_share_a_connection() {
    let setup = Setup::new().await;
    let socket = setup.path("control").display().to_string();
    let control = format!("ControlPath={socket}");
    let mut master = setup.ssh(&["-M", "-N", "-o", &control, "x@127.0.0.1"]).spawn().unwrap();
    until("the shared connection is up", async || std::path::Path::new(&socket).exists()).await;
    let mut running = Vec::new();
    for number in 0..8 {
        let script = format!("head -c 300000 /dev/zero | wc -c; exit {number}");
        running.push((number, setup.ssh(&["-o", &control, "x@127.0.0.1", &script]).spawn().unwrap()));
    }
    for (number, child) in running {
        let output = finish(child).await;
        assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("300000\n", Some(number)));
    }
    // More than may be open at once, one after the other: what is over does not count.
    for _ in 0..70 {
        assert!(finish(setup.ssh(&["-o", &control, "x@127.0.0.1", "true"]).spawn().unwrap()).await.status.success());
    }
    master.kill().await.unwrap();
    assert_eq!(setup.outcome().await.unwrap().channels, 78);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_rental_ends_its_connections() {
    let setup = Setup::new().await;
    let mut child = setup.ssh(&["x@127.0.0.1", "echo ready; sleep 1000"]).spawn().unwrap();
    read_until(&mut child.stdout.take().unwrap(), "ready").await;
    setup.end.cancel();
    let mut errors = child.stderr.take().unwrap();
    assert_eq!(finish(child).await.status.code(), Some(255));
    let mut said = String::new();
    errors.read_to_string(&mut said).await.unwrap();
    assert!(said.contains("the provider has ended this session"), "{said}");
    assert!(setup.outcome().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_show_the_start_command() {
    let setup = Setup::new().await;
    let argv = ["sh", "-c", "echo begun; while [ ! -e /root/go ]; do sleep 0.05; done; echo over"].map(|word| word.as_bytes().to_vec());
    setup.container.agent.start_command(Exec { argv: argv.to_vec(), ..Exec::default() }).await.unwrap();
    let mut following = setup.ssh(&["-s", "x@127.0.0.1", "gpumkt-logs-follow"]).spawn().unwrap();
    let mut output = following.stdout.take().unwrap();
    read_until(&mut output, "begun\n").await;
    let so_far = finish(setup.ssh(&["-s", "x@127.0.0.1", "gpumkt-logs"]).spawn().unwrap()).await;
    assert_eq!((text(&so_far.stdout).as_str(), so_far.status.code()), ("begun\n", Some(0)));
    assert!(setup.run("touch go").await.status.success());
    read_until(&mut output, "over\n").await;
    assert_eq!(finish(following).await.status.code(), Some(0), "it ends with the start command");
}
