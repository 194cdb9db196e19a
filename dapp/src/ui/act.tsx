/** A transaction as a person meets it: a button, what happens now, how it ended. */
import type { ComponentChildren } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { getConfig } from '../api/client';
import type { Progress } from '../wallet/actions';
import { NoWallet } from '../wallet/failures';
import { addChain, session, switchChain } from '../wallet/session';
import { words } from '../wallet/words';
import { Failure, Tx } from './bits';
import { openWallets } from './walletmenu';

export type Actions = typeof import('../wallet/actions');
/** What encodes and signs is loaded when somebody first acts. */
export const loadActions = (): Promise<Actions> => import('../wallet/actions');

const STEPS: Record<Parameters<Progress>[0], string> = {
  checking: 'Checking with the contract …',
  signing: 'Sign the permission in your wallet …',
  approving: 'Approve the amount in your wallet …',
  confirming: 'Confirm in your wallet …',
  sent: 'Sent, waiting for its block …',
};

export interface ActState {
  busy: boolean;
  step: string;
  hash: string | null;
  error: unknown;
  done: string;
}

const IDLE: ActState = { busy: false, step: '', hash: null, error: null, done: '' };

export type Work = (actions: Actions, on: Progress) => Promise<string>;

/** Runs one transaction at a time; what it returns is said when it is done. */
export function useAct(): ActState & { run: (work: Work) => Promise<boolean>; reset: () => void } {
  const [state, set] = useState<ActState>(IDLE);
  const busy = useRef(false);
  const run = async (work: Work): Promise<boolean> => {
    if (busy.current) return false;
    if (!session.value) {
      openWallets();
      set({ ...IDLE, error: new NoWallet() });
      return false;
    }
    busy.current = true;
    set({ ...IDLE, busy: true, step: STEPS.checking });
    const on: Progress = (step, hash) => set((now) => ({ ...now, step: STEPS[step], hash: hash ?? now.hash }));
    try {
      const done = await work(await loadActions(), on);
      set((now) => ({ ...IDLE, hash: now.hash, done }));
      return true;
    } catch (error) {
      set((now) => ({ ...IDLE, hash: now.hash, error }));
      return false;
    } finally {
      busy.current = false;
    }
  };
  return { ...state, run, reset: () => set(IDLE) };
}

export function Outcome({ of }: { of: ActState }) {
  return (
    <div class="outcome" aria-live="polite">
      {of.busy && <p class="step"><span class="spinner" aria-hidden="true" />{of.step} {of.hash && <Tx hash={of.hash} />}</p>}
      {of.done && <div class="notice good" data-kind="done"><strong>{of.done}</strong>{of.hash && <p>Transaction <Tx hash={of.hash} /></p>}</div>}
      {of.error ? <><Failure error={of.error} />{words(of.error).kind === 'wrong-chain' && <ChainHelp />}</> : null}
    </div>
  );
}

/** A button with its outcome below. What is no longer `offered` because it was done takes the button away, not what it led to. */
export function ActButton({ label, work, kind = '', disabled, offered = true, children }: { label: string; work: Work; kind?: string; disabled?: boolean; offered?: boolean; children?: ComponentChildren }) {
  const act = useAct();
  return (
    <div class="act">
      {(offered || act.busy) && <button type="button" class={kind} disabled={disabled || act.busy} onClick={() => act.run(work)}>{label}</button>}
      {children}
      <Outcome of={act} />
    </div>
  );
}

/** From the wrong chain to the right one, also if the wallet has never heard of it. */
export function ChainHelp() {
  const [error, fail] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [rpc, setRpc] = useState('');
  const attempt = (what: (chainId: bigint) => Promise<void>) => async () => {
    setBusy(true);
    fail(null);
    try {
      const config = await getConfig();
      await what(BigInt(config.ethereum.chain_id));
    } catch (problem) {
      fail(problem);
    } finally {
      setBusy(false);
    }
  };
  const current = session.value;
  if (!current) return null;
  return (
    <div class="chainhelp">
      <button type="button" disabled={busy} onClick={attempt(switchChain)}>Switch the wallet to the right chain</button>
      <details>
        <summary>My wallet does not know that chain</summary>
        <label class="field"><span>Address of an endpoint of that chain that you trust</span>
          <input type="url" value={rpc} placeholder="https://…" onInput={(event) => setRpc(event.currentTarget.value)} /></label>
        <button type="button" class="quiet" disabled={busy || !/^https?:\/\/./.test(rpc)} onClick={attempt((id) => addChain(id, rpc))}>Add it to the wallet</button>
      </details>
      {error ? <Failure error={error} /> : null}
    </div>
  );
}
