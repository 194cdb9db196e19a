import type { ComponentType } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { connection } from './api/live';
import { route } from './lib/route';
import { Failure, Waiting } from './ui/bits';
import { ThemeButton } from './ui/theme';
import { WalletButton } from './ui/walletmenu';

type PageModule = { default: ComponentType<{ id: string | null }> };

/** Each page is a file of its own that is loaded when it is first opened. */
const PAGES: Record<string, { title: string; list?: () => Promise<PageModule>; one?: () => Promise<PageModule> }> = {
  offers: { title: 'Offers', list: () => import('./pages/Offers'), one: () => import('./pages/Offer') },
  rentals: { title: 'Rentals', list: () => import('./pages/Rentals'), one: () => import('./pages/Rental') },
  providers: { title: 'Providers', list: () => import('./pages/Providers'), one: () => import('./pages/Provider') },
  stake: { title: 'Stake', list: () => import('./pages/Stake') },
  votes: { title: 'Votes', list: () => import('./pages/Votes'), one: () => import('./pages/Proposal') },
  rewards: { title: 'Rewards', list: () => import('./pages/Rewards') },
  network: { title: 'Network', list: () => import('./pages/Network') },
};

export function App() {
  const { page, id } = route.value;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to the page</a>
      <header class="top">
        <a class="brand" href="#/offers"><img src="./icon.svg" alt="" width="26" height="26" />gpumkt</a>
        <nav aria-label="Pages">
          {Object.entries(PAGES).map(([name, { title }]) => (
            <a key={name} href={`#/${name}`} aria-current={page === name ? 'page' : undefined}>{title}</a>
          ))}
        </nav>
        <div class="top-aside"><LiveMark /><ThemeButton /><WalletButton /></div>
      </header>
      {connection.value === 'down' && (
        <div class="banner" role="status">The node does not answer. What you see may be old; trying again. Your money is on the chain and not touched by this.</div>
      )}
      <main id="main" tabIndex={-1}><Shown page={page} id={id} /></main>
      <footer class="foot">
        <p>What you see was read from both chains by this node. It holds no keys and sends nothing: your wallet does.</p>
      </footer>
    </>
  );
}

function LiveMark() {
  const state = connection.value;
  const text = { live: 'Live', connecting: 'Connecting', down: 'Offline' }[state];
  return <span class={`live ${state}`} title="Whether news of both chains arrives"><span aria-hidden="true" class="dot" />{text}</span>;
}

function Shown({ page, id }: { page: string; id: string | null }) {
  const [shown, show] = useState<{ key: string; Page: PageModule['default'] } | null>(null);
  const [error, fail] = useState<unknown>(null);
  const entry = PAGES[page];
  const load = entry ? (id && entry.one ? entry.one : entry.list) : undefined;
  const kind = `${page}${id && entry?.one ? '/one' : ''}`;
  const isFirst = useRef(true);
  useEffect(() => {
    fail(null);
    if (!load) return;
    let isOver = false;
    load().then(
      (loaded) => { if (!isOver) show({ key: kind, Page: loaded.default }); },
      (problem: unknown) => { if (!isOver) fail(problem); },
    );
    document.title = entry ? `${entry.title}${id ? ` ${id.slice(0, 10)}` : ''} · gpumkt` : 'gpumkt';
    return () => { isOver = true; };
  }, [kind]);
  useEffect(() => {
    document.title = entry ? `${entry.title}${id ? ` ${id.slice(0, 10)}` : ''} · gpumkt` : 'gpumkt';
    // After a step to another page, reading goes on at its heading; after the first load it stays where the browser put it.
    if (!shown) return;
    if (isFirst.current) {
      isFirst.current = false;
      return;
    }
    scrollTo(0, 0);
    // The heading may still be on its way; then the page itself.
    (document.querySelector<HTMLElement>('main h1') ?? document.getElementById('main'))?.focus({ preventScroll: true });
  }, [shown?.key, page, id]);
  if (!entry) return <div class="notice warn"><strong>There is no such page</strong><p><a href="#/offers">See the offers</a></p></div>;
  if (error) return <Failure error={error} retry={() => location.reload()} />;
  if (!shown || shown.key !== kind) return <Waiting what={entry.title} rows={6} />;
  return <shown.Page key={id ?? ''} id={id} />;
}
