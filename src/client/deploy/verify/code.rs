//! Code on chain against what the constructor of this build makes of the deployment file.

use alloy::{
    primitives::{Address, B256, Bytes, U256, keccak256},
    sol_types::SolValue,
};

use super::{BlockId, ChainError, DeployError, Difference, GPUToken, TxRequest, View};

/// Account that the constructors are run for. It has never sent anything, so whatever it creates stands at one known address.
pub(super) const AUDITOR: Address = Address::repeat_byte(0xa5);

impl View<'_> {
    /// Runs the constructor in a call and compares its result byte for byte, immutables included. Only a contract's own address, and the
    /// EIP-712 domain that contains it, can't be the same there: they are put in their places first.
    pub(super) async fn code(&self, name: &'static str, contract: Address, artifact: &Bytes) -> Result<(), DeployError> {
        let failed = |source| DeployError::chain(name, source);
        let what = format!("code of {name}");
        let creation = self.creations.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(name);
        let found = self.chain.code(contract).await.map_err(failed)?;
        let expected = match creation {
            Some(code) => match self.chain.simulate(AUDITOR, &TxRequest::create(code), BlockId::latest()).await {
                Ok(made) => self.at_home(contract, made).await.map_err(failed)?,
                Err(error @ ChainError::Reverted { .. }) => {
                    self.record(false, || Difference { what, found: error.to_string(), expected: "a constructor that runs".into() });
                    return Ok(());
                }
                Err(source) => return Err(failed(source)),
            },
            None => artifact.clone(),
        };
        self.check(&what, keccak256(&found), keccak256(&expected));
        self.check(&format!("size of {name}"), found.len(), artifact.len());
        Ok(())
    }

    /// The same code with `contract` in place of the address that the simulation gave it.
    async fn at_home(&self, contract: Address, made: Bytes) -> Result<Bytes, ChainError> {
        let simulated = AUDITOR.create(0);
        let mut code = made.to_vec();
        if !replace(&mut code, simulated.as_slice(), contract.as_slice()) {
            return Ok(made);
        }
        let domain = match self.chain.call(contract, GPUToken::eip712DomainCall {}, BlockId::latest()).await {
            Ok(domain) => domain,
            Err(ChainError::NoCode { .. } | ChainError::Reverted { .. } | ChainError::Malformed { .. }) => return Ok(code.into()),
            Err(error) => return Err(error),
        };
        // A name or version other than this build's gives a hash that is not in the code, and the comparison fails.
        let separator = |at: Address| domain_separator(&domain.name, &domain.version, domain.chainId, at);
        replace(&mut code, separator(simulated).as_slice(), separator(contract).as_slice());
        Ok(code.into())
    }
}

fn domain_separator(name: &str, version: &str, chain_id: U256, contract: Address) -> B256 {
    let kind = keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    keccak256((kind, keccak256(name), keccak256(version), chain_id, contract).abi_encode())
}

/// Replaces every occurrence; whether there was one.
fn replace(code: &mut [u8], old: &[u8], new: &[u8]) -> bool {
    let mut replaced = false;
    let mut offset = 0;
    while let Some(place) = code.get(offset..).and_then(|rest| rest.windows(old.len()).position(|window| window == old)) {
        let start = offset + place;
        code[start..start + old.len()].copy_from_slice(new);
        offset = start + old.len();
        replaced = true;
    }
    replaced
}
