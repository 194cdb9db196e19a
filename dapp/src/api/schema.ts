// Written by `npm run api` from docs/openapi.json. Do not edit.

/** A whole number in decimal, as a string: JSON numbers lose digits above 2^53. */
export type Uint = string;

/** An amount in wei (10^-18 of the coin or of GPUTOKEN), in decimal. */
export type Wei = string;

/** Unix seconds, in decimal. */
export type Time = string;

/** An account or contract, lower case. */
export type Address = string;

export type Hash = string;

export type Hex = string;

export type ChainName = "ethereum" | "classic";

/** What went wrong, with a code that never changes its meaning and what to do next. */
export type Error = {
  code: string;
  message: string;
  next: string;
};

/** New types may be added; ignore those you do not know. */
export type EventType = "offer_created" | "offer_changed" | "reserve_changed" | "rental_requested" | "rental_ready" | "session_opened" | "terms_changed" | "work_report_applied" | "rental_closed" | "rental_extended" | "delegate_set" | "maintenance_declared" | "fault_recorded" | "compensated" | "rental_frozen" | "rental_unfrozen" | "deadline_requested" | "credited" | "credit_delayed" | "credit_released" | "credit_claimed" | "withdrawals_paused" | "case_opened" | "committee_drawn" | "case_voted" | "case_closed" | "case_credited" | "case_claimed" | "staked" | "operator_set" | "unstake_requested" | "withdrawn" | "device_added" | "device_retired" | "device_released" | "worker_changed" | "device_report_applied" | "slashed" | "slashed_by_vote" | "slash_divided" | "slash_credit_claimed" | "seat_taken" | "seat_lost" | "queens_announced" | "commission_announced" | "stake_delegated" | "undelegation_requested" | "delegation_withdrawn" | "rewards_claimed" | "votes_delegated" | "class_set" | "proposal_created" | "vote_cast" | "proposal_queued" | "proposal_executed" | "proposal_canceled" | "allocation_created" | "allocation_released" | "allocation_revoked" | "fee_received" | "staking_rewarded" | "rental_rewarded" | "reward_claimed" | "message_dispatched" | "checkpoint_accepted" | "message_delivered" | "message_failed" | "king_set_installed" | "king_set_recovered" | "bridge_paused" | "bridge_resumed" | "king_convicted" | "challenge_opened" | "challenge_sealed" | "challenge_judged" | "work_committed" | "work_proven" | "commit_voided" | "device_settled" | "device_reported" | "rental_reported" | "device_registered" | "device_dropped" | "terms_arrived" | "worker_key_set" | "sample_demanded" | "demand_answered" | "answer_missing" | "queens_seated" | "class_added" | "reputation_updated" | "renter_recorded";

/** One event of a contract, with the transaction that holds it. Fields that do not apply are null. */
export type Event = {
  /** Place of the event: `CHAIN-BLOCK-LOGINDEX`. */
  id: string;
  chain: ChainName;
  type: EventType;
  block: Uint;
  log_index: Uint;
  block_hash: Hash;
  transaction: Hash;
  timestamp: Time;
  /** The event in words, English. */
  text: string;
  /** Whom it concerns: renter, staker, voter, beneficiary. */
  account: Address | null;
  provider: Address | null;
  offer: Uint | null;
  device: Uint | null;
  rental: Uint | null;
  /** Block of the challenge. */
  challenge: Uint | null;
  /** Index of a bridge message. */
  message: Uint | null;
  /** Chain that the message was sent on. */
  message_origin: ChainName | null;
  case: Uint | null;
  proposal: Uint | null;
  allocation: Uint | null;
  amount_wei: Wei | null;
};

/** Whether an offer can be rented now, and if not, why not. */
export type Availability = {
  state: "rentable" | "paused" | "rented" | "unverified" | "removed" | "unstaked" | "reserve_too_small";
  /** The rental that holds the device. */
  rental: Uint | null;
  /** In words; null if it is rentable. */
  reason: string | null;
};

export type Offer = {
  id: Uint;
  device: Uint;
  provider: Address;
  class_version: Uint;
  price_per_second_wei: Wei;
  price_per_hour_wei: Wei;
  min_duration_seconds: Uint;
  max_duration_seconds: Uint;
  region: string;
  /** What the provider declares about the machine, JSON by convention, at most 1 KiB. Nobody checked it. */
  attributes: string;
  created_at: Time;
  is_paused: boolean;
  is_available: boolean;
  availability: Availability;
  /** Probability of passing the next challenge as estimated on chain, parts per million. */
  score_ppm: Uint;
  /** Measured speed against the class's reference, thousandths. */
  performance_permille: Uint;
  /** Measured speed per GPUTOKEN of an hour: performance_permille x 10^18 / price_per_hour_wei x 1000, rounded down. */
  speed_per_token: Uint;
  /** Newest full challenge passed that Ethereum knows of; 0 for none. */
  last_full_pass: Time;
  /** Until when that pass makes the device rentable; 0 for none. */
  fresh_until: Time;
  faults: Uint;
  /** Of the last 100 settled challenges of the device, those passed, parts per million; null before the first. */
  uptime_ppm: Uint | null;
  /** What stands ready to compensate renters, and is not locked by a rental. */
  reserve_wei: Wei;
  transaction: Hash;
};

/** What a rental costs at most. Computed as the contract computes it, from the parameters in force. */
export type Quote = {
  offer: Uint;
  duration_seconds: Uint;
  rent_wei: Wei;
  protocol_fee_wei: Wei;
  bridge_fee_wei: Wei;
  ready_fee_wei: Wei;
  total_wei: Wei;
};

/** Settled challenges. */
export type Counts = {
  settled: Uint;
  passed: Uint;
  missed: Uint;
  unmeasured: Uint;
  void: Uint;
};

export type Slash = {
  account: Address;
  /** Null where no device is at fault. */
  device: Uint | null;
  amount_wei: Wei;
  reason: "wrong_proof" | "missing_answer" | "king_contradiction" | "vote" | "other";
  reporter: Address | null;
  renter: Address | null;
  timestamp: Time;
  transaction: Hash;
};

export type Device = {
  id: Uint;
  provider: Address;
  worker: Address;
  class_version: Uint;
  registered_at: Time;
  /** Null while it is in service. */
  removed_at: Time | null;
  locked_stake_wei: Wei;
  last_full_pass: Time;
  score_ppm: Uint;
  performance_permille: Uint;
  faults: Uint;
  uptime_ppm: Uint | null;
  challenges: Counts;
  reserve_wei: Wei;
  /** The rental that holds it. */
  rental: Uint | null;
  offers: Array<Uint>;
  /** Its registration has crossed the bridge. */
  on_classic: boolean;
};

export type ProviderSummary = {
  account: Address;
  /** Holds the role's stake and has a device in service. */
  is_active: boolean;
  /** Of ReputationSystem on Ethereum Classic; null before the first settled challenge. */
  score_ppm: Uint | null;
  uptime_ppm: Uint | null;
  staked_wei: Wei;
  delegated_wei: Wei;
  slashed_wei: Wei;
  devices: Uint;
  offers: Uint;
  rentals: Uint;
  rentals_active: Uint;
  rentals_completed: Uint;
  /** Closed with a fault of the provider. */
  rentals_faulted: Uint;
  /** Rent paid to it. */
  earned_wei: Wei;
  challenges: Counts;
  since: Time;
};

export type Provider = {
  summary: ProviderSummary;
  stake: Stake | null;
  devices: Array<Device>;
  offers: Array<Offer>;
  slashes: Array<Slash>;
};

/** A challenge as one device met it. */
export type Verdict = {
  /** Block of Ethereum Classic that posed it. */
  challenge: Uint;
  index: Uint;
  timestamp: Time;
  device: Uint;
  /** Rental that the commit names. */
  rental: Uint | null;
  mode: "light" | "full" | null;
  verdict: "open" | "committed" | "proven" | "voided" | "passed" | "missed" | "unmeasured" | "void";
  /** Measured by the committee; null if it was not. */
  elapsed_ms: Uint | null;
  root: Hash | null;
  receipts: Uint | null;
  /** Samples demanded beyond those drawn. */
  demands: Uint;
  /** In the list of a rental: the first one at or after the end, which decides the rest. */
  is_closing: boolean;
  commit_transaction: Hash | null;
  proof_transaction: Hash | null;
  settled_transaction: Hash | null;
};

export type Challenge = {
  block: Uint;
  index: Uint;
  block_hash: Hash;
  timestamp: Time;
  is_sealed: boolean;
  verdict: "open" | "valid" | "void";
  weight: Uint | null;
  total_weight: Uint | null;
  owners: Uint | null;
  commits: Uint;
  proven: Uint;
  voided: Uint;
  transaction: Hash;
};

/** escrowed = paid + refunded + fees + held, at any time. */
export type Money = {
  escrowed_wei: Wei;
  /** To the provider, for verified time. */
  paid_wei: Wei;
  refunded_wei: Wei;
  /** Ready fee once the provider was ready; all fees once it is closed. */
  fees_wei: Wei;
  /** Still in escrow. */
  held_wei: Wei;
  /** From the provider's reserve, on top of the escrow. */
  compensated_wei: Wei;
};

/** Time that was bought later, at the price of then, up to the next segment or the end. */
export type Segment = {
  from: Time;
  price_per_second_wei: Wei;
};

/** Maintenance: neither billed nor held against the provider. */
export type Window = {
  from: Time;
  until: Time;
};

export type Rental = {
  id: Uint;
  offer: Uint;
  device: Uint;
  renter: Address;
  provider: Address;
  session_key: Address;
  delegate: Address | null;
  state: "requested" | "active" | "completed" | "cancelled";
  close_reason: "completed" | "not_ready" | "never_opened" | "deadline_passed" | "aborted" | "judged" | "bridge_down" | null;
  /** The reason in words. */
  close_text: string | null;
  /** What the provider is held responsible for. */
  fault: "closing_missed" | "aborted" | "judged" | null;
  terms_version: Uint;
  /** Bought, extensions included. */
  duration_seconds: Uint;
  price_per_second_wei: Wei;
  requested_at: Time;
  /** Until when the provider has time to be ready; then anybody may cancel. */
  ready_until: Time;
  start: Time | null;
  end: Time | null;
  opened_at: Time | null;
  closed_at: Time | null;
  /** Money for the time after this waits for the verdict on a complaint. */
  frozen_from: Time | null;
  /** When the requested refund of what was not reported can be executed. */
  deadline_at: Time | null;
  /** Up to here reports have decided. */
  covered_until: Time | null;
  verified_seconds: Uint;
  challenges_due: Uint;
  challenges_passed: Uint;
  money: Money;
  segments: Array<Segment>;
  maintenance: Array<Window>;
  cases: Array<Uint>;
  transaction: Hash;
};

export type Case = {
  id: Uint;
  rental: Uint;
  kind: "complaint" | "reachability";
  status: "open" | "upheld" | "rejected" | "expired";
  opener: Address;
  evidence: Hash;
  draw_block: Uint;
  committee: Array<Address>;
  ayes: Uint;
  nays: Uint;
  opened_at: Time;
  closed_at: Time | null;
  transaction: Hash;
};

/** A message between the chains. */
export type Message = {
  origin: ChainName;
  index: Uint;
  id: Hash;
  sender: Address;
  recipient: Address;
  /** `device_registered`, `rental_terms`, `work_report`, …; `unknown` if this node does not know it. */
  kind: string;
  stage: "dispatched" | "final" | "signed" | "delivered";
  rental: Uint | null;
  device: Uint | null;
  dispatched_at: Time;
  dispatched_block: Uint;
  dispatched_transaction: Hash;
  /** The recipient refused it; it can be delivered again. */
  failed: boolean;
  delivered_at: Time | null;
  delivered_block: Uint | null;
  delivered_transaction: Hash | null;
  latency_seconds: Uint | null;
};

/** Stake that others delegated to an account. */
export type Pool = {
  total_wei: Wei;
  shares: Uint;
  unbonding_shares: Uint;
  is_open: boolean;
  commission_bps: Uint;
  next_commission_bps: Uint | null;
  commission_changes_at: Time | null;
};

export type Stake = {
  account: Address;
  role: "provider" | "queen" | "king";
  operator: Address;
  peer_id_hash: Hash;
  staked_wei: Wei;
  /** Of it, class stake of devices in service. */
  locked_wei: Wei;
  unbonding_wei: Wei;
  unbonds_at: Time | null;
  retiring_wei: Wei;
  retires_at: Time | null;
  /** Holds one of the limited seats of Queens or Kings. */
  is_seated: boolean;
  pool: Pool;
  slashed_wei: Wei;
  since: Time;
};

export type Delegation = {
  delegator: Address;
  account: Address;
  shares: Uint;
  unbonding_shares: Uint;
  unbonds_at: Time | null;
  /** What the shares are worth now. */
  value_wei: Wei;
  unbonding_value_wei: Wei;
};

export type DelayedCredit = {
  amount_wei: Wei;
  available_at: Time;
};

/** What an address owns and is owed. Nothing here needs a signature: all of it is on the chains. */
export type Account = {
  address: Address;
  stake: Stake | null;
  delegation: Delegation | null;
  /** Who votes with its own stake. */
  votes_delegate: Address | null;
  /** `GPURental.claim` pays this. */
  rental_credit_wei: Wei;
  delayed_credits: Array<DelayedCredit>;
  /** `RentalCourt.claim`. */
  court_credit_wei: Wei;
  /** `StakingPools.claimCredit`: shares of slashes. */
  stake_credit_wei: Wei;
  /** `TokenDistributor.claim`. */
  reward_credit_wei: Wei;
  allocations: Array<Uint>;
  rentals_as_renter: Uint;
  rentals_as_provider: Uint;
  /** As renter, as ReputationSystem counts. */
  rentals_completed: Uint;
  complaints_lost: Uint;
};

export type Action = {
  target: Address;
  /** Name, if it is a contract of this deployment. */
  contract: string | null;
  value_wei: Wei;
  data: Hex;
};

export type Proposal = {
  id: Uint;
  title: string;
  description: string;
  proposer: Address;
  state: "pending" | "active" | "canceled" | "defeated" | "succeeded" | "queued" | "expired" | "executed";
  for_wei: Wei;
  against_wei: Wei;
  abstain_wei: Wei;
  /** Votes for it and abstentions that it needs; null before its snapshot. */
  quorum_wei: Wei | null;
  vote_start: Time;
  vote_end: Time;
  executable_at: Time | null;
  created_at: Time;
  actions: Array<Action>;
  description_hash: Hash;
  transaction: Hash;
};

export type Vote = {
  proposal: Uint;
  voter: Address;
  support: "against" | "for" | "abstain";
  weight_wei: Wei;
  reason: string;
  timestamp: Time;
  transaction: Hash;
};

export type Allocation = {
  id: Uint;
  beneficiary: Address;
  category: "team" | "investors" | "advisors" | "community" | "treasury";
  amount_wei: Wei;
  start: Time;
  cliff_seconds: Uint;
  duration_seconds: Uint;
  is_revocable: boolean;
  revoked_at: Time | null;
  vested_wei: Wei;
  released_wei: Wei;
  /** What `TokenDistributor.release` pays now. */
  releasable_wei: Wei;
  transaction: Hash;
};

export type RoleReward = {
  role: "provider" | "queen" | "king";
  amount_wei: Wei;
};

export type ClassReward = {
  class_version: Uint;
  per_hour_wei: Wei;
};

export type LoyaltyTier = {
  fees_wei: Wei;
  reward_bps: Uint;
};

export type Distribution = {
  emission_start: Time | null;
  fees_received_wei: Wei;
  burned_wei: Wei;
  staking_rewards: Array<RoleReward>;
  rental_rewards_wei: Wei;
  loyalty_rewards_wei: Wei;
  claimed_wei: Wei;
  provider_staking_bps: Uint;
  queen_staking_bps: Uint;
  king_staking_bps: Uint;
  rental_bps: Uint;
  provider_fee_bps: Uint;
  loyalty_tiers: Array<LoyaltyTier>;
  class_rewards: Array<ClassReward>;
  allocated_wei: Wei;
  released_wei: Wei;
};

export type ClassMode = {
  memory_bytes: Uint;
  matrix_size: Uint;
  inner_size: Uint;
  rounds: Uint;
  /** Time of the reference device. */
  reference_ms: Uint;
  /** Longest time that passes. */
  pass_ms: Uint;
  unmeasured_ms: Uint;
};

/** A performance and capacity profile. */
export type Class = {
  class_version: Uint;
  /** Stake that a device of the class locks; 0 if the class is closed to new devices. */
  stake_wei: Wei;
  full: ClassMode | null;
  light: ClassMode | null;
  reward_per_hour_wei: Wei;
  offers: Uint;
  devices: Uint;
  expected_seconds_between_challenges: Uint | null;
  /** Part of a rental's time that light challenges take at reference speed, parts per million. */
  overhead_ppm: Uint | null;
};

export type RentalParameters = {
  version: Uint;
  protocol_fee_bps: Uint;
  bridge_fee_wei: Wei;
  ready_fee_wei: Wei;
  ready_window_seconds: Uint;
  start_window_seconds: Uint;
  minimum_bill_seconds: Uint;
  freshness_seconds: Uint;
  settle_timeout_seconds: Uint;
};

export type Safeguards = {
  compensation_seconds: Uint;
  reserve_seconds: Uint;
  grace_window_seconds: Uint;
  maintenance_notice_seconds: Uint;
  maintenance_budget_seconds: Uint;
  deadline_notice_seconds: Uint;
  hard_deadline_seconds: Uint;
  outage_share_bps: Uint;
};

export type CourtParameters = {
  bond_wei: Wei;
  judge_fee_wei: Wei;
  committee_size: Uint;
  draw_delay_blocks: Uint;
  verdict_window_seconds: Uint;
  finality_seconds: Uint;
};

export type StakingParameters = {
  minimum_provider_stake_wei: Wei;
  minimum_queen_stake_wei: Wei;
  minimum_king_stake_wei: Wei;
  missing_answer_penalty_wei: Wei;
  unbonding_period_seconds: Uint;
  vote_slash_cap_bps: Uint;
  burn_bps: Uint;
  treasury_bps: Uint;
  renter_bps: Uint;
  reporter_bps: Uint;
};

export type WorkParameters = {
  version: Uint;
  beacon_period_blocks: Uint;
  beacon_spacing_blocks: Uint;
  commit_window_blocks: Uint;
  dispute_window_blocks: Uint;
  answer_window_blocks: Uint;
  proof_rate: Uint;
  proof_samples: Uint;
  committee_size: Uint;
  mode_slack_seconds: Uint;
  bridge_max_seconds: Uint;
};

/** How long a message waits before it counts on the other chain. */
export type Finality = {
  ethereum_stride_blocks: Uint;
  classic_stride_blocks: Uint;
  classic_min_depth_blocks: Uint;
  /** Median of the last 100 deliveries; null before the first. */
  ethereum_to_classic_seconds: Uint | null;
  classic_to_ethereum_seconds: Uint | null;
};

export type EthereumContracts = {
  outbox: Address;
  inbox: Address;
  king_set: Address;
  gpu_token: Address;
  staking_manager: Address;
  gpu_rental: Address;
  rental_court: Address;
  king_court: Address;
  token_distributor: Address;
  governance: Address;
  timelock: Address;
  faucet: Address | null;
};

export type ClassicContracts = {
  outbox: Address;
  inbox: Address;
  king_set: Address;
  work_verification: Address;
  reputation_system: Address;
  proof_verifier: Address;
};

export type ChainConfig = {
  chain_id: Uint;
  start_block: Uint;
};

export type Token = {
  address: Address;
  /** Also the name in its EIP-712 domain. */
  name: string;
  symbol: string;
  decimals: Uint;
  /** Version in its EIP-712 domain. */
  permit_version: string;
};

/** What a program needs to build transactions. It changes only by governance. */
export type Config = {
  /** Of the node's program. */
  version: string;
  ethereum: ChainConfig;
  classic: ChainConfig;
  contracts: {
  ethereum: EthereumContracts;
  classic: ClassicContracts;
};
  token: Token;
  rental: RentalParameters | null;
  safeguards: Safeguards | null;
  court: CourtParameters | null;
  staking: StakingParameters | null;
  work: WorkParameters | null;
  finality: Finality;
  classes: Array<Class>;
};

export type ChainStatus = {
  chain: ChainName;
  chain_id: Uint;
  /** Newest block in the index. */
  head: Uint;
  head_timestamp: Time;
  head_hash: Hash | null;
  /** No new block for longer than the node's alert time. */
  is_silent: boolean;
  /** Grows with each reorganisation or rebuild of the index. */
  generation: Uint;
};

export type King = {
  address: Address;
  weight: Uint;
};

export type KingSet = {
  set_epoch: Uint;
  expires_at: Time | null;
  members: Array<King>;
};

export type Queens = {
  epoch: Uint;
  operators: Array<Address>;
};

export type BridgeDirection = {
  origin: ChainName;
  dispatched: Uint;
  final: Uint;
  signed: Uint;
  delivered: Uint;
  in_flight: Uint;
  oldest_undelivered_at: Time | null;
  /** Of the last 100 deliveries. */
  median_latency_seconds: Uint | null;
  worst_latency_seconds: Uint | null;
  paused_until: Time | null;
};

export type Solvency = {
  contract: string;
  address: Address;
  held_wei: Wei;
  owed_wei: Wei;
  is_solvent: boolean;
  block: Uint;
};

export type Totals = {
  providers: Uint;
  devices: Uint;
  offers: Uint;
  offers_available: Uint;
  rentals: Uint;
  rentals_active: Uint;
  challenges: Uint;
  proposals: Uint;
};

export type Network = {
  /** The index has reached the heads that the node sees. */
  is_caught_up: boolean;
  chains: Array<ChainStatus>;
  kings: Array<{
  chain: ChainName;
  set: KingSet;
}>;
  queens: Queens | null;
  bridge: Array<BridgeDirection>;
  solvency: Array<Solvency>;
  totals: Totals;
};

/** Data of the SSE type `head`: the index has taken in this block. */
export type HeadEvent = {
  chain: ChainName;
  block: Uint;
  timestamp: Time;
};

/** Data of the SSE type `reorg`: what was told of blocks above `to_block` is void. Load again what you show. */
export type ReorgEvent = {
  chain: ChainName;
  to_block: Uint;
};

/** Data of the SSE type `reset`: it cannot be continued from the given id. Load again what you show. */
export type ResetEvent = {
  reason: "unknown_id" | "too_far_behind" | "reorganised";
};

/** A page of Offer. */
export type OfferPage = {
  items: Array<Offer>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of ProviderSummary. */
export type ProviderSummaryPage = {
  items: Array<ProviderSummary>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Verdict. */
export type VerdictPage = {
  items: Array<Verdict>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Rental. */
export type RentalPage = {
  items: Array<Rental>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Event. */
export type EventPage = {
  items: Array<Event>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Challenge. */
export type ChallengePage = {
  items: Array<Challenge>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Message. */
export type MessagePage = {
  items: Array<Message>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Stake. */
export type StakePage = {
  items: Array<Stake>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Delegation. */
export type DelegationPage = {
  items: Array<Delegation>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Case. */
export type CasePage = {
  items: Array<Case>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Proposal. */
export type ProposalPage = {
  items: Array<Proposal>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Vote. */
export type VotePage = {
  items: Array<Vote>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Allocation. */
export type AllocationPage = {
  items: Array<Allocation>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** A page of Slash. */
export type SlashPage = {
  items: Array<Slash>;
  /** Pass it as `cursor` for the next page; null on the last one. */
  next_cursor: string | null;
};

/** Names of all events, in the order of the description. */
export const EVENT_TYPES = ["offer_created","offer_changed","reserve_changed","rental_requested","rental_ready","session_opened","terms_changed","work_report_applied","rental_closed","rental_extended","delegate_set","maintenance_declared","fault_recorded","compensated","rental_frozen","rental_unfrozen","deadline_requested","credited","credit_delayed","credit_released","credit_claimed","withdrawals_paused","case_opened","committee_drawn","case_voted","case_closed","case_credited","case_claimed","staked","operator_set","unstake_requested","withdrawn","device_added","device_retired","device_released","worker_changed","device_report_applied","slashed","slashed_by_vote","slash_divided","slash_credit_claimed","seat_taken","seat_lost","queens_announced","commission_announced","stake_delegated","undelegation_requested","delegation_withdrawn","rewards_claimed","votes_delegated","class_set","proposal_created","vote_cast","proposal_queued","proposal_executed","proposal_canceled","allocation_created","allocation_released","allocation_revoked","fee_received","staking_rewarded","rental_rewarded","reward_claimed","message_dispatched","checkpoint_accepted","message_delivered","message_failed","king_set_installed","king_set_recovered","bridge_paused","bridge_resumed","king_convicted","challenge_opened","challenge_sealed","challenge_judged","work_committed","work_proven","commit_voided","device_settled","device_reported","rental_reported","device_registered","device_dropped","terms_arrived","worker_key_set","sample_demanded","demand_answered","answer_missing","queens_seated","class_added","reputation_updated","renter_recorded"] as const;

/** Paths that answer JSON. */
export const PATHS = ["/config","/network","/offers","/offers/{id}","/offers/{id}/quote","/providers","/providers/{address}","/providers/{address}/verdicts","/providers/{address}/events","/devices/{id}","/devices/{id}/verdicts","/rentals","/rentals/{id}","/rentals/{id}/events","/rentals/{id}/verdicts","/rentals/{id}/messages","/cases","/cases/{id}","/challenges","/challenges/{block}","/challenges/{block}/verdicts","/messages","/messages/{origin}/{index}","/stakes","/stakes/{address}","/stakes/{address}/delegations","/slashes","/accounts/{address}","/accounts/{address}/events","/proposals","/proposals/{id}","/proposals/{id}/votes","/distribution","/allocations","/allocations/{id}","/events","/openapi.json"] as const;
