//! What is refused, and what it costs.

use std::process::Stdio;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{DEADLINE, Setup, code_of, finish, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_key_is_let_in() {
    let setup = Setup::new().await;
    let stranger = format!("IdentityFile={}", setup.path("stranger").display());
    let methods = "PreferredAuthentications=publickey,password,keyboard-interactive,none";
    let mut command = tokio::process::Command::new("ssh");
    // The renter's key is left out of the options.
    let options: Vec<String> =
        setup.options().into_iter().map(|option| if option.starts_with("IdentityFile=") { stranger.clone() } else { option }).collect();
    command.args(options).args(["-o", methods, "root@127.0.0.1", "true"]);
    let output = finish(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Permission denied (publickey)"), "{}", text(&output.stderr));
    assert_eq!(code_of(setup.outcome().await), "E-SANDBOX-051");

    let mut command = setup.ssh(&["-o", "PubkeyAuthentication=no", "x@127.0.0.1", "true"]);
    assert_eq!(finish(command.spawn().unwrap()).await.status.code(), Some(255));
    assert_eq!(code_of(setup.outcome().await), "E-SANDBOX-051");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_tried_six_times_at_most() {
    let setup = Setup::new().await;
    let mut command = tokio::process::Command::new("ssh");
    command.args(setup.options().into_iter().map(|option| {
        if option.starts_with("IdentityFile=") { format!("IdentityFile={}", setup.path("stranger").display()) } else { option }
    }));
    for number in 0..8 {
        let path = setup.path(&format!("wrong{number}"));
        gpumkt::sandbox::SshKeyPair::load_or_create(&path).unwrap();
        command.arg("-i").arg(path);
    }
    // The right one comes too late.
    command.arg("-i").arg(setup.path("id_ed25519")).args(["x@127.0.0.1", "true"]);
    let output = finish(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).await;
    assert_eq!(output.status.code(), Some(255));
    assert!(text(&output.stderr).contains("Too many authentication"), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_beyond_the_container_is_reached() {
    let setup = Setup::new().await;
    for target in ["169.254.169.254:80", "10.0.0.1:22", "example.org:443", "0.0.0.0:80"] {
        let output = finish(setup.ssh(&["-W", target, "x@127.0.0.1"]).spawn().unwrap()).await;
        assert!(text(&output.stderr).contains("administratively prohibited"), "{target}: {}", text(&output.stderr));
    }
    let closed = finish(setup.ssh(&["-W", "localhost:9", "x@127.0.0.1"]).spawn().unwrap()).await;
    assert!(text(&closed.stderr).contains("connect failed"), "{}", text(&closed.stderr));

    let remote = setup.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:localhost:22", "x@127.0.0.1"]).spawn().unwrap();
    let remote = finish(remote).await;
    assert!(!remote.status.success() && text(&remote.stderr).contains("remote port forwarding failed"), "{}", text(&remote.stderr));

    let agent = finish(setup.ssh(&["-A", "-X", "x@127.0.0.1", "echo [$SSH_AUTH_SOCK$DISPLAY]"]).spawn().unwrap()).await;
    assert_eq!(text(&agent.stdout), "[]\n");
    let subsystem = finish(setup.ssh(&["-s", "x@127.0.0.1", "netconf"]).spawn().unwrap()).await;
    assert!(text(&subsystem.stderr).contains("subsystem request failed"), "{}", text(&subsystem.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_ends_the_connection_and_nothing_else() {
    let setup = Setup::new().await;
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], b"SSH-2.0-x\r\n\xff\xff\xff\xff\xff\xff\xff\xff"] {
        let mut stream = TcpStream::connect(("127.0.0.1", setup.port)).await.unwrap();
        stream.write_all(nonsense).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = Vec::new();
        let ended = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "the connection stays open");
        assert!(setup.outcome().await.is_err());
    }
    assert!(setup.run("true").await.status.success());
}

/// Endless output to a renter that does not read: what the container has written stops growing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_output_waits_for_the_renter() {
    let setup = Setup::new().await;
    let script =
        "yes & while :; do awk '/^wchar/ {print $2}' /proc/$!/io > /root/written.new; mv /root/written.new /root/written; sleep 0.2; done";
    let mut child = setup.ssh(&["x@127.0.0.1", script]).spawn().unwrap();
    let written = || std::fs::read_to_string(setup.path("home/written")).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let taken = super::until_it_stands("the output", written).await;
    assert!(taken < 32 * 1024 * 1024, "{taken} bytes were taken in");
    child.kill().await.unwrap();
}
