import { describe, expect, it } from 'vitest';
import { EMPTY, reduce, type Resource } from '../src/api/resource';
import type { Event, Rental, Verdict } from '../src/api/schema';
import { rentOf, split } from '../src/lib/money';
import { parseRoute } from '../src/lib/route';
import { merge, rewind } from '../src/lib/timeline';
import { stretches } from '../src/plots/history';
import { layout } from '../src/plots/verdicts';
import { phaseOf } from '../src/ui/rentalstate';
import { walletOf } from '../src/wallet/discovery';
import { peerIdBytes } from '../src/wallet/peerid';

const event = (chain: Event['chain'], block: number, log: number, timestamp: number, text = '') =>
  ({ id: `${chain}-${block}-${log}`, chain, block: String(block), log_index: String(log), timestamp: String(timestamp), text }) as Event;

describe('resources', () => {
  it('keeps what was shown while something newer fails, and says that it is old', () => {
    let state: Resource<number> = reduce(EMPTY, { type: 'answered', data: 1 });
    state = reduce(state, { type: 'asked' });
    expect(state).toMatchObject({ data: 1, busy: true, stale: false });
    state = reduce(state, { type: 'failed', error: 'away' });
    expect(state).toMatchObject({ data: 1, error: 'away', stale: true, busy: false });
    state = reduce(state, { type: 'answered', data: 2 });
    expect(state).toEqual({ data: 2, error: null, busy: false, stale: false });
    expect(reduce(state, { type: 'other' })).toEqual(EMPTY);
    expect(reduce<number>(EMPTY, { type: 'failed', error: 'x' }).stale).toBe(false);
  });
});

describe('timeline', () => {
  const steps = merge([], [event('classic', 9, 0, 30), event('ethereum', 5, 1, 10), event('ethereum', 5, 0, 10)]);

  it('orders both chains by time, and each event stands once', () => {
    expect(steps.map(({ id }) => id)).toEqual(['ethereum-5-0', 'ethereum-5-1', 'classic-9-0']);
    const again = merge(steps, [event('ethereum', 5, 1, 10, 'newer')]);
    expect(again).toHaveLength(3);
    expect(again[1]?.text).toBe('newer');
  });

  it('takes back what a reorganisation has undone, on that chain only', () => {
    expect(rewind(steps, 'ethereum', 4n).map(({ id }) => id)).toEqual(['classic-9-0']);
    expect(rewind(steps, 'classic', 9n)).toHaveLength(3);
    const other = merge(rewind(steps, 'ethereum', 4n), [event('ethereum', 5, 0, 12)]);
    expect(other.map(({ id }) => id)).toEqual(['ethereum-5-0', 'classic-9-0']);
  });
});

const rental = (changes: Partial<Rental> = {}): Rental => ({
  state: 'active', start: '100', end: '200', covered_until: null, price_per_second_wei: '10', segments: [],
  money: { escrowed_wei: '1100', paid_wei: '0', refunded_wei: '0', fees_wei: '100', held_wei: '1000', compensated_wei: '0' },
  opened_at: '105', frozen_from: null, close_reason: null, fault: null, ...changes,
}) as Rental;

describe('money', () => {
  it('adds up to the wei at any time', () => {
    for (const now of [0, 100, 133, 200, 10_000]) {
      const { escrowed, paid, fees, refunded, running, held } = split(rental(), now);
      expect(paid + fees + refunded + running + held).toBe(escrowed);
      expect(held >= 0n && running >= 0n).toBe(true);
    }
    expect(split(rental(), 150).running).toBe(500n);
    expect(split(rental({ covered_until: '140' }), 150).running).toBe(100n);
    expect(split(rental({ state: 'completed' }), 150).running).toBe(0n);
  });

  it('counts time at the price at which it was bought', () => {
    const bought = rental({ segments: [{ from: '150', price_per_second_wei: '20' }] });
    expect(rentOf(bought, 140, 160)).toBe(300n);
    expect(rentOf(bought, 160, 150)).toBe(0n);
  });
});

describe('small things', () => {
  it('routes', () => {
    expect(parseRoute('')).toMatchObject({ page: 'offers', id: null });
    const { page, id, query } = parseRoute('#/rentals/12?show=all');
    expect([page, id, query.get('show')]).toEqual(['rentals', '12', 'all']);
    expect(parseRoute('#/votes/%E0%A4%A').id).toBe('%E0%A4%A');
  });

  it('tells where a rental stands', () => {
    expect(phaseOf(rental(), 150).text).toBe('running');
    expect(phaseOf(rental(), 200).text).toBe('ended, settling');
    expect(phaseOf(rental({ opened_at: null }), 150).text).toBe('ready, not opened');
    expect(phaseOf(rental({ frozen_from: '1' }), 150).tone).toBe('warn');
    expect(phaseOf(rental({ state: 'completed', close_reason: 'completed' }), 150)).toEqual({ tone: 'good', text: 'completed' });
    expect(phaseOf(rental({ state: 'completed', close_reason: 'aborted', fault: 'aborted' }), 150).tone).toBe('bad');
  });

  it('takes only wallets of the right form', () => {
    const provider = { request: async () => null };
    expect(walletOf(undefined)).toBeNull();
    expect(walletOf({ info: { name: 'X' } })).toBeNull();
    expect(walletOf({ info: { name: 'X', rdns: 'x.y', icon: 'https://evil/pixel.png' }, provider })?.icon).toBe('');
    expect(walletOf({ info: { name: 'X', rdns: 'x.y', icon: 'data:image/svg+xml,<svg/>' }, provider })?.icon).toContain('data:');
  });

  it('reads peer ids as their bytes', () => {
    const bytes = peerIdBytes('12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA');
    expect(bytes).toHaveLength(38);
    expect([...bytes.slice(0, 6)]).toEqual([0, 36, 8, 1, 18, 32]);
    expect(() => peerIdBytes('12D3Koo0')).toThrow();
  });

  it('places every challenge inside the plot', () => {
    const one = (timestamp: number, verdict: Verdict['verdict'], elapsed: string | null) => ({ challenge: '1', timestamp: String(timestamp), verdict, elapsed_ms: elapsed }) as Verdict;
    const all = [one(5, 'passed', '400'), one(1, 'missed', null), one(9, 'passed', '900000')];
    for (const { x, y } of layout(all, { passMs: 1_000, referenceMs: null }).marks) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x).toBeLessThanOrEqual(640);
      expect(y).toBeGreaterThanOrEqual(0);
      expect(y).toBeLessThanOrEqual(190);
    }
    expect(layout([], { passMs: null, referenceMs: null }).marks).toEqual([]);
    const bars = stretches(all, 3);
    expect(bars.reduce((sum, bar) => sum + bar.passed + bar.missed + bar.other, 0)).toBe(3);
  });
});
