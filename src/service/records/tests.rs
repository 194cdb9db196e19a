use std::{collections::HashMap, sync::Arc};

use alloy::{
    primitives::{B512, Bytes},
    signers::{SignerSync, local::PrivateKeySigner},
};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    net::{EventLoop, NetConfig, NetError, NetEvent, NetEvents, Network},
    task::{Service, Shutdown},
    types::{
        record::NodeRecord,
        signing::{compact, contract_domain},
        wire::{CheckpointData, CheckpointSignature, Heartbeat},
    },
};

const DEADLINE: Duration = Duration::from_secs(30);

/// Roles by (account, operator).
type StakeTable = HashMap<(Address, Address), Role>;

/// Nothing at all is an endpoint that does not answer.
#[derive(Clone, Default)]
struct Stakes(Arc<Mutex<Option<StakeTable>>>);

impl Stakes {
    fn of(stakers: &[(Address, &PrivateKeySigner, Role)]) -> Self {
        let stakes = stakers.iter().map(|(account, operator, role)| ((*account, operator.address()), *role)).collect();
        Self(Arc::new(Mutex::new(Some(stakes))))
    }

    fn fail(&self) {
        *self.0.lock().unwrap() = None;
    }
}

#[async_trait::async_trait]
impl StakeOracle for Stakes {
    async fn stake_of(&self, claim: &StakeClaim) -> Result<Option<Role>, Box<dyn Coded>> {
        match &*self.0.lock().unwrap() {
            Some(stakes) => Ok(stakes.get(&(claim.account, claim.operator)).copied()),
            None => Err(Box::new(NetError::Stopped)),
        }
    }
}

struct Setup {
    _folder: tempfile::TempDir,
    store: Store,
    records: Records,
    service: RecordsService,
    events: NetEvents,
    event_loop: EventLoop,
}

fn domain() -> Eip712Domain {
    contract_domain(1, Address::repeat_byte(0xee))
}

fn setup(seed: u8, config: NetConfig, stakes: Stakes, own: Option<OwnNode>) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &TABLES).unwrap();
    let (handle, events, event_loop) = Network::start(config, [seed; 32], Metrics::default()).unwrap();
    let (records, service) = Records::new(store.clone(), domain(), stakes, handle, Metrics::default(), own);
    Setup { _folder: folder, store, records, service, events, event_loop }
}

fn record(account: Address, role: Role, peer: PeerId, sequence: u64) -> NodeRecord {
    NodeRecord {
        account,
        role: role as u8,
        peer_id: Bytes::from(peer.to_bytes()),
        addresses: vec!["/ip4/127.0.0.1/tcp/7700".into()],
        sequence,
        expiry: unix_seconds() + 600,
    }
}

fn sign(record: NodeRecord, operator: &PrivateKeySigner) -> SignedNodeRecord {
    let signature = B512::from(compact(&operator.sign_hash_sync(&record.digest(&domain())).unwrap()));
    SignedNodeRecord { record, signature }
}

fn checkpoint() -> GossipMessage {
    let checkpoint = CheckpointData {
        origin_chain_id: 1,
        outbox: Address::ZERO,
        set_epoch: 0,
        root: B256::ZERO,
        count: 1,
        block_number: 1,
        block_hash: B256::ZERO,
        block_timestamp: 1,
    };
    GossipMessage::Checkpoint(CheckpointSignature { checkpoint, signer: Address::ZERO, signature: B512::ZERO })
}

fn heartbeat(timestamp: u64) -> GossipMessage {
    GossipMessage::Heartbeat(Heartbeat { device_id: 1, load_permille: 0, temperature_celsius: None, timestamp })
}

#[tokio::test]
async fn only_the_right_stake_may_speak() {
    let (king_key, provider_key) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (king_account, provider_account) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let (king, provider, renter) = (PeerId::random(), PeerId::random(), PeerId::random());
    let stakes = Stakes::of(&[(king_account, &king_key, Role::King), (provider_account, &provider_key, Role::Provider)]);
    let Setup { records, _folder, .. } = setup(1, NetConfig::default(), stakes, None);

    assert_eq!(records.judge(king, &checkpoint()).await, Verdict::Ignore, "not known yet");
    let signed = GossipMessage::Record(sign(record(king_account, Role::King, king, 1), &king_key));
    assert_eq!(records.judge(king, &signed).await, Verdict::Accept);
    let signed = GossipMessage::Record(sign(record(provider_account, Role::Provider, provider, 1), &provider_key));
    assert_eq!(records.judge(provider, &signed).await, Verdict::Accept);

    assert_eq!(records.role_of(king).await.unwrap(), Some(Role::King));
    assert_eq!(records.account_of(king), Some(king_account));
    assert_eq!(records.peers_of(Role::Provider), [(provider, provider_account)]);
    assert_eq!(records.judge(king, &checkpoint()).await, Verdict::Accept);
    assert_eq!(records.judge(provider, &checkpoint()).await, Verdict::Reject);
    assert_eq!(records.judge(renter, &checkpoint()).await, Verdict::Ignore);
    assert_eq!(records.judge(provider, &heartbeat(unix_seconds())).await, Verdict::Accept);
    assert_eq!(records.judge(provider, &heartbeat(1)).await, Verdict::Ignore, "an old heartbeat says nothing");
    assert_eq!(records.judge(king, &heartbeat(unix_seconds())).await, Verdict::Reject);
}

#[tokio::test]
async fn bad_records_are_refused_by_their_kind() {
    let (key, other_key) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (account, peer) = (Address::repeat_byte(1), PeerId::random());
    let stakes = Stakes::of(&[(account, &key, Role::Queen)]);
    let Setup { records, _folder, .. } = setup(2, NetConfig::default(), stakes, None);
    let judge = async |author: PeerId, signed: SignedNodeRecord| records.judge(author, &GossipMessage::Record(signed)).await;
    let good = || record(account, Role::Queen, peer, 5);

    assert_eq!(judge(PeerId::random(), sign(good(), &key)).await, Verdict::Reject, "sent by another peer");
    let broken = SignedNodeRecord { signature: B512::ZERO, ..sign(good(), &key) };
    assert_eq!(judge(peer, broken).await, Verdict::Reject, "signature");
    let nonsense = NodeRecord { peer_id: Bytes::from_static(b"x"), ..good() };
    assert_eq!(judge(peer, sign(nonsense, &key)).await, Verdict::Reject, "no peer id");
    let unparsable = NodeRecord { addresses: vec!["/nonsense/1".into()], ..good() };
    assert_eq!(judge(peer, sign(unparsable, &key)).await, Verdict::Reject, "no multiaddr");
    assert_eq!(judge(peer, sign(NodeRecord { expiry: 1, ..good() }, &key)).await, Verdict::Ignore, "expired");
    assert_eq!(judge(peer, sign(record(account, Role::King, peer, 5), &key)).await, Verdict::Reject, "role without its stake");
    assert_eq!(judge(peer, sign(good(), &other_key)).await, Verdict::Ignore, "not the operator");
    assert_eq!(records.lookup(account).unwrap(), None);

    let signed = sign(good(), &key);
    assert_eq!(judge(peer, signed.clone()).await, Verdict::Accept);
    assert_eq!(judge(peer, signed.clone()).await, Verdict::Accept, "the same again is no offence");
    assert_eq!(judge(peer, sign(record(account, Role::Queen, peer, 4), &key)).await, Verdict::Ignore, "older");
    assert_eq!(records.lookup(account).unwrap(), Some(signed.clone()));
    assert_eq!(records.answer(Some(account)), Response::Record(Some(signed)));
    assert_eq!(records.answer(None), Response::Record(None), "this node has no stake");
}

#[tokio::test]
async fn a_new_operator_replaces_a_stolen_key_with_a_huge_number() {
    let (stolen, fresh) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (account, thief, owner) = (Address::repeat_byte(1), PeerId::random(), PeerId::random());
    let stakes = Stakes::of(&[(account, &stolen, Role::King)]);
    let Setup { records, _folder, .. } = setup(3, NetConfig::default(), stakes.clone(), None);
    let signed = sign(record(account, Role::King, thief, u64::MAX), &stolen);
    assert_eq!(records.judge(thief, &GossipMessage::Record(signed)).await, Verdict::Accept);

    *stakes.0.lock().unwrap() = Some(HashMap::from([((account, fresh.address()), Role::King)]));
    let signed = sign(record(account, Role::King, owner, 1), &fresh);
    assert_eq!(records.judge(owner, &GossipMessage::Record(signed)).await, Verdict::Accept);
    assert_eq!(records.role_of(thief).await.unwrap(), None);
    assert_eq!(records.reach(account).await.unwrap().0, owner);
}

#[tokio::test]
async fn an_unreadable_chain_blames_nobody() {
    let key = PrivateKeySigner::random();
    let (account, peer) = (Address::repeat_byte(1), PeerId::random());
    let stakes = Stakes::of(&[(account, &key, Role::King)]);
    let Setup { records, _folder, .. } = setup(4, NetConfig::default(), stakes.clone(), None);
    let signed = GossipMessage::Record(sign(record(account, Role::King, peer, 1), &key));
    stakes.fail();
    assert_eq!(records.judge(peer, &signed).await, Verdict::Ignore);
    assert_eq!(records.judge(peer, &checkpoint()).await, Verdict::Ignore);
}

#[tokio::test]
async fn numbers_grow_over_restarts() {
    let key = PrivateKeySigner::random();
    let own = OwnNode { account: Address::repeat_byte(1), role: Role::Queen, signer: Arc::new(key) };
    let Setup { store, service, event_loop, _folder, .. } = setup(5, NetConfig::default(), Stakes::default(), Some(own));
    store.put(&SEQUENCE, &0, &(unix_seconds() + 1_000)).unwrap();
    let before = store.get(&SEQUENCE, &0).unwrap();
    let (shutdown, tasks) = run(service, event_loop);
    let announced = async {
        while store.get(&SEQUENCE, &0).unwrap() == before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, announced).await.unwrap();
    assert!(store.get(&SEQUENCE, &0).unwrap() > before);
    shutdown.intake.cancel();
    for task in tasks {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
}

fn run(mut service: RecordsService, mut event_loop: EventLoop) -> (Shutdown, [JoinHandle<()>; 2]) {
    let shutdown = Shutdown::new();
    let (first, second) = (shutdown.clone(), shutdown.clone());
    let tasks = [
        tokio::spawn(async move { service.run(&first).await.unwrap() }),
        tokio::spawn(async move { event_loop.run(&second).await.unwrap() }),
    ];
    (shutdown, tasks)
}

/// What a role does with its events, reduced to records.
fn serve(records: Records, mut events: NetEvents) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                NetEvent::PeerConnected { peer } => records.peer_connected(peer),
                NetEvent::Request { request: Request::Record { account }, responder, .. } => {
                    let _ = responder.send(records.answer(account)).await;
                }
                _ => {}
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_learn_who_they_talk_to_and_renters_find_accounts() {
    let (queen_key, provider_key) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (queen_account, provider_account) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let stakes = Stakes::of(&[(queen_account, &queen_key, Role::Queen), (provider_account, &provider_key, Role::Provider)]);
    let own = |account, role, key| Some(OwnNode { account, role, signer: Arc::new(key) });
    let listening = NetConfig { listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()], local_network: true, ..NetConfig::default() };

    let queen = setup(6, listening.clone(), stakes.clone(), own(queen_account, Role::Queen, queen_key));
    let mut addresses = queen.records.shared.net.addresses();
    let (queen_records, queen_peer) = (queen.records.clone(), queen.records.shared.net.local_peer_id());
    let _queen = (run(queen.service, queen.event_loop), serve(queen.records, queen.events));
    let bound = tokio::time::timeout(DEADLINE, addresses.wait_for(|known| !known.listen.is_empty())).await.unwrap().unwrap().listen.clone();

    let joining = NetConfig { bootstrap: bound, ..listening };
    let provider = setup(7, joining.clone(), stakes.clone(), own(provider_account, Role::Provider, provider_key));
    let (provider_records, provider_peer) = (provider.records.clone(), provider.records.shared.net.local_peer_id());
    let _provider = (run(provider.service, provider.event_loop), serve(provider.records, provider.events));
    let known = async {
        while provider_records.role_of(queen_peer).await.unwrap() != Some(Role::Queen)
            || queen_records.role_of(provider_peer).await.unwrap() != Some(Role::Provider)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, known).await.expect("both know each other by a direct question");

    let renter = setup(8, NetConfig { listen: Vec::new(), ..joining }, stakes, None);
    let renter_records = renter.records.clone();
    let _renter = (run(renter.service, renter.event_loop), serve(renter.records, renter.events));
    let found = async {
        loop {
            if let Ok((peer, addresses)) = renter_records.reach(provider_account).await
                && !addresses.is_empty()
            {
                return peer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(tokio::time::timeout(DEADLINE, found).await.expect("the queen tells the renter where the provider is"), provider_peer);
    assert!(matches!(renter_records.reach(Address::repeat_byte(9)).await, Err(RecordsError::Unknown { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_node_finds_its_peers_without_those_it_once_joined_by() {
    let (queen_key, king_key) = (PrivateKeySigner::random(), PrivateKeySigner::random());
    let (queen_account, king_account) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let stakes = Stakes::of(&[(queen_account, &queen_key, Role::Queen), (king_account, &king_key, Role::King)]);
    let listening = NetConfig { listen: vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()], local_network: true, ..NetConfig::default() };
    let own = |account, role, key| Some(OwnNode { account, role, signer: Arc::new(key) });
    let queen = setup(21, listening.clone(), stakes.clone(), own(queen_account, Role::Queen, queen_key));
    let mut addresses = queen.records.shared.net.addresses();
    let queen_peer = queen.records.shared.net.local_peer_id();
    let _queen = (run(queen.service, queen.event_loop), serve(queen.records, queen.events));
    let bound = tokio::time::timeout(DEADLINE, addresses.wait_for(|known| !known.listen.is_empty())).await.unwrap().unwrap().listen.clone();

    let first = setup(22, NetConfig { bootstrap: bound, ..listening.clone() }, stakes.clone(), None);
    let (records, folder) = (first.records.clone(), first._folder);
    let (shutdown, tasks) = run(first.service, first.event_loop);
    let serving = serve(first.records, first.events);
    let known = async {
        while records.lookup(queen_account).unwrap().is_none_or(|signed| signed.record.addresses.is_empty()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, known).await.expect("the Queen's record is stored");
    assert!(records.shared.net.relay_gate().is_admitted(queen_peer), "whoever holds a stake may be reached through this node");
    shutdown.intake.cancel();
    for task in tasks {
        tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    serving.abort();
    let _ = serving.await;
    drop((records, first.store));

    // The same database, no nodes to join by.
    let store = Store::open(folder.path(), &TABLES).unwrap();
    let (net, events, event_loop) = Network::start(listening, [22; 32], Metrics::default()).unwrap();
    let (records, service) = Records::new(store, domain(), stakes, net, Metrics::default(), own(king_account, Role::King, king_key));
    let _restarted = (run(service, event_loop), serve(records.clone(), events));
    let found = async {
        while records.role_of(queen_peer).await.unwrap() != Some(Role::Queen) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, found).await.expect("the Queen is met again, and known");
}
