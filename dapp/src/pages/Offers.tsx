import { useEffect, useState } from 'preact/hooks';
import { all, get, getConfig, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Class, Config, Offer } from '../api/schema';
import { big, count, factorOfPermille, parse, percentOfPpm, share } from '../lib/amount';
import { route, setQuery } from '../lib/route';
import { duration } from '../lib/time';
import { plain } from '../lib/text';
import { Amount, Badge, Empty, Head, Loads, Provider, Time, type Tone } from '../ui/bits';
import { FinalityNote } from '../ui/finality';

const SORTS = [
  ['score', 'Best reputation'],
  ['price', 'Lowest price'],
  ['speed_per_token', 'Most speed per GPUTOKEN'],
  ['performance', 'Fastest'],
  ['newest', 'Newest'],
] as const;

const CONCERNS = /^(offer_|rental_|device_|reputation|reserve|staked|unstake|slashed|work_report)/;

export default function Offers() {
  const query = route.value.query;
  const filters = {
    class: query.get('class'),
    region: query.get('region'),
    sort: query.get('sort') ?? 'score',
    available: query.get('show') === 'all' ? null : 'true',
    max_price_per_hour_wei: priceOf(query.get('price')),
    min_score_ppm: query.get('score'),
  };
  const [pages, setPages] = useState(1);
  const key = JSON.stringify(filters);
  useEffect(() => setPages(1), [key]);
  const offers = useResource(`${key}/${pages}`, () => some(filters, pages), (news) => news.kind !== 'event' || CONCERNS.test(news.event.type));
  const config = useResource('config', getConfig, () => false);
  return (
    <>
      <Head title="Find a GPU" lead="Speeds are measured on chain by random challenges, not declared. You pay for verified time only.">
        {config.data && <FinalityNote config={config.data} />}
      </Head>
      <Filters config={config.data} />
      <Loads of={offers} what="offers" rows={6}>
        {(found) => found.items.length === 0 ? <NoneFound /> : (
          <>
            <p class="result" role="status">{found.next ? 'The first ' : ''}{count(found.items.length)} {found.items.length === 1 ? 'offer' : 'offers'}{filters.available ? ' you can rent now' : ''}</p>
            <List offers={found.items} config={config.data} />
            {found.next && <button type="button" class="quiet more" onClick={() => setPages(pages + 1)}>Show more</button>}
          </>
        )}
      </Loads>
    </>
  );
}

function priceOf(text: string | null): string | null {
  const wei = text ? parse(text) : null;
  return wei === null ? null : wei.toString();
}

async function some(filters: Record<string, string | null>, pages: number): Promise<{ items: Offer[]; next: string | null }> {
  const items: Offer[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < pages; page += 1) {
    const found: Page<Offer> = await get<Page<Offer>>('/offers', { ...filters, limit: 50, cursor });
    items.push(...found.items);
    cursor = found.next_cursor;
    if (!cursor) break;
  }
  return { items, next: cursor };
}

function Filters({ config }: { config: Config | null }) {
  const query = route.value.query;
  const regions = useResource('regions', async () => [...new Set((await all<Offer>('/offers')).map((offer) => offer.region).filter(Boolean))].sort(), () => false);
  const price = query.get('price') ?? '';
  const isWrong = price !== '' && parse(price) === null;
  return (
    <form class="filters" role="search" aria-label="Filter offers" onSubmit={(event) => event.preventDefault()}>
      <label class="field"><span>Class</span>
        <select value={query.get('class') ?? ''} onChange={(event) => setQuery({ class: event.currentTarget.value })}>
          <option value="">Any</option>
          {config?.classes.map(({ class_version, offers }) => <option key={class_version} value={class_version}>Class {class_version} ({offers})</option>)}
        </select></label>
      <label class="field"><span>Region</span>
        <select value={query.get('region') ?? ''} onChange={(event) => setQuery({ region: event.currentTarget.value })}>
          <option value="">Any</option>
          {regions.data?.map((region) => <option key={region} value={region}>{region}</option>)}
        </select></label>
      <label class="field"><span>At most, per hour</span>
        <input type="text" inputMode="decimal" placeholder="0.50" value={price} aria-invalid={isWrong} aria-describedby={isWrong ? 'price-wrong' : undefined}
          onChange={(event) => setQuery({ price: event.currentTarget.value })} />
        {isWrong && <em id="price-wrong">An amount such as 0.4</em>}</label>
      <label class="field"><span>Passes challenges</span>
        <select value={query.get('score') ?? ''} onChange={(event) => setQuery({ score: event.currentTarget.value })}>
          <option value="">Any</option>
          {['500000', '900000', '950000', '990000'].map((ppm) => <option key={ppm} value={ppm}>at least {percentOfPpm(ppm)}</option>)}
        </select></label>
      <label class="field wide"><span>Order</span>
        <select value={query.get('sort') ?? 'score'} onChange={(event) => setQuery({ sort: event.currentTarget.value })}>
          {SORTS.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select></label>
      <label class="check"><input type="checkbox" checked={query.get('show') === 'all'} onChange={(event) => setQuery({ show: event.currentTarget.checked ? 'all' : null })} /> Also what is rented or paused</label>
    </form>
  );
}

function NoneFound() {
  const hasFilters = [...route.value.query.keys()].some((name) => name !== 'sort');
  return (
    <Empty title={hasFilters ? 'No offer matches' : 'Nothing can be rented right now'}>
      {hasFilters ? <button type="button" class="quiet" onClick={() => { location.hash = '#/offers'; }}>Clear the filters</button>
        : <>An offer shows up here as soon as its device has passed a full challenge. <button type="button" class="quiet" onClick={() => setQuery({ show: 'all' })}>Show all offers</button></>}
    </Empty>
  );
}

export function toneOf(state: Offer['availability']['state']): Tone {
  if (state === 'rentable') return 'good';
  if (state === 'rented') return 'info';
  return state === 'paused' || state === 'removed' ? 'calm' : 'warn';
}

function List({ offers, config }: { offers: Offer[]; config: Config | null }) {
  const best = offers.reduce((most, offer) => (big(offer.speed_per_token) > most ? big(offer.speed_per_token) : most), 0n);
  const classes = new Map<string, Class>(config?.classes.map((entry) => [entry.class_version, entry]));
  return <ul class="offers" aria-label="Offers">{offers.map((offer) => <Row key={offer.id} offer={offer} best={best} entry={classes.get(offer.class_version)} />)}</ul>;
}

function Row({ offer, best, entry }: { offer: Offer; best: bigint; entry: Class | undefined }) {
  const { state } = offer.availability;
  const width = share(big(offer.speed_per_token), best) / 100;
  return (
    <li class="offer">
      <div class="offer-what">
        <a class="offer-name" href={`#/offers/${offer.id}`}>Class {offer.class_version}{offer.region && ` · ${offer.region}`}</a>
        <p class="muted">Offer {offer.id} by <Provider of={offer.provider} /> · {duration(offer.min_duration_seconds)} to {duration(offer.max_duration_seconds)}</p>
        <p class="offer-state"><Badge tone={toneOf(state)}>{state === 'rentable' ? 'rentable now' : plain(state)}</Badge>{offer.availability.reason && <span class="muted"> {offer.availability.reason}</span>}</p>
      </div>
      <div class="figure">
        <span class="label">Measured speed</span>
        <strong>{factorOfPermille(offer.performance_permille)}</strong>
        <span class="muted">of the class's reference</span>
      </div>
      <div class="figure">
        <span class="label">Speed per token and hour</span>
        <strong>{perToken(offer.speed_per_token)}</strong>
        <span class="meter" role="img" aria-label={`${Math.round(width)} % of the best one shown`}><span style={{ width: `${width}%` }} /></span>
      </div>
      <div class="figure">
        <span class="label">Passes the next challenge</span>
        <strong>{percentOfPpm(offer.score_ppm)}</strong>
        <span class="muted">{offer.uptime_ppm === null ? 'no settled ones yet' : `${percentOfPpm(offer.uptime_ppm)} of the last 100`}{offer.faults !== '0' && `, ${offer.faults} faults`}</span>
      </div>
      <div class="figure">
        <span class="label">Verified</span>
        <strong class="small"><Time at={offer.last_full_pass} /></strong>
        <span class="muted">{entry?.overhead_ppm ? `checks take ${percentOfPpm(entry.overhead_ppm)} of the time` : 'last full challenge passed'}</span>
      </div>
      <div class="offer-price">
        <span class="price"><Amount wei={big(offer.price_per_hour_wei)} /></span>
        <span class="muted">per hour</span>
        <a class={`button ${offer.is_available ? '' : 'quiet'}`} href={`#/offers/${offer.id}`} aria-label={`${offer.is_available ? 'Rent' : 'Details of'} offer ${offer.id}`}>{offer.is_available ? 'Rent' : 'Details'}</a>
      </div>
    </li>
  );
}

/** On the wire in thousandths of a thousandth; a price of zero cannot be. */
function perToken(value: string): string {
  return factorOfPermille(big(value) / 1000n);
}
