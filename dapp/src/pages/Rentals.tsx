import { useState } from 'preact/hooks';
import { get, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Rental } from '../api/schema';
import { big } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { clock } from '../lib/time';
import { same } from '../lib/text';
import { account } from '../wallet/session';
import { Amount, Empty, Head, Loads, Provider, Table, Time } from '../ui/bits';
import { StateBadge } from '../ui/rentalstate';
import { openWallets } from '../ui/walletmenu';

export default function Rentals() {
  const mine = account.value;
  const [everybody, setEverybody] = useState(false);
  const [pages, setPages] = useState(1);
  const who = everybody ? null : mine;
  const rentals = useResource(everybody || mine ? `rentals/${who}/${pages}` : null, () => load(who, pages), (news) => news.kind !== 'event' || news.event.rental !== null);
  return (
    <>
      <Head title={everybody ? 'All rentals' : 'Your rentals'} lead="Time left, and where every token is.">
        <button type="button" class="quiet" onClick={() => setEverybody(!everybody)}>{everybody ? 'Only mine' : "Everybody's"}</button>
      </Head>
      {!everybody && !mine
        ? <Empty title="Connect a wallet to see your rentals"><button type="button" onClick={openWallets}>Connect wallet</button></Empty>
        : (
          <Loads of={rentals} what="rentals" rows={5}>
            {({ items, more }) => items.length === 0
              ? <Empty title="No rental yet"><a class="button" href="#/offers">Find a GPU</a></Empty>
              : <><RentalTable rentals={items} mine={mine} />{more && <button type="button" class="quiet more" onClick={() => setPages(pages + 1)}>Show more</button>}</>}
          </Loads>
        )}
    </>
  );
}

async function load(who: string | null, pages: number): Promise<{ items: Rental[]; more: boolean }> {
  const asked = who ? [{ renter: who }, { provider: who }] : [{}];
  const found = await Promise.all(asked.map((query) => get<Page<Rental>>('/rentals', { ...query, limit: Math.min(100, pages * 25) })));
  const byId = new Map(found.flatMap(({ items }) => items).map((rental) => [rental.id, rental]));
  const items = [...byId.values()].sort((a, b) => Number(b.id) - Number(a.id));
  return { items, more: pages < 4 && found.some(({ next_cursor }) => next_cursor !== null) };
}

function RentalTable({ rentals, mine }: { rentals: Rental[]; mine: string | null }) {
  const rows = rentals.map((rental) => ({
    key: rental.id,
    cells: [
      <a href={`#/rentals/${rental.id}`}>Rental {rental.id}</a>,
      <StateBadge rental={rental} />,
      <TimeLeft rental={rental} />,
      same(rental.provider, mine) ? 'you provide' : <Provider of={rental.provider} />,
      <Amount wei={big(rental.money.paid_wei)} unit={null} />,
      <Amount wei={big(rental.money.held_wei)} unit={null} />,
      <Amount wei={big(rental.money.refunded_wei)} unit={null} />,
    ],
  }));
  return <Table label="Rentals" head={['Rental', 'State', 'Time', 'Provider', 'Paid', 'Held', 'Refunded']} rows={rows} />;
}

function TimeLeft({ rental }: { rental: Rental }) {
  const left = rental.state === 'active' && rental.end ? Number(rental.end) - chainNow() : 0;
  if (left > 0) return <span class="mono">{clock(left)} left</span>;
  return <Time at={rental.closed_at ?? rental.end ?? rental.requested_at} />;
}
