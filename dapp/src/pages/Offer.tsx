import { getConfig, get } from '../api/client';
import { useResource } from '../api/resource';
import type { Class, Config, Offer } from '../api/schema';
import { big, bytes, factorOfPermille, percentOfPpm } from '../lib/amount';
import { attributes, plain } from '../lib/text';
import { duration } from '../lib/time';
import { Address, Amount, Badge, Facts, Head, Loads, Notice, Panel, Provider, Time, Tx } from '../ui/bits';
import { RentPanel } from '../ui/rentpanel';
import { toneOf } from './Offers';

interface Both {
  offer: Offer;
  config: Config;
}

export default function OfferPage({ id }: { id: string | null }) {
  const loaded = useResource<Both>(`offer/${id}`, async () => {
    const [offer, config] = await Promise.all([get<Offer>(`/offers/${id}`), getConfig()]);
    return { offer, config };
  }, (news) => news.kind !== 'event' || news.event.offer === id || news.event.device !== null);
  return (
    <Loads of={loaded} what="the offer" rows={8}>
      {({ offer, config }) => {
        const entry = config.classes.find(({ class_version }) => class_version === offer.class_version);
        return (
          <>
            <Head title={`Offer ${offer.id}${offer.region ? ` in ${offer.region}` : ''}`} lead={<>Class {offer.class_version}, by <Provider of={offer.provider} /></>}>
              <div class="pricetag"><Amount wei={big(offer.price_per_hour_wei)} /><span class="muted"> per hour</span></div>
            </Head>
            <div class="columns">
              <RentPanel offer={offer} config={config} />
              <div class="stack">
                <Evidence offer={offer} entry={entry} />
                <Waits config={config} entry={entry} />
                <Machine offer={offer} entry={entry} />
              </div>
            </div>
          </>
        );
      }}
    </Loads>
  );
}

function Evidence({ offer, entry }: { offer: Offer; entry: Class | undefined }) {
  const { state, reason, rental } = offer.availability;
  return (
    <Panel title="What was measured" aside={<Badge tone={toneOf(state)}>{state === 'rentable' ? 'rentable now' : plain(state)}</Badge>}>
      {reason && <Notice tone="warn">{reason}{rental && <>: <a href={`#/rentals/${rental}`}>rental {rental}</a></>}</Notice>}
      <Facts rows={[
        ['Speed', <>{factorOfPermille(offer.performance_permille)} of the class's reference device</>],
        ['Passes the next challenge', <>{percentOfPpm(offer.score_ppm)}, as estimated on chain</>],
        ['Last 100 challenges', offer.uptime_ppm === null ? 'none settled yet' : <>{percentOfPpm(offer.uptime_ppm)} passed</>],
        ['Faults', offer.faults],
        ['Last full challenge', <Time at={offer.last_full_pass} />],
        ['Full memory check', entry?.full ? <>{bytes(entry.full.memory_bytes)} within {Number(entry.full.pass_ms) / 1000} s</> : 'unknown'],
      ]} />
      <p><a href={`#/providers/${offer.provider}`}>See every challenge of this provider, and check them yourself</a></p>
    </Panel>
  );
}

function Waits({ config, entry }: { config: Config; entry: Class | undefined }) {
  const { ethereum_to_classic_seconds: there, classic_to_ethereum_seconds: back } = config.finality;
  const said = (seconds: string | null) => (seconds === null ? 'not measured yet' : `about ${duration(seconds)}`);
  return (
    <Panel title="What you wait for">
      <Facts rows={[
        ['GPU ready', <>within {duration(config.rental?.ready_window_seconds ?? 0)} of your payment, or all of it comes back</>],
        ['Rental known on Ethereum Classic', said(there)],
        ['A verdict comes back', said(back)],
        ['Checks during your rental', entry?.overhead_ppm ? <>take {percentOfPpm(entry.overhead_ppm)} of the time{entry.expected_seconds_between_challenges && <>, one every {duration(entry.expected_seconds_between_challenges)} on average</>}</> : 'not known'],
      ]} />
      <p class="muted">You can log in as soon as the GPU is ready. What you wait for between the chains delays payments and refunds, never your work.</p>
    </Panel>
  );
}

function Machine({ offer, entry }: { offer: Offer; entry: Class | undefined }) {
  const declared = attributes(offer.attributes);
  return (
    <Panel title="The machine, as its provider describes it">
      {declared.length > 0 ? <Facts rows={declared} /> : <p class="muted">The provider says nothing more.</p>}
      <Facts rows={[
        ['Device', offer.device],
        ['Stake behind the device', entry ? <Amount wei={big(entry.stake_wei)} /> : 'unknown'],
        ['Reserve to compensate you', <Amount wei={big(offer.reserve_wei)} />],
        ['Provider', <Address of={offer.provider} link={`#/providers/${offer.provider}`} />],
        ['Offered in', <Tx hash={offer.transaction} />],
      ]} />
      <Notice tone="warn">A provider can read what runs on its machine. The sandbox protects providers from renters, not renters from providers.</Notice>
    </Panel>
  );
}
