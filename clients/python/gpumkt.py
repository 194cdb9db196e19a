"""Client of a King's public interface. Generated from docs/openapi.json by scripts/api-clients.mjs; edit those."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, List, Literal, Optional, TypedDict
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import urlopen

Uint = str

Wei = str

Time = str

Address = str

Hash = str

Hex = str

ChainName = Literal["ethereum", "classic"]

Error = TypedDict("Error", {
    "code": "str",
    "message": "str",
    "next": "str",
})

EventType = Literal["offer_created", "offer_changed", "reserve_changed", "rental_requested", "rental_ready", "session_opened", "terms_changed", "work_report_applied", "rental_closed", "rental_extended", "delegate_set", "maintenance_declared", "fault_recorded", "compensated", "rental_frozen", "rental_unfrozen", "deadline_requested", "credited", "credit_delayed", "credit_released", "credit_claimed", "withdrawals_paused", "case_opened", "committee_drawn", "case_voted", "case_closed", "case_credited", "case_claimed", "staked", "operator_set", "unstake_requested", "withdrawn", "device_added", "device_retired", "device_released", "worker_changed", "device_report_applied", "slashed", "slashed_by_vote", "slash_divided", "slash_credit_claimed", "seat_taken", "seat_lost", "queens_announced", "commission_announced", "stake_delegated", "undelegation_requested", "delegation_withdrawn", "rewards_claimed", "votes_delegated", "class_set", "proposal_created", "vote_cast", "proposal_queued", "proposal_executed", "proposal_canceled", "allocation_created", "allocation_released", "allocation_revoked", "fee_received", "staking_rewarded", "rental_rewarded", "reward_claimed", "message_dispatched", "checkpoint_accepted", "message_delivered", "message_failed", "king_set_installed", "king_set_recovered", "bridge_paused", "bridge_resumed", "king_convicted", "challenge_opened", "challenge_sealed", "challenge_judged", "work_committed", "work_proven", "commit_voided", "device_settled", "device_reported", "rental_reported", "device_registered", "device_dropped", "terms_arrived", "worker_key_set", "sample_demanded", "demand_answered", "answer_missing", "queens_seated", "class_added", "reputation_updated", "renter_recorded"]

Event = TypedDict("Event", {
    "id": "str",
    "chain": "ChainName",
    "type": "EventType",
    "block": "Uint",
    "log_index": "Uint",
    "block_hash": "Hash",
    "transaction": "Hash",
    "timestamp": "Time",
    "text": "str",
    "account": "Optional[Address]",
    "provider": "Optional[Address]",
    "offer": "Optional[Uint]",
    "device": "Optional[Uint]",
    "rental": "Optional[Uint]",
    "challenge": "Optional[Uint]",
    "message": "Optional[Uint]",
    "message_origin": "Optional[ChainName]",
    "case": "Optional[Uint]",
    "proposal": "Optional[Uint]",
    "allocation": "Optional[Uint]",
    "amount_wei": "Optional[Wei]",
})

Availability = TypedDict("Availability", {
    "state": "Literal['rentable', 'paused', 'rented', 'unverified', 'removed', 'unstaked', 'reserve_too_small']",
    "rental": "Optional[Uint]",
    "reason": "Optional[str]",
})

Offer = TypedDict("Offer", {
    "id": "Uint",
    "device": "Uint",
    "provider": "Address",
    "class_version": "Uint",
    "price_per_second_wei": "Wei",
    "price_per_hour_wei": "Wei",
    "min_duration_seconds": "Uint",
    "max_duration_seconds": "Uint",
    "region": "str",
    "attributes": "str",
    "created_at": "Time",
    "is_paused": "bool",
    "is_available": "bool",
    "availability": "Availability",
    "score_ppm": "Uint",
    "performance_permille": "Uint",
    "speed_per_token": "Uint",
    "last_full_pass": "Time",
    "fresh_until": "Time",
    "faults": "Uint",
    "uptime_ppm": "Optional[Uint]",
    "reserve_wei": "Wei",
    "transaction": "Hash",
})

Quote = TypedDict("Quote", {
    "offer": "Uint",
    "duration_seconds": "Uint",
    "rent_wei": "Wei",
    "protocol_fee_wei": "Wei",
    "bridge_fee_wei": "Wei",
    "ready_fee_wei": "Wei",
    "total_wei": "Wei",
})

Counts = TypedDict("Counts", {
    "settled": "Uint",
    "passed": "Uint",
    "missed": "Uint",
    "unmeasured": "Uint",
    "void": "Uint",
})

Slash = TypedDict("Slash", {
    "account": "Address",
    "device": "Optional[Uint]",
    "amount_wei": "Wei",
    "reason": "Literal['wrong_proof', 'missing_answer', 'king_contradiction', 'vote', 'other']",
    "reporter": "Optional[Address]",
    "renter": "Optional[Address]",
    "timestamp": "Time",
    "transaction": "Hash",
})

Device = TypedDict("Device", {
    "id": "Uint",
    "provider": "Address",
    "worker": "Address",
    "class_version": "Uint",
    "registered_at": "Time",
    "removed_at": "Optional[Time]",
    "locked_stake_wei": "Wei",
    "last_full_pass": "Time",
    "score_ppm": "Uint",
    "performance_permille": "Uint",
    "faults": "Uint",
    "uptime_ppm": "Optional[Uint]",
    "challenges": "Counts",
    "reserve_wei": "Wei",
    "rental": "Optional[Uint]",
    "offers": "List[Uint]",
    "on_classic": "bool",
})

ProviderSummary = TypedDict("ProviderSummary", {
    "account": "Address",
    "is_active": "bool",
    "score_ppm": "Optional[Uint]",
    "uptime_ppm": "Optional[Uint]",
    "staked_wei": "Wei",
    "delegated_wei": "Wei",
    "slashed_wei": "Wei",
    "devices": "Uint",
    "offers": "Uint",
    "rentals": "Uint",
    "rentals_active": "Uint",
    "rentals_completed": "Uint",
    "rentals_faulted": "Uint",
    "earned_wei": "Wei",
    "challenges": "Counts",
    "since": "Time",
})

Provider = TypedDict("Provider", {
    "summary": "ProviderSummary",
    "stake": "Optional[Stake]",
    "devices": "List[Device]",
    "offers": "List[Offer]",
    "slashes": "List[Slash]",
})

Verdict = TypedDict("Verdict", {
    "challenge": "Uint",
    "index": "Uint",
    "timestamp": "Time",
    "device": "Uint",
    "rental": "Optional[Uint]",
    "mode": "Optional[Literal['light', 'full']]",
    "verdict": "Literal['open', 'committed', 'proven', 'voided', 'passed', 'missed', 'unmeasured', 'void']",
    "elapsed_ms": "Optional[Uint]",
    "root": "Optional[Hash]",
    "receipts": "Optional[Uint]",
    "demands": "Uint",
    "is_closing": "bool",
    "commit_transaction": "Optional[Hash]",
    "proof_transaction": "Optional[Hash]",
    "settled_transaction": "Optional[Hash]",
})

Challenge = TypedDict("Challenge", {
    "block": "Uint",
    "index": "Uint",
    "block_hash": "Hash",
    "timestamp": "Time",
    "is_sealed": "bool",
    "verdict": "Literal['open', 'valid', 'void']",
    "weight": "Optional[Uint]",
    "total_weight": "Optional[Uint]",
    "owners": "Optional[Uint]",
    "commits": "Uint",
    "proven": "Uint",
    "voided": "Uint",
    "transaction": "Hash",
})

Money = TypedDict("Money", {
    "escrowed_wei": "Wei",
    "paid_wei": "Wei",
    "refunded_wei": "Wei",
    "fees_wei": "Wei",
    "held_wei": "Wei",
    "compensated_wei": "Wei",
})

Segment = TypedDict("Segment", {
    "from": "Time",
    "price_per_second_wei": "Wei",
})

Window = TypedDict("Window", {
    "from": "Time",
    "until": "Time",
})

Rental = TypedDict("Rental", {
    "id": "Uint",
    "offer": "Uint",
    "device": "Uint",
    "renter": "Address",
    "provider": "Address",
    "session_key": "Address",
    "delegate": "Optional[Address]",
    "state": "Literal['requested', 'active', 'completed', 'cancelled']",
    "close_reason": "Optional[Literal['completed', 'not_ready', 'never_opened', 'deadline_passed', 'aborted', 'judged', 'bridge_down']]",
    "close_text": "Optional[str]",
    "fault": "Optional[Literal['closing_missed', 'aborted', 'judged']]",
    "terms_version": "Uint",
    "duration_seconds": "Uint",
    "price_per_second_wei": "Wei",
    "requested_at": "Time",
    "ready_until": "Time",
    "start": "Optional[Time]",
    "end": "Optional[Time]",
    "opened_at": "Optional[Time]",
    "closed_at": "Optional[Time]",
    "frozen_from": "Optional[Time]",
    "deadline_at": "Optional[Time]",
    "covered_until": "Optional[Time]",
    "verified_seconds": "Uint",
    "challenges_due": "Uint",
    "challenges_passed": "Uint",
    "money": "Money",
    "segments": "List[Segment]",
    "maintenance": "List[Window]",
    "cases": "List[Uint]",
    "transaction": "Hash",
})

Case = TypedDict("Case", {
    "id": "Uint",
    "rental": "Uint",
    "kind": "Literal['complaint', 'reachability']",
    "status": "Literal['open', 'upheld', 'rejected', 'expired']",
    "opener": "Address",
    "evidence": "Hash",
    "draw_block": "Uint",
    "committee": "List[Address]",
    "ayes": "Uint",
    "nays": "Uint",
    "opened_at": "Time",
    "closed_at": "Optional[Time]",
    "transaction": "Hash",
})

Message = TypedDict("Message", {
    "origin": "ChainName",
    "index": "Uint",
    "id": "Hash",
    "sender": "Address",
    "recipient": "Address",
    "kind": "str",
    "stage": "Literal['dispatched', 'final', 'signed', 'delivered']",
    "rental": "Optional[Uint]",
    "device": "Optional[Uint]",
    "dispatched_at": "Time",
    "dispatched_block": "Uint",
    "dispatched_transaction": "Hash",
    "failed": "bool",
    "delivered_at": "Optional[Time]",
    "delivered_block": "Optional[Uint]",
    "delivered_transaction": "Optional[Hash]",
    "latency_seconds": "Optional[Uint]",
})

Pool = TypedDict("Pool", {
    "total_wei": "Wei",
    "shares": "Uint",
    "unbonding_shares": "Uint",
    "is_open": "bool",
    "commission_bps": "Uint",
    "next_commission_bps": "Optional[Uint]",
    "commission_changes_at": "Optional[Time]",
})

Stake = TypedDict("Stake", {
    "account": "Address",
    "role": "Literal['provider', 'queen', 'king']",
    "operator": "Address",
    "peer_id_hash": "Hash",
    "staked_wei": "Wei",
    "locked_wei": "Wei",
    "unbonding_wei": "Wei",
    "unbonds_at": "Optional[Time]",
    "retiring_wei": "Wei",
    "retires_at": "Optional[Time]",
    "is_seated": "bool",
    "pool": "Pool",
    "slashed_wei": "Wei",
    "since": "Time",
})

Delegation = TypedDict("Delegation", {
    "delegator": "Address",
    "account": "Address",
    "shares": "Uint",
    "unbonding_shares": "Uint",
    "unbonds_at": "Optional[Time]",
    "value_wei": "Wei",
    "unbonding_value_wei": "Wei",
})

DelayedCredit = TypedDict("DelayedCredit", {
    "amount_wei": "Wei",
    "available_at": "Time",
})

Account = TypedDict("Account", {
    "address": "Address",
    "stake": "Optional[Stake]",
    "delegation": "Optional[Delegation]",
    "votes_delegate": "Optional[Address]",
    "rental_credit_wei": "Wei",
    "delayed_credits": "List[DelayedCredit]",
    "court_credit_wei": "Wei",
    "stake_credit_wei": "Wei",
    "reward_credit_wei": "Wei",
    "allocations": "List[Uint]",
    "rentals_as_renter": "Uint",
    "rentals_as_provider": "Uint",
    "rentals_completed": "Uint",
    "complaints_lost": "Uint",
})

Action = TypedDict("Action", {
    "target": "Address",
    "contract": "Optional[str]",
    "value_wei": "Wei",
    "data": "Hex",
})

Proposal = TypedDict("Proposal", {
    "id": "Uint",
    "title": "str",
    "description": "str",
    "proposer": "Address",
    "state": "Literal['pending', 'active', 'canceled', 'defeated', 'succeeded', 'queued', 'expired', 'executed']",
    "for_wei": "Wei",
    "against_wei": "Wei",
    "abstain_wei": "Wei",
    "quorum_wei": "Optional[Wei]",
    "vote_start": "Time",
    "vote_end": "Time",
    "executable_at": "Optional[Time]",
    "created_at": "Time",
    "actions": "List[Action]",
    "description_hash": "Hash",
    "transaction": "Hash",
})

Vote = TypedDict("Vote", {
    "proposal": "Uint",
    "voter": "Address",
    "support": "Literal['against', 'for', 'abstain']",
    "weight_wei": "Wei",
    "reason": "str",
    "timestamp": "Time",
    "transaction": "Hash",
})

Allocation = TypedDict("Allocation", {
    "id": "Uint",
    "beneficiary": "Address",
    "category": "Literal['team', 'investors', 'advisors', 'community', 'treasury']",
    "amount_wei": "Wei",
    "start": "Time",
    "cliff_seconds": "Uint",
    "duration_seconds": "Uint",
    "is_revocable": "bool",
    "revoked_at": "Optional[Time]",
    "vested_wei": "Wei",
    "released_wei": "Wei",
    "releasable_wei": "Wei",
    "transaction": "Hash",
})

RoleReward = TypedDict("RoleReward", {
    "role": "Literal['provider', 'queen', 'king']",
    "amount_wei": "Wei",
})

ClassReward = TypedDict("ClassReward", {
    "class_version": "Uint",
    "per_hour_wei": "Wei",
})

LoyaltyTier = TypedDict("LoyaltyTier", {
    "fees_wei": "Wei",
    "reward_bps": "Uint",
})

Distribution = TypedDict("Distribution", {
    "emission_start": "Optional[Time]",
    "fees_received_wei": "Wei",
    "burned_wei": "Wei",
    "staking_rewards": "List[RoleReward]",
    "rental_rewards_wei": "Wei",
    "loyalty_rewards_wei": "Wei",
    "claimed_wei": "Wei",
    "provider_staking_bps": "Uint",
    "queen_staking_bps": "Uint",
    "king_staking_bps": "Uint",
    "rental_bps": "Uint",
    "provider_fee_bps": "Uint",
    "loyalty_tiers": "List[LoyaltyTier]",
    "class_rewards": "List[ClassReward]",
    "allocated_wei": "Wei",
    "released_wei": "Wei",
})

ClassMode = TypedDict("ClassMode", {
    "memory_bytes": "Uint",
    "matrix_size": "Uint",
    "inner_size": "Uint",
    "rounds": "Uint",
    "reference_ms": "Uint",
    "pass_ms": "Uint",
    "unmeasured_ms": "Uint",
})

Class = TypedDict("Class", {
    "class_version": "Uint",
    "stake_wei": "Wei",
    "full": "Optional[ClassMode]",
    "light": "Optional[ClassMode]",
    "reward_per_hour_wei": "Wei",
    "offers": "Uint",
    "devices": "Uint",
    "expected_seconds_between_challenges": "Optional[Uint]",
    "overhead_ppm": "Optional[Uint]",
})

RentalParameters = TypedDict("RentalParameters", {
    "version": "Uint",
    "protocol_fee_bps": "Uint",
    "bridge_fee_wei": "Wei",
    "ready_fee_wei": "Wei",
    "ready_window_seconds": "Uint",
    "start_window_seconds": "Uint",
    "minimum_bill_seconds": "Uint",
    "freshness_seconds": "Uint",
    "settle_timeout_seconds": "Uint",
})

Safeguards = TypedDict("Safeguards", {
    "compensation_seconds": "Uint",
    "reserve_seconds": "Uint",
    "grace_window_seconds": "Uint",
    "maintenance_notice_seconds": "Uint",
    "maintenance_budget_seconds": "Uint",
    "deadline_notice_seconds": "Uint",
    "hard_deadline_seconds": "Uint",
    "outage_share_bps": "Uint",
})

CourtParameters = TypedDict("CourtParameters", {
    "bond_wei": "Wei",
    "judge_fee_wei": "Wei",
    "committee_size": "Uint",
    "draw_delay_blocks": "Uint",
    "verdict_window_seconds": "Uint",
    "finality_seconds": "Uint",
})

StakingParameters = TypedDict("StakingParameters", {
    "minimum_provider_stake_wei": "Wei",
    "minimum_queen_stake_wei": "Wei",
    "minimum_king_stake_wei": "Wei",
    "missing_answer_penalty_wei": "Wei",
    "unbonding_period_seconds": "Uint",
    "vote_slash_cap_bps": "Uint",
    "burn_bps": "Uint",
    "treasury_bps": "Uint",
    "renter_bps": "Uint",
    "reporter_bps": "Uint",
})

WorkParameters = TypedDict("WorkParameters", {
    "version": "Uint",
    "beacon_period_blocks": "Uint",
    "beacon_spacing_blocks": "Uint",
    "commit_window_blocks": "Uint",
    "dispute_window_blocks": "Uint",
    "answer_window_blocks": "Uint",
    "proof_rate": "Uint",
    "proof_samples": "Uint",
    "committee_size": "Uint",
    "mode_slack_seconds": "Uint",
    "bridge_max_seconds": "Uint",
})

Finality = TypedDict("Finality", {
    "ethereum_stride_blocks": "Uint",
    "classic_stride_blocks": "Uint",
    "classic_min_depth_blocks": "Uint",
    "ethereum_to_classic_seconds": "Optional[Uint]",
    "classic_to_ethereum_seconds": "Optional[Uint]",
})

EthereumContracts = TypedDict("EthereumContracts", {
    "outbox": "Address",
    "inbox": "Address",
    "king_set": "Address",
    "gpu_token": "Address",
    "staking_manager": "Address",
    "gpu_rental": "Address",
    "rental_court": "Address",
    "king_court": "Address",
    "token_distributor": "Address",
    "governance": "Address",
    "timelock": "Address",
    "faucet": "Optional[Address]",
})

ClassicContracts = TypedDict("ClassicContracts", {
    "outbox": "Address",
    "inbox": "Address",
    "king_set": "Address",
    "work_verification": "Address",
    "reputation_system": "Address",
    "proof_verifier": "Address",
})

ChainConfig = TypedDict("ChainConfig", {
    "chain_id": "Uint",
    "start_block": "Uint",
})

Token = TypedDict("Token", {
    "address": "Address",
    "name": "str",
    "symbol": "str",
    "decimals": "Uint",
    "permit_version": "str",
})

Config = TypedDict("Config", {
    "version": "str",
    "ethereum": "ChainConfig",
    "classic": "ChainConfig",
    "contracts": "Dict[str, Any]",
    "token": "Token",
    "rental": "Optional[RentalParameters]",
    "safeguards": "Optional[Safeguards]",
    "court": "Optional[CourtParameters]",
    "staking": "Optional[StakingParameters]",
    "work": "Optional[WorkParameters]",
    "finality": "Finality",
    "classes": "List[Class]",
})

ChainStatus = TypedDict("ChainStatus", {
    "chain": "ChainName",
    "chain_id": "Uint",
    "head": "Uint",
    "head_timestamp": "Time",
    "head_hash": "Optional[Hash]",
    "is_silent": "bool",
    "generation": "Uint",
})

King = TypedDict("King", {
    "address": "Address",
    "weight": "Uint",
})

KingSet = TypedDict("KingSet", {
    "set_epoch": "Uint",
    "expires_at": "Optional[Time]",
    "members": "List[King]",
})

Queens = TypedDict("Queens", {
    "epoch": "Uint",
    "operators": "List[Address]",
})

BridgeDirection = TypedDict("BridgeDirection", {
    "origin": "ChainName",
    "dispatched": "Uint",
    "final": "Uint",
    "signed": "Uint",
    "delivered": "Uint",
    "in_flight": "Uint",
    "oldest_undelivered_at": "Optional[Time]",
    "median_latency_seconds": "Optional[Uint]",
    "worst_latency_seconds": "Optional[Uint]",
    "paused_until": "Optional[Time]",
})

Solvency = TypedDict("Solvency", {
    "contract": "str",
    "address": "Address",
    "held_wei": "Wei",
    "owed_wei": "Wei",
    "is_solvent": "bool",
    "block": "Uint",
})

Totals = TypedDict("Totals", {
    "providers": "Uint",
    "devices": "Uint",
    "offers": "Uint",
    "offers_available": "Uint",
    "rentals": "Uint",
    "rentals_active": "Uint",
    "challenges": "Uint",
    "proposals": "Uint",
})

Network = TypedDict("Network", {
    "is_caught_up": "bool",
    "chains": "List[ChainStatus]",
    "kings": "List[Dict[str, Any]]",
    "queens": "Optional[Queens]",
    "bridge": "List[BridgeDirection]",
    "solvency": "List[Solvency]",
    "totals": "Totals",
})

HeadEvent = TypedDict("HeadEvent", {
    "chain": "ChainName",
    "block": "Uint",
    "timestamp": "Time",
})

ReorgEvent = TypedDict("ReorgEvent", {
    "chain": "ChainName",
    "to_block": "Uint",
})

ResetEvent = TypedDict("ResetEvent", {
    "reason": "Literal['unknown_id', 'too_far_behind', 'reorganised']",
})

OfferPage = TypedDict("OfferPage", {
    "items": "List[Offer]",
    "next_cursor": "Optional[str]",
})

ProviderSummaryPage = TypedDict("ProviderSummaryPage", {
    "items": "List[ProviderSummary]",
    "next_cursor": "Optional[str]",
})

VerdictPage = TypedDict("VerdictPage", {
    "items": "List[Verdict]",
    "next_cursor": "Optional[str]",
})

RentalPage = TypedDict("RentalPage", {
    "items": "List[Rental]",
    "next_cursor": "Optional[str]",
})

EventPage = TypedDict("EventPage", {
    "items": "List[Event]",
    "next_cursor": "Optional[str]",
})

ChallengePage = TypedDict("ChallengePage", {
    "items": "List[Challenge]",
    "next_cursor": "Optional[str]",
})

MessagePage = TypedDict("MessagePage", {
    "items": "List[Message]",
    "next_cursor": "Optional[str]",
})

StakePage = TypedDict("StakePage", {
    "items": "List[Stake]",
    "next_cursor": "Optional[str]",
})

DelegationPage = TypedDict("DelegationPage", {
    "items": "List[Delegation]",
    "next_cursor": "Optional[str]",
})

CasePage = TypedDict("CasePage", {
    "items": "List[Case]",
    "next_cursor": "Optional[str]",
})

ProposalPage = TypedDict("ProposalPage", {
    "items": "List[Proposal]",
    "next_cursor": "Optional[str]",
})

VotePage = TypedDict("VotePage", {
    "items": "List[Vote]",
    "next_cursor": "Optional[str]",
})

AllocationPage = TypedDict("AllocationPage", {
    "items": "List[Allocation]",
    "next_cursor": "Optional[str]",
})

SlashPage = TypedDict("SlashPage", {
    "items": "List[Slash]",
    "next_cursor": "Optional[str]",
})


class ApiError(Exception):
    """A refusal, with its stable code and what to do next."""

    def __init__(self, status: int, code: str, message: str, next_step: str) -> None:
        super().__init__(f"{code}: {message}; {next_step}")
        self.status, self.code, self.message, self.next = status, code, message, next_step


class Client:
    """`origin` is that of the interface, such as http://127.0.0.1:7790."""

    def __init__(self, origin: str, timeout: float = 30.0) -> None:
        self.base = origin.rstrip("/") + "/api/v1"
        self.timeout = timeout

    def get_config(self) -> Config:
        """Chain ids, contracts, fees, windows, classes."""
        return self._get("/config", {})

    def get_network(self) -> Network:
        """Kings, Queens, bridge, solvency, heads."""
        return self._get("/network", {})

    def list_offers(self, *, class_: Optional[str] = None, max_price_per_hour_wei: Optional[str] = None, region: Optional[str] = None, min_score_ppm: Optional[str] = None, available: Optional[str] = None, provider: Optional[str] = None, device: Optional[str] = None, sort: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> OfferPage:
        """Offers."""
        return self._get("/offers", {"class": class_, "max_price_per_hour_wei": max_price_per_hour_wei, "region": region, "min_score_ppm": min_score_ppm, "available": available, "provider": provider, "device": device, "sort": sort, "limit": limit, "cursor": cursor})

    def get_offer(self, id: str) -> Offer:
        """One offer."""
        return self._get(f'/offers/{quote(id, safe="")}', {})

    def get_quote(self, id: str, *, duration_seconds: str) -> Quote:
        """What it costs for a time."""
        return self._get(f'/offers/{quote(id, safe="")}/quote', {"duration_seconds": duration_seconds})

    def list_providers(self, *, sort: Optional[str] = None, min_score_ppm: Optional[str] = None, active: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> ProviderSummaryPage:
        """Providers, with their evidence in short."""
        return self._get("/providers", {"sort": sort, "min_score_ppm": min_score_ppm, "active": active, "limit": limit, "cursor": cursor})

    def get_provider(self, address: str) -> Provider:
        """One provider: stake, devices, offers, slashes."""
        return self._get(f'/providers/{quote(address, safe="")}', {})

    def list_provider_verdicts(self, address: str, *, device: Optional[str] = None, verdict: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> VerdictPage:
        """Every challenge of its devices, newest first."""
        return self._get(f'/providers/{quote(address, safe="")}/verdicts', {"device": device, "verdict": verdict, "limit": limit, "cursor": cursor})

    def list_provider_events(self, address: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> EventPage:
        """What happened to it, on both chains, newest first."""
        return self._get(f'/providers/{quote(address, safe="")}/events', {"limit": limit, "cursor": cursor})

    def get_device(self, id: str) -> Device:
        """One device."""
        return self._get(f'/devices/{quote(id, safe="")}', {})

    def list_device_verdicts(self, id: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> VerdictPage:
        """Every challenge of the device, newest first."""
        return self._get(f'/devices/{quote(id, safe="")}/verdicts', {"limit": limit, "cursor": cursor})

    def list_rentals(self, *, renter: Optional[str] = None, provider: Optional[str] = None, offer: Optional[str] = None, device: Optional[str] = None, state: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> RentalPage:
        """Rentals, newest first."""
        return self._get("/rentals", {"renter": renter, "provider": provider, "offer": offer, "device": device, "state": state, "limit": limit, "cursor": cursor})

    def get_rental(self, id: str) -> Rental:
        """One rental with its money."""
        return self._get(f'/rentals/{quote(id, safe="")}', {})

    def list_rental_events(self, id: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> EventPage:
        """Every step of it over both chains, oldest first by time."""
        return self._get(f'/rentals/{quote(id, safe="")}/events', {"limit": limit, "cursor": cursor})

    def list_rental_verdicts(self, id: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> VerdictPage:
        """Challenges that count for it, oldest first."""
        return self._get(f'/rentals/{quote(id, safe="")}/verdicts', {"limit": limit, "cursor": cursor})

    def list_rental_messages(self, id: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> MessagePage:
        """Its bridge messages, oldest first."""
        return self._get(f'/rentals/{quote(id, safe="")}/messages', {"limit": limit, "cursor": cursor})

    def list_cases(self, *, rental: Optional[str] = None, status: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> CasePage:
        """Complaints and reachability cases, newest first."""
        return self._get("/cases", {"rental": rental, "status": status, "limit": limit, "cursor": cursor})

    def get_case(self, id: str) -> Case:
        """One case."""
        return self._get(f'/cases/{quote(id, safe="")}', {})

    def list_challenges(self, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> ChallengePage:
        """Challenges, newest first."""
        return self._get("/challenges", {"limit": limit, "cursor": cursor})

    def get_challenge(self, block: str) -> Challenge:
        """One challenge."""
        return self._get(f'/challenges/{quote(block, safe="")}', {})

    def list_challenge_verdicts(self, block: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> VerdictPage:
        """What each device made of it, by device."""
        return self._get(f'/challenges/{quote(block, safe="")}/verdicts', {"limit": limit, "cursor": cursor})

    def list_messages(self, *, origin: Optional[str] = None, stage: Optional[str] = None, in_flight: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> MessagePage:
        """Bridge messages, newest first."""
        return self._get("/messages", {"origin": origin, "stage": stage, "in_flight": in_flight, "limit": limit, "cursor": cursor})

    def get_message(self, origin: str, index: str) -> Message:
        """One message."""
        return self._get(f'/messages/{quote(origin, safe="")}/{quote(index, safe="")}', {})

    def list_stakes(self, *, role: Optional[str] = None, open: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> StakePage:
        """Stakes, largest first."""
        return self._get("/stakes", {"role": role, "open": open, "limit": limit, "cursor": cursor})

    def get_stake(self, address: str) -> Stake:
        """One stake."""
        return self._get(f'/stakes/{quote(address, safe="")}', {})

    def list_delegations(self, address: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> DelegationPage:
        """Who delegated to it, by delegator."""
        return self._get(f'/stakes/{quote(address, safe="")}/delegations', {"limit": limit, "cursor": cursor})

    def list_slashes(self, *, account: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> SlashPage:
        """Every slash, newest first."""
        return self._get("/slashes", {"account": account, "limit": limit, "cursor": cursor})

    def get_account(self, address: str) -> Account:
        """What an address owns and is owed."""
        return self._get(f'/accounts/{quote(address, safe="")}', {})

    def list_account_events(self, address: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> EventPage:
        """What happened to it, newest first."""
        return self._get(f'/accounts/{quote(address, safe="")}/events', {"limit": limit, "cursor": cursor})

    def list_proposals(self, *, state: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> ProposalPage:
        """Proposals, newest first."""
        return self._get("/proposals", {"state": state, "limit": limit, "cursor": cursor})

    def get_proposal(self, id: str) -> Proposal:
        """One proposal."""
        return self._get(f'/proposals/{quote(id, safe="")}', {})

    def list_votes(self, id: str, *, limit: Optional[str] = None, cursor: Optional[str] = None) -> VotePage:
        """Votes on it, newest first."""
        return self._get(f'/proposals/{quote(id, safe="")}/votes', {"limit": limit, "cursor": cursor})

    def get_distribution(self) -> Distribution:
        """Emission, rewards, fees."""
        return self._get("/distribution", {})

    def list_allocations(self, *, beneficiary: Optional[str] = None, limit: Optional[str] = None, cursor: Optional[str] = None) -> AllocationPage:
        """Genesis allocations and what has vested."""
        return self._get("/allocations", {"beneficiary": beneficiary, "limit": limit, "cursor": cursor})

    def get_allocation(self, id: str) -> Allocation:
        """One allocation."""
        return self._get(f'/allocations/{quote(id, safe="")}', {})

    def all(self, page: Callable[..., Any], *arguments: str, **filters: Optional[str]) -> Iterator[Any]:
        """All entries of a list, page after page: `client.all(client.list_rentals, state="active")`."""
        cursor: Optional[str] = None
        while True:
            answer = page(*arguments, **filters, cursor=cursor)
            yield from answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                return

    def _get(self, path: str, query: Dict[str, Optional[str]]) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        search = "?" + urlencode(given) if given else ""
        try:
            with urlopen(self.base + path + search, timeout=self.timeout) as response:
                return json.load(response)
        except HTTPError as error:
            told = json.load(error)
            raise ApiError(error.code, told["code"], told["message"], told["next"]) from None
