//! Files, ports, and streams that go both ways at once.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{Setup, finish, patterned_file, read_until, text, until, until_it_stands};

const BIG: usize = 20_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scp_and_sftp_carry_files_both_ways() {
    let setup = Setup::new().await;
    let bytes = patterned_file(&setup.path("big"), BIG);
    let (here, back) = (setup.path("big").display().to_string(), setup.path("back").display().to_string());
    for arguments in [[here.as_str(), "x@127.0.0.1:there"], ["x@127.0.0.1:there", &back]] {
        let mut command = setup.tool("scp");
        let output = finish(command.args(arguments).spawn().unwrap()).await;
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(std::fs::read(setup.path("back")).unwrap() == bytes);
    assert!(std::fs::read(setup.path("home/there")).unwrap() == bytes);

    let mut child = setup.tool("sftp").args(["-b", "-", "x@127.0.0.1"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"mkdir d\nrename there d/moved\nls -l d\n").await.unwrap();
    let output = finish(child).await;
    assert!(output.status.success() && text(&output.stdout).contains("moved"), "{}{}", text(&output.stdout), text(&output.stderr));
    assert!(setup.path("home/d/moved").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rsync_needs_nothing_but_ssh() {
    let setup = Setup::new().await;
    std::fs::create_dir(setup.path("tree")).unwrap();
    let bytes = patterned_file(&setup.path("tree/big"), 3_000_000);
    let shell = format!("ssh {}", setup.options().join(" "));
    let tree = format!("{}/", setup.path("tree").display());
    let mut command = tokio::process::Command::new("rsync");
    command.args(["-a", "-e", &shell, &tree, "x@127.0.0.1:copy/"]).kill_on_drop(true).stderr(Stdio::piped());
    let output = finish(command.spawn().unwrap()).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(std::fs::read(setup.path("home/copy/big")).unwrap() == bytes);
}

/// Whatever a command reads it writes: input and output are both full all the time, and the renter is slow to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn full_streams_in_both_directions_do_not_lock_up() {
    let setup = Setup::new().await;
    let mut child = setup.ssh(&["x@127.0.0.1", "cat"]).stdin(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let bytes = patterned_file(&setup.path("big"), 2 * BIG);
    let (sent, count) = (bytes.clone(), Arc::new(AtomicU64::new(0)));
    let counter = count.clone();
    let send = tokio::spawn(async move {
        for chunk in sent.chunks(16 * 1024) {
            input.write_all(chunk).await.unwrap();
            counter.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    });
    // The renter reads nothing until all the buffers on the way are full.
    let held = until_it_stands("the sender", || count.load(Ordering::Relaxed)).await;
    assert!(held < 2 * BIG as u64, "nothing holds the sender up");
    let mut received = Vec::new();
    let read = tokio::time::timeout(super::DEADLINE, output.read_to_end(&mut received)).await;
    assert!(read.is_ok(), "locked up after {} of {} bytes", received.len(), bytes.len());
    send.await.unwrap();
    assert!(received == bytes);
}

/// A command that never reads must cost the node no more than its windows, and nothing else on the connection may notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_nobody_reads_stands_still() {
    let setup = Setup::new().await;
    let control = format!("ControlPath={}", setup.path("control").display());
    let mut master = setup.ssh(&["-M", "-N", "-o", &control, "x@127.0.0.1"]).spawn().unwrap();
    until("the shared connection is up", async || setup.path("control").exists()).await;
    let mut child = setup.ssh(&["-o", &control, "x@127.0.0.1", "sleep 1000"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let count = Arc::new(AtomicU64::new(0));
    let counter = count.clone();
    let upload = tokio::spawn(async move {
        while let Ok(sent) = input.write(&[7; 64 * 1024]).await {
            counter.fetch_add(sent as u64, Ordering::Relaxed);
        }
    });
    let taken = until_it_stands("the upload", || count.load(Ordering::Relaxed)).await;
    assert!(taken < 16 * 1024 * 1024, "{taken} bytes were taken in");
    let output = finish(setup.ssh(&["-o", &control, "x@127.0.0.1", "head -c 5000000 /dev/zero | wc -c"]).spawn().unwrap()).await;
    assert_eq!(text(&output.stdout), "5000000\n");
    master.kill().await.unwrap();
    child.kill().await.unwrap();
    upload.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_of_the_container_is_reached_from_here() {
    let setup = Setup::new().await;
    // Answers once the other side has ended: each direction is closed on its own.
    let server = r#"perl -MIO::Socket::INET -e '$|=1; $/=undef; $SIG{PIPE}="IGNORE";
        $s=IO::Socket::INET->new(LocalAddr=>"127.0.0.1",LocalPort=>8888,Listen=>5) or die; print "serving\n";
        while($c=$s->accept){ $question=<$c>; open F,"/root/data"; print $c "you said $question", <F>; close $c }'"#;
    let mut serving = setup.ssh(&["x@127.0.0.1", server]).spawn().unwrap();
    read_until(&mut serving.stdout.take().unwrap(), "serving").await;
    let bytes = patterned_file(&setup.path("home/data"), 2_000_000);

    let local = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let forward = format!("{local}:localhost:8888");
    let mut tunnel = setup.ssh(&["-N", "-o", "ExitOnForwardFailure=yes", "-L", &forward, "x@127.0.0.1"]).spawn().unwrap();
    until("the local port is open", async || TcpStream::connect(("127.0.0.1", local)).await.is_ok()).await;
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", local)).await.unwrap();
        stream.write_all(b"hello ").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(super::DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(answer == [b"you said hello ", bytes.as_slice()].concat(), "{} bytes", answer.len());
    }
    tunnel.kill().await.unwrap();
}
