/** Talks to contracts through the connected wallet: reads, checks before anything is sent, sends, waits. Loaded when first needed. */
import type { Abi, AbiEvent, Hex } from 'viem';
import { decodeErrorResult, decodeEventLog, decodeFunctionResult, encodeFunctionData } from 'viem/utils';
import { errors } from '../abi/generated';
import { NotMined, NoWallet, Refused, Reverted, WrongChain } from './failures';
import { refusal } from './refusals';
import { session, type Session } from './session';
import { chainOfCauses } from './words';

export interface Call {
  to: string;
  abi: Abi;
  functionName: string;
  args: readonly unknown[];
}

export interface Log {
  address: string;
  topics: Hex[];
  data: Hex;
}

export interface Receipt {
  hash: string;
  block: bigint;
  logs: Log[];
}

/** Built-in errors of Solidity. */
const BUILT_IN: Abi = [
  { type: 'error', name: 'Error', inputs: [{ name: 'message', type: 'string' }] },
  { type: 'error', name: 'Panic', inputs: [{ name: 'code', type: 'uint256' }] },
];
const POLL_MS = 1_000;
/** How long a transaction is waited for before the page says that it still waits. */
const MINED_WITHIN_MS = 180_000;

/** The wallet, on the chain that the market is on. */
export function ready(chainId: bigint): Session {
  const current = session.value;
  if (!current) throw new NoWallet();
  if (current.chainId !== chainId) throw new WrongChain(chainId, current.chainId);
  return current;
}

const encode = (call: Call): Hex => encodeFunctionData({ abi: call.abi, functionName: call.functionName, args: call.args as unknown[] });

/** The data of a revert, wherever the wallet has put it. */
export function revertData(error: unknown): Hex | null {
  for (const found of chainOfCauses(error)) {
    const { data } = found as { data?: unknown };
    const { data: inner } = (data ?? {}) as { data?: unknown };
    for (const value of [data, inner]) {
      if (typeof value !== 'string') continue;
      const hex = /0x[0-9a-fA-F]{8,}/.exec(value)?.[0];
      if (hex) return hex as Hex;
    }
  }
  return null;
}

/** `error` as a refusal in words if a contract refused, otherwise unchanged. */
export function explained(error: unknown): unknown {
  const data = revertData(error);
  if (!data) return error;
  try {
    const { errorName, args } = decodeErrorResult({ abi: [...errors, ...BUILT_IN] as Abi, data });
    const values = (args ?? []) as readonly unknown[];
    if (errorName === 'Error') return new Refused(errorName, values, String(values[0]));
    if (errorName === 'Panic') return new Refused(errorName, values, 'the contract stopped at an arithmetic check');
    return new Refused(errorName, values, refusal(errorName, values));
  } catch {
    return new Refused(data.slice(0, 10), [], `the contract refused with ${data.slice(0, 10)}, which this page does not know`);
  }
}

async function ethCall(from: Session, call: Call): Promise<Hex> {
  const params = [{ from: from.account, to: call.to, data: encode(call) }, 'latest'];
  try {
    return (await from.wallet.provider.request({ method: 'eth_call', params })) as Hex;
  } catch (error) {
    throw explained(error);
  }
}

/** Reads. The caller knows the type of what the function returns. */
export async function read<T>(chainId: bigint, call: Call): Promise<T> {
  const data = await ethCall(ready(chainId), call);
  return decodeFunctionResult({ abi: call.abi, functionName: call.functionName, data }) as T;
}

/** Throws in words what the contract would refuse, before anything is signed or paid. */
export async function check(chainId: bigint, call: Call): Promise<void> {
  await ethCall(ready(chainId), call);
}

/** Newest block's time, which is what deadlines are compared with. */
export async function blockTime(chainId: bigint): Promise<bigint> {
  const block = await ready(chainId).wallet.provider.request({ method: 'eth_getBlockByNumber', params: ['latest', false] });
  return BigInt((block as { timestamp: string }).timestamp);
}

export async function signTypedData(chainId: bigint, data: object): Promise<Hex> {
  const { wallet, account } = ready(chainId);
  return (await wallet.provider.request({ method: 'eth_signTypedData_v4', params: [account, JSON.stringify(data)] })) as Hex;
}

interface RawReceipt {
  status: string;
  blockNumber: string;
  logs: Log[];
}

async function mined(from: Session, hash: string): Promise<Receipt> {
  const deadline = Date.now() + MINED_WITHIN_MS;
  while (Date.now() < deadline) {
    const found = (await from.wallet.provider.request({ method: 'eth_getTransactionReceipt', params: [hash] }).catch(() => null)) as RawReceipt | null;
    if (found) {
      if (BigInt(found.status) !== 1n) throw new Reverted(hash);
      return { hash, block: BigInt(found.blockNumber), logs: found.logs };
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new NotMined(hash);
}

/** Checks, sends and waits. `onSent` learns the hash as soon as there is one. */
export async function send(chainId: bigint, call: Call, onSent: (hash: string) => void = () => {}): Promise<Receipt> {
  const from = ready(chainId);
  await check(chainId, call);
  let hash: string;
  try {
    const params = [{ from: from.account, to: call.to, data: encode(call) }];
    hash = String(await from.wallet.provider.request({ method: 'eth_sendTransaction', params }));
  } catch (error) {
    throw explained(error);
  }
  onSent(hash);
  return mined(from, hash);
}

/** Arguments of the first event `name` among `logs`. */
export function event<T>(logs: readonly Log[], abi: readonly unknown[], name: string): T | null {
  const item = (abi as readonly AbiEvent[]).find((entry) => entry.type === 'event' && entry.name === name);
  if (!item) return null;
  for (const { topics, data } of logs) {
    try {
      return decodeEventLog({ abi: [item], data, topics: topics as [Hex, ...Hex[]] }).args as T;
    } catch {
      // Another contract's event.
    }
  }
  return null;
}
