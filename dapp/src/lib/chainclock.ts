/** Ends and deadlines are in the time of the chain, which need not be that of this machine. */
import { signal } from '@preact/signals';

export interface Head {
  chain: 'ethereum' | 'classic';
  block: string;
  timestamp: string;
}

/** Newest block of each chain that the node has told of. */
export const heads = signal<Partial<Record<Head['chain'], Head>>>({});
/** Chain's time minus ours, in seconds. Zero until a block is known. */
const offset = signal(0);
const tick = signal(Math.floor(Date.now() / 1000));
setInterval(() => {
  tick.value = Math.floor(Date.now() / 1000);
}, 1_000);

/** Unix seconds on Ethereum now, which is where money and ends are. Reading it in a component renders that every second. */
export function chainNow(): number {
  return tick.value + offset.value;
}

export function noteHead(head: Head): void {
  heads.value = { ...heads.value, [head.chain]: head };
  if (head.chain !== 'ethereum') return;
  const difference = Number(head.timestamp) - Math.floor(Date.now() / 1000);
  // A block is up to one block interval old when it is seen; only what that cannot explain is a different clock.
  offset.value = Math.abs(difference) > 30 ? difference : 0;
}
