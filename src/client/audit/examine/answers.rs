//! Demands of samples and answers to them, computed again.

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolStruct;

use super::{Committed, Device, Examiner, Opened, name_of};
use crate::{
    client::audit::evidence::{Entry, RefusalRecord},
    rules::{
        committee::is_measured,
        kernel::{ChallengeContext, challenge_seed, sample_seed, verify_proof},
        verdict::{self, Demand, Status},
    },
    types::{
        DeviceId,
        signing::{NoOpening, contract_domain, recover_compact},
        work::{Profile, WorkProof},
    },
};

/// Samples that a committee demands which was refused openings.
const REFUSAL_SAMPLES: u32 = 3;

/// Challenge, device, and which of the commit's demands; `None` for what the seal drew.
type Question = (u64, DeviceId, Option<u64>);

impl Examiner<'_> {
    pub(super) fn demanded(
        &mut self,
        entry: &Entry,
        (block, id, position): (u64, DeviceId, u64),
        demand: Demand,
        refusals: Option<&[RefusalRecord]>,
    ) {
        let subject = |what: &str| format!("demand {position} on device {id} at challenge {block}: {what}");
        let known = (self.devices.get(&id).copied(), self.challenge(block).cloned(), self.commits.get(&(block, id)).cloned());
        let (Some(device), Some(mut opened), Some(commit)) = known else {
            self.agree(entry, subject("device, challenge and commit"), "known", "unknown");
            return;
        };
        opened.demands += 1;
        if self.is_in_range(block) {
            let rules = &opened.parameters.rules;
            let is_open = matches!(commit.status, Status::Committed | Status::Proven);
            let may = is_open && verdict::may_demand(&opened.challenge, rules, entry.block);
            self.agree(entry, subject("in time"), true, may);
            self.agree(entry, subject("position"), position, commit.demands.len());
            let until = verdict::demand_until(&opened.challenge, opened.demands, rules, entry.block);
            self.agree(entry, subject("answer until block"), demand.answer_until, until);
            if demand.opener == Address::ZERO {
                self.refused(entry, (block, id), &device, &opened, &commit, &demand, refusals);
            } else {
                let may = self.may_dispute(id, &opened, demand.opener);
                self.agree(entry, subject("by a Queen or the renter"), true, may);
                self.agree(entry, subject("samples"), demand.samples, opened.parameters.proof_samples);
            }
        }
        self.audit.demands += 1;
        if let Some(opened) = self.challenge_mut(block) {
            opened.demands += 1;
        }
        if let Some(commit) = self.commits.get_mut(&(block, id)) {
            commit.demands.push(demand);
        }
    }

    fn may_dispute(&self, id: DeviceId, opened: &Opened, opener: Address) -> bool {
        let covers = |book: &verdict::RentalBook| book.coverage.covers(id, opened.challenge.timestamp, 0);
        let is_renter = |rental| self.renters.get(rental) == Some(&opener);
        opened.queens.contains(&opener) || self.books.iter().any(|(rental, book)| covers(book) && is_renter(rental))
    }

    /// Two thirds of the committee say that they were refused openings of this very commit.
    #[expect(clippy::too_many_arguments, reason = "one demand with all that it is about")]
    fn refused(
        &mut self,
        entry: &Entry,
        (block, id): (u64, DeviceId),
        device: &Device,
        opened: &Opened,
        commit: &Committed,
        demand: &Demand,
        refusals: Option<&[RefusalRecord]>,
    ) {
        let subject = |what: &str| format!("refusal of device {id} at challenge {block}: {what}");
        self.agree(entry, subject("samples"), demand.samples, REFUSAL_SAMPLES);
        let evidence = self.evidence;
        let before = evidence.blocks.get(&entry.block.saturating_sub(1)).map(|(hash, _)| *hash);
        let words = |hash: B256| [keccak256("gpumkt/refusal/v1"), hash, U256::from(block).into(), U256::from(id).into()].concat();
        let seed = before.map_or_else(|| "no such block".into(), |hash| keccak256(words(hash)).to_string());
        self.agree(entry, subject("sample seed"), demand.sample_seed, seed);
        let Some(refusals) = refusals else {
            self.agree(entry, subject("signatures"), "in the call", "made by another contract");
            return;
        };
        let members = opened.committee(device, id);
        let domain = contract_domain(evidence.chain_id, evidence.contract);
        for signed in refusals {
            let statement = NoOpening { challengeBlock: block, deviceId: id, blockHash: opened.hash, root: signed.root };
            let signer = recover_compact(statement.eip712_signing_hash(&domain), signed.signature.as_slice());
            let queen = opened.queens.get(usize::from(signed.queen_index)).filter(|_| members.contains(&signed.queen_index));
            let what = format!("signature of Queen {}", signed.queen_index);
            self.agree(entry, subject(&what), name_of(queen, "nobody of the committee"), name_of(signer.as_ref(), "no signature"));
            self.agree(entry, subject("root"), commit.root, signed.root);
            self.audit.receipts += 1;
        }
        self.agree(entry, subject("two thirds of the committee"), true, is_measured(refusals.len(), members.len()));
    }

    pub(super) fn answered(&mut self, entry: &Entry, question: Question, is_right: bool, from: Address, proof: Option<&[u8]>) {
        let (block, id, position) = question;
        let about = position.map_or_else(|| "proof".into(), |position| format!("answer {position}"));
        let subject = |what: &str| format!("{about} of device {id} at challenge {block}: {what}");
        let known = (self.devices.get(&id).copied(), self.challenge(block).cloned(), self.commits.get(&(block, id)).cloned());
        let (Some(device), Some(opened), Some(commit)) = known else {
            self.agree(entry, subject("device, challenge and commit"), "known", "unknown");
            return;
        };
        self.keep_answer(question, is_right);
        if !self.is_in_range(block) {
            return;
        }
        let Some(profile) = self.evidence.profile(device.class_version, commit.mode).copied() else {
            self.agree(entry, subject("class"), "known", "unknown");
            return;
        };
        self.agree(entry, subject("sender"), from, device.worker_at(opened.challenge.timestamp));
        let demand = position.and_then(|position| commit.demands.get(usize::try_from(position).ok()?));
        let (until, samples) = match (position, opened.challenge.seal_hash) {
            (Some(_), _) => (demand.map(|demand| demand.answer_until), demand.map(|demand| (demand.sample_seed, demand.samples))),
            (None, seal_hash) => {
                let until = verdict::answer_until(&opened.challenge, id, &commit.facts(false), &profile, &opened.parameters.rules);
                (until, seal_hash.map(|hash| (sample_seed(hash, block, id), opened.parameters.proof_samples)))
            }
        };
        let asked = if position.is_some() { "demanded and in time" } else { "drawn and in time" };
        self.agree(entry, subject(asked), true, until.is_some_and(|until| entry.block <= until));
        let proof = proof.and_then(|bytes| WorkProof::abi_decode(bytes).ok());
        let verdict = match (proof, samples) {
            (Some(proof), Some(samples)) => self.recompute(id, &device, &commit, &opened, &profile, samples, &proof),
            _ => "no readable proof in the call".into(),
        };
        self.audit.proofs += 1;
        if is_right {
            self.agree(entry, subject("verdict"), "right", verdict);
        } else {
            self.agree(entry, subject("refused"), true, verdict != "right");
        }
    }

    fn keep_answer(&mut self, (block, id, position): Question, is_right: bool) {
        let Some(commit) = self.commits.get_mut(&(block, id)) else { return };
        let demand = position.and_then(|position| commit.demands.get_mut(usize::try_from(position).ok()?));
        match (is_right, position, demand) {
            (false, _, _) => commit.status = Status::Voided,
            (true, None, _) => commit.status = Status::Proven,
            (true, Some(_), Some(demand)) => demand.is_answered = true,
            // A demand that nobody made: the answer itself does not agree.
            (true, Some(_), None) => {}
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one proof with all that it is checked against")]
    fn recompute(
        &self,
        id: DeviceId,
        device: &Device,
        commit: &Committed,
        opened: &Opened,
        profile: &Profile,
        (sample_seed, samples): (B256, u32),
        proof: &WorkProof,
    ) -> String {
        let context = ChallengeContext {
            block_hash: opened.hash,
            chain_id: self.evidence.chain_id,
            verifier: self.evidence.contract,
            provider: device.provider,
            device_id: id,
            class_version: device.class_version,
            mode: commit.mode,
        };
        match verify_proof(profile, challenge_seed(&context, profile), commit.root, sample_seed, samples, proof) {
            Ok(()) => "right".into(),
            Err(error) => format!("wrong: {error}"),
        }
    }
}
