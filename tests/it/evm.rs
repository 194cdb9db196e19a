//! The checked-in ProofVerifier, run in this process under the rules of Ethereum Classic's newest fork.

use std::sync::LazyLock;

use alloy::primitives::{B256, Bytes};
use alloy::sol_types::SolCall;
use gpumkt::types::abi::ProofVerifier;
use gpumkt::types::work::{Profile, WorkProof};
use revm_interpreter::bytecode::Bytecode;
use revm_interpreter::context_interface::DummyHost;
use revm_interpreter::instructions::gas_table_spec;
use revm_interpreter::interpreter::{EthInterpreter, ExtBytecode};
use revm_interpreter::primitives::hardfork::SpecId;
use revm_interpreter::{CallInput, Gas, InputsImpl, InstructionTable, Interpreter, SharedMemory, instruction_table};

/// What a block of Ethereum Classic has at most.
pub const GAS_LIMIT: u64 = 8_000_000;

static CODE: LazyLock<Bytecode> = LazyLock::new(|| {
    let artifact: serde_json::Value = serde_json::from_str(include_str!("../../contracts/abi/ProofVerifier.json")).unwrap();
    assert_eq!(artifact["evmVersion"], "shanghai");
    let code: Bytes = artifact["deployedBytecode"]["object"].as_str().unwrap().parse().unwrap();
    Bytecode::new_legacy(code)
});
static INSTRUCTIONS: LazyLock<InstructionTable<EthInterpreter, DummyHost>> = LazyLock::new(instruction_table::<EthInterpreter, DummyHost>);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// Reverted, ran out of gas or met an invalid instruction: never an answer.
    Failed(String),
}

/// The contract's verdict, and the gas of its code.
pub fn verify(profile: &Profile, seed: B256, root: B256, sample_seed: B256, samples: u32, proof: &WorkProof) -> (Verdict, u64) {
    verify_encoded(profile, seed, root, sample_seed, samples, &proof.abi_encode())
}

/// The same for a proof that need not be well-formed: what stands in the place of `abi.encode(proof)`.
pub fn verify_encoded(profile: &Profile, seed: B256, root: B256, sample_seed: B256, samples: u32, proof: &[u8]) -> (Verdict, u64) {
    let call = ProofVerifier::verifyCall {
        profile: profile.into(),
        seed,
        root,
        sampleSeed: sample_seed,
        samples,
        proof: ProofVerifier::WorkProof {
            memoryRoot: B256::ZERO,
            matmulRoots: Vec::new(),
            matmul: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
        },
    };
    // Everything before the proof has a fixed size; the encoding of the empty one is cut off and the given one put in its place.
    let mut input = call.abi_encode();
    let empty = WorkProof { memory_root: B256::ZERO, matmul_roots: Vec::new(), matmul: Vec::new(), first: Vec::new(), second: Vec::new() };
    // `abi_encode` starts with the offset of the only value, which a call has in its head.
    input.truncate(input.len() - (empty.abi_encode().len() - 32));
    input.extend_from_slice(&proof[32..]);
    run(input.into())
}

fn run(input: Bytes) -> (Verdict, u64) {
    let inputs = InputsImpl { input: CallInput::Bytes(input), ..InputsImpl::default() };
    let code = ExtBytecode::new(CODE.clone());
    let mut interpreter = Interpreter::<EthInterpreter>::new(SharedMemory::new(), code, inputs, true, SpecId::SHANGHAI, GAS_LIMIT);
    interpreter.gas = Gas::new(GAS_LIMIT);
    let mut host = DummyHost::new(SpecId::SHANGHAI);
    let action = interpreter.run_plain(&INSTRUCTIONS, &gas_table_spec(SpecId::SHANGHAI), &mut host);
    let Some(result) = action.into_result_return() else { return (Verdict::Failed("a call to elsewhere".into()), 0) };
    let used = GAS_LIMIT - result.gas.remaining();
    let verdict = match (result.is_ok(), result.output.as_ref()) {
        (true, [0, .., 1]) if result.output.len() == 32 => Verdict::Right,
        (true, output) if output.len() == 32 && output.iter().all(|byte| *byte == 0) => Verdict::Wrong,
        _ => Verdict::Failed(format!("{:?} {}", result.result, result.output)),
    };
    (verdict, used)
}
