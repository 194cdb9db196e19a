import { useEffect, useState } from 'preact/hooks';
import type { Config, Rental } from '../api/schema';
import { big } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { same } from '../lib/text';
import { duration, parseDuration } from '../lib/time';
import { account } from '../wallet/session';
import { ActButton, loadActions, Outcome, useAct } from './act';
import { Amount, Failure, Notice, Panel } from './bits';

/** What the renter can do with a rental now. */
export function RentalActions({ rental, config }: { rental: Rental; config: Config }) {
  const isRenter = same(account.value, rental.renter);
  const isDelegate = same(account.value, rental.delegate);
  const now = chainNow();
  const isRunning = rental.state === 'active' && rental.end !== null && Number(rental.end) > now;
  if (rental.state === 'requested') {
    const isLate = Number(rental.ready_until) < now;
    if (!isRenter && !isLate) return null;
    return (
      <Panel title="Cancel">
        <p>{isLate ? 'The provider was not ready in time. Anybody may cancel; all of it goes back to the renter.' : 'Until the GPU is ready you can cancel, and all of it comes back.'}</p>
        <ActButton label="Cancel the rental" kind="danger" work={async (actions, on) => { await actions.cancelRental(rental.id, on); return 'Cancelled. All of it is credited to the renter.'; }} />
      </Panel>
    );
  }
  if (rental.state !== 'active') return null;
  if (!isRenter && !isDelegate) {
    return <Panel title="For the renter"><p class="muted">Extending, ending and complaining is up to the renter. {account.value ? 'You are connected with another account.' : 'Connect the wallet that paid.'}</p></Panel>;
  }
  return (
    <>
      {isRunning && <Extend rental={rental} />}
      {isRunning && isRenter && <End rental={rental} config={config} />}
      {isRunning && <Complain rental={rental} config={config} />}
      {rental.deadline_at !== null && Number(rental.deadline_at) <= now && (
        <Panel title="Take back what was not reported">
          <ActButton label="Close after the deadline" work={async (actions, on) => { await actions.closeAfterDeadline(rental.id, on); return 'Closed. What was not reported is credited.'; }} />
        </Panel>
      )}
    </>
  );
}

function Extend({ rental }: { rental: Rental }) {
  const [text, setText] = useState('');
  const [cost, setCost] = useState<bigint | null>(null);
  const [error, fail] = useState<unknown>(null);
  const act = useAct();
  const seconds = parseDuration(text);
  useEffect(() => {
    setCost(null);
    fail(null);
    if (!seconds || act.busy) return;
    let isOver = false;
    const timer = setTimeout(() => {
      loadActions().then((actions) => actions.extensionCost(rental.id, seconds)).then(
        (wei) => { if (!isOver) setCost(wei); },
        (problem: unknown) => { if (!isOver) fail(problem); },
      );
    }, 300);
    return () => { isOver = true; clearTimeout(timer); };
  }, [seconds, rental.end]);
  const extend = () => act.run(async (actions, on) => {
    if (!seconds || cost === null) throw new Error('no time to add');
    await actions.extend(rental.id, seconds, cost, on);
    setText('');
    return `Extended by ${duration(seconds)}`;
  });
  return (
    <Panel title="Extend">
      <form onSubmit={(event) => { event.preventDefault(); void extend(); }}>
        <label class="field"><span>More time, for example 1h or 30 min</span>
          <input type="text" value={text} onInput={(event) => setText(event.currentTarget.value)} disabled={act.busy} data-testid="extend-time" /></label>
        {text !== '' && !seconds && <p class="wrong">Write a time such as 30 min or 2h.</p>}
        {error ? <Failure error={error} /> : null}
        <button type="submit" disabled={cost === null || act.busy} data-testid="extend">{cost === null ? 'Extend' : <>Extend for <Amount wei={cost} /></>}</button>
      </form>
      <p class="muted">At the offer's price of now. What runs is not touched.</p>
      <Outcome of={act} />
    </Panel>
  );
}

function End({ rental, config }: { rental: Rental; config: Config }) {
  const [isSure, setSure] = useState(false);
  const now = chainNow();
  const opened = rental.opened_at !== null;
  const window = Number(rental.start ?? 0) + Number(config.rental?.start_window_seconds ?? 0);
  return (
    <Panel title="End early">
      <p class="muted">{opened || now > window
        ? <>What is left comes back at once, but at least {duration(config.rental?.minimum_bill_seconds ?? 0)} are billed. The container stops; files are kept for a while.</>
        : <>Nobody has logged in yet: within {duration(config.rental?.start_window_seconds ?? 0)} of the start you leave for the ready and protocol fee.</>}</p>
      <label class="check"><input type="checkbox" checked={isSure} onChange={(event) => setSure(event.currentTarget.checked)} data-testid="end-sure" /> I have what I need from the GPU</label>
      <ActButton label="End the rental" kind="danger" disabled={!isSure} work={async (actions, on) => { await actions.endRental(rental.id, on); return 'Ended. The rest is credited to you.'; }} />
    </Panel>
  );
}

const MAX_EVIDENCE_BYTES = 16 << 20;

function Complain({ rental, config }: { rental: Rental; config: Config }) {
  const [file, setFile] = useState<File | null>(null);
  const act = useAct();
  const bond = config.court ? big(config.court.bond_wei) : null;
  const isTooLarge = file !== null && file.size > MAX_EVIDENCE_BYTES;
  const complain = () => act.run(async (actions, on) => {
    if (!file) throw new Error('no evidence was chosen');
    await actions.complain(rental.id, new Uint8Array(await file.arrayBuffer()), on);
    return 'The complaint is open. Queens judge it.';
  });
  if (rental.frozen_from) return null;
  return (
    <Panel title="Something is wrong?">
      <p class="muted">A complaint freezes the money for the time from now on until Queens have judged, at most {duration(config.court?.verdict_window_seconds ?? 0)}.
        {bond !== null && <> It takes a bond of <Amount wei={bond} />, which the provider gets if the complaint is rejected.</>}</p>
      <label class="field"><span>Evidence: a log, a recording, a screenshot</span>
        <input type="file" onChange={(event) => setFile(event.currentTarget.files?.[0] ?? null)} disabled={act.busy} data-testid="evidence" /></label>
      <p class="muted">Only the hash of the file goes on chain. Keep the file: judges will ask you for it.</p>
      {isTooLarge && <Notice tone="warn">The file is larger than 16 MiB.</Notice>}
      <button type="button" class="danger" disabled={!file || isTooLarge || act.busy} onClick={complain} data-testid="complain">Complain</button>
      <Outcome of={act} />
    </Panel>
  );
}
