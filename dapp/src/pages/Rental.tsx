import { useEffect, useState } from 'preact/hooks';
import { all, get, getConfig } from '../api/client';
import { listen } from '../api/live';
import { useResource } from '../api/resource';
import type { Case, Config, Device, Event, Message, Rental, Verdict } from '../api/schema';
import { big } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { same, sentence } from '../lib/text';
import { merge, rewind, type Steps } from '../lib/timeline';
import { clock, duration, local } from '../lib/time';
import { VerdictPlot, type Limits } from '../plots/verdicts';
import { Address, Amount, Badge, Command, Empty, Facts, Head, Loads, Notice, Panel, Provider, Table, Time, Tx } from '../ui/bits';
import { CasePanel } from '../ui/cases';
import { KeyPlace } from '../ui/keystep';
import { MoneyBar } from '../ui/moneybar';
import { RentalActions } from '../ui/rentalactions';
import { StateBadge } from '../ui/rentalstate';
import { Timeline } from '../ui/timeline';
import { account } from '../wallet/session';

interface Loaded {
  rental: Rental;
  device: Device;
  config: Config;
  verdicts: Verdict[];
  messages: Message[];
  cases: Case[];
}

async function load(id: string): Promise<Loaded> {
  const rental = await get<Rental>(`/rentals/${id}`);
  const [device, config, verdicts, messages, cases] = await Promise.all([
    get<Device>(`/devices/${rental.device}`),
    getConfig(),
    all<Verdict>(`/rentals/${id}/verdicts`),
    all<Message>(`/rentals/${id}/messages`),
    all<Case>('/cases', { rental: id }),
  ]);
  return { rental, device, config, verdicts, messages, cases };
}

export default function RentalPage({ id }: { id: string | null }) {
  const loaded = useResource(`rental/${id}`, () => load(id ?? ''), (news) => news.kind !== 'event' || news.event.rental === id || /^(challenge|work|device_settled|message|checkpoint|case|committee|reputation)/.test(news.event.type));
  const steps = useSteps(id ?? '');
  return (
    <Loads of={loaded} what="the rental" rows={9}>
      {({ rental, device, config, verdicts, messages, cases }) => (
        <>
          <Head title={`Rental ${rental.id}`} lead={<><StateBadge rental={rental} /> Offer <a href={`#/offers/${rental.offer}`}>{rental.offer}</a> by <Provider of={rental.provider} /></>}>
            <Countdown rental={rental} config={config} />
          </Head>
          <Why rental={rental} config={config} />
          <div class="columns">
            <div class="stack">
              <Panel title="Your money"><MoneyBar rental={rental} /></Panel>
              <Panel title="What happened" aside={<span class="muted">both chains, live</span>}>
                <Loads of={steps} what="the steps" rows={4}>{(events) => <Timeline steps={events} messages={messages} rental={rental} />}</Loads>
              </Panel>
            </div>
            <div class="stack">
              <Access rental={rental} />
              <RentalActions rental={rental} config={config} />
              {cases.map((found) => <CasePanel key={found.id} of={found} config={config} />)}
              <Terms rental={rental} />
            </div>
          </div>
          <Panel title="Challenges" aside={<span class="muted">{rental.challenges_passed} of {rental.challenges_due} passed that have counted</span>}>
            {verdicts.length === 0 ? <Empty title="No challenge yet">The first one comes at random after the rental is known on Ethereum Classic.</Empty> : <><VerdictPlot verdicts={verdicts} limits={limitsOf(config, device)} /><Verdicts verdicts={verdicts} /></>}
          </Panel>
        </>
      )}
    </Loads>
  );
}

/** All steps: asked for once, then kept by the stream, and asked for again when something may have been missed. */
function useSteps(id: string) {
  const asked = useResource<Event[]>(`steps/${id}`, () => all<Event>(`/rentals/${id}/events`), () => false);
  const [steps, set] = useState<Steps | null>(null);
  // What the index holds now is right in full: after a reorganisation there may be less than what was seen.
  useEffect(() => {
    if (asked.data) set(merge([], asked.data));
  }, [asked.data]);
  useEffect(() => listen((news) => {
    if (news.kind === 'event' && news.event.rental === id) set((now) => merge(now ?? [], [news.event]));
    if (news.kind === 'reorg') set((now) => now && rewind(now, news.chain, news.toBlock));
  }), [id]);
  return { ...asked, data: steps };
}

function limitsOf(config: Config, device: Device): Limits {
  const mode = config.classes.find(({ class_version }) => class_version === device.class_version)?.light;
  return { passMs: mode ? Number(mode.pass_ms) : null, referenceMs: mode ? Number(mode.reference_ms) : null };
}

function Countdown({ rental, config }: { rental: Rental; config: Config }) {
  const now = chainNow();
  if (rental.state === 'requested') {
    const left = Number(rental.ready_until) - now;
    return <div class="countdown"><span class="label">Provider has</span><strong class="mono">{left > 0 ? clock(left) : 'no time left'}</strong><span class="muted">to be ready, out of {duration(config.rental?.ready_window_seconds ?? 0)}</span></div>;
  }
  if (rental.state === 'active' && rental.end) {
    const left = Number(rental.end) - now;
    return <div class={`countdown ${left > 0 && left < 600 ? 'soon' : ''}`}><span class="label">{left > 0 ? 'Time left' : 'Ended'}</span><strong class="mono" data-testid="left">{left > 0 ? clock(left) : '00:00:00'}</strong><span class="muted">{left > 0 ? 'until ' : ''}<Time at={rental.end} /></span></div>;
  }
  return <div class="countdown"><span class="label">Closed</span><strong><Time at={rental.closed_at} /></strong></div>;
}

const FAULTS: Record<NonNullable<Rental['fault']>, string> = {
  closing_missed: 'The device missed the challenge that decides the end of the rental.',
  aborted: 'The provider ended the rental.',
  judged: 'A committee of Queens upheld the complaint.',
};

function Why({ rental, config }: { rental: Rental; config: Config }) {
  const isOver = rental.state === 'completed' || rental.state === 'cancelled';
  if (isOver) {
    return (
      <Notice tone={rental.fault ? 'bad' : rental.close_reason === 'completed' ? 'good' : 'info'} title={rental.close_text ? sentence(rental.close_text) : 'This rental is closed.'}>
        {rental.fault && <p>{FAULTS[rental.fault]} {big(rental.money.compensated_wei) > 0n && <>You were compensated with <Amount wei={big(rental.money.compensated_wei)} />.</>}</p>}
        {same(account.value, rental.renter) && <p>What came back to you waits under <a href="#/rewards">Rewards</a>.</p>}
      </Notice>
    );
  }
  // The fault is known at once; the last report, which closes the rental, comes over the bridge.
  if (rental.fault) return <Notice tone="bad" title="The provider is at fault">{FAULTS[rental.fault]} What was not used is given back; the last report closes the rental.</Notice>;
  if (rental.frozen_from) return <Notice tone="warn" title="A complaint is open">Money for the time after <Time at={rental.frozen_from} /> waits for the verdict{config.court && <>, at most {duration(config.court.verdict_window_seconds)}</>}. The GPU runs on.</Notice>;
  if (rental.deadline_at) return <Notice tone="warn" title="A refund by deadline was requested">Reports never came. What was not reported can be taken back <Time at={rental.deadline_at} />.</Notice>;
  return null;
}

/** What to type, in the order in which it is needed. */
function Access({ rental }: { rental: Rental }) {
  const isMine = same(account.value, rental.renter);
  if (rental.state !== 'active' && rental.state !== 'requested') return null;
  const isWaiting = rental.state === 'requested';
  return (
    <Panel title={isWaiting ? 'Start it' : 'Log in'} aside={rental.opened_at ? <Badge tone="good">session opened</Badge> : <Badge tone="calm">nobody has yet</Badge>}>
      {isWaiting ? (
        <>
          <p class="muted">The provider starts its standard image by itself, shortly after the payment. This says what else to start (<code>--image</code>, <code>--template</code>, <code>-- COMMAND</code>) and waits until you can log in:</p>
          <Command label="Start it and wait" text={`gpumkt launch ${rental.id}`} />
        </>
      ) : (
        <>
          <Command label="Log in to the GPU" text={`gpumkt ssh ${rental.id}`} />
          <Command label="Copy a file there" text={`gpumkt cp ./work ${rental.id}:work`} />
          <Command label="Open a port of it here" text={`gpumkt forward ${rental.id} 8888`} />
        </>
      )}
      <p class="muted">{isMine ? 'It takes the session key file you saved, ' : 'It takes the session key '}<Address of={rental.session_key} />, and the config <code>gpumkt.toml</code> in your folder, or that which <code>GPUMKT_CONFIG</code> names.</p>
      {isMine && !rental.opened_at && <KeyPlace fileName={`${rental.session_key}.json`} />}
    </Panel>
  );
}

function Terms({ rental }: { rental: Rental }) {
  return (
    <Panel title="Terms">
      <Facts rows={[
        ['Price per hour', <Amount wei={big(rental.price_per_second_wei) * 3600n} />],
        ['Bought', duration(rental.duration_seconds)],
        ['Verified', duration(rental.verified_seconds)],
        ['Decided up to', <Time at={rental.covered_until} />],
        ['Renter', <Address of={rental.renter} />],
        ['Device', rental.device],
        ['Paid in', <Tx hash={rental.transaction} />],
      ]} />
      {rental.segments.length > 0 && <Table label="Time bought later" head={['From', 'Price per hour']} rows={rental.segments.map((s) => ({ key: s.from, cells: [<Time at={s.from} />, <Amount wei={big(s.price_per_second_wei) * 3600n} />] }))} />}
      {rental.maintenance.map((window) => <Notice key={window.from} tone="warn" title="Maintenance">From {local(window.from)} until {local(window.until)}; you do not pay for it.</Notice>)}
    </Panel>
  );
}

function Verdicts({ verdicts }: { verdicts: Verdict[] }) {
  const rows = [...verdicts].reverse().slice(0, 50).map((verdict) => ({
    key: `${verdict.challenge}-${verdict.device}`,
    cells: [
      <>Block {verdict.challenge}{verdict.is_closing && ' (closing)'}</>,
      <VerdictBadge of={verdict.verdict} />,
      verdict.elapsed_ms === null ? '–' : `${(Number(verdict.elapsed_ms) / 1000).toFixed(2)} s`,
      <Time at={verdict.timestamp} />,
      <Tx hash={verdict.commit_transaction} />,
      <Tx hash={verdict.proof_transaction} />,
    ],
  }));
  return <Table label="Challenges of this rental" head={['Challenge', 'Verdict', 'Time taken', 'When', 'Commit', 'Proof']} rows={rows} />;
}

export function VerdictBadge({ of }: { of: Verdict['verdict'] }) {
  const tones = { passed: 'good', missed: 'bad', voided: 'bad', proven: 'info', committed: 'info', open: 'calm', unmeasured: 'warn', void: 'calm' } as const;
  return <Badge tone={tones[of]}>{of}</Badge>;
}
