/** One stream of server-sent events for the whole page, and who wants to hear of what. */
import { signal } from '@preact/signals';
import { noteHead, type Head } from '../lib/chainclock';
import { EVENT_TYPES, type ChainName, type Event } from './schema';

export type Connection = 'connecting' | 'live' | 'down';
export const connection = signal<Connection>('connecting');

export type News =
  | { kind: 'event'; event: Event }
  /** What was shown of blocks above `toBlock` on `chain` is void. */
  | { kind: 'reorg'; chain: ChainName; toBlock: bigint }
  /** Something may have been missed: everything shown has to be asked for again. */
  | { kind: 'again' };

type Listener = (news: News) => void;
const listeners = new Set<Listener>();

const FIRST_RETRY_MS = 1_000;
const LAST_RETRY_MS = 15_000;

let source: EventSource | null = null;
let lastId = '';
let retryMs = FIRST_RETRY_MS;
let wasDown = false;

export function listen(listener: Listener): () => void {
  listeners.add(listener);
  if (!source) open();
  return () => listeners.delete(listener);
}

function tell(news: News): void {
  for (const listener of [...listeners]) listener(news);
}

/** JSON of a message; null if it is none, which only costs that message. */
function parsed<T>(message: MessageEvent<string>): T | null {
  try {
    return JSON.parse(message.data) as T;
  } catch {
    return null;
  }
}

function open(): void {
  const resume = lastId ? `?last_event_id=${encodeURIComponent(lastId)}` : '';
  const stream = new EventSource(`/api/v1/events${resume}`);
  source = stream;
  stream.onopen = () => {
    retryMs = FIRST_RETRY_MS;
    connection.value = 'live';
    // Events of the gap come by their ids; answers that failed meanwhile do not.
    if (wasDown) tell({ kind: 'again' });
    wasDown = false;
  };
  stream.onerror = () => {
    wasDown = true;
    connection.value = 'down';
    // The browser gives up for good on some failures, and quickly asks again on others: both become one growing pause.
    stream.close();
    setTimeout(open, retryMs);
    retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
  };
  for (const type of EVENT_TYPES) {
    stream.addEventListener(type, (message) => {
      if (message.lastEventId) lastId = message.lastEventId;
      const event = parsed<Event>(message);
      if (event) tell({ kind: 'event', event });
    });
  }
  stream.addEventListener('head', (message) => {
    const head = parsed<Head>(message as MessageEvent<string>);
    if (head) noteHead(head);
  });
  stream.addEventListener('reorg', (message) => {
    const reorg = parsed<{ chain: ChainName; to_block: string }>(message as MessageEvent<string>);
    if (reorg) tell({ kind: 'reorg', chain: reorg.chain, toBlock: BigInt(reorg.to_block) });
  });
  stream.addEventListener('reset', () => {
    lastId = '';
    tell({ kind: 'again' });
  });
}
