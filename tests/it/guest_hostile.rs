//! What the node does with a container that poses as its agent.

use std::time::Duration;

use gpumkt::sandbox::Agent;
use gpumkt::types::Coded;
use gpumkt::types::agent::{Exec, HELLO};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

#[tokio::test]
async fn a_hostile_guest_costs_only_its_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::listen(folder.path()).unwrap();
    let socket = folder.path().join("node.sock");
    assert_eq!(agent.wait_ready(Duration::from_millis(50)).await.unwrap_err().code(), "E-SANDBOX-013");
    let dial = || UnixStream::connect(&socket);
    let mut silent = Vec::new();
    for _ in 0..15 {
        silent.push(dial().await.unwrap());
    }
    let mut noise = dial().await.unwrap();
    noise.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    assert_eq!(noise.read(&mut [0; 9]).await.map_or(0, |count| count), 0);
    for (answer, code) in [
        (&[16, 0xff, 0xff, 0xff, 0xff][..], "E-SANDBOX-015"),
        (&[99, 0, 0, 0, 0], "E-SANDBOX-015"),
        (&[16], "E-SANDBOX-014"),
        (&[17, 0, 0, 0, 5, 0, 0, 0, 13, b'\x1b'], "E-SANDBOX-016"),
    ] {
        let mut guest = dial().await.unwrap();
        guest.write_all(&HELLO).await.unwrap();
        let serve = async {
            let mut header = [0; 5];
            guest.read_exact(&mut header).await.unwrap();
            guest.write_all(answer).await.unwrap();
            drop(guest);
        };
        let (opened, ()) = tokio::join!(agent.connect(1), serve);
        assert_eq!(opened.unwrap_err().code(), code, "{answer:?}");
    }
    // A flood of parked connections is cut off; those that speak before they are asked are passed over.
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut guest = dial().await.unwrap();
        // The node may have closed it already.
        let _ = guest.write_all(&HELLO).await;
        let _ = guest.write_all(b"more").await;
        flood.push(guest);
    }
    drop(flood);
    let mut guest = dial().await.unwrap();
    guest.write_all(&HELLO).await.unwrap();
    let serve = async {
        let mut open = [0; 20];
        let _ = guest.read(&mut open).await.unwrap();
        // An answer, and then a frame that only nodes send.
        guest.write_all(&[16, 0, 0, 0, 0, 32, 0, 0, 0, 0]).await.unwrap();
    };
    let (process, ()) = tokio::join!(agent.exec(Exec::default()), serve);
    assert_eq!(process.unwrap().split().1.next().await.unwrap_err().code(), "E-SANDBOX-015");
    assert!(silent.len() == 15);
}
