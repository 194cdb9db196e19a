//! A profile as each of the contracts' artifacts declares it: one structure, generated once per artifact.

use super::{
    abi::{proof_verifier, work_verification},
    bridge,
    work::Profile,
};

macro_rules! same_fields {
    ($($generated:path;)*) => { $(
        impl From<&Profile> for $generated {
            fn from(profile: &Profile) -> Self {
                Self {
                    memoryBytes: profile.memory_bytes,
                    hashIterations: profile.hash_iterations,
                    lanes: profile.lanes,
                    steps: profile.steps,
                    windows: profile.windows,
                    cycles: profile.cycles,
                    matrixSize: profile.matrix_size,
                    innerSize: profile.inner_size,
                    rounds: profile.rounds,
                    referenceMs: profile.reference_ms,
                    passMs: profile.pass_ms,
                    unmeasuredMs: profile.unmeasured_ms,
                }
            }
        }

        impl From<&$generated> for Profile {
            fn from(read: &$generated) -> Self {
                Self {
                    memory_bytes: read.memoryBytes,
                    hash_iterations: read.hashIterations,
                    lanes: read.lanes,
                    steps: read.steps,
                    windows: read.windows,
                    cycles: read.cycles,
                    matrix_size: read.matrixSize,
                    inner_size: read.innerSize,
                    rounds: read.rounds,
                    reference_ms: read.referenceMs,
                    pass_ms: read.passMs,
                    unmeasured_ms: read.unmeasuredMs,
                }
            }
        }
    )* };
}

same_fields! {
    work_verification::WorkVerification::Profile;
    proof_verifier::ProofVerifier::Profile;
    bridge::Profile;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::work::cpu_test_class;

    #[test]
    fn a_profile_survives_every_artifact() {
        let (full, light) = cpu_test_class();
        for profile in [full, light] {
            assert_eq!(Profile::from(&bridge::Profile::from(&profile)), profile);
            assert_eq!(Profile::from(&work_verification::WorkVerification::Profile::from(&profile)), profile);
            assert_eq!(Profile::from(&proof_verifier::ProofVerifier::Profile::from(&profile)), profile);
        }
    }
}
