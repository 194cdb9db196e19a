/** Who is connected, and how to connect. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { getConfig } from '../api/client';
import { short } from '../lib/text';
import { wallets, type Wallet } from '../wallet/discovery';
import { connect, disconnect, session } from '../wallet/session';
import { Copy, Failure } from './bits';
import { ChainHelp } from './act';

const isOpen = signal(false);

export function openWallets(): void {
  isOpen.value = true;
}

/** Chain of the market; null until it is known. */
export const marketChain = signal<bigint | null>(null);
export function learnChain(): void {
  getConfig().then((config) => { marketChain.value = BigInt(config.ethereum.chain_id); }, () => setTimeout(learnChain, 5_000));
}

export function WalletButton() {
  const current = session.value;
  const wrong = current !== null && marketChain.value !== null && current.chainId !== marketChain.value;
  return (
    <>
      <button type="button" class={`wallet ${wrong ? 'wrong' : ''} ${current ? 'connected' : ''}`} onClick={openWallets} data-testid="wallet">
        {current ? <>{current.wallet.icon && <img src={current.wallet.icon} alt="" width="18" height="18" />}<span class="mono">{short(current.account)}</span>{wrong && <span class="tag">wrong chain</span>}</> : 'Connect wallet'}
      </button>
      {isOpen.value && <WalletDialog wrong={wrong} />}
    </>
  );
}

function WalletDialog({ wrong }: { wrong: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [error, fail] = useState<unknown>(null);
  const [busy, setBusy] = useState('');
  const close = () => { isOpen.value = false; };
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  const choose = (wallet: Wallet) => async () => {
    setBusy(wallet.id);
    fail(null);
    try {
      await connect(wallet);
      if (marketChain.value === null || session.value?.chainId === marketChain.value) close();
    } catch (problem) {
      fail(problem);
    } finally {
      setBusy('');
    }
  };
  const current = session.value;
  return (
    <dialog ref={dialog} class="sheet" aria-labelledby="wallet-title" onClose={close} onClick={(event) => { if (event.target === dialog.current) close(); }}>
      <div class="sheet-body">
        <div class="sheet-head"><h2 id="wallet-title">{current ? 'Your wallet' : 'Connect a wallet'}</h2><button type="button" class="quiet" onClick={close}>Close</button></div>
        {current ? (
          <>
            <p>{current.wallet.name}: <Copy text={current.account} label="Copy your address"><span class="mono">{current.account}</span></Copy></p>
            <p class="muted">Chain {current.chainId.toString()}{wrong ? `; this market is on chain ${marketChain.value}` : ''}</p>
            {wrong && <ChainHelp />}
            <button type="button" class="quiet" onClick={() => { disconnect(); close(); }}>Disconnect</button>
          </>
        ) : wallets.value.length === 0 ? (
          <p>No wallet was found in this browser. Install one as an extension, then load this page again. Everything here can be read without one.</p>
        ) : (
          <ul class="wallets">
            {wallets.value.map((wallet) => (
              <li key={wallet.id}>
                <button type="button" disabled={busy !== ''} onClick={choose(wallet)}>
                  {wallet.icon && <img src={wallet.icon} alt="" width="28" height="28" />}{wallet.name}{busy === wallet.id && ' – answer in the wallet …'}
                </button>
              </li>
            ))}
          </ul>
        )}
        {error ? <Failure error={error} /> : null}
      </div>
    </dialog>
  );
}
