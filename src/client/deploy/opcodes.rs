//! Which opcodes a contract can reach, against those that Ethereum Classic has.

/// The first opcode of a code that Ethereum Classic lacks, or gives another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignOpcode {
    pub opcode: u8,
    pub offset: usize,
}

const STOP: u8 = 0x00;
const JUMP: u8 = 0x56;
const JUMPDEST: u8 = 0x5b;
const PUSH1: u8 = 0x60;
const PUSH32: u8 = 0x7f;
const RETURN: u8 = 0xf3;
const REVERT: u8 = 0xfd;
const INVALID: u8 = 0xfe;
const SELFDESTRUCT: u8 = 0xff;

/// Walks `code` as the EVM does, past the data of PUSH. What follows a stop or a jump is reached only from a JUMPDEST on, so constants
/// behind the code are not taken for it.
pub fn foreign_opcode(code: &[u8]) -> Option<ForeignOpcode> {
    let (mut offset, mut reachable) = (0, true);
    while let Some(&opcode) = code.get(offset) {
        reachable |= opcode == JUMPDEST;
        if reachable && !is_classic(opcode) {
            return Some(ForeignOpcode { opcode, offset });
        }
        if matches!(opcode, STOP | JUMP | RETURN | REVERT | INVALID | SELFDESTRUCT) {
            reachable = false;
        }
        offset += 1 + if (PUSH1..=PUSH32).contains(&opcode) { usize::from(opcode - PUSH1) + 1 } else { 0 };
    }
    None
}

/// Opcodes of Ethereum Classic since Spiral (ECIP-1109): those of Shanghai without BASEFEE (0x48), which belongs to EIP-1559. 0x44 is
/// left out too: it is DIFFICULTY there and PREVRANDAO on Ethereum, so nothing that stands on both may use it.
fn is_classic(opcode: u8) -> bool {
    matches!(opcode,
        0x00..=0x0b | 0x10..=0x1d | 0x20 | 0x30..=0x43 | 0x45..=0x47 | 0x50..=0x5b | 0x5f..=0x9f | 0xa0..=0xa4
        | 0xf0..=0xf5 | 0xfa | 0xfd..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::abi::{Inbox, KingSet, Outbox, ProofVerifier, ReputationSystem, WorkVerification};

    #[test]
    fn contracts_of_the_classic_side_run_there() {
        let contracts = [
            ("Outbox", &Outbox::BYTECODE, &Outbox::DEPLOYED_BYTECODE),
            ("Inbox", &Inbox::BYTECODE, &Inbox::DEPLOYED_BYTECODE),
            ("KingSet", &KingSet::BYTECODE, &KingSet::DEPLOYED_BYTECODE),
            ("ReputationSystem", &ReputationSystem::BYTECODE, &ReputationSystem::DEPLOYED_BYTECODE),
            ("ProofVerifier", &ProofVerifier::BYTECODE, &ProofVerifier::DEPLOYED_BYTECODE),
            ("WorkVerification", &WorkVerification::BYTECODE, &WorkVerification::DEPLOYED_BYTECODE),
        ];
        for (name, creation, deployed) in contracts {
            assert!(deployed.len() > 500, "{name} has code");
            assert_eq!((foreign_opcode(creation), foreign_opcode(deployed)), (None, None), "{name}");
        }
    }

    #[test]
    fn newer_opcodes_are_found_and_data_is_not_taken_for_code() {
        // MCOPY, TLOAD, TSTORE, BLOBHASH, BLOBBASEFEE, CLZ, BASEFEE, PREVRANDAO behind a PUSH0.
        for opcode in [0x5e, 0x5c, 0x5d, 0x49, 0x4a, 0x1e, 0x48, 0x44] {
            assert_eq!(foreign_opcode(&[0x5f, opcode]), Some(ForeignOpcode { opcode, offset: 1 }));
        }
        // PUSH2 5e5c; PUSH32 with nothing but 0x5e.
        assert_eq!(foreign_opcode(&[0x61, 0x5e, 0x5c, 0x00]), None);
        assert_eq!(foreign_opcode(&[&[0x7f][..], &[0x5e; 32]].concat()), None);
        // Constants behind a STOP; the same behind a JUMPDEST are code.
        assert_eq!(foreign_opcode(&[0x00, 0x5e, 0x49]), None);
        assert_eq!(foreign_opcode(&[0x00, 0x5b, 0x49]), Some(ForeignOpcode { opcode: 0x49, offset: 2 }));
    }
}
