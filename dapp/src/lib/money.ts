/** Where the money of a rental is now. Exact where the chain has decided, and marked as an estimate where it has not. */
import type { Money, Rental } from '../api/schema';
import { big } from './amount';

export interface Split {
  escrowed: bigint;
  paid: bigint;
  fees: bigint;
  refunded: bigint;
  /** In escrow for time that has passed and that no report has decided yet. An estimate, at most what is held. */
  running: bigint;
  /** In escrow beyond that. */
  held: bigint;
  compensated: bigint;
}

/** Rent of the time from `from` to `until`, by the prices at which it was bought. */
export function rentOf(rental: Pick<Rental, 'price_per_second_wei' | 'segments'>, from: number, until: number): bigint {
  if (until <= from) return 0n;
  const later = [...rental.segments].sort((a, b) => Number(a.from) - Number(b.from));
  const pieces = [{ from: 0, price: big(rental.price_per_second_wei) }, ...later.map((s) => ({ from: Number(s.from), price: big(s.price_per_second_wei) }))];
  let sum = 0n;
  pieces.forEach((piece, at) => {
    const start = Math.max(from, piece.from);
    const end = Math.min(until, pieces[at + 1]?.from ?? until);
    if (end > start) sum += BigInt(end - start) * piece.price;
  });
  return sum;
}

export function split(rental: Rental, now: number): Split {
  const money: Money = rental.money;
  const held = big(money.held_wei);
  let running = 0n;
  if (rental.state === 'active' && rental.start && rental.end) {
    const from = Math.max(Number(rental.start), Number(rental.covered_until ?? 0));
    running = rentOf(rental, from, Math.min(now, Number(rental.end)));
    if (running > held) running = held;
  }
  return {
    escrowed: big(money.escrowed_wei),
    paid: big(money.paid_wei),
    fees: big(money.fees_wei),
    refunded: big(money.refunded_wei),
    running,
    held: held - running,
    compensated: big(money.compensated_wei),
  };
}
