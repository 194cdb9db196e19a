/** Choose a time, make the session key, pay: three steps on one page, in any order until the payment. */
import { useEffect, useState } from 'preact/hooks';
import { get } from '../api/client';
import { useResource } from '../api/resource';
import type { Config, Offer, Quote } from '../api/schema';
import { big, percentOfBps } from '../lib/amount';
import { duration, parseDuration } from '../lib/time';
import { account } from '../wallet/session';
import { Amount, Failure, Notice, Panel, Waiting } from './bits';
import { Outcome, useAct } from './act';
import { KeyStep, type MadeKey } from './keystep';

export function RentPanel({ offer, config }: { offer: Offer; config: Config }) {
  const [text, setText] = useState(() => suggestion(offer));
  const [key, setKey] = useState<MadeKey | null>(null);
  const [rental, setRental] = useState<string | null>(null);
  const act = useAct();
  const seconds = parseDuration(text);
  const problem = durationProblem(seconds, offer);
  const quote = useQuote(offer, problem ? null : seconds);
  const total = quote.data ? big(quote.data.total_wei) : null;
  const isReady = offer.is_available && !problem && total !== null && key?.isSaved === true;

  const pay = () => act.run(async (actions, on) => {
    if (seconds === null || total === null || !key) throw new Error('the rental is not complete');
    const { rental: id } = await actions.rent(offer.id, seconds, key.address, total, on);
    setRental(id);
    return `Rental ${id} is paid into escrow`;
  });

  return (
    <Panel title="Rent it" id="rent">
      <ol class="steps">
        <li>
          <h3>How long</h3>
          <label class="field"><span>Time, for example 2h or 45 min</span>
            <input type="text" value={text} onInput={(event) => setText(event.currentTarget.value)} disabled={act.busy}
              aria-invalid={problem !== null} aria-describedby="time-help" data-testid="duration" /></label>
          <p id="time-help" class={problem ? 'wrong' : 'muted'}>{problem ?? `You can extend it later, and end it early: what is not used comes back after the first ${duration(config.rental?.minimum_bill_seconds ?? 0)}.`}</p>
          {!problem && <QuoteTable quote={quote.data} error={quote.error} config={config} />}
        </li>
        <li><h3>Your keys</h3><KeyStep made={key} onMade={setKey} isLocked={act.busy || rental !== null} /></li>
        <li>
          <h3>Pay</h3>
          {!offer.is_available && <Notice tone="warn">This offer can not be rented now.</Notice>}
          <p class="muted">Two questions from your wallet: a signature that lets the contract take the total once, which costs nothing, and the transaction.</p>
          {rental ? <a class="button" href={`#/rentals/${rental}`} data-testid="to-rental">Follow rental {rental}</a> : (
            <button type="button" class="main" disabled={!isReady || act.busy} onClick={pay} data-testid="pay">
              {account.value ? <>Pay {total !== null && <Amount wei={total} />}</> : 'Connect a wallet to pay'}
            </button>
          )}
          {!rental && !isReady && !act.busy && offer.is_available && !problem && <p class="muted">First make and save your session key.</p>}
          <Outcome of={act} />
        </li>
      </ol>
    </Panel>
  );
}

function suggestion(offer: Offer): string {
  const [least, most] = [Number(offer.min_duration_seconds), Number(offer.max_duration_seconds)];
  const seconds = Math.min(Math.max(3_600, least), most);
  return seconds % 3_600 === 0 ? `${seconds / 3_600} h` : seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function durationProblem(seconds: number | null, offer: Offer): string | null {
  if (seconds === null || seconds <= 0) return 'Write a time such as 90 min, 2h or 1 d 12 h.';
  const [least, most] = [Number(offer.min_duration_seconds), Number(offer.max_duration_seconds)];
  if (seconds < least) return `This offer takes at least ${duration(least)}.`;
  if (seconds > most) return `This offer takes at most ${duration(most)}; you can extend it later within that.`;
  return null;
}

function useQuote(offer: Offer, seconds: number | null) {
  const [settled, settle] = useState(seconds);
  useEffect(() => {
    const timer = setTimeout(() => settle(seconds), 250);
    return () => clearTimeout(timer);
  }, [seconds]);
  const key = settled === null || settled !== seconds ? null : `quote/${offer.id}/${settled}/${offer.price_per_second_wei}`;
  const loaded = useResource<Quote>(key, () => get<Quote>(`/offers/${offer.id}/quote`, { duration_seconds: settled }), () => false);
  return key ? loaded : { ...loaded, data: null, error: null };
}

function QuoteTable({ quote, error, config }: { quote: Quote | null; error: unknown; config: Config }) {
  if (error) return <Failure error={error} />;
  if (!quote) return <Waiting what="the price" rows={2} />;
  return (
    <table class="sum" aria-label="What it costs at most">
      <tbody>
        <tr><th scope="row">Rent<span class="muted"> paid for verified time, second by second</span></th><td><Amount wei={big(quote.rent_wei)} unit={null} /></td></tr>
        <tr><th scope="row">Protocol fee<span class="muted"> {config.rental ? percentOfBps(config.rental.protocol_fee_bps) : ''} of what is paid</span></th><td><Amount wei={big(quote.protocol_fee_wei)} unit={null} /></td></tr>
        <tr><th scope="row">Bridge fee<span class="muted"> for whoever brings the last report</span></th><td><Amount wei={big(quote.bridge_fee_wei)} unit={null} /></td></tr>
        <tr><th scope="row">Ready fee<span class="muted"> once the GPU is ready</span></th><td><Amount wei={big(quote.ready_fee_wei)} unit={null} /></td></tr>
        <tr class="total"><th scope="row">At most</th><td data-testid="total"><Amount wei={big(quote.total_wei)} /></td></tr>
      </tbody>
    </table>
  );
}
