//! Nodes on machines with addresses of their own, behind routers that translate addresses.

mod actor;
mod chaos;
mod lab;
mod link;
mod whole;

use std::{sync::mpsc, time::Duration};

use gpumkt::{
    net::{Multiaddr, is_circuit},
    types::Role,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::oneshot,
};

use self::{
    actor::{Actor, Setup, Stakes},
    lab::Lab,
};
use crate::poll;

const SHELL: &str = "/gpumkt/test/shell";
const WITHIN: Duration = Duration::from_secs(90);
/// What is copied over a circuit, MiB; `GPUMKT_COPY_MIB` says otherwise.
fn copied_mib() -> usize {
    std::env::var("GPUMKT_COPY_MIB").ok().and_then(|text| text.parse().ok()).unwrap_or(64)
}

/// Listening on both transports, as nodes do.
fn everywhere() -> Vec<String> {
    vec!["/ip4/0.0.0.0/tcp/7700".into(), "/ip4/0.0.0.0/udp/7700/quic-v1".into()]
}

/// The addresses of a public machine, as its operator names them.
fn at(host: u8) -> Vec<String> {
    vec![format!("/ip4/198.51.100.{host}/tcp/7700"), format!("/ip4/198.51.100.{host}/udp/7700/quic-v1")]
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    poll::until(what, WITHIN, condition).await;
}

/// Keeps a node up until somebody says that it is over.
async fn stay(over: oneshot::Receiver<()>) {
    let _ = over.await;
}

#[test]
fn a_provider_without_a_reachable_port_serves_a_renter() {
    let mut lab = Lab::new();
    let stakes = Stakes::default();
    let (queen, provider, renter) = (lab.public_machine(10), lab.hidden_machine(20), lab.hidden_machine(30));
    let (told, bound) = mpsc::sync_channel::<Multiaddr>(1);
    let (queen_over, queen_stays) = oneshot::channel();
    let shared = stakes.clone();
    let queen = queen.run(move || async move {
        let actor = Actor::start(Setup {
            seed: 1,
            role: Role::Queen,
            listen: everywhere(),
            external: at(10),
            bootstrap: Vec::new(),
            stakes: shared,
        });
        told.send(actor.address("/ip4/198").await).unwrap();
        stay(queen_stays).await;
    });
    let bootstrap = vec![bound.recv_timeout(WITHIN).unwrap()];

    let (provider_over, provider_stays) = oneshot::channel();
    let (joining, shared) = (bootstrap.clone(), stakes.clone());
    let provider = provider.run(move || async move {
        let actor = Actor::start(Setup {
            seed: 2,
            role: Role::Provider,
            listen: everywhere(),
            external: Vec::new(),
            bootstrap: joining,
            stakes: shared,
        });
        let mut streams = actor.net.accept_streams(SHELL).await.unwrap();
        let serve = async {
            while let Some((_, stream)) = streams.next().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(stream);
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                    let _ = write.shutdown().await;
                });
            }
        };
        tokio::select! {
            () = serve => {}
            () = stay(provider_stays) => {}
        }
        assert!(!actor.net.addresses().borrow().is_direct(), "nobody was let in");
    });

    let renter = renter.run(move || async move {
        let actor = Actor::start(Setup { seed: 3, role: Role::None, listen: everywhere(), external: Vec::new(), bootstrap, stakes });
        until("the provider's record names a circuit", async || {
            actor.records.reach(Actor::account(2)).await.is_ok_and(|(_, addresses)| addresses.iter().any(is_circuit))
        })
        .await;
        let (peer, addresses) = actor.find(Actor::account(2), WITHIN).await;
        let stream = actor.net.open_stream(peer, &addresses, SHELL).await.unwrap();
        let info = actor.net.connected_peers().await.unwrap().into_iter().find(|info| info.peer == peer).unwrap();
        let started = std::time::Instant::now();
        copy(stream).await;
        println!("{} MiB there and back in {:?}, relayed: {}", copied_mib(), started.elapsed(), info.is_relayed);
        // Both sides sit behind routers; a call from each at once opens the way between them.
        until("a direct path is found", async || {
            let peers = actor.net.connected_peers().await.unwrap();
            peers.iter().any(|info| info.peer == peer && !info.is_relayed)
        })
        .await;
        println!("a direct path was found");
    });
    renter.join().unwrap();
    let _ = (provider_over.send(()), queen_over.send(()));
    provider.join().unwrap();
    queen.join().unwrap();
}

/// Sends what comes back again.
async fn copy(stream: gpumkt::net::NetStream) {
    let (mut read, mut write) = tokio::io::split(stream);
    let send = async {
        let block = vec![7u8; 1 << 20];
        for _ in 0..copied_mib() / 2 {
            write.write_all(&block).await.unwrap();
        }
        write.shutdown().await.unwrap();
    };
    let receive = async {
        let (mut buffer, mut total) = (vec![0u8; 1 << 20], 0usize);
        loop {
            match read.read(&mut buffer).await.unwrap() {
                0 => return total,
                count => total += count,
            }
        }
    };
    let ((), received) = tokio::join!(send, receive);
    assert_eq!(received, (copied_mib() / 2) << 20, "the circuit carried all of it");
}
