/** What went wrong, for people: one short title, one sentence with what to do. */
import { ApiDown, ApiError } from '../api/client';
import { format } from '../lib/amount';
import { sentence } from '../lib/text';
import { NoWallet, NotMined, Refused, Reverted, TooFewTokens, WrongChain } from './failures';

export interface Words {
  /** Stable, for tests and support. */
  kind: 'rejected' | 'wrong-chain' | 'balance' | 'gas' | 'refused' | 'reverted' | 'pending' | 'busy' | 'wallet' | 'node' | 'node-refused' | 'unknown';
  title: string;
  detail: string;
}

interface RpcError {
  code?: unknown;
  message?: unknown;
}

/** The error with a code or message that a wallet hid below others. */
export function chainOfCauses(error: unknown): RpcError[] {
  const found: RpcError[] = [];
  const queue: unknown[] = [error];
  while (queue.length > 0 && found.length < 12) {
    const next = queue.shift();
    if (!next || typeof next !== 'object' || found.includes(next)) continue;
    found.push(next);
    const { cause, data, error: inner } = next as { cause?: unknown; data?: unknown; error?: unknown };
    const { originalError } = (data ?? {}) as { originalError?: unknown };
    queue.push(cause, inner, originalError, typeof data === 'object' ? data : null);
  }
  return found;
}

/** Codes that say something by themselves; wallets wrap them into ones that do not. */
const TELLING: ReadonlyArray<number | string> = [4001, 'ACTION_REJECTED', 4100, 4200, 4900, 4901, 4902, -32002];

function codeOf(error: unknown): number | string | null {
  const codes = chainOfCauses(error).map(({ code }) => code);
  return TELLING.find((code) => codes.includes(code)) ?? null;
}

function messageOf(error: unknown): string {
  for (const { message } of chainOfCauses(error)) if (typeof message === 'string' && message) return message;
  return typeof error === 'string' ? error : 'no reason was given';
}

function ofOurs(error: unknown): Words | null {
  if (error instanceof WrongChain) {
    const detail = `Your wallet is on chain ${error.actual}; this market is on chain ${error.expected}. Switch and try again. Nothing was sent.`;
    return { kind: 'wrong-chain', title: 'Wrong chain', detail };
  }
  if (error instanceof TooFewTokens) {
    const missing = format(error.needed - error.balance);
    const detail = `${error.what} takes ${format(error.needed)} GPUTOKEN, and you have ${format(error.balance)}: ${missing} are missing. Nothing was sent.`;
    return { kind: 'balance', title: 'Not enough GPUTOKEN', detail };
  }
  if (error instanceof Refused) return { kind: 'refused', title: 'The contract refuses this', detail: `${sentence(error.words)} Nothing was spent.` };
  if (error instanceof Reverted) {
    const detail = 'Something changed between the check and its block, so the contract refused it. Gas was spent, no tokens moved.';
    return { kind: 'reverted', title: 'The transaction failed on chain', detail };
  }
  if (error instanceof NotMined) {
    const detail = `It was sent as ${error.hash} and is in no block yet. It may still be: look at your wallet before you send it again.`;
    return { kind: 'pending', title: 'Still waiting for a block', detail };
  }
  if (error instanceof NoWallet) return { kind: 'wallet', title: 'No wallet connected', detail: 'Connect a wallet first.' };
  return null;
}

function ofNode(error: unknown): Words | null {
  if (error instanceof ApiDown) {
    const detail = 'This node does not answer. What you see may be old; your money is on the chain and not touched by this. Trying again by itself.';
    return { kind: 'node', title: 'The node is away', detail };
  }
  if (error instanceof ApiError) {
    const detail = `${sentence(error.message)}${error.next ? ` ${sentence(error.next)}` : ''} (${error.code})`;
    return { kind: 'node-refused', title: error.status === 404 ? 'Not found' : 'The node cannot answer this', detail };
  }
  return null;
}

function ofWallet(error: unknown): Words {
  const code = codeOf(error);
  const message = messageOf(error);
  if (code === 4001 || code === 'ACTION_REJECTED' || /user (rejected|denied)|rejected by user/i.test(message)) {
    return { kind: 'rejected', title: 'You declined it in your wallet', detail: 'Nothing was sent and nothing was paid.' };
  }
  if (/insufficient funds/i.test(message)) {
    const detail = 'Your account has too little ether for the gas of this transaction. Add some and try again. Nothing was sent.';
    return { kind: 'gas', title: 'Not enough ether for gas', detail };
  }
  if (code === 4902) {
    return { kind: 'wrong-chain', title: 'Your wallet does not know this chain', detail: 'Add it with the address of an endpoint, below, then switch.' };
  }
  if (code === -32002) return { kind: 'busy', title: 'Your wallet waits for you', detail: 'It already asks something. Open it and answer there.' };
  if (code === 4100) return { kind: 'wallet', title: 'The wallet does not share this account', detail: 'Allow it for this page, then connect again.' };
  if (code === 4900 || code === 4901) return { kind: 'wallet', title: 'The wallet is offline', detail: 'It is not connected to this chain. Check its network.' };
  if (code === 4200) return { kind: 'wallet', title: 'The wallet cannot do this', detail: sentence(message) };
  if (error instanceof Error && error.name === 'ChunkLoadError' || /dynamically imported module/i.test(message)) {
    return { kind: 'node', title: 'A part of this page could not be loaded', detail: 'Load the page again.' };
  }
  return { kind: 'unknown', title: 'That did not work', detail: sentence(message.slice(0, 300)) };
}

export function words(error: unknown): Words {
  return ofOurs(error) ?? ofNode(error) ?? ofWallet(error);
}
