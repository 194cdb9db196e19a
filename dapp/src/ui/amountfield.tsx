import { useEffect, useId, useState } from 'preact/hooks';
import { format, parse } from '../lib/amount';
import { session } from '../wallet/session';
import { loadActions } from './act';
import { marketChain } from './walletmenu';

/** An amount of tokens as typed, exact to 18 decimals, with what is wrong about it in words. */
export function AmountField({ label, value, onValue, most, testId }: { label: string; value: string; onValue: (text: string) => void; most: bigint | null; testId: string }) {
  const id = useId();
  const wei = parse(value);
  const problem = value === '' ? null : wei === null ? 'An amount such as 12.5, with at most 18 decimals.' : most !== null && wei > most ? `There are only ${format(most)}.` : null;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <div class="with-button">
        <input id={id} type="text" inputMode="decimal" value={value} onInput={(event) => onValue(event.currentTarget.value)} aria-invalid={problem !== null} aria-describedby={`${id}-help`} data-testid={testId} />
        {most !== null && most > 0n && <button type="button" class="quiet" onClick={() => onValue(format(most).replaceAll(',', ''))} aria-label={`${label}: all of ${format(most)}`}>All</button>}
      </div>
      <span id={`${id}-help`} class={problem ? 'wrong' : 'muted'}>{problem ?? (most !== null ? `${format(most)} GPUTOKEN there` : '')}</span>
    </div>
  );
}

/** Tokens of the connected account; null until known, and on the wrong chain. */
export function useBalance(account: string | null): bigint | null {
  const [wei, set] = useState<bigint | null>(null);
  const isRight = session.value !== null && session.value.chainId === marketChain.value;
  useEffect(() => {
    set(null);
    if (!account || !isRight) return;
    let isOver = false;
    const ask = () => loadActions().then((actions) => actions.balance()).then((found) => { if (!isOver) set(found); }, () => {});
    void ask();
    const timer = setInterval(ask, 10_000);
    return () => { isOver = true; clearInterval(timer); };
  }, [account, isRight]);
  return wei;
}
