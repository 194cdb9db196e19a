/** Every transaction that these pages send, one function each. */
import type { Abi, Hex } from 'viem';
import { keccak256 } from 'viem/utils';
import { Faucet, GPURental, GPUToken, Governance, RentalCourt, StakingManager, TokenDistributor } from '../abi/generated';
import { getConfig } from '../api/client';
import type { Config, Proposal } from '../api/schema';
import { big } from '../lib/amount';
import { blockTime, check, event, read, ready, send, signTypedData, type Call, type Receipt } from './contracts';
import { Refused, TooFewTokens } from './failures';
import { peerIdBytes } from './peerid';

/** What a step is called while the user waits for it. */
export type Progress = (step: 'checking' | 'signing' | 'approving' | 'confirming' | 'sent', hash?: string) => void;

/** Time a permit stays valid; the transaction follows at once. */
const PERMIT_SECONDS = 1_200n;

interface Context {
  config: Config;
  chainId: bigint;
  account: Hex;
  eth: Config['contracts']['ethereum'];
}

async function context(): Promise<Context> {
  const config = await getConfig();
  const chainId = BigInt(config.ethereum.chain_id);
  return { config, chainId, account: ready(chainId).account as Hex, eth: config.contracts.ethereum };
}

const callOf = (to: string, abi: readonly unknown[], functionName: string, ...args: unknown[]): Call => ({ to, abi: abi as Abi, functionName, args });

async function plain(on: Progress, to: (context: Context) => Call): Promise<Receipt> {
  const found = await context();
  on('confirming');
  return send(found.chainId, to(found), (hash) => on('sent', hash));
}

export async function balance(): Promise<bigint> {
  const { chainId, account, eth } = await context();
  return read<bigint>(chainId, callOf(eth.gpu_token, GPUToken, 'balanceOf', account));
}

async function requireTokens(found: Context, what: string, needed: bigint): Promise<void> {
  const has = await read<bigint>(found.chainId, callOf(found.eth.gpu_token, GPUToken, 'balanceOf', found.account));
  if (has < needed) throw new TooFewTokens(what, needed, has);
}

interface Permit {
  deadline: bigint;
  v: number;
  r: Hex;
  s: Hex;
}

/** The user's signature that lets `spender` take `value`, in the transaction that spends it. */
async function permit(found: Context, spender: string, value: bigint): Promise<Permit> {
  const { token } = found.config;
  const nonce = await read<bigint>(found.chainId, callOf(found.eth.gpu_token, GPUToken, 'nonces', found.account));
  const deadline = (await blockTime(found.chainId)) + PERMIT_SECONDS;
  const field = (name: string, type: string) => ({ name, type });
  const signature = await signTypedData(found.chainId, {
    types: {
      EIP712Domain: [field('name', 'string'), field('version', 'string'), field('chainId', 'uint256'), field('verifyingContract', 'address')],
      Permit: [field('owner', 'address'), field('spender', 'address'), field('value', 'uint256'), field('nonce', 'uint256'), field('deadline', 'uint256')],
    },
    primaryType: 'Permit',
    domain: { name: token.name, version: token.permit_version, chainId: found.chainId.toString(), verifyingContract: token.address },
    message: { owner: found.account, spender, value: value.toString(), nonce: nonce.toString(), deadline: deadline.toString() },
  });
  if (!/^0x[0-9a-fA-F]{130}$/.test(signature)) throw new Error('the wallet did not answer with a signature of 65 bytes');
  const v = Number.parseInt(signature.slice(130), 16);
  return { deadline, v: v < 27 ? v + 27 : v, r: signature.slice(0, 66) as Hex, s: `0x${signature.slice(66, 130)}` };
}

/** Pays into escrow, with the permission for it in the same transaction. Returns the rental's number. */
export async function rent(offer: string, seconds: number, sessionKey: string, maxCost: bigint, on: Progress): Promise<{ rental: string; receipt: Receipt }> {
  const found = await context();
  on('checking');
  await requireTokens(found, 'The rental', maxCost);
  // A wrong duration, a paused offer or a device just rented is told before anything is signed.
  await check(found.chainId, callOf(found.eth.gpu_rental, GPURental, 'quote', BigInt(offer), seconds));
  on('signing');
  const { deadline, v, r, s } = await permit(found, found.eth.gpu_rental, maxCost);
  on('confirming');
  const call = callOf(found.eth.gpu_rental, GPURental, 'rentWithPermit', BigInt(offer), seconds, sessionKey, maxCost, deadline, v, r, s);
  const receipt = await send(found.chainId, call, (hash) => on('sent', hash));
  const requested = event<{ rentalId: bigint }>(receipt.logs, GPURental, 'RentalRequested');
  if (!requested) throw new Refused('RentalRequested', [], 'the transaction made no rental');
  return { rental: requested.rentalId.toString(), receipt };
}

/** What `seconds` more cost, to the wei: offered nothing for it, the contract answers with the price. */
export async function extensionCost(rental: string, seconds: number): Promise<bigint> {
  const { chainId, eth } = await context();
  try {
    await check(chainId, callOf(eth.gpu_rental, GPURental, 'extend', BigInt(rental), seconds, 0n));
    return 0n;
  } catch (error) {
    if (error instanceof Refused && error.error === 'MaxCostExceeded') return BigInt(String(error.args[0]));
    throw error;
  }
}

export async function extend(rental: string, seconds: number, cost: bigint, on: Progress): Promise<Receipt> {
  const found = await context();
  on('checking');
  await requireTokens(found, 'The extension', cost);
  on('signing');
  const signed = await permit(found, found.eth.gpu_rental, cost);
  on('confirming');
  const call = callOf(found.eth.gpu_rental, GPURental, 'extendWithPermit', BigInt(rental), seconds, cost, signed);
  return send(found.chainId, call, (hash) => on('sent', hash));
}

export const endRental = (rental: string, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.gpu_rental, GPURental, 'endRental', BigInt(rental)));
export const cancelRental = (rental: string, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.gpu_rental, GPURental, 'cancel', BigInt(rental)));
export const closeAfterDeadline = (rental: string, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.gpu_rental, GPURental, 'closeAfterDeadline', BigInt(rental)));

/** Lets `spender` take `value` where it may not yet. These contracts take no permit. */
async function allow(found: Context, spender: string, value: bigint, on: Progress): Promise<void> {
  const allowed = await read<bigint>(found.chainId, callOf(found.eth.gpu_token, GPUToken, 'allowance', found.account, spender));
  if (allowed >= value) return;
  on('approving');
  await send(found.chainId, callOf(found.eth.gpu_token, GPUToken, 'approve', spender, value), (hash) => on('sent', hash));
}

/** Freezes the money for the time from now on until Queens have judged. `evidence` is the hash of a file that the renter keeps. */
export async function complain(rental: string, evidence: Uint8Array, on: Progress): Promise<Receipt> {
  const found = await context();
  on('checking');
  const { bond } = await read<{ bond: bigint }>(found.chainId, callOf(found.eth.rental_court, RentalCourt, 'parameters'));
  await requireTokens(found, 'The bond of a complaint', bond);
  const call = callOf(found.eth.rental_court, RentalCourt, 'complain', BigInt(rental), keccak256(evidence));
  try {
    await check(found.chainId, call);
  } catch (error) {
    // Only the approval is missing, and comes next.
    if (!(error instanceof Refused && error.error === 'ERC20InsufficientAllowance')) throw error;
  }
  await allow(found, found.eth.rental_court, bond, on);
  on('confirming');
  return send(found.chainId, call, (hash) => on('sent', hash));
}

export const voteCase = (id: string, upheld: boolean, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.rental_court, RentalCourt, 'vote', BigInt(id), upheld));
export const drawCase = (id: string, on: Progress) => plain(on, ({ eth }) => callOf(eth.rental_court, RentalCourt, 'draw', BigInt(id)));
export const expireCase = (id: string, on: Progress) => plain(on, ({ eth }) => callOf(eth.rental_court, RentalCourt, 'expire', BigInt(id)));

export const ROLE_NUMBERS = { provider: 1, queen: 2, king: 3 } as const;

export async function stake(role: keyof typeof ROLE_NUMBERS, amount: bigint, operator: string, peerId: string, on: Progress): Promise<Receipt> {
  const found = await context();
  const peer = keccak256(peerIdBytes(peerId));
  on('checking');
  await requireTokens(found, 'The stake', amount);
  on('signing');
  const { deadline, v, r, s } = await permit(found, found.eth.staking_manager, amount);
  on('confirming');
  const call = callOf(found.eth.staking_manager, StakingManager, 'stakeWithPermit', ROLE_NUMBERS[role], amount, operator, peer, deadline, v, r, s);
  return send(found.chainId, call, (sent) => on('sent', sent));
}

/** More of the same: role, operator and peer id stay as they are. */
export async function addStake(amount: bigint, on: Progress): Promise<Receipt> {
  const found = await context();
  on('checking');
  await requireTokens(found, 'The stake', amount);
  await allow(found, found.eth.staking_manager, amount, on);
  on('confirming');
  return send(found.chainId, callOf(found.eth.staking_manager, StakingManager, 'addStake', amount), (hash) => on('sent', hash));
}

const staking = (name: string, ...args: unknown[]) => (on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.staking_manager, StakingManager, name, ...args));

export const requestUnstake = (amount: bigint, on: Progress) => staking('requestUnstake', amount)(on);
export const withdrawStake = staking('withdraw');
export const undelegate = (shares: bigint, on: Progress) => staking('undelegateStake', shares)(on);
export const withdrawDelegation = staking('withdrawDelegation');
export const stakeVotesTo = (account: string, on: Progress) => staking('delegate', account)(on);

export async function delegate(account: string, amount: bigint, on: Progress): Promise<Receipt> {
  const found = await context();
  on('checking');
  await requireTokens(found, 'The delegation', amount);
  await allow(found, found.eth.staking_manager, amount, on);
  on('confirming');
  const call = callOf(found.eth.staking_manager, StakingManager, 'delegateStake', account, amount);
  return send(found.chainId, call, (hash) => on('sent', hash));
}

export async function earned(): Promise<bigint> {
  const { chainId, account, eth } = await context();
  return read<bigint>(chainId, callOf(eth.staking_manager, StakingManager, 'earned', account));
}

/** What waits for an account, by where it waits; each is taken out by a transaction of its own. */
export type Purse = 'rent' | 'court' | 'stake-credit' | 'stake-rewards' | 'rewards';

export function claim(purse: Purse, to: string, on: Progress): Promise<Receipt> {
  return plain(on, ({ eth }) => {
    switch (purse) {
      case 'rent':
        return callOf(eth.gpu_rental, GPURental, 'claim', to);
      case 'court':
        return callOf(eth.rental_court, RentalCourt, 'claim', to);
      case 'stake-credit':
        return callOf(eth.staking_manager, StakingManager, 'claimCredit', to);
      case 'stake-rewards':
        return callOf(eth.staking_manager, StakingManager, 'claimRewards', to);
      case 'rewards':
        return callOf(eth.token_distributor, TokenDistributor, 'claim', to);
    }
  });
}

export const releaseDelayed = (account: string, availableAt: string, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.gpu_rental, GPURental, 'releaseDelayed', account, BigInt(availableAt)));
export const releaseVested = (id: string, on: Progress) =>
  plain(on, ({ eth }) => callOf(eth.token_distributor, TokenDistributor, 'release', BigInt(id)));

export async function settleRental(rental: string, on: Progress): Promise<Receipt> {
  const found = await context();
  const call = callOf(found.eth.token_distributor, TokenDistributor, 'settleRental', BigInt(rental));
  on('checking');
  try {
    await check(found.chainId, call);
  } catch (error) {
    if (!(error instanceof Refused && error.error === 'FeesOutstanding')) throw error;
    // Rewards follow fees, and anybody may bring those over.
    on('confirming');
    await send(found.chainId, callOf(found.eth.gpu_rental, GPURental, 'collectFees'), (hash) => on('sent', hash));
  }
  on('confirming');
  return send(found.chainId, call, (hash) => on('sent', hash));
}

export const SUPPORT = { against: 0, for: 1, abstain: 2 } as const;

export const castVote = (proposal: string, support: keyof typeof SUPPORT, reason: string, on: Progress) =>
  plain(on, ({ eth }) =>
    reason
      ? callOf(eth.governance, Governance, 'castVoteWithReason', BigInt(proposal), SUPPORT[support], reason)
      : callOf(eth.governance, Governance, 'castVote', BigInt(proposal), SUPPORT[support]));

const steps = (name: 'queue' | 'execute') => (proposal: Proposal, on: Progress) =>
  plain(on, ({ eth }) => {
    const { actions, description_hash } = proposal;
    const column = <T,>(of: (action: Proposal['actions'][number]) => T) => actions.map(of);
    const args = [column((a) => a.target), column((a) => big(a.value_wei)), column((a) => a.data), description_hash];
    return callOf(eth.governance, Governance, name, ...args);
  });
export const queueProposal = steps('queue');
export const executeProposal = steps('execute');

export interface Votes {
  now: bigint;
  /** At the proposal's snapshot; null if it is still ahead. */
  then: bigint | null;
  hasVoted: boolean;
}

export async function votesFor(proposal: string, voteStart: string): Promise<Votes> {
  const { chainId, account, eth } = await context();
  const time = await blockTime(chainId);
  const at = (when: bigint) => read<bigint>(chainId, callOf(eth.governance, Governance, 'getVotes', account, when));
  const start = BigInt(voteStart);
  const [now, then, hasVoted] = await Promise.all([
    at(time - 1n),
    start < time ? at(start) : null,
    read<boolean>(chainId, callOf(eth.governance, Governance, 'hasVoted', BigInt(proposal), account)),
  ]);
  return { now, then, hasVoted };
}

export async function voteDelegate(): Promise<string> {
  const { chainId, account, eth } = await context();
  return read<string>(chainId, callOf(eth.gpu_token, GPUToken, 'delegates', account));
}

/** Votes of tokens that are not staked. */
export const tokenVotesTo = (account: string, on: Progress) => plain(on, ({ eth }) => callOf(eth.gpu_token, GPUToken, 'delegate', account));

export const askFaucet = (on: Progress) =>
  plain(on, ({ eth }) => {
    if (!eth.faucet) throw new Refused('ForbiddenChain', [], 'there is no faucet on this chain');
    return callOf(eth.faucet, Faucet, 'request');
  });
