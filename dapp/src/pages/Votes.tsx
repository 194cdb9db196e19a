import { get, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Proposal } from '../api/schema';
import { Badge, Empty, Head, Loads, Time } from '../ui/bits';
import { TallyBar } from '../ui/tally';
import { VotingPower } from '../ui/votingpower';
import { account } from '../wallet/session';

export const TONES = { pending: 'calm', active: 'info', canceled: 'calm', defeated: 'bad', succeeded: 'good', queued: 'info', expired: 'calm', executed: 'good' } as const;

export default function Votes() {
  const loaded = useResource('proposals', () => get<Page<Proposal>>('/proposals', { limit: 50 }), (news) => news.kind !== 'event' || /^(proposal|vote)/.test(news.event.type));
  return (
    <>
      <Head title="Votes" lead="Holders and stakers decide parameters and the treasury. A timelock holds every decision back before it takes effect." />
      {account.value && <VotingPower />}
      <Loads of={loaded} what="proposals" rows={4}>
        {({ items }) => items.length === 0
          ? <Empty title="No proposal yet">Whoever holds enough votes makes one with <code>gpumkt gov propose</code>.</Empty>
          : <ul class="cards" aria-label="Proposals">{items.map((proposal) => <Card key={proposal.id} of={proposal} />)}</ul>}
      </Loads>
    </>
  );
}

function Card({ of }: { of: Proposal }) {
  return (
    <li class="card">
      <div class="row"><Badge tone={TONES[of.state]}>{of.state}</Badge><span class="muted">{of.state === 'pending' ? <>voting starts <Time at={of.vote_start} /></> : <>voting ends <Time at={of.vote_end} /></>}</span></div>
      <h2><a href={`#/votes/${of.id}`}>{of.title || 'Without a title'}</a></h2>
      <TallyBar of={of} />
    </li>
  );
}
