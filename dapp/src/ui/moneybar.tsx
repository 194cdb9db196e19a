import type { Rental } from '../api/schema';
import { share } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { split } from '../lib/money';
import { Amount } from './bits';

/** One bar for all that was paid in, and a line for each part of it that adds up to the wei. */
export function MoneyBar({ rental }: { rental: Rental }) {
  const money = split(rental, chainNow());
  const all = [
    ['paid', 'Paid to the provider', 'for verified time', money.paid],
    ['running', 'Used, not yet verified', 'paid or refunded with the next report; an estimate', money.running],
    ['held', 'Held in escrow', 'for time to come, and fees', money.held],
    ['refunded', 'Back to you', 'claim it under Rewards', money.refunded],
    ['fees', 'Fees', 'ready fee; protocol and bridge fees at the close', money.fees],
  ] as const;
  const drawn = all.filter(([, , , wei]) => wei > 0n);
  return (
    <div class="money">
      <div class="bar" role="img" aria-label={`Of all that was paid in: ${drawn.map(([, name, , wei]) => `${name} ${share(wei, money.escrowed) / 100} %`).join(', ')}`}>
        {drawn.map(([kind, , , wei]) => <span key={kind} class={kind} style={{ flexGrow: Math.max(share(wei, money.escrowed), 60) }} />)}
      </div>
      <table class="sum" aria-label="Where the money is">
        <tbody>
          {all.map(([kind, name, hint, wei]) => (
            <tr key={kind} class={wei === 0n ? 'none' : ''} data-money={kind}><th scope="row"><span class={`swatch ${kind}`} aria-hidden="true" />{name}<span class="muted"> {hint}</span></th><td><Amount wei={wei} unit={null} /></td></tr>
          ))}
          <tr class="total"><th scope="row">Paid in</th><td data-money="escrowed"><Amount wei={money.escrowed} /></td></tr>
          {money.compensated > 0n && <tr><th scope="row">Compensation<span class="muted"> from the provider's reserve, on top</span></th><td><Amount wei={money.compensated} /></td></tr>}
        </tbody>
      </table>
    </div>
  );
}
