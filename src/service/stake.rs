//! Who holds which stake, asked from StakingManager.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use alloy::primitives::{Address, B256};

use super::records::{StakeClaim, StakeOracle};
use crate::{
    chain::{BlockId, Chain, ChainError},
    types::{Coded, Role, abi::StakingManager},
};

/// Reads the latest state. Cheap to clone.
#[derive(Clone)]
pub struct ChainStakes {
    chain: Chain,
    contract: Address,
    accounts: Arc<Mutex<BTreeMap<Address, Address>>>,
}

impl ChainStakes {
    pub fn new(chain: Chain, contract: Address) -> Self {
        Self { chain, contract, accounts: Arc::default() }
    }

    /// The account that `key` acts for. Answers are kept: an operator key never changes hands, a replaced one only loses its account.
    pub async fn account_of(&self, key: Address) -> Option<Address> {
        let known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        if known.is_some() {
            return known;
        }
        let account = self.ask(key).await.ok().filter(|account| *account != Address::ZERO)?;
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(key, account);
        Some(account)
    }

    async fn ask(&self, key: Address) -> Result<Address, ChainError> {
        self.chain.call(self.contract, StakingManager::accountOfCall { key }, BlockId::latest()).await
    }

    async fn role_of(&self, claim: &StakeClaim) -> Result<Option<Role>, ChainError> {
        if self.ask(claim.operator).await? != claim.account {
            return Ok(None);
        }
        let staker = self.chain.call(self.contract, StakingManager::stakerCall { account: claim.account }, BlockId::latest()).await?;
        let is_peer_fixed = staker.peerIdHash != B256::ZERO;
        let Ok(role) = Role::try_from(staker.role) else { return Ok(None) };
        if role == Role::None || (is_peer_fixed && staker.peerIdHash != claim.peer_id_hash) {
            return Ok(None);
        }
        let holds = StakingManager::hasRoleCall { account: claim.account, role: staker.role };
        Ok(self.chain.call(self.contract, holds, BlockId::latest()).await?.then_some(role))
    }
}

#[async_trait::async_trait]
impl StakeOracle for ChainStakes {
    async fn stake_of(&self, claim: &StakeClaim) -> Result<Option<Role>, Box<dyn Coded>> {
        self.role_of(claim).await.map_err(|error| Box::new(error) as Box<dyn Coded>)
    }
}

/// Class versions of the devices that `account` has in service.
pub async fn registered_classes(chain: &Chain, contract: Address, account: Address) -> Result<BTreeSet<u32>, ChainError> {
    let count = chain.call(contract, StakingManager::deviceCountCall {}, BlockId::latest()).await?;
    let mut classes = BTreeSet::new();
    for id in 1..=count {
        let device = chain.call(contract, StakingManager::deviceCall { deviceId: id }, BlockId::latest()).await?;
        if device.provider == account && device.removedAt == 0 {
            classes.insert(device.classVersion);
        }
    }
    Ok(classes)
}
