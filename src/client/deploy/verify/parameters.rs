//! Parameters on chain against the deployment file.

use std::fmt::Debug;

use alloy::primitives::{U256, aliases::U48};

use super::{
    AddressBook, DeployConfig, DeployError, Difference, GPURental, GPUToken, Governance, RentalCourt, ReputationSystem, StakingManager,
    TimelockController, TokenDistributor, View, WorkVerification,
};

impl View<'_> {
    pub(super) async fn ethereum_parameters(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        let eth = &book.ethereum;
        self.equal("GPUToken.cap", eth.gpu_token, GPUToken::capCall {}, config.token.cap.wei()).await?;
        let staking = eth.staking_manager;
        self.fields("StakingManager.parameters", staking, StakingManager::parametersCall {}, &config.staking_parameters()).await?;
        for class in config.class_stakes() {
            let name = format!("StakingManager.requiredStake({})", class.classVersion);
            let call = StakingManager::requiredStakeCall { classVersion: class.classVersion };
            self.equal(&name, staking, call, U256::from(class.requiredStake)).await?;
        }
        self.fields("GPURental.parameters", eth.gpu_rental, GPURental::parametersCall {}, &config.rental_parameters()).await?;
        self.fields("RentalCourt.parameters", eth.rental_court, RentalCourt::parametersCall {}, &config.court_parameters()).await?;
        self.governance_parameters(config, book).await?;
        self.allocations(config, book).await?;
        self.emission(config, book).await?;
        self.king_set(config, book, &eth.bridge).await
    }

    async fn governance_parameters(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        let (settings, governance) = (config.governance_settings(), book.ethereum.governance);
        let seconds = |seconds: U48| seconds.to::<U256>();
        self.equal("Governance.votingDelay", governance, Governance::votingDelayCall {}, seconds(settings.votingDelaySeconds)).await?;
        let period = U256::from(settings.votingPeriodSeconds);
        self.equal("Governance.votingPeriod", governance, Governance::votingPeriodCall {}, period).await?;
        self.equal("Governance.proposalThreshold", governance, Governance::proposalThresholdCall {}, settings.proposalThreshold).await?;
        self.equal("Governance.quorumNumerator", governance, Governance::quorumNumerator_0Call {}, settings.quorumPercent).await?;
        let late = settings.lateQuorumExtensionSeconds;
        self.equal("Governance.lateQuorumVoteExtension", governance, Governance::lateQuorumVoteExtensionCall {}, late).await?;
        let delay = U256::from(config.governance.timelock_delay_seconds);
        self.equal("TimelockController.minDelay", book.ethereum.timelock, TimelockController::getMinDelayCall {}, delay).await
    }

    async fn allocations(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        let distributor = book.ethereum.token_distributor;
        let expected = config.allocations(book.ethereum.faucet);
        let count = U256::from(expected.len());
        self.equal("TokenDistributor.allocationCount", distributor, TokenDistributor::allocationCountCall {}, count).await?;
        for (id, allocation) in expected.iter().enumerate() {
            let name = format!("TokenDistributor.vesting({id})");
            if let Some(found) = self.ask(&name, distributor, TokenDistributor::vestingCall { id: U256::from(id) }).await? {
                self.compare_fields(&name, &found.allocation, allocation);
            }
        }
        Ok(())
    }

    async fn emission(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        let distributor = book.ethereum.token_distributor;
        let total = config.genesis_total();
        self.equal("TokenDistributor.genesisTotal", distributor, TokenDistributor::genesisTotalCall {}, total).await?;
        if let Some(found) = self.ask("TokenDistributor.emission", distributor, TokenDistributor::emissionCall {}).await? {
            let expected = config.emission();
            self.check("TokenDistributor.emission.initialPerEpoch", found.initial, expected.initialPerEpoch);
            self.check("TokenDistributor.emission.decayBps", found.decay, expected.decayBps);
        }
        let call = TokenDistributor::rewardParametersCall {};
        if let Some(found) = self.ask("TokenDistributor.rewardParameters", distributor, call).await? {
            self.compare_fields("TokenDistributor.rewardParameters", &found.parameters, &config.reward_parameters());
            self.compare_fields("TokenDistributor.loyalty", &found.loyalty, &config.loyalty_tiers());
        }
        for class in &config.classes {
            let name = format!("TokenDistributor.classReward({})", class.version);
            let expected = class.reward_per_hour.map_or(U256::ZERO, |amount| amount.wei());
            let call = TokenDistributor::classRewardCall { classVersion: class.version };
            self.equal(&name, distributor, call, expected).await?;
        }
        Ok(())
    }

    pub(super) async fn classic_parameters(&self, config: &DeployConfig, book: &AddressBook) -> Result<(), DeployError> {
        let (work, reputation) = (book.classic.work_verification, book.classic.reputation_system);
        let expected = config.verification_parameters();
        self.fields("WorkVerification.parameters", work, WorkVerification::parametersCall {}, &expected).await?;
        self.fields("WorkVerification.queens", work, WorkVerification::queensCall {}, &config.verification.queens).await?;
        for class in config.class_profiles() {
            let name = format!("WorkVerification.classProfile({})", class.classVersion);
            self.fields(&name, work, WorkVerification::classProfileCall { classVersion: class.classVersion }, &class).await?;
        }
        let half_life = config.reputation.half_life_challenges;
        self.equal("ReputationSystem.halfLife", reputation, ReputationSystem::halfLifeCall {}, half_life).await?;
        self.equal("ReputationSystem.priorPpm", reputation, ReputationSystem::priorPpmCall {}, config.reputation.prior_ppm).await?;
        self.king_set(config, book, &book.classic.bridge).await
    }

    pub(super) fn compare_fields<T: Debug>(&self, name: &str, found: &T, expected: &T) {
        let mut audit = self.audit();
        let (checks, differences) = field_differences(name, &format!("{found:#?}"), &format!("{expected:#?}"));
        audit.checks += checks;
        audit.differences.extend(differences);
    }
}

/// Compares two values field by field in their pretty form: a field per line, deeper ones indented.
fn field_differences(name: &str, found: &str, expected: &str) -> (usize, Vec<Difference>) {
    let (found_lines, expected_lines): (Vec<&str>, Vec<&str>) = (found.lines().collect(), expected.lines().collect());
    if found_lines.len() != expected_lines.len() {
        let flat = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        return (1, vec![Difference { what: name.into(), found: flat(found), expected: flat(expected) }]);
    }
    let (mut path, mut checks, mut differences) = (vec![name.to_string()], 0, Vec::new());
    let mut position = 0usize;
    for (found, expected) in found_lines.iter().zip(&expected_lines).map(|(found, expected)| (found.trim(), expected.trim())) {
        if found.ends_with(['{', '[', '(']) {
            path.push(found.split_once(": ").map_or_else(String::new, |(field, _)| format!(".{field}")));
            position = 0;
            continue;
        }
        if found.starts_with(['}', ']', ')']) {
            path.pop();
            continue;
        }
        let value = |line: &str| line.split_once(": ").map_or(line, |(_, value)| value).trim_end_matches(',').to_string();
        let field = found.split_once(": ").map_or_else(|| format!("[{position}]"), |(field, _)| format!(".{field}"));
        (checks, position) = (checks + 1, position + 1);
        if found != expected {
            differences.push(Difference { what: path.concat() + &field, found: value(found), expected: value(expected) });
        }
    }
    (checks, differences)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;

    #[test]
    fn differences_are_named_by_their_field() {
        let value = |amount: u64, last: u64| format!("{:#?}", (B256::ZERO, Some(amount), [1, last]));
        let (checks, none) = field_differences("X", &value(1, 2), &value(1, 2));
        assert_eq!((checks, none.len()), (4, 0));
        let (_, differences) = field_differences("X.y", &value(1, 2), &value(1, 3));
        assert_eq!(differences, [Difference { what: "X.y[1]".into(), found: "2".into(), expected: "3".into() }]);
        let text = |fee: u32| format!("P {{\n    a: Q {{\n        fee: {fee},\n    }},\n    b: 2,\n}}");
        let (checks, differences) = field_differences("P", &text(1), &text(7));
        assert_eq!(checks, 2);
        assert_eq!(differences, [Difference { what: "P.a.fee".into(), found: "1".into(), expected: "7".into() }]);
        let (_, lengths) = field_differences("Q", "[\n    1,\n]", "[\n    1,\n    2,\n]");
        assert_eq!(lengths[0].found, "[ 1, ]");
    }
}
