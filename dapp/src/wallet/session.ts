/** The connected wallet: which account, on which chain. Small, for it is part of the first load; what signs and encodes is not. */
import { computed, effect, signal } from '@preact/signals';
import { discover, wallets, type Wallet } from './discovery';

export interface Session {
  wallet: Wallet;
  /** Lower case. */
  account: string;
  chainId: bigint;
}

export const session = signal<Session | null>(null);
export const account = computed(() => session.value?.account ?? null);

const REMEMBERED = 'gpumkt.wallet';

function remembered(): string | null {
  try {
    return localStorage.getItem(REMEMBERED);
  } catch {
    return null;
  }
}

function remember(id: string | null): void {
  try {
    if (id) localStorage.setItem(REMEMBERED, id);
    else localStorage.removeItem(REMEMBERED);
  } catch {
    // Then it has to be chosen again next time.
  }
}

function first(accounts: unknown): string | null {
  const account: unknown = Array.isArray(accounts) ? accounts[0] : null;
  return typeof account === 'string' && /^0x[0-9a-fA-F]{40}$/.test(account) ? account.toLowerCase() : null;
}

async function chainOf(wallet: Wallet): Promise<bigint> {
  return BigInt(String(await wallet.provider.request({ method: 'eth_chainId' })));
}

let release = () => {};

function follow(wallet: Wallet): void {
  release();
  const onAccounts = (accounts: unknown) => {
    const account = first(accounts);
    if (!account) disconnect();
    else if (session.value) session.value = { ...session.value, account };
  };
  const onChain = (chainId: unknown) => {
    if (session.value) session.value = { ...session.value, chainId: BigInt(String(chainId)) };
  };
  wallet.provider.on?.('accountsChanged', onAccounts);
  wallet.provider.on?.('chainChanged', onChain);
  release = () => {
    wallet.provider.removeListener?.('accountsChanged', onAccounts);
    wallet.provider.removeListener?.('chainChanged', onChain);
  };
}

async function take(wallet: Wallet, method: 'eth_requestAccounts' | 'eth_accounts'): Promise<boolean> {
  const account = first(await wallet.provider.request({ method }));
  if (!account) return false;
  const chainId = await chainOf(wallet);
  follow(wallet);
  session.value = { wallet, account, chainId };
  remember(wallet.id);
  return true;
}

/** Asks the wallet; throws what it says. */
export async function connect(wallet: Wallet): Promise<void> {
  if (!(await take(wallet, 'eth_requestAccounts'))) throw { code: 4001, message: 'no account was shared' };
}

export function disconnect(): void {
  release();
  release = () => {};
  session.value = null;
  remember(null);
}

/** Finds wallets, and takes the one of last time if it still shares an account, without asking anybody. */
export function startWallets(): void {
  discover();
  const id = remembered();
  if (!id) return;
  let done = false;
  effect(() => {
    const wallet = wallets.value.find((known) => known.id === id);
    if (!wallet || done || session.peek()) return;
    done = true;
    take(wallet, 'eth_accounts').catch(() => remember(null));
  });
}

/** Asks the wallet to change to `chainId`; throws what it says (4902: it does not know that chain). */
export async function switchChain(chainId: bigint): Promise<void> {
  const current = session.value;
  if (!current) return;
  await current.wallet.provider.request({ method: 'wallet_switchEthereumChain', params: [{ chainId: `0x${chainId.toString(16)}` }] });
  session.value = { ...current, chainId: await chainOf(current.wallet) };
}

/** Makes a chain known to the wallet, by an address that the user names: this page trusts no endpoint of its own choice. */
export async function addChain(chainId: bigint, rpcUrl: string): Promise<void> {
  const current = session.value;
  if (!current) return;
  const params = [{
    chainId: `0x${chainId.toString(16)}`,
    chainName: chainId === 1n ? 'Ethereum' : `gpumkt ${chainId}`,
    rpcUrls: [rpcUrl],
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  }];
  await current.wallet.provider.request({ method: 'wallet_addEthereumChain', params });
  session.value = { ...current, chainId: await chainOf(current.wallet) };
}
