/** The steps of a rental as one list over both chains, kept right through live events, repeats and reorganisations. */
import type { ChainName, Event } from '../api/schema';

export type Steps = ReadonlyArray<Event>;

function before(a: Event, b: Event): number {
  const time = Number(a.timestamp) - Number(b.timestamp);
  if (time !== 0) return time;
  if (a.chain !== b.chain) return a.chain === 'ethereum' ? -1 : 1;
  return Number(a.block) - Number(b.block) || Number(a.log_index) - Number(b.log_index);
}

/** `steps` with `more`: each event once, oldest first. A later version of an event wins, for it stands in the newer block. */
export function merge(steps: Steps, more: Steps): Steps {
  const byId = new Map<string, Event>();
  for (const event of [...steps, ...more]) byId.set(event.id, event);
  return [...byId.values()].sort(before);
}

/** `steps` without what stood in blocks of `chain` above `toBlock`, which are gone. */
export function rewind(steps: Steps, chain: ChainName, toBlock: bigint): Steps {
  return steps.filter((event) => event.chain !== chain || BigInt(event.block) <= toBlock);
}
