// Answers that one short devnet never gives together: slashes, refused messages, huge and tiny amounts, long lists. pages.test.mjs
// holds them to docs/openapi.json, so that they can not drift from what a node answers.
const NOW = Math.floor(Date.now() / 1000);
const at = (seconds) => String(NOW + seconds);
const hex = (digit, length) => `0x${String(digit).repeat(length)}`;
const account = (digit) => hex(digit, 40);
const hash = (digit) => hex(digit, 64);
const ONE = 10n ** 18n;
const wei = (tokens, rest = 0n) => (BigInt(tokens) * ONE + rest).toString();

export const RENTER = '0x71be63f3384f5fb98995898a86b02fb2426c5788';

const offer = (id, changes = {}) => ({
  id: String(id), device: String(id), provider: account(id % 2 ? 'a' : 'b'), class_version: '1', price_per_second_wei: '111111111111112', price_per_hour_wei: '400000000000003200',
  min_duration_seconds: '60', max_duration_seconds: '604800', region: ['eu-west', 'us-east', 'ap-south'][id % 3], attributes: '{"gpu":"Radeon RX 7900 XTX","ram":"64 GiB","uplink":"1 Gbit/s"}', created_at: at(-90_000),
  is_paused: false, is_available: true, availability: { state: 'rentable', rental: null, reason: null }, score_ppm: '991250', performance_permille: '1040', speed_per_token: '2600000', last_full_pass: at(-340),
  fresh_until: at(6_000), faults: '0', uptime_ppm: '990000', reserve_wei: wei(9), transaction: hash(1), ...changes,
});
const offers = [
  offer(1),
  offer(2, { price_per_second_wei: '83333333333334', price_per_hour_wei: '300000000000002400', performance_permille: '655', speed_per_token: '2183333', score_ppm: '948000', uptime_ppm: '950000' }),
  offer(3, { price_per_second_wei: '347222222222222222223', price_per_hour_wei: '1250000000000000000002800', performance_permille: '8123', speed_per_token: '6', score_ppm: '999999', uptime_ppm: null, attributes: 'plain words', last_full_pass: '0', is_available: false, availability: { state: 'unverified', rental: null, reason: 'no full challenge passed lately' } }),
  offer(4, { is_available: false, availability: { state: 'rented', rental: '12', reason: 'rented until its end' }, faults: '2', region: '' }),
];
const counts = { settled: '412', passed: '401', missed: '6', unmeasured: '3', void: '2' };
const devices = [
  { id: '1', provider: account('a'), worker: account('c'), class_version: '1', registered_at: at(-900_000), removed_at: null, locked_stake_wei: wei(5_000), last_full_pass: at(-340), score_ppm: '991250', performance_permille: '1040', faults: '0', uptime_ppm: '990000', challenges: counts, reserve_wei: wei(9), rental: '12', offers: ['1'], on_classic: true },
  { id: '3', provider: account('a'), worker: account('d'), class_version: '1', registered_at: at(-700_000), removed_at: at(-5_000), locked_stake_wei: wei(5_000), last_full_pass: at(-9_340), score_ppm: '520000', performance_permille: '655', faults: '2', uptime_ppm: '610000', challenges: counts, reserve_wei: '0', rental: null, offers: ['3'], on_classic: true },
];
const pool = { total_wei: wei(120_000, 7n), shares: '120000000000000000000000', unbonding_shares: '0', is_open: true, commission_bps: '1000', next_commission_bps: '1500', commission_changes_at: at(50_000) };
const stake = (name, role, changes = {}) => ({ account: name, role, operator: account('e'), peer_id_hash: hash(0), staked_wei: wei(100_000), locked_wei: wei(10_000), unbonding_wei: '0', unbonds_at: null, retiring_wei: '0', retires_at: null, is_seated: role !== 'provider', pool, slashed_wei: '0', since: at(-900_000), ...changes });
const stakes = [stake(account('1'), 'king'), stake(account('2'), 'queen', { pool: { ...pool, is_open: false, total_wei: '0' } }), stake(account('a'), 'provider', { unbonding_wei: wei(5), unbonds_at: at(3_000), slashed_wei: wei(5_000) })];
const summary = (name, changes = {}) => ({ account: name, is_active: true, score_ppm: '991250', uptime_ppm: '990000', staked_wei: wei(100_000), delegated_wei: wei(120_000, 7n), slashed_wei: wei(5_000), devices: '2', offers: '2', rentals: '37', rentals_active: '1', rentals_completed: '34', rentals_faulted: '2', earned_wei: wei(1_234, 567_890_123_456_789_012n), challenges: counts, since: at(-900_000), ...changes });
const slash = { account: account('a'), device: '3', amount_wei: wei(5_000), reason: 'wrong_proof', reporter: account('f'), renter: null, timestamp: at(-80_000), transaction: hash(5) };

const VERDICTS = ['passed', 'passed', 'passed', 'missed', 'passed', 'unmeasured', 'passed', 'passed', 'void', 'passed', 'passed', 'passed', 'committed'];
const verdict = (index, seconds, extra = {}) => ({
  challenge: String(5_000 + index * 12), index: String(index), timestamp: at(seconds), device: '1', rental: '12', mode: 'light', verdict: VERDICTS[index % VERDICTS.length],
  elapsed_ms: ['missed', 'unmeasured', 'void'].includes(VERDICTS[index % VERDICTS.length]) ? null : String(1_840 + ((index * 377) % 900)), root: hash(6), receipts: '3', demands: '0', is_closing: false,
  commit_transaction: hash(7), proof_transaction: index % 3 ? null : hash(8), settled_transaction: hash(9), ...extra,
});
const verdicts = Array.from({ length: 13 }, (_, index) => verdict(index, -3_000 + index * 230));
const history = Array.from({ length: 160 }, (_, index) => verdict(index, -900_000 + index * 5_500, { mode: index % 4 ? 'full' : 'light', rental: null }));

const money = { escrowed_wei: wei(2, 41_000_000_000_000_006n), paid_wei: wei(0, 733_333_333_333_339_200n), refunded_wei: wei(0, 25_555_555_555_555_760n), fees_wei: wei(0, 100_000_000_000_000_000n), held_wei: wei(1, 182_111_111_111_105_046n), compensated_wei: '0' };
const rental = (id, changes = {}) => ({
  id: String(id), offer: '1', device: '1', renter: RENTER, provider: account('a'), session_key: account('5'), delegate: null, state: 'active', close_reason: null, close_text: null, fault: null, terms_version: '1',
  duration_seconds: '14400', price_per_second_wei: '111111111111112', requested_at: at(-7_220), ready_until: at(-6_900), start: at(-7_200), end: at(7_200), opened_at: at(-7_150), closed_at: null, frozen_from: null, deadline_at: null,
  covered_until: at(-370), verified_seconds: '6600', challenges_due: '12', challenges_passed: '11', money, segments: [], maintenance: [], cases: [], transaction: hash(1), ...changes,
});
const rentals = [
  rental(12),
  rental(11, { state: 'requested', start: null, end: null, opened_at: null, covered_until: null, ready_until: at(240), requested_at: at(-60), money: { ...money, paid_wei: '0', refunded_wei: '0', fees_wei: '0', held_wei: money.escrowed_wei } }),
  rental(10, { state: 'completed', close_reason: 'completed', close_text: 'completed: the closing challenge was passed', closed_at: at(-40_000), end: at(-41_000), money: { ...money, held_wei: '0', paid_wei: wei(1, 915_444_444_444_444_246n) } }),
  rental(9, { state: 'completed', close_reason: 'aborted', close_text: 'the provider ended it', fault: 'aborted', closed_at: at(-90_000), end: at(-91_000), money: { ...money, held_wei: '0', paid_wei: '0', refunded_wei: wei(1, 940_000_000_000_000_000n), compensated_wei: wei(1, 500_000_000_000_000_000n) } }),
  rental(8, { frozen_from: at(-600), cases: ['3'], segments: [{ from: at(-2_000), price_per_second_wei: '122222222222222' }], maintenance: [{ from: at(1_000), until: at(2_000) }] }),
];
const event = (id, chain, type, seconds, text, extra = {}) => ({ id: `${chain}-${id}-0`, chain, type, block: String(id), log_index: '0', block_hash: hash(2), transaction: hash(3), timestamp: at(seconds), text, account: RENTER, provider: account('a'), offer: '1', device: '1', rental: '12', challenge: null, message: null, message_origin: null, case: null, proposal: null, allocation: null, amount_wei: null, ...extra });
const events = [
  event(100, 'ethereum', 'rental_requested', -7_220, 'rental 12 was paid into escrow', { amount_wei: money.escrowed_wei }),
  event(104, 'ethereum', 'rental_ready', -7_200, 'the provider is ready: the meter starts'),
  event(108, 'ethereum', 'session_opened', -7_150, 'the renter logged in'),
  event(5_012, 'classic', 'terms_arrived', -6_990, 'the terms of the rental arrived'),
  event(5_024, 'classic', 'work_committed', -2_600, 'device 1 committed its work'),
  event(5_040, 'classic', 'device_settled', -2_500, 'device 1 passed the challenge of block 5024'),
  event(5_042, 'classic', 'rental_reported', -2_480, 'a report of the rental left'),
  event(160, 'ethereum', 'work_report_applied', -370, 'verified time up to the report was paid', { amount_wei: '733333333333339200' }),
];
const message = (index, origin, stage, extra = {}) => ({ origin, index: String(index), id: hash(4), sender: account('6'), recipient: account('7'), kind: origin === 'ethereum' ? 'rental_terms' : 'work_report', stage, rental: '12', device: null, dispatched_at: at(-200), dispatched_block: '5100', dispatched_transaction: hash(4), failed: false, delivered_at: null, delivered_block: null, delivered_transaction: null, latency_seconds: null, ...extra });
const messages = [message(41, 'classic', 'signed'), message(40, 'classic', 'final', { failed: true }), message(31, 'ethereum', 'delivered', { delivered_at: at(-6_990), delivered_block: '5012', delivered_transaction: hash(5), latency_seconds: '210' })];
const courtCase = { id: '3', rental: '8', kind: 'complaint', status: 'open', opener: RENTER, evidence: hash('c'), draw_block: '900', committee: [account('2'), account('3'), RENTER], ayes: '1', nays: '0', opened_at: at(-600), closed_at: null, transaction: hash('d') };

const delegation = { delegator: RENTER, account: account('1'), shares: '500000000000000000000', unbonding_shares: '100000000000000000000', unbonds_at: at(5_000), value_wei: wei(512, 345_678_901_234_567_890n), unbonding_value_wei: wei(102) };
const me = { address: RENTER, stake: null, delegation, votes_delegate: null, rental_credit_wei: wei(12, 345_678_901_234_567_891n), delayed_credits: [{ amount_wei: wei(70_000), available_at: at(9_000) }], court_credit_wei: '0', stake_credit_wei: '1', reward_credit_wei: wei(3), allocations: ['4'], rentals_as_renter: '5', rentals_as_provider: '0', rentals_completed: '2', complaints_lost: '0' };
const proposal = (id, state, extra = {}) => ({ id, title: 'Lower the protocol fee from 2 % to 1.5 %', description: '# Lower the protocol fee from 2 % to 1.5 %\n\nRentals have grown by half; the treasury covers two years.\nhttps://example.org/a-very-long-address-that-does-not-break/anywhere/in/the/middle/of/it', proposer: account('1'), state, for_wei: wei(1_850_000, 5n), against_wei: wei(310_000), abstain_wei: wei(12), quorum_wei: wei(1_420_000), vote_start: at(-9_000), vote_end: at(90_000), executable_at: null, created_at: at(-10_000), actions: [{ target: account('9'), contract: 'GPURental', value_wei: '0', data: `0x1234abcd${'00'.repeat(64)}` }], description_hash: hash('e'), transaction: hash('f'), ...extra });
const proposals = [proposal('73185274921847219847291847291847', 'active'), proposal('88', 'queued', { executable_at: at(3_000), title: 'Admit class 2' }), proposal('77', 'defeated', { title: '', for_wei: '0', against_wei: '0', abstain_wei: '0' })];
const vote = { proposal: proposals[0].id, voter: account('1'), support: 'for', weight_wei: wei(1_850_000, 5n), reason: 'cheaper rentals', timestamp: at(-3_000), transaction: hash(1) };
const allocation = { id: '4', beneficiary: RENTER, category: 'team', amount_wei: wei(100_000_000), start: at(-40_000_000), cliff_seconds: '31536000', duration_seconds: '126144000', is_revocable: true, revoked_at: null, vested_wei: wei(31_709_791, 983_764_586_504_312_531n), released_wei: wei(20_000_000), releasable_wei: wei(11_709_791, 983_764_586_504_312_531n), transaction: hash(1) };
const distribution = { emission_start: at(-4_000_000), fees_received_wei: wei(812), burned_wei: wei(406), staking_rewards: [{ role: 'king', amount_wei: wei(99_000) }, { role: 'queen', amount_wei: wei(66_000) }], rental_rewards_wei: wei(210), loyalty_rewards_wei: wei(41), claimed_wei: wei(100), provider_staking_bps: '2500', queen_staking_bps: '1000', king_staking_bps: '1500', rental_bps: '5000', provider_fee_bps: '5000', loyalty_tiers: [{ fees_wei: '0', reward_bps: '1000' }, { fees_wei: wei(100), reward_bps: '2000' }], class_rewards: [{ class_version: '1', per_hour_wei: wei(1) }], allocated_wei: wei(354_900_000), released_wei: wei(24_900_000) };

const mode = { memory_bytes: String(24n << 30n), matrix_size: '8192', inner_size: '4096', rounds: '12', reference_ms: '1900', pass_ms: '2850', unmeasured_ms: '5700' };
const config = {
  version: '0.9.0', ethereum: { chain_id: '31301', start_block: '1' }, classic: { chain_id: '31361', start_block: '1' },
  contracts: {
    ethereum: { outbox: account(1), inbox: account(1), king_set: account(1), gpu_token: account(2), staking_manager: account(3), gpu_rental: account(4), rental_court: account(5), king_court: account(6), token_distributor: account(7), governance: account(8), timelock: account(9), faucet: null },
    classic: { outbox: account(1), inbox: account(1), king_set: account(1), work_verification: account(1), reputation_system: account(1), proof_verifier: account(1) },
  },
  token: { address: account(2), name: 'GPU Market Token', symbol: 'GPUTOKEN', decimals: '18', permit_version: '1' },
  rental: { version: '1', protocol_fee_bps: '200', bridge_fee_wei: wei(0, 500_000_000_000_000_000n), ready_fee_wei: wei(0, 100_000_000_000_000_000n), ready_window_seconds: '300', start_window_seconds: '900', minimum_bill_seconds: '600', freshness_seconds: '86400', settle_timeout_seconds: '86400' },
  safeguards: { compensation_seconds: '86400', reserve_seconds: '0', grace_window_seconds: '2592000', maintenance_notice_seconds: '86400', maintenance_budget_seconds: '28800', deadline_notice_seconds: '86400', hard_deadline_seconds: '2592000', outage_share_bps: '5000' },
  court: { bond_wei: wei(50), judge_fee_wei: wei(10), committee_size: '3', draw_delay_blocks: '4', verdict_window_seconds: '172800', finality_seconds: '1200' },
  staking: { minimum_provider_stake_wei: wei(5_000), minimum_queen_stake_wei: wei(50_000), minimum_king_stake_wei: wei(100_000), missing_answer_penalty_wei: wei(500), unbonding_period_seconds: '3024000', vote_slash_cap_bps: '5000', burn_bps: '4000', treasury_bps: '3000', renter_bps: '2000', reporter_bps: '1000' },
  work: { version: '1', beacon_period_blocks: '64', beacon_spacing_blocks: '16', commit_window_blocks: '12', dispute_window_blocks: '12', answer_window_blocks: '12', proof_rate: '64', proof_samples: '16', committee_size: '7', mode_slack_seconds: '60', bridge_max_seconds: '7200' },
  finality: { ethereum_stride_blocks: '4', classic_stride_blocks: '8', classic_min_depth_blocks: '12', ethereum_to_classic_seconds: '912', classic_to_ethereum_seconds: '2310' },
  classes: [{ class_version: '1', stake_wei: wei(5_000), full: mode, light: { ...mode, memory_bytes: String(1n << 30n) }, reward_per_hour_wei: wei(1), offers: '4', devices: '2', expected_seconds_between_challenges: '830', overhead_ppm: '2300' }],
};
const way = (origin, extra = {}) => ({ origin, dispatched: '412', final: '411', signed: '410', delivered: '409', in_flight: '3', oldest_undelivered_at: at(-400), median_latency_seconds: '912', worst_latency_seconds: '3120', paused_until: null, ...extra });
const kings = { set_epoch: '4', expires_at: at(600_000), members: ['1', '2', '3', '4'].map((digit) => ({ address: account(digit), weight: '25' })) };
const network = {
  is_caught_up: true,
  chains: [{ chain: 'ethereum', chain_id: '31301', head: '21034567', head_timestamp: at(-4), head_hash: hash(1), is_silent: false, generation: '1' }, { chain: 'classic', chain_id: '31361', head: '20034567', head_timestamp: at(-700), head_hash: hash(2), is_silent: true, generation: '3' }],
  kings: [{ chain: 'ethereum', set: kings }, { chain: 'classic', set: kings }], queens: { epoch: '5', operators: ['5', '6', '7'].map(account) },
  bridge: [way('ethereum'), way('classic', { median_latency_seconds: null, worst_latency_seconds: null, oldest_undelivered_at: null, in_flight: '0', paused_until: at(4_000) })],
  solvency: [{ contract: 'GPURental', address: account(4), held_wei: wei(91_234, 1n), owed_wei: wei(91_234), is_solvent: true, block: '21034560' }, { contract: 'StakingManager', address: account(3), held_wei: wei(1), owed_wei: wei(2), is_solvent: false, block: '21034560' }],
  totals: { providers: '2', devices: '3', offers: '4', offers_available: '2', rentals: '41', rentals_active: '2', challenges: '412', proposals: '3' },
};
const challenge = { block: '5144', index: '12', block_hash: hash(3), timestamp: at(-240), is_sealed: true, verdict: 'valid', weight: '3', total_weight: '3', owners: '2', commits: '3', proven: '1', voided: '0', transaction: hash(4) };

const page = (items) => ({ items, next_cursor: null });
const byId = (list, name) => Object.fromEntries(list.map((entry) => [`/${name}/${entry.id}`, entry]));

/** Answers by path, as a busy market gives them. */
export const busy = {
  '/config': config,
  '/network': network,
  '/offers': page(offers),
  ...byId(offers, 'offers'),
  '/offers/1/quote': { offer: '1', duration_seconds: '3600', rent_wei: '400000000000003200', protocol_fee_wei: '8000000000000064', bridge_fee_wei: '500000000000000000', ready_fee_wei: '100000000000000000', total_wei: '1008000000000003264' },
  '/providers': page([summary(account('a')), summary(account('b'), { is_active: false, score_ppm: null, uptime_ppm: null, slashed_wei: '0', rentals_faulted: '0' })]),
  [`/providers/${account('a')}`]: { summary: summary(account('a')), stake: stakes[2], devices, offers: [offers[0], offers[2]], slashes: [slash] },
  [`/providers/${account('a')}/verdicts`]: page(history),
  [`/providers/${account('a')}/events`]: page(events),
  '/devices/1': devices[0],
  '/rentals': page(rentals),
  ...byId(rentals, 'rentals'),
  ...Object.fromEntries(rentals.flatMap(({ id }) => [[`/rentals/${id}/events`, page(events.slice(0, id === '11' ? 1 : 8))], [`/rentals/${id}/verdicts`, page(id === '11' ? [] : verdicts)], [`/rentals/${id}/messages`, page(id === '12' ? messages : [])]])),
  '/cases': page([]),
  '/cases?rental=8': page([courtCase]),
  '/challenges': page([challenge, { ...challenge, block: '5132', verdict: 'void' }, { ...challenge, block: '5120', verdict: 'open', is_sealed: false }]),
  '/messages': page(messages.slice(0, 2)),
  '/stakes': page(stakes),
  [`/accounts/${RENTER}`]: me,
  '/proposals': page(proposals),
  ...byId(proposals, 'proposals'),
  ...Object.fromEntries(proposals.map(({ id }) => [`/proposals/${id}/votes`, page(id === '88' ? [] : [vote])])),
  '/distribution': distribution,
  '/allocations': page([allocation]),
};

/** The same market on its first day. */
export const empty = {
  ...busy,
  ...Object.fromEntries(['/offers', '/providers', '/rentals', '/stakes', '/proposals', '/challenges', '/messages', '/allocations'].map((path) => [path, page([])])),
  [`/accounts/${RENTER}`]: { ...me, delegation: null, delayed_credits: [], rental_credit_wei: '0', stake_credit_wei: '0', reward_credit_wei: '0', allocations: [] },
  '/network': { ...network, kings: [], queens: null, solvency: [], bridge: [way('ethereum', { median_latency_seconds: null, worst_latency_seconds: null })], is_caught_up: false },
  '/distribution': { ...distribution, emission_start: null, staking_rewards: [] },
  '/config': { ...config, finality: { ...config.finality, ethereum_to_classic_seconds: null, classic_to_ethereum_seconds: null } },
};

/** An API out of such answers, with an event stream that `tell` writes to. */
export function answerer(answers) {
  const streams = new Set();
  const handler = (asked, answer) => {
    const url = new URL(asked.url, 'http://x');
    const path = url.pathname.replace('/api/v1', '');
    if (path === '/events') {
      answer.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
      answer.write(': hello\n\n');
      streams.add(answer);
      answer.on('close', () => streams.delete(answer));
      return;
    }
    const found = answers[`${path}?${[...url.searchParams].filter(([name]) => name === 'rental').map((pair) => pair.join('=')).join('&')}`] ?? answers[path];
    if (found === 'never') return;
    if (!found) {
      answer.writeHead(404, { 'Content-Type': 'application/json' }).end(JSON.stringify({ code: 'E-API-004', message: 'there is no such thing', next: 'check its number' }));
      return;
    }
    answer.writeHead(200, { 'Content-Type': 'application/json', ETag: `"${path.length}"` }).end(JSON.stringify(found));
  };
  const tell = (type, data, id = '') => { for (const stream of streams) stream.write(`event: ${type}\n${id ? `id: ${id}\n` : ''}data: ${JSON.stringify(data)}\n\n`); };
  return { handler, tell, event, streams };
}
