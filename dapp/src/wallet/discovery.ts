/** Wallets in this browser: those that announce themselves (EIP-6963), and `window.ethereum` where none does. */
import { signal } from '@preact/signals';

export interface Provider {
  request(call: { method: string; params?: unknown[] | object }): Promise<unknown>;
  on?(event: string, listener: (...values: never[]) => void): void;
  removeListener?(event: string, listener: (...values: never[]) => void): void;
}

export interface Wallet {
  /** Reverse domain name: what it is remembered by. */
  id: string;
  name: string;
  /** A data URI, or empty. */
  icon: string;
  provider: Provider;
}

export const wallets = signal<ReadonlyArray<Wallet>>([]);

interface Announcement extends globalThis.Event {
  detail?: { info?: { rdns?: unknown; uuid?: unknown; name?: unknown; icon?: unknown }; provider?: Provider };
}

/** An announcement comes from whatever runs in the page, so only what has the right form is taken. */
export function walletOf(detail: Announcement['detail']): Wallet | null {
  const info = detail?.info;
  const provider = detail?.provider;
  if (!info || typeof provider?.request !== 'function' || typeof info.name !== 'string') return null;
  const id = typeof info.rdns === 'string' && info.rdns ? info.rdns : String(info.uuid ?? info.name);
  const icon = typeof info.icon === 'string' && /^data:image\/(svg\+xml|png|webp|jpeg|gif)[;,]/.test(info.icon) ? info.icon : '';
  return { id: id.slice(0, 200), name: info.name.slice(0, 60), icon, provider };
}

export function discover(): void {
  addEventListener('eip6963:announceProvider', (event) => {
    const wallet = walletOf((event as Announcement).detail);
    if (wallet && !wallets.value.some((known) => known.id === wallet.id)) wallets.value = [...wallets.value, wallet];
  });
  dispatchEvent(new Event('eip6963:requestProvider'));
  const old = (globalThis as { ethereum?: Provider }).ethereum;
  if (wallets.value.length === 0 && typeof old?.request === 'function') {
    wallets.value = [{ id: 'injected', name: 'Browser wallet', icon: '', provider: old }];
  }
}
