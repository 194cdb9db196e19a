import { get, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { ProviderSummary } from '../api/schema';
import { big, percentOfPpm } from '../lib/amount';
import { route, setQuery } from '../lib/route';
import { Amount, Badge, Empty, Head, Loads, Provider, Table, Time } from '../ui/bits';

export default function Providers() {
  const sort = route.value.query.get('sort') ?? 'score';
  const loaded = useResource(`providers/${sort}`, () => get<Page<ProviderSummary>>('/providers', { sort, limit: 100 }));
  return (
    <>
      <Head title="Providers" lead="Reputation is what the chain counted, not what somebody wrote.">
        <label class="field"><span>Order</span>
          <select value={sort} onChange={(event) => setQuery({ sort: event.currentTarget.value })}>
            <option value="score">Best reputation</option><option value="rentals">Most rentals</option><option value="stake">Largest stake</option>
          </select></label>
      </Head>
      <Loads of={loaded} what="providers" rows={5}>
        {({ items }) => items.length === 0 ? <Empty title="No provider yet" /> : <ProviderTable items={items} />}
      </Loads>
    </>
  );
}

function ProviderTable({ items }: { items: ProviderSummary[] }) {
  const rows = items.map((one) => ({
    key: one.account,
    cells: [
      <><Provider of={one.account} /> {!one.is_active && <Badge tone="calm">inactive</Badge>}</>,
      one.score_ppm === null ? <span class="muted">none yet</span> : percentOfPpm(one.score_ppm),
      <>{one.challenges.passed} of {one.challenges.settled}</>,
      <>{one.rentals_completed} of {one.rentals}{one.rentals_faulted !== '0' && <>, {one.rentals_faulted} at fault</>}</>,
      <Amount wei={big(one.staked_wei) + big(one.delegated_wei)} unit={null} />,
      big(one.slashed_wei) > 0n ? <Amount wei={big(one.slashed_wei)} unit={null} /> : 'nothing',
      <Time at={one.since} />,
    ],
  }));
  return <Table label="Providers" head={['Provider', 'Passes the next challenge', 'Challenges passed', 'Rentals completed', 'Stake', 'Slashed', 'Since']} rows={rows} />;
}
