//! The whole way: stock ssh, a stream between two nodes, a login, the server, a container.

use std::{
    process::Stdio,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy::{
    primitives::{Address, B256},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{Eip712Domain, SolStruct},
};
use gpumkt::{
    net::{Multiaddr, NetConfig, NetHandle, NetStream, Network, PeerId},
    sandbox::{Agent, SshAccess, SshKeyPair, SshServer, known_hosts_line},
    service::session::{Login, LoginAnswer, NamedKey, SHELL_PROTOCOL, SessionError, read_login_frame, write_frame},
    task::{Service, Shutdown},
    telemetry::Metrics,
    types::signing::{SessionKey, compact, contract_domain},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::TcpListener,
    sync::broadcast,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{DEADLINE, HOST, container::Container, finish, patterned_file, read_until, text};

const RENTAL: u64 = 7;

fn start(seed: u8, config: NetConfig) -> (NetHandle, JoinHandle<()>) {
    let (handle, mut events, mut event_loop) = Network::start(config, [seed; 32], Metrics::default()).unwrap();
    let running = tokio::spawn(async move {
        let drain = async { while events.next().await.is_some() {} };
        tokio::join!(drain, async { event_loop.run(&Shutdown::new()).await.unwrap() });
    });
    (handle, running)
}

async fn address(node: &NetHandle) -> Multiaddr {
    let mut addresses = node.addresses();
    let bound = timeout(DEADLINE, addresses.wait_for(|addresses| !addresses.listen.is_empty())).await.unwrap().unwrap();
    bound.listen[0].clone()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn named(domain: &Eip712Domain, session: &PrivateKeySigner, public_key: &[u8]) -> NamedKey {
    let expiry = now() + 600;
    let digest: B256 = SessionKey { rentalId: RENTAL, publicKey: public_key.to_vec().into(), expiry }.eip712_signing_hash(domain);
    NamedKey { public_key: public_key.to_vec(), expiry, signature: compact(&session.sign_hash_sync(&digest).unwrap()).to_vec() }
}

/// A provider checks the other signatures against the chain, which has no part here.
fn login(peer: PeerId, key: NamedKey) -> Login {
    Login {
        rental: RENTAL,
        public_key: peer.to_bytes(),
        expiry: now() + 600,
        key_signature: Vec::new(),
        opened_at: now(),
        opened_signature: Vec::new(),
        ssh_keys: vec![key],
    }
}

/// A provider's side: who names keys by the session key is let in with them.
struct Provider {
    server: SshServer,
    agent: Agent,
    domain: Eip712Domain,
    session_key: Address,
    notices: broadcast::Sender<String>,
}

impl Provider {
    async fn serve(self: Arc<Self>, peer: PeerId, mut stream: NetStream) {
        let login: Login = read_login_frame(&mut stream).await.unwrap();
        let bound = if login.public_key == peer.to_bytes() { Ok(()) } else { Err(SessionError::WrongPeer) };
        let keys = bound.and_then(|()| login.authorized_keys(&self.domain, self.session_key, now()));
        write_frame(&mut stream, &LoginAnswer::new(&keys, &self.server.public_host_key())).await.unwrap();
        if let Ok(authorized_keys) = keys {
            let notices = self.notices.subscribe();
            let access = SshAccess { authorized_keys, agent: self.agent.clone(), env: vec![], notices, end: CancellationToken::new() };
            self.server.serve(stream, access).await.unwrap();
        }
    }
}

async fn accept(provider: Provider, node: NetHandle) -> JoinHandle<()> {
    let (provider, mut inbound) = (Arc::new(provider), node.accept_streams(SHELL_PROTOCOL).await.unwrap());
    tokio::spawn(async move {
        let mut sessions = tokio::task::JoinSet::new();
        while let Some((peer, stream)) = inbound.next().await {
            sessions.spawn(provider.clone().serve(peer, stream));
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renter_works_over_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let container = Container::start(folder.path()).await;
    let (server, session) = (SshServer::load_or_create(&folder.path().join("host")).unwrap(), PrivateKeySigner::random());
    let domain = contract_domain(1, Address::repeat_byte(1));
    let (provider_node, _provider_task) =
        start(81, NetConfig { listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()], local_network: true, ..NetConfig::default() });
    let (renter_node, _renter_task) = start(82, NetConfig { local_network: true, ..NetConfig::default() });
    let (place, peer) = (address(&provider_node).await, provider_node.local_peer_id());
    let provider = Provider {
        server,
        agent: container.agent.clone(),
        domain: domain.clone(),
        session_key: session.address(),
        notices: broadcast::channel(1).0,
    };
    let _accepting = accept(provider, provider_node).await;

    let key = SshKeyPair::load_or_create(&folder.path().join("id")).unwrap();
    let good = login(renter_node.local_peer_id(), named(&domain, &session, &key.public_key()));
    let open = async |login: &Login| {
        let mut stream = renter_node.open_stream(peer, std::slice::from_ref(&place), SHELL_PROTOCOL).await.unwrap();
        write_frame(&mut stream, login).await.unwrap();
        let answer: LoginAnswer = timeout(DEADLINE, read_login_frame(&mut stream)).await.unwrap().unwrap();
        (stream, answer)
    };
    for wrong in [
        Login { ssh_keys: vec![named(&domain, &PrivateKeySigner::random(), &key.public_key())], ..good.clone() },
        // Copied from somebody else's stream.
        Login { public_key: PeerId::random().to_bytes(), ..good.clone() },
    ] {
        assert!(matches!(open(&wrong).await.1, LoginAnswer::Refused { code, .. } if code == "E-SESSION-004"));
    }

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let ssh = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new("ssh");
        command.args(["-F", "none", "-p", &port.to_string(), "-o", &format!("HostKeyAlias={HOST}")]);
        command.args(["-o", &format!("UserKnownHostsFile={}", folder.path().join("known").display()), "-o", "BatchMode=yes"]);
        command.arg("-i").arg(folder.path().join("id")).arg("x@127.0.0.1").args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let carry = async || {
        let (mut local, _) = listener.accept().await.unwrap();
        local.set_nodelay(true).unwrap();
        let (mut stream, answer) = open(&good).await;
        let LoginAnswer::Welcome { ssh_host_key } = answer else { panic!("{answer:?}") };
        std::fs::write(folder.path().join("known"), known_hosts_line(HOST, &ssh_host_key).unwrap()).unwrap();
        // OpenSSH may be gone before the last bytes are.
        drop(copy_bidirectional(&mut local, &mut stream).await);
    };

    let started = Instant::now();
    let (output, ()) = tokio::join!(finish(ssh(&["echo over the network; exit 5"]).spawn().unwrap()), carry());
    assert_eq!((text(&output.stdout).as_str(), output.status.code()), ("over the network\n", Some(5)), "{}", text(&output.stderr));
    println!("login, command and end: {} ms", started.elapsed().as_millis());

    let bytes = patterned_file(&folder.path().join("big"), 20_000_000);
    let mut child = ssh(&["cat > /root/big; cat /root/big"]).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let started = Instant::now();
    let send = async {
        input.write_all(&bytes).await.unwrap();
        drop(input);
    };
    let (output, (), ()) = tokio::join!(finish(child), send, carry());
    assert!(output.stdout == bytes, "{} bytes came back: {}", output.stdout.len(), text(&output.stderr));
    println!("20 MB there and back: {} ms", started.elapsed().as_millis());

    tokio::join!(carry(), echo(ssh(&["stty -echo raw 2>/dev/null; echo ready; exec cat"])));
}

/// One key after the other, each awaited: nothing on the way may wait for more of them.
async fn echo(mut command: tokio::process::Command) {
    let mut child = command.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    read_until(&mut output, "ready\n").await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        input.write_all(b"k").await.unwrap();
        let mut key = [0];
        timeout(DEADLINE, output.read_exact(&mut key)).await.unwrap().unwrap();
        times.push(started.elapsed());
    }
    times.sort_unstable();
    println!("key to echo: median {} us, worst {} us", times[25].as_micros(), times[49].as_micros());
    assert!(times[25] < Duration::from_millis(40), "a delay of 40 ms or more is somebody's timer: {times:?}");
}
