import { all, get, getConfig, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Config, Device, Event, Provider, Slash, Verdict } from '../api/schema';
import { big, factorOfPermille, percentOfPpm } from '../lib/amount';
import { plain, sentence, short } from '../lib/text';
import { duration } from '../lib/time';
import { HistoryPlot } from '../plots/history';
import { VerdictPlot } from '../plots/verdicts';
import { Amount, Badge, Chain, Command, Copy, Empty, Head, Loads, Panel, Table, Time, Tx } from '../ui/bits';

interface Loaded {
  provider: Provider;
  config: Config;
  verdicts: Verdict[];
  events: Event[];
}

async function load(address: string): Promise<Loaded> {
  const [provider, config, verdicts, events] = await Promise.all([
    get<Provider>(`/providers/${address}`),
    getConfig(),
    all<Verdict>(`/providers/${address}/verdicts`),
    get<Page<Event>>(`/providers/${address}/events`, { limit: 25 }).then(({ items }) => items),
  ]);
  return { provider, config, verdicts, events };
}

export default function ProviderPage({ id }: { id: string | null }) {
  const address = (id ?? '').toLowerCase();
  const loaded = useResource(`provider/${address}`, () => load(address));
  return (
    <Loads of={loaded} what="the provider" rows={8}>
      {({ provider, config, verdicts, events }) => {
        const { summary } = provider;
        return (
          <>
            <Head title={<>Provider <span class="mono">{short(summary.account)}</span></>} lead={<><Copy text={summary.account} label="Copy the address"><span class="mono full">{summary.account}</span></Copy></>}>
              <Badge tone={summary.is_active ? 'good' : 'calm'}>{summary.is_active ? 'in service' : 'inactive'}</Badge>
            </Head>
            <Figures provider={provider} />
            <Panel title="Every challenge" aside={<span class="muted">{summary.challenges.settled} settled: {summary.challenges.passed} passed, {summary.challenges.missed} missed, {summary.challenges.unmeasured} not measured, {summary.challenges.void} void</span>}>
              {verdicts.length === 0 ? <Empty title="No challenge yet" /> : <div class="plots"><VerdictPlot verdicts={verdicts.slice(0, 400)} limits={{ passMs: null, referenceMs: null }} /><HistoryPlot verdicts={verdicts} /></div>}
              <h3>Check it yourself</h3>
              <p class="muted">This reads both chains and repeats every commit, proof, outcome and sum of this provider on your CPU; it asks no node what it thinks of itself.</p>
              <Command label="Audit this provider" text={`gpumkt audit ${summary.account}`} />
            </Panel>
            <Panel title="Devices and offers"><Devices provider={provider} config={config} /></Panel>
            {provider.slashes.length > 0 && <Panel title="Slashes"><Slashes of={provider.slashes} /></Panel>}
            <Panel title="Newest events">
              {events.length === 0 ? <Empty title="Nothing yet" /> : <Table label="Events" head={['What', 'Chain', 'When', 'Transaction']} rows={events.map((event) => ({ key: event.id, cells: [sentence(event.text), <Chain of={event.chain} />, <Time at={event.timestamp} />, <Tx hash={event.transaction} />] }))} />}
            </Panel>
          </>
        );
      }}
    </Loads>
  );
}

function Figures({ provider }: { provider: Provider }) {
  const { summary, stake } = provider;
  return (
    <div class="figures">
      <div class="figure"><span class="label">Passes the next challenge</span><strong>{summary.score_ppm === null ? '–' : percentOfPpm(summary.score_ppm)}</strong><span class="muted">as Ethereum Classic estimates</span></div>
      <div class="figure"><span class="label">Passed of the last 100</span><strong>{summary.uptime_ppm === null ? '–' : percentOfPpm(summary.uptime_ppm)}</strong><span class="muted">{summary.challenges.settled} in all</span></div>
      <div class="figure"><span class="label">Rentals completed</span><strong>{summary.rentals_completed}</strong><span class="muted">of {summary.rentals}; {summary.rentals_active} now, {summary.rentals_faulted} at fault</span></div>
      <div class="figure"><span class="label">Earned</span><strong><Amount wei={big(summary.earned_wei)} /></strong><span class="muted">for verified time</span></div>
      <div class="figure"><span class="label">Stake at risk</span><strong><Amount wei={big(summary.staked_wei) + big(summary.delegated_wei)} /></strong><span class="muted">{stake && big(stake.unbonding_wei) > 0n ? <>of it leaving: <Amount wei={big(stake.unbonding_wei)} /></> : <>slashed so far: <Amount wei={big(summary.slashed_wei)} /></>}</span></div>
    </div>
  );
}

function Devices({ provider, config }: { provider: Provider; config: Config }) {
  if (provider.devices.length === 0) return <Empty title="No device" />;
  const freshness = Number(config.rental?.freshness_seconds ?? 0);
  const row = (device: Device) => {
    const offers = provider.offers.filter((offer) => offer.device === device.id);
    return {
      key: device.id,
      cells: [
        <>Device {device.id}, class {device.class_version}</>,
        device.removed_at ? <Badge tone="calm">removed</Badge> : device.rental ? <Badge tone="info">rented</Badge> : <Badge tone="good">in service</Badge>,
        factorOfPermille(device.performance_permille),
        percentOfPpm(device.score_ppm),
        device.faults,
        <Time at={device.last_full_pass} />,
        <Amount wei={big(device.reserve_wei)} unit={null} />,
        offers.length === 0 ? 'none' : <>{offers.map((offer) => <a key={offer.id} href={`#/offers/${offer.id}`}>Offer {offer.id} </a>)}</>,
      ],
    };
  };
  return (
    <>
      <Table label="Devices" head={['Device', 'State', 'Speed', 'Passes', 'Faults', 'Last full pass', 'Reserve', 'Offers']} rows={provider.devices.map(row)} />
      {freshness > 0 && <p class="muted">A device can be rented while its last full pass is at most {duration(freshness)} old.</p>}
    </>
  );
}

function Slashes({ of }: { of: Slash[] }) {
  return <Table label="Slashes" head={['Amount', 'Reason', 'Device', 'When', 'Transaction']} rows={of.map((slash, at) => ({ key: `${slash.transaction}${at}`, cells: [<Amount wei={big(slash.amount_wei)} />, plain(slash.reason), slash.device ?? '–', <Time at={slash.timestamp} />, <Tx hash={slash.transaction} />] }))} />;
}
