use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::types::record::NodeRecord;

prop_compose! {
    fn hash()(bytes: [u8; 32]) -> B256 { B256::from(bytes) }
}

prop_compose! {
    fn address()(bytes: [u8; 20]) -> Address { Address::from(bytes) }
}

fn signature() -> impl Strategy<Value = B512> {
    vec(any::<u8>(), 64).prop_map(|bytes| B512::from_slice(&bytes))
}

prop_compose! {
    fn checkpoint()(
        (origin_chain_id, set_epoch, count, block_number, block_timestamp) in any::<(u64, u64, u32, u64, u64)>(),
        (outbox, signer) in (address(), address()),
        (root, block_hash) in (hash(), hash()),
        signature in signature(),
    ) -> CheckpointSignature {
        let checkpoint = CheckpointData { origin_chain_id, outbox, set_epoch, root, count, block_number, block_hash, block_timestamp };
        CheckpointSignature { checkpoint, signer, signature }
    }
}

fn statement() -> impl Strategy<Value = StatementSignature> {
    let statement = prop_oneof![
        (hash(), any::<(u64, u64, u64)>(), hash()).prop_map(|(bridge, (set_epoch, nominated_at, expires_at), set_hash)| {
            Statement::Rotation { bridge, set_epoch, set_hash, nominated_at, expires_at }
        }),
        (any::<(u64, u64, u32)>(), address()).prop_map(|((origin_chain_id, set_epoch, fork_count), outbox)| Statement::Recovery {
            origin_chain_id,
            outbox,
            set_epoch,
            fork_count
        }),
        (any::<(u64, u64, u64)>(), address()).prop_map(|((origin_chain_id, set_epoch, until), outbox)| Statement::Pause {
            origin_chain_id,
            outbox,
            set_epoch,
            until
        }),
        any::<(u64, u64)>().prop_map(|(set_epoch, until)| Statement::Withdrawals { set_epoch, until }),
    ];
    (statement, address(), signature()).prop_map(|(statement, signer, signature)| StatementSignature { statement, signer, signature })
}

prop_compose! {
    fn record()(
        account in address(),
        role in 0u8..4,
        peer_id in vec(any::<u8>(), 1..=64),
        addresses in vec("/[a-z0-9./:]{1,255}", 0..=8),
        (sequence, expiry) in any::<(u64, u64)>(),
        signature in signature(),
    ) -> SignedNodeRecord {
        SignedNodeRecord { record: NodeRecord { account, role, peer_id: peer_id.into(), addresses, sequence, expiry }, signature }
    }
}

fn gossip() -> impl Strategy<Value = GossipMessage> {
    let heartbeat =
        (any::<(u64, u64, Option<i16>)>(), 0u16..=1000).prop_map(|((device_id, timestamp, temperature_celsius), load_permille)| {
            Heartbeat { device_id, load_permille, temperature_celsius, timestamp }
        });
    prop_oneof![
        checkpoint().prop_map(GossipMessage::Checkpoint),
        record().prop_map(GossipMessage::Record),
        heartbeat.prop_map(GossipMessage::Heartbeat),
        statement().prop_map(GossipMessage::Statement),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        (any::<(u64, u64)>(), hash(), 1u8..=2).prop_map(|((challenge_block, device_id), block_hash, mode)| Request::Start {
            challenge_block,
            block_hash,
            device_id,
            mode
        }),
        (any::<(u64, u64)>(), hash(), hash()).prop_map(|((challenge_block, device_id), block_hash, root)| Request::Receipt {
            challenge_block,
            device_id,
            block_hash,
            root
        }),
        (any::<(u64, u64)>(), hash(), 1..=MAX_SAMPLES).prop_map(|((challenge_block, device_id), sample_seed, samples)| Request::Openings {
            challenge_block,
            device_id,
            sample_seed,
            samples
        }),
        option::of(address()).prop_map(|account| Request::Record { account }),
        (any::<(u64, u32)>(), 1..=MAX_CHECKPOINTS).prop_map(|((origin_chain_id, from_count), limit)| Request::Checkpoints {
            origin_chain_id,
            from_count,
            limit
        }),
        Just(Request::Ping),
        Just(Request::Statements),
        (any::<(u64, u64)>(), hash(), hash()).prop_map(|((challenge_block, device_id), block_hash, root)| Request::Refusal {
            challenge_block,
            device_id,
            block_hash,
            root
        }),
        any::<(u64, u64, u64)>().prop_map(|(case_id, rental_id, time)| Request::Reachable { case_id, rental_id, time }),
    ]
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        (hash(), 1u8..=2).prop_map(|(root, mode)| Response::Root { root, mode }),
        (any::<(u16, u32)>(), signature()).prop_map(|((queen_index, elapsed_ms), signature)| Response::Receipt {
            queen_index,
            elapsed_ms,
            signature
        }),
        vec(any::<u8>(), 0..2048).prop_map(|bytes| Response::Openings(bytes.into())),
        option::of(record()).prop_map(Response::Record),
        vec(checkpoint(), 0..16).prop_map(Response::Checkpoints),
        vec(statement(), 0..16).prop_map(Response::Statements),
        (".{0,400}", ".{0,400}").prop_map(|(code, reason)| Response::refused(&code, reason)),
        Just(Response::Pong),
        (any::<u16>(), signature()).prop_map(|(queen_index, signature)| Response::Refusal { queen_index, signature }),
        (any::<u8>(), signature()).prop_map(|(member, signature)| Response::Reachable { member, signature }),
    ]
}

/// Bytes near a valid message find more than random ones.
fn mutated(bytes: Vec<u8>, flips: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    let mut bytes = bytes;
    for (at, value) in flips {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes.truncate(cut.index(bytes.len() + 1));
    bytes
}

fn decode_everything(bytes: &[u8]) {
    for topic in Topic::ALL {
        if let Ok(message) = GossipMessage::decode(topic, bytes) {
            assert_eq!(message.encode().unwrap(), bytes, "accepted bytes are the only encoding");
        }
    }
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(request.encode().unwrap(), bytes);
    }
    if let Ok(response) = Response::decode(bytes) {
        assert_eq!(response.encode().unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn gossip_round_trips(message in gossip()) {
        let bytes = message.encode().unwrap();
        prop_assert!(bytes.len() <= message.topic().max_bytes());
        prop_assert_eq!(GossipMessage::decode(message.topic(), &bytes).unwrap(), message);
    }

    #[test]
    fn requests_and_responses_round_trip(request in request(), response in response()) {
        prop_assert_eq!(Request::decode(&request.encode().unwrap()).unwrap(), request);
        prop_assert_eq!(Response::decode(&response.encode().unwrap()).unwrap(), response);
    }

    #[test]
    fn strangers_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        decode_everything(&bytes);
        decode_everything(&[&[VERSION], bytes.as_slice()].concat());
    }

    #[test]
    fn damaged_messages_never_panic(
        message in gossip(),
        request in request(),
        response in response(),
        flips in vec(any::<(prop::sample::Index, u8)>(), 0..4),
        cut: prop::sample::Index,
    ) {
        for bytes in [message.encode().unwrap(), request.encode().unwrap(), response.encode().unwrap()] {
            decode_everything(&mutated(bytes, &flips, cut));
        }
    }
}

fn heartbeat() -> GossipMessage {
    GossipMessage::Heartbeat(Heartbeat { device_id: 1, load_permille: 2, temperature_celsius: None, timestamp: 3 })
}

#[test]
fn refuses_second_encodings_and_trailing_bytes() {
    let bytes = heartbeat().encode().unwrap();
    assert_eq!(bytes, [VERSION, 1, 2, 0, 3]);
    let topic = Topic::Heartbeats(0);
    assert_eq!(GossipMessage::decode(topic, &[VERSION, 1, 2, 0, 3, 0]), Err(WireError::NotCanonical));
    assert_eq!(GossipMessage::decode(topic, &[VERSION, 0x81, 0x00, 2, 0, 3]), Err(WireError::NotCanonical), "overlong integer");
    assert!(matches!(GossipMessage::decode(topic, &bytes[..4]), Err(WireError::Malformed(_))));
    assert!(matches!(GossipMessage::decode(topic, &[]), Err(WireError::Malformed(_))));
}

#[test]
fn unknown_versions_are_innocent_and_sizes_bounded() {
    let topic = Topic::Heartbeats(0);
    let newer = GossipMessage::decode(topic, &[2, 9, 9]).unwrap_err();
    assert_eq!(newer, WireError::UnknownVersion(2));
    assert!(newer.is_innocent());
    let large = GossipMessage::decode(topic, &[VERSION; 65]).unwrap_err();
    assert_eq!(large, WireError::Oversize { bytes: 65, limit: 64 });
    assert!(!large.is_innocent());
    assert!(matches!(Response::Openings(vec![0; MAX_RESPONSE_BYTES].into()).encode(), Err(WireError::Oversize { .. })));
}

#[test]
fn ranges_are_checked_on_both_sides() {
    let start = Request::Start { challenge_block: 1, block_hash: B256::ZERO, device_id: 1, mode: 3 };
    assert_eq!(start.encode(), Err(WireError::OutOfRange { field: "mode" }));
    let openings = |samples| Request::Openings { challenge_block: 1, device_id: 1, sample_seed: B256::ZERO, samples };
    assert!(openings(0).encode().is_err());
    assert!(openings(MAX_SAMPLES + 1).encode().is_err());
    let bytes = [VERSION, 4, 1, 1, 0];
    assert_eq!(Request::decode(&bytes), Err(WireError::OutOfRange { field: "limit" }));
    assert!(GossipMessage::decode(Topic::Heartbeats(0), &[VERSION, 1, 0xe9, 0x07, 0, 3]).is_err(), "load of 1001");
}
