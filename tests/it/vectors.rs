//! The checked-in test vectors are those of this build, and a second implementation, written only from docs/protocol.md, agrees.
//!
//! Nothing below the first test uses the crate's rules: plain loops over the text of the page.

use std::path::Path;
use std::sync::LazyLock;

use alloy::primitives::{B256, U256, hex, keccak256};
use gpumkt::client::vectors::vectors;
use serde_json::Value;

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

static FILE: LazyLock<String> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("contracts/test/vectors.json");
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
});
static VECTORS: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&FILE).unwrap());

/// The entries of a section, of which there must be some.
fn section(name: &str) -> &'static [Value] {
    let entries = VECTORS[name].as_array().unwrap();
    assert!(!entries.is_empty(), "{name}");
    entries
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn word(value: &Value) -> B256 {
    B256::from_slice(&bytes(value))
}

/// Small integers are numbers, those of 64 bits are strings.
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn words(value: &Value) -> Vec<B256> {
    value.as_array().unwrap().iter().map(word).collect()
}

fn u256(value: u64) -> Vec<u8> {
    U256::from(value).to_be_bytes::<32>().to_vec()
}

/// An address as a 32-byte word.
fn padded(value: &Value) -> Vec<u8> {
    [vec![0; 12], bytes(value)].concat()
}

fn hash(parts: &[&[u8]]) -> B256 {
    keccak256(parts.concat())
}

fn tag(name: &str) -> B256 {
    keccak256(name)
}

fn modulo(hash: B256, divisor: u64) -> u64 {
    (U256::from_be_bytes(hash.0) % U256::from(divisor)).to::<u64>()
}

#[test]
fn the_checked_in_file_is_what_the_code_prints() {
    let printed = serde_json::to_string_pretty(&vectors().unwrap()).unwrap() + "\n";
    let differs = printed.lines().zip(FILE.lines()).position(|(new, old)| new != old);
    assert_eq!(differs, None, "write `gpumkt vectors --json` to contracts/test/vectors.json");
    assert!(printed == *FILE, "one is a part of the other");
    assert!(FILE.len() < 1_500_000);
}

#[test]
fn challenges_committees_and_draws() {
    for case in section("beacon") {
        let value = U256::from_be_bytes(hash(&[&tag("gpumkt/beacon/v1").0, &bytes(&case["block_hash"])]).0);
        let is_challenge = value <= U256::MAX / U256::from(number(&case["period"]));
        assert_eq!(case["is_challenge"], is_challenge, "{case}");
    }
    for case in section("seed") {
        let mut preimage = [tag("gpumkt/seed/v1").to_vec(), bytes(&case["block_hash"]), u256(number(&case["chain_id"]))].concat();
        preimage.extend([padded(&case["contract"]), padded(&case["provider"])].concat());
        for field in ["device_id", "class_version", "mode"] {
            preimage.extend(u256(number(&case[field])));
        }
        preimage.extend(case["profile"].as_array().unwrap().iter().flat_map(|value| u256(number(value))));
        assert_eq!(preimage.len(), 20 * 32);
        assert_eq!(keccak256(preimage), word(&case["seed"]), "{}", case["name"]);
    }
    for case in section("committee") {
        let queens = number(&case["queens"]);
        let seats = queens.min(number(&case["committee_size"]));
        let device = u256(number(&case["device_id"]));
        let seed = hash(&[&tag("gpumkt/committee/v1").0, &bytes(&case["block_hash"]), &padded(&case["provider"]), &device]);
        let mut indices: Vec<u64> = (0..queens).collect();
        for i in 0..seats {
            let other = i + modulo(hash(&[&seed.0, &u256(i)]), queens - i);
            indices.swap(i as usize, other as usize);
        }
        let mut members = indices[..seats as usize].to_vec();
        members.sort();
        let expected: Vec<u64> = case["members"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(members, expected, "{case}");
    }
    for case in section("draw") {
        let parts = [bytes(&case["seal_hash"]), u256(number(&case["challenge_block"])), u256(number(&case["device_id"]))].concat();
        assert_eq!(hash(&[&tag("gpumkt/sample/v1").0, &parts]), word(&case["sample_seed"]));
        let is_drawn = modulo(hash(&[&tag("gpumkt/draw/v1").0, &parts]), number(&case["proof_rate"])) == 0;
        assert_eq!(case["is_drawn"], is_drawn, "{case}");
    }
    for (name, field) in [("beacon", "is_challenge"), ("draw", "is_drawn"), ("profile", "is_valid"), ("measure", "is_measured")] {
        assert!([true, false].iter().all(|outcome| section(name).iter().any(|case| case[field] == *outcome)), "{name}");
    }
}

#[test]
fn profiles_keep_the_rules() {
    for case in section("profile") {
        let p: Vec<u64> = case["profile"].as_array().unwrap().iter().map(number).collect();
        let [memory, iterations, lanes, steps, windows, cycles, size, inner, rounds, reference, pass, unmeasured] = p.try_into().unwrap();
        let is_memory_valid = windows >= 1 && memory >= 1 && memory % (128 * windows) == 0 && iterations >= 1 && lanes.is_power_of_two();
        let are_steps_valid = steps >= 512 && windows * cycles >= 1 && steps % (256 * windows * cycles) == 0;
        let is_product_valid = size >= 8 && size.is_power_of_two() && (32..=16_384).contains(&inner) && inner % 32 == 0 && rounds >= 1;
        let are_times_valid = reference <= pass && pass <= unmeasured;
        let is_valid = is_memory_valid && are_steps_valid && is_product_valid && are_times_valid;
        assert_eq!(case["is_valid"], is_valid, "{}", case["name"]);
    }
}

#[test]
fn receipts_are_counted_and_the_median_taken() {
    for case in section("measure") {
        let mut times: Vec<u64> = case["elapsed_ms"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(case["is_measured"], 3 * times.len() as u64 >= 2 * number(&case["committee"]), "{case}");
        times.resize(number(&case["committee"]) as usize, u64::MAX);
        times.sort();
        let middle = Some(times[times.len() / 2]).filter(|time| *time != u64::MAX);
        assert_eq!(case["median_ms"].as_u64(), middle, "{case}");
    }
}

#[test]
fn messages_and_their_tree() {
    for case in section("message") {
        let head = [vec![1], (number(&case["index"]) as u32).to_be_bytes().to_vec(), number(&case["origin"]).to_be_bytes().to_vec()];
        let far = [bytes(&case["sender"]), number(&case["destination"]).to_be_bytes().to_vec(), bytes(&case["recipient"])];
        let id = hash(&[&head.concat(), &far.concat(), &bytes(&case["body"])]);
        assert_eq!(id, word(&case["id"]), "{}", case["name"]);
        assert_eq!(hash(&[&[0], &id.0]), word(&case["leaf"]));
    }
    let counts: Vec<usize> = section("tree").iter().map(|case| case["leaves"].as_array().unwrap().len()).collect();
    assert!([1, 2, 5].iter().all(|count| counts.contains(count)));
    for case in section("tree") {
        let mut level: Vec<B256> = words(&case["leaves"]).iter().map(|id| hash(&[&[0], &id.0])).collect();
        let (proof, mut index, mut empty) = (words(&case["proof"]), number(&case["proof_index"]) as usize, B256::ZERO);
        assert_eq!(proof.len(), 32);
        for sibling in proof {
            // What lies beyond the last leaf is the root of an empty subtree.
            assert_eq!(sibling, level.get(index ^ 1).copied().unwrap_or(empty));
            level = level.chunks(2).map(|pair| node(pair[0], pair.get(1).copied().unwrap_or(empty))).collect();
            (index, empty) = (index / 2, node(empty, empty));
        }
        assert_eq!(level, [word(&case["root"])]);
    }
}

fn node(left: B256, right: B256) -> B256 {
    hash(&[&[1], &left.0, &right.0])
}

#[test]
fn king_sets_and_their_quorums() {
    for case in section("king_set") {
        let members = case["members"].as_array().unwrap();
        let packed: Vec<u8> =
            members.iter().flat_map(|king| [bytes(&king["address"]), u256(number(&king["weight"]))[20..].to_vec()].concat()).collect();
        assert!(members.windows(2).all(|pair| bytes(&pair[0]["address"]) < bytes(&pair[1]["address"])));
        assert_eq!(keccak256(packed), word(&case["hash"]));
    }
    for case in section("quorum") {
        let members = case["members"].as_array().unwrap();
        let signers = case["signers"].as_array().unwrap();
        let weight = |king: &Value| u128::from(number(&king["weight"]));
        let total: u128 = members.iter().map(weight).sum();
        let signed: u128 = members.iter().filter(|king| signers.contains(&king["address"])).map(weight).sum();
        assert_eq!(case["is_quorum"], 3 * signed > 2 * total, "{case}");
    }
}

fn domain(name: &str, contract: Option<&Value>) -> B256 {
    let head = [keccak256(name), keccak256("1")].map(|word| word.0).concat();
    match contract {
        None => hash(&[&keccak256("EIP712Domain(string name,string version)").0, &head]),
        Some(case) => {
            let kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
            hash(&[&kind.0, &head, &u256(number(&case["chain_id"])), &padded(&case["contract"])])
        }
    }
}

/// Checks the digest of every entry of a section against its EIP-712 type and the words of its fields.
fn check_typed(name: &str, kind: &str, is_bridge: bool, fields: fn(&Value) -> Vec<Vec<u8>>) {
    for case in section(name) {
        let domain = if is_bridge { domain("gpumkt bridge", None) } else { domain("gpumkt", Some(case)) };
        let structure = hash(&[&keccak256(kind).0, &fields(case).concat()]);
        assert_eq!(hash(&[&[0x19, 0x01], &domain.0, &structure.0]), word(&case["digest"]), "{case}");
    }
}

fn integers(case: &Value, names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| u256(number(&case[name]))).collect()
}

fn hashed(content: &[u8]) -> Vec<u8> {
    keccak256(content).to_vec()
}

fn with_outbox(case: &Value, last: &str) -> Vec<Vec<u8>> {
    let mut fields = integers(case, &["origin_chain_id", "set_epoch", last]);
    fields.insert(1, padded(&case["outbox"]));
    fields
}

#[test]
fn typed_signatures() {
    let kind = "Checkpoint(uint64 originChainId,address outbox,uint64 setEpoch,bytes32 root,uint32 count,uint64 blockNumber,\
                bytes32 blockHash,uint64 blockTimestamp)";
    check_typed("checkpoint", kind, true, |case| {
        let mut fields = integers(case, &["origin_chain_id", "set_epoch", "count", "block_number", "block_timestamp"]);
        fields.insert(1, padded(&case["outbox"]));
        fields.insert(3, bytes(&case["root"]));
        fields.insert(6, bytes(&case["block_hash"]));
        fields
    });
    let kind = "KingSetRotation(bytes32 bridge,uint64 setEpoch,bytes32 setHash,uint64 nominatedAt,uint64 expiresAt)";
    check_typed("king_set_rotation", kind, true, |case| {
        let mut fields = integers(case, &["set_epoch", "nominated_at", "expires_at"]);
        fields.insert(0, bytes(&case["bridge"]));
        fields.insert(2, bytes(&case["set_hash"]));
        fields
    });
    let kind = "BridgeRecovery(uint64 originChainId,address outbox,uint64 setEpoch,uint32 forkCount)";
    check_typed("bridge_recovery", kind, true, |case| with_outbox(case, "fork_count"));
    let kind = "BridgePause(uint64 originChainId,address outbox,uint64 setEpoch,uint64 until)";
    check_typed("bridge_pause", kind, true, |case| with_outbox(case, "until"));
    let kind = "WorkReceipt(uint64 challengeBlock,uint64 deviceId,bytes32 blockHash,bytes32 root,uint32 elapsedMs)";
    check_typed("receipt", kind, false, |case| {
        let mut fields = integers(case, &["challenge_block", "device_id", "elapsed_ms"]);
        fields.splice(2..2, [bytes(&case["block_hash"]), bytes(&case["root"])]);
        fields
    });
    check_typed("session_opened", "SessionOpened(uint64 rentalId,uint64 time)", false, |case| integers(case, &["rental_id", "time"]));
    check_typed("session_key", "SessionKey(uint64 rentalId,bytes publicKey,uint64 expiry)", false, |case| {
        let mut fields = integers(case, &["rental_id", "expiry"]);
        fields.insert(1, hashed(&bytes(&case["public_key"])));
        fields
    });
    let kind = "NodeRecord(address account,uint8 role,bytes peerId,string[] addresses,uint64 sequence,uint64 expiry)";
    check_typed("node_record", kind, false, |case| {
        let addresses = case["addresses"].as_array().unwrap().iter().flat_map(|text| hashed(text.as_str().unwrap().as_bytes()));
        let mut fields = vec![padded(&case["account"]), u256(number(&case["role"])), hashed(&bytes(&case["peer_id"]))];
        fields.push(hashed(&addresses.collect::<Vec<u8>>()));
        fields.extend(integers(case, &["sequence", "expiry"]));
        fields
    });
}

#[test]
fn compact_signatures_name_their_signer_or_nobody() {
    let mut refused = 0;
    for case in section("signature") {
        let signature = bytes(&case["signature"]);
        let mut s = signature[32..].to_vec();
        let parity = s[0] & 0x80 != 0;
        s[0] &= 0x7f;
        let (r, s) = (U256::from_be_slice(&signature[..32]), U256::from_be_slice(&s));
        let half = U256::from_str_radix("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", 16).unwrap();
        let recovered = alloy::primitives::Signature::new(r, s, parity).recover_address_from_prehash(&word(&case["digest"]));
        let signer = recovered.ok().filter(|_| s <= half).map(|address| address.to_vec());
        refused += usize::from(signer.is_none());
        assert_eq!(case["signer"].as_str().map(|text| hex::decode(text).unwrap()), signer, "{case}");
    }
    assert!(refused >= 2);
}

/// A profile of the vectors: what is not named here does not enter the computation.
struct Shape {
    memory_bytes: u64,
    iterations: u64,
    lanes: u64,
    steps: u64,
    windows: u64,
    cycles: u64,
    size: usize,
    inner: usize,
    rounds: u64,
}

impl Shape {
    fn of(case: &Value) -> Self {
        let p: Vec<u64> = case["profile"].as_array().unwrap().iter().map(number).collect();
        let [memory_bytes, iterations, lanes, steps, windows, cycles] = p[..6].try_into().unwrap();
        Self { memory_bytes, iterations, lanes, steps, windows, cycles, size: p[6] as usize, inner: p[7] as usize, rounds: p[8] }
    }
}

fn derived(seed: B256, domain: u8, index: u64) -> B256 {
    hash(&[&seed.0, &[domain], &index.to_be_bytes()])
}

fn four_words(hash: B256) -> [u64; 4] {
    std::array::from_fn(|j| u64::from_be_bytes(hash[8 * j..8 * j + 8].try_into().unwrap()))
}

/// The root over these leaves, padded with zero words.
fn root_of(mut level: Vec<B256>) -> B256 {
    level.resize(level.len().next_power_of_two(), B256::ZERO);
    while level.len() > 1 {
        level = level.chunks(2).map(|pair| node(pair[0], pair[1])).collect();
    }
    level[0]
}

fn kernel_leaf(number: u64, content: &[u8]) -> B256 {
    hash(&[&[0], &number.to_be_bytes(), content])
}

fn memory_root(p: &Shape, seed: B256) -> B256 {
    let lines = p.memory_bytes / 128;
    let units: Vec<[u64; 4]> =
        (0..4 * lines).map(|u| (1..p.iterations).fold(derived(seed, 0x4d, u), |hash, _| keccak256(hash))).map(four_words).collect();
    let padded_segments = (p.steps / 256).next_power_of_two();
    let mut leaves = vec![B256::ZERO; (p.lanes * padded_segments) as usize];
    for lane in 0..p.lanes {
        let mut x = four_words(derived(seed, 0x4c, lane));
        let key = four_words(derived(seed, 0x6b, lane))[0];
        for t in 0..p.steps {
            let window = (t / (p.steps / (p.windows * p.cycles))) % p.windows;
            x[0] = x[0] ^ x[1] ^ x[2] ^ x[3] ^ key.wrapping_add(t.wrapping_mul(ODD));
            let line = window * (lines / p.windows) + ((u128::from(x[0]) * u128::from(lines / p.windows)) >> 64) as u64;
            for k in 0..4 {
                for (j, state) in x.iter_mut().enumerate() {
                    *state = ((*state ^ units[(4 * line + k) as usize][j]).wrapping_mul(ODD)).rotate_left(29);
                }
            }
            if (t + 1) % 256 == 0 {
                let leaf = lane * padded_segments + t / 256;
                leaves[leaf as usize] = kernel_leaf(leaf, &x.map(u64::to_be_bytes).concat());
            }
        }
    }
    root_of(leaves)
}

fn entries(p: &Shape, seed: B256, domain: u8, index: usize) -> Vec<u64> {
    let key = derived(seed, domain, index as u64);
    let word = |w: u32| keccak256([&key[..28], &w.to_be_bytes()].concat());
    (0..p.inner as u32 / 32).flat_map(|w| word(w).0).map(|byte| u64::from(byte & 0x3f)).collect()
}

fn product_root(p: &Shape, seed: B256) -> B256 {
    let columns: Vec<Vec<u64>> = (0..p.size).map(|j| entries(p, seed, 0x42, j)).collect();
    let folds_per_leaf = 128.min(p.size / 8);
    let mut leaves = Vec::new();
    for i in 0..p.size {
        let row = entries(p, seed, 0x41, i);
        let c: Vec<u64> = columns.iter().map(|column| row.iter().zip(column).map(|(a, b)| a * b).sum()).collect();
        let fold = |columns: &[u64]| columns.iter().fold(0u64, |h, entry| ((h ^ entry).wrapping_mul(ODD)).rotate_left(29));
        let folds: Vec<u64> = c.chunks(8).map(fold).collect();
        for content in folds.chunks(folds_per_leaf) {
            let content: Vec<u8> = content.iter().flat_map(|fold| fold.to_be_bytes()).collect();
            leaves.push(kernel_leaf(leaves.len() as u64, &content));
        }
    }
    root_of(leaves)
}

fn check_samples(p: &Shape, case: &Value) {
    let drawn = case["indices"].as_array().unwrap();
    assert_eq!(drawn.len() as u64, number(&case["samples"]));
    for (i, index) in drawn.iter().enumerate() {
        let h = U256::from_be_bytes(hash(&[&bytes(&case["sample_seed"]), &u256(i as u64)]).0);
        let field = |shift: usize, modulus: u64| ((h >> shift) & U256::from(u32::MAX)).to::<u64>() % modulus;
        let (size, segments) = (p.size as u64, p.steps / 256);
        let expected = [1 + field(0, p.rounds), field(32, size), field(64, size / 8), field(96, p.lanes), 1 + field(128, segments - 1)];
        assert_eq!(["round", "row", "fold", "lane", "segment"].map(|name| number(&index[name])), expected);
    }
}

#[test]
fn kernels_step_by_step() {
    let mut recomputed = 0;
    for case in section("kernel") {
        let (p, seed) = (Shape::of(case), word(&case["seed"]));
        let roots = words(&case["matmul_roots"]);
        let all: Vec<u8> = std::iter::once(word(&case["memory_root"])).chain(roots.clone()).flat_map(|root| root.0).collect();
        assert_eq!(keccak256(all), word(&case["work_root"]));
        check_samples(&p, case);
        // Plain loops in a debug build: everything but the largest products.
        if p.size * p.size * p.inner > 10_000_000 {
            continue;
        }
        recomputed += 1;
        let mut previous = memory_root(&p, seed);
        assert_eq!(previous, word(&case["memory_root"]), "{}", case["name"]);
        let mut round_seed = seed;
        assert_eq!(roots.len() as u64, p.rounds);
        for root in roots {
            round_seed = hash(&[&tag("gpumkt/matmul/v1").0, &round_seed.0, &previous.0]);
            previous = product_root(&p, round_seed);
            assert_eq!(previous, root, "{}", case["name"]);
        }
    }
    assert!(recomputed >= 4, "{recomputed}");
}
