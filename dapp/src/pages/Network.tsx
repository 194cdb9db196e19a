import { get, getConfig, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { BridgeDirection, Challenge, Message, Network } from '../api/schema';
import { big, count, share } from '../lib/amount';
import { heads } from '../lib/chainclock';
import { plain } from '../lib/text';
import { duration } from '../lib/time';
import { Address, Amount, Badge, Chain, Empty, Facts, Head, Loads, Panel, Table, Time, Tx } from '../ui/bits';

interface Loaded {
  network: Network;
  challenges: Challenge[];
  inFlight: Message[];
}

async function load(): Promise<Loaded> {
  const [network, challenges, messages] = await Promise.all([
    get<Network>('/network'),
    get<Page<Challenge>>('/challenges', { limit: 10 }),
    get<Page<Message>>('/messages', { in_flight: true, limit: 50 }),
  ]);
  return { network, challenges: challenges.items, inFlight: messages.items };
}

export default function NetworkPage() {
  const loaded = useResource('network', load);
  const config = useResource('config', getConfig, () => false);
  return (
    <Loads of={loaded} what="the network" rows={9}>
      {({ network, challenges, inFlight }) => (
        <>
          <Head title="Network" lead="Who keeps it running, how long news takes, and whether every contract holds what it owes."><Badge tone={network.is_caught_up ? 'good' : 'warn'}>{network.is_caught_up ? 'index is up to date' : 'index is catching up'}</Badge></Head>
          <Totals of={network} />
          <div class="columns even">
            <div class="stack">
              <Panel title="Bridge"><div class="pair">{network.bridge.map((way) => <Way key={way.origin} of={way} />)}</div>
                {inFlight.length === 0 ? <p class="muted">Nothing is on its way.</p> : <InFlight of={inFlight} />}</Panel>
              <Panel title="Solvency" aside={<span class="muted">what is held covers what is owed</span>}><SolvencyTable of={network} /></Panel>
              <Panel title="Newest challenges">{challenges.length === 0 ? <Empty title="None yet" /> : <Challenges of={challenges} />}</Panel>
            </div>
            <div class="stack">
              <Panel title="Chains"><Chains of={network} /></Panel>
              <Kings of={network} />
              <Panel title={`Queens${network.queens ? ` (${network.queens.operators.length})` : ''}`}>
                {network.queens ? <ul class="names">{network.queens.operators.map((queen) => <li key={queen}><Address of={queen} /></li>)}</ul> : <Empty title="No set yet" />}
              </Panel>
              {config.data && <p class="muted">Node version {config.data.version}</p>}
            </div>
          </div>
        </>
      )}
    </Loads>
  );
}

function Totals({ of }: { of: Network }) {
  const { totals } = of;
  const all = [['Offers', totals.offers_available, `of ${count(totals.offers)} can be rented`], ['Rentals', totals.rentals_active, `running of ${count(totals.rentals)}`], ['Devices', totals.devices, `of ${count(totals.providers)} providers`], ['Challenges', totals.challenges, 'so far'], ['Proposals', totals.proposals, 'so far']] as const;
  return <div class="figures">{all.map(([name, value, hint]) => <div class="figure" key={name}><span class="label">{name}</span><strong>{count(value)}</strong><span class="muted">{hint}</span></div>)}</div>;
}

function Way({ of }: { of: BridgeDirection }) {
  return (
    <div class="way">
      <h3>{of.origin === 'ethereum' ? 'Ethereum → Classic' : 'Classic → Ethereum'}</h3>
      {of.paused_until && <Badge tone="bad">paused, ends <Time at={of.paused_until} /></Badge>}
      <Facts rows={[
        ['Takes, median', of.median_latency_seconds === null ? 'not measured yet' : duration(of.median_latency_seconds)],
        ['At worst lately', of.worst_latency_seconds === null ? '–' : duration(of.worst_latency_seconds)],
        ['Sent', count(of.dispatched)],
        ['Final', count(of.final)],
        ['Signed', count(of.signed)],
        ['Arrived', count(of.delivered)],
        ['On their way', of.oldest_undelivered_at ? <>{count(of.in_flight)}, the oldest sent <Time at={of.oldest_undelivered_at} /></> : count(of.in_flight)],
      ]} />
    </div>
  );
}

function InFlight({ of }: { of: Message[] }) {
  return <Table label="Messages on their way" head={['From', 'What', 'Stage', 'Sent', 'Transaction']} rows={of.map((message) => ({ key: `${message.origin}${message.index}`, cells: [<Chain of={message.origin} />, <>{plain(message.kind)}{message.rental && <> of <a href={`#/rentals/${message.rental}`}>rental {message.rental}</a></>}</>, message.failed ? <Badge tone="bad">refused there</Badge> : <Badge tone="info">{message.stage}</Badge>, <Time at={message.dispatched_at} />, <Tx hash={message.dispatched_transaction} />] }))} />;
}

function SolvencyTable({ of }: { of: Network }) {
  if (of.solvency.length === 0) return <Empty title="Not checked yet" />;
  return <Table label="Solvency" head={['Contract', 'Holds', 'Owes', 'Covers']} rows={of.solvency.map((row) => ({ key: row.address, cells: [row.contract, <Amount wei={big(row.held_wei)} unit={null} />, <Amount wei={big(row.owed_wei)} unit={null} />, <Badge tone={row.is_solvent ? 'good' : 'bad'}>{row.is_solvent ? 'covered' : 'SHORT'}</Badge>] }))} />;
}

function Challenges({ of }: { of: Challenge[] }) {
  const tones = { valid: 'good', void: 'calm', open: 'info' } as const;
  return <Table label="Challenges" head={['Block', 'Verdict', 'Commits', 'Proven', 'When', 'Transaction']} rows={of.map((one) => ({ key: one.block, cells: [one.block, <Badge tone={tones[one.verdict]}>{one.verdict}</Badge>, one.commits, one.proven, <Time at={one.timestamp} />, <Tx hash={one.transaction} />] }))} />;
}

function Chains({ of }: { of: Network }) {
  const rows = of.chains.map((chain) => {
    const head = heads.value[chain.chain];
    return { key: chain.chain, cells: [<Chain of={chain.chain} />, count(head?.block ?? chain.head), <Time at={head?.timestamp ?? chain.head_timestamp} />, chain.is_silent ? <Badge tone="bad">silent</Badge> : <Badge tone="good">alive</Badge>] };
  });
  return <Table label="Chains" head={['Chain', 'Block', 'Of', 'State']} rows={rows} />;
}

function Kings({ of }: { of: Network }) {
  return (
    <>
      {of.kings.map(({ chain, set }) => {
        const total = set.members.reduce((sum, king) => sum + big(king.weight), 0n);
        return (
          <Panel key={chain} title={`Kings on ${chain === 'ethereum' ? 'Ethereum' : 'Classic'} (${set.members.length})`} aside={<span class="muted">set {set.set_epoch}{set.expires_at && <>, runs out <Time at={set.expires_at} /></>}</span>}>
            <Table label={`Kings on ${chain}`} head={['King', 'Weight']} rows={set.members.map((king) => ({ key: king.address, cells: [<Address of={king.address} />, <>{(share(big(king.weight), total) / 100).toFixed(2)} %</>] }))} />
          </Panel>
        );
      })}
    </>
  );
}
