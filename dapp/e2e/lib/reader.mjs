// The few answers that contracts.test.mjs needs, read from the contracts at each request. It stands in for a node's index where none
// runs: what it gives has the form that docs/openapi.json describes, and the figures are those of the chain.
import { busy, empty } from './fixtures.mjs';

const STATES = ['requested', 'requested', 'active', 'completed', 'cancelled'];
const REASONS = [null, 'completed', 'not_ready', 'never_opened', 'deadline_passed', 'aborted', 'judged', 'bridge_down'];
const PROPOSALS = ['pending', 'active', 'canceled', 'defeated', 'succeeded', 'queued', 'expired', 'executed'];
const text = (value) => String(value).toLowerCase();
const or = (value) => (value ? text(value) : null);

export function reader({ read, addresses, client }) {
  const { bridge, ...eth } = addresses.ethereum;
  delete eth.chain_id; delete eth.start_block; delete eth.staking_pools; delete eth.gpu_rental_terms;
  const proposals = [];

  async function config() {
    const [rental, court, staking] = await Promise.all([read('GPURental', 'parameters'), read('RentalCourt', 'parameters'), read('StakingManager', 'parameters')]);
    return {
      ...busy['/config'],
      contracts: { ...busy['/config'].contracts, ethereum: { ...eth, ...bridge } },
      token: { ...busy['/config'].token, address: eth.gpu_token, name: await read('GPUToken', 'name') },
      rental: { ...busy['/config'].rental, bridge_fee_wei: text(rental.bridgeFee), ready_fee_wei: text(rental.readyFee), ready_window_seconds: text(rental.readyWindow), start_window_seconds: text(rental.startWindow), minimum_bill_seconds: text(rental.minimumBill) },
      court: { ...busy['/config'].court, bond_wei: text(court.bond), judge_fee_wei: text(court.judgeFee), verdict_window_seconds: text(court.verdictWindow) },
      staking: { ...busy['/config'].staking, minimum_provider_stake_wei: text(staking.minimumProviderStake), minimum_queen_stake_wei: text(staking.minimumQueenStake), minimum_king_stake_wei: text(staking.minimumKingStake), unbonding_period_seconds: text(staking.unbondingPeriod) },
    };
  }

  async function offer(id) {
    const [found, held] = await Promise.all([read('GPURental', 'offer', [BigInt(id)]), read('GPURental', 'activeRental', [1n])]);
    return {
      ...busy['/offers/1'], id, device: text(found.deviceId), provider: text(found.provider), price_per_second_wei: text(found.pricePerSecond), price_per_hour_wei: text(found.pricePerSecond * 3600n),
      min_duration_seconds: text(found.minDuration), max_duration_seconds: text(found.maxDuration), region: 'eu-test', is_available: held === 0n,
      availability: held === 0n ? { state: 'rentable', rental: null, reason: null } : { state: 'rented', rental: text(held), reason: 'rented until its end' },
    };
  }

  async function rental(id) {
    const [r, details, parameters] = await Promise.all([read('GPURental', 'rental', [BigInt(id)]), read('GPURental', 'details', [BigInt(id)]), read('GPURental', 'parametersOf', [BigInt(id)])]);
    const isOver = r.state >= 3;
    return {
      ...busy['/rentals/12'], id, offer: text(r.offerId), device: text(r.deviceId), renter: text(r.renter), provider: text(r.provider), session_key: text(r.sessionKey), state: STATES[r.state], close_reason: REASONS[r.closeReason], close_text: REASONS[r.closeReason],
      requested_at: text(r.requestedAt), ready_until: text(r.requestedAt + parameters.readyWindow), start: or(r.start), end: or(r.end), opened_at: or(r.openedAt), closed_at: isOver ? text((await client.getBlock()).timestamp) : null, frozen_from: or(details.frozenFrom),
      covered_until: or(r.coveredUntil), duration_seconds: text(r.duration), price_per_second_wei: text(r.pricePerSecond), verified_seconds: text(r.verifiedSeconds), challenges_due: text(r.due), challenges_passed: text(r.passed),
      money: { escrowed_wei: text(r.escrowed), paid_wei: text(r.paid), refunded_wei: text(r.refunded), fees_wei: text(r.fees), held_wei: text(r.escrowed - r.paid - r.refunded - r.fees), compensated_wei: '0' },
    };
  }

  async function account(address) {
    const [s, credit] = await Promise.all([read('StakingManager', 'staker', [address]), read('GPURental', 'credit', [address])]);
    const stake = s.role === 0 ? null : { ...busy['/stakes'].items[0], account: address, role: ['', 'provider', 'queen', 'king'][s.role], operator: text(s.operator), staked_wei: text(s.staked), locked_wei: text(s.locked), unbonding_wei: text(s.unbonding), unbonds_at: or(s.unbondsAt), retiring_wei: text(s.retiring) };
    return { ...empty[Object.keys(empty).find((path) => path.startsWith('/accounts/'))], address, stake, rental_credit_wei: text(credit) };
  }

  async function proposal({ id, args, votes = [] }) {
    const [state, [against, yes, none], eta, end] = await Promise.all([read('Governance', 'state', [id]), read('Governance', 'proposalVotes', [id]), read('Governance', 'proposalEta', [id]), read('Governance', 'proposalDeadline', [id])]);
    return { ...busy['/proposals'].items[0], id: text(id), title: 'A test', description: args.description, state: PROPOSALS[state], for_wei: text(yes), against_wei: text(against), abstain_wei: text(none), quorum_wei: null, vote_start: text(args.voteStart), vote_end: text(end), executable_at: or(eta), votes };
  }

  const routes = [
    [/^\/config$/, config],
    [/^\/offers\/(\d+)\/quote$/, async (id, query) => {
      const [rent, protocol, bridgeFee, ready, total] = await read('GPURental', 'quote', [BigInt(id), Number(query.get('duration_seconds'))]);
      return { offer: id, duration_seconds: query.get('duration_seconds'), rent_wei: text(rent), protocol_fee_wei: text(protocol), bridge_fee_wei: text(bridgeFee), ready_fee_wei: text(ready), total_wei: text(total) };
    }],
    [/^\/offers\/(\d+)$/, offer],
    [/^\/offers$/, async () => ({ items: [await offer('1')], next_cursor: null })],
    [/^\/rentals\/(\d+)$/, rental],
    [/^\/rentals\/(\d+)\/(events|verdicts|messages)$/, async () => ({ items: [], next_cursor: null })],
    [/^\/accounts\/(0x[0-9a-f]{40})$/, account],
    [/^\/proposals\/(\d+)$/, (id) => proposal(proposals.find((one) => String(one.id) === id))],
    [/^\/proposals\/(\d+)\/votes$/, async () => ({ items: [], next_cursor: null })],
  ];
  const answers = { ...empty, '/cases': { items: [], next_cursor: null } };
  const streams = new Set();
  const handler = async (asked, answer) => {
    const url = new URL(asked.url, 'http://x');
    const path = url.pathname.replace('/api/v1', '');
    if (path === '/events') {
      answer.writeHead(200, { 'Content-Type': 'text/event-stream' }).write(': hello\n\n');
      streams.add(answer);
      return answer.on('close', () => streams.delete(answer));
    }
    try {
      const found = routes.map(([pattern, give]) => [pattern.exec(path), give]).find(([match]) => match);
      const body = found ? await found[1](found[0][1], url.searchParams) : answers[path];
      if (!body) throw new Error('no such thing');
      return answer.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
    } catch (error) {
      return answer.writeHead(404, { 'Content-Type': 'application/json' }).end(JSON.stringify({ code: 'E-API-004', message: error.shortMessage ?? error.message, next: '' }));
    }
  };
  /** Something happened: whoever shows it asks again. */
  const tell = (type, data) => { for (const stream of streams) stream.write(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`); };
  return { handler, proposals, again: () => tell('reset', { reason: 'unknown_id' }) };
}
