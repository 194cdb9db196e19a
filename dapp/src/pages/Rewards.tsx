import { useEffect, useState } from 'preact/hooks';
import { all, get } from '../api/client';
import { useResource } from '../api/resource';
import type { Account, Allocation, Distribution } from '../api/schema';
import { big, percentOfBps, share } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { duration } from '../lib/time';
import { ActButton, loadActions } from '../ui/act';
import { Address, Amount, Empty, Facts, Head, Loads, Panel, Table, Time } from '../ui/bits';
import { marketChain, openWallets } from '../ui/walletmenu';
import type { Purse } from '../wallet/actions';
import { account, session } from '../wallet/session';

export default function Rewards() {
  const mine = account.value;
  const me = useResource<Account>(mine ? `account/${mine}` : null, () => get<Account>(`/accounts/${mine}`));
  const allocations = useResource(`allocations/${mine}`, () => all<Allocation>('/allocations', { beneficiary: mine }), (news) => news.kind !== 'event' || /^allocation/.test(news.event.type));
  const distribution = useResource('distribution', () => get<Distribution>('/distribution'), (news) => news.kind !== 'event' || /reward|fee|emission|allocation/.test(news.event.type));
  return (
    <>
      <Head title="Rewards" lead="What is yours and waits for you, where it comes from, and what vests." />
      <div class="columns">
        <div class="stack">
          {!mine ? <Empty title="Connect a wallet to see what waits for you"><button type="button" onClick={openWallets}>Connect wallet</button></Empty>
            : <Loads of={me} what="what is yours" rows={4}>{(found) => <Purses of={found} />}</Loads>}
          <Loads of={allocations} what="vesting" rows={3}>{(found) => found.length === 0 ? <Empty title="Nothing vests for this account" /> : <>{found.map((one) => <Vesting key={one.id} of={one} isMine={mine !== null} />)}</>}</Loads>
        </div>
        <div class="stack"><Loads of={distribution} what="the emission" rows={6}>{(found) => <Emission of={found} />}</Loads></div>
      </div>
    </>
  );
}

function useEarned(of: Account): bigint | null {
  const [earned, set] = useState<bigint | null>(null);
  const isRight = session.value !== null && session.value.chainId === marketChain.value;
  useEffect(() => {
    set(null);
    if (!isRight) return;
    let isOver = false;
    loadActions().then((actions) => actions.earned()).then((found) => { if (!isOver) set(found); }, () => {});
    return () => { isOver = true; };
  }, [isRight, of]);
  return earned;
}

function Purses({ of }: { of: Account }) {
  const earned = useEarned(of);
  const purses: Array<[Purse, string, string, bigint | null]> = [
    ['rent', 'Rent and refunds', 'paid for verified time, or back from rentals', big(of.rental_credit_wei)],
    ['court', 'Court', 'bonds back, fees of judges', big(of.court_credit_wei)],
    ['stake-rewards', 'Rewards of stake', 'own stake, commission and delegation', earned],
    ['rewards', 'Rewards of rentals', "provider's reward and renter's loyalty", big(of.reward_credit_wei)],
    ['stake-credit', 'Shares of slashes', 'as renter or reporter', big(of.stake_credit_wei)],
  ];
  return (
    <Panel title="To claim">
      <ul class="purses">
        {purses.map(([purse, name, hint, wei]) => (
          <li key={purse} data-purse={purse}>
            <div><strong>{name}</strong><span class="muted"> {hint}</span></div>
            <div class="purse-amount">{wei === null ? <span class="muted">connect to read it</span> : <Amount wei={wei} />}</div>
            <ActButton label={`Claim ${name.toLowerCase()}`} offered={wei !== null && wei > 0n} work={async (actions, on) => { await actions.claim(purse, of.address, on); return 'Claimed to your account.'; }} />
          </li>
        ))}
        {of.delayed_credits.map((credit) => (
          <li key={credit.available_at}>
            <div><strong>Large payment, held back for safety</strong><span class="muted"> free <Time at={credit.available_at} /></span></div>
            <div class="purse-amount"><Amount wei={big(credit.amount_wei)} /></div>
            <ActButton label="Move it to what can be claimed" disabled={Number(credit.available_at) > chainNow()} work={async (actions, on) => { await actions.releaseDelayed(of.address, credit.available_at, on); return 'It can be claimed now.'; }} />
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Vesting({ of, isMine }: { of: Allocation; isMine: boolean }) {
  const [amount, vested, released] = [big(of.amount_wei), big(of.vested_wei), big(of.released_wei)];
  const cliff = Number(of.start) + Number(of.cliff_seconds);
  return (
    <Panel title={`${of.category[0]?.toUpperCase()}${of.category.slice(1)}: allocation ${of.id}`} aside={of.revoked_at ? <span class="muted">revoked <Time at={of.revoked_at} /></span> : undefined}>
      <div class="bar" role="img" aria-label={`${share(released, amount) / 100} % released, ${share(vested, amount) / 100} % vested`}>
        <span class="paid" style={{ flexGrow: share(released, amount) }} />
        <span class="held" style={{ flexGrow: share(vested, amount) - share(released, amount) }} />
        <span class="rest" style={{ flexGrow: 10_000 - share(vested, amount) }} />
      </div>
      <Facts rows={[
        ['In all', <Amount wei={amount} />],
        ['Vested', <Amount wei={vested} />],
        ['Released', <Amount wei={released} />],
        ...(isMine ? [] : [['Beneficiary', <Address of={of.beneficiary} />] as const]),
        ['Linear over', of.duration_seconds === '0' ? 'nothing: all at once' : <>{duration(of.duration_seconds)}, begun <Time at={of.start} /></>],
        ...(of.cliff_seconds === '0' ? [] : [['Cliff', <Time at={cliff} />] as const]),
      ]} />
      <ActButton label="Release what has vested" offered={big(of.releasable_wei) > 0n} work={async (actions, on) => { await actions.releaseVested(of.id, on); return 'Released to the beneficiary.'; }} />
    </Panel>
  );
}

const STAKES = { provider: 'Stakes of providers', queen: 'Stakes of Queens', king: 'Stakes of Kings' } as const;

function Emission({ of }: { of: Distribution }) {
  return (
    <>
      <Panel title="Where new tokens go">
        <Facts rows={[
          ['Emission', of.emission_start ? <>since <Time at={of.emission_start} /></> : 'not started yet'],
          ['Stakes of providers', percentOfBps(of.provider_staking_bps)],
          ['Stakes of Queens', percentOfBps(of.queen_staking_bps)],
          ['Stakes of Kings', percentOfBps(of.king_staking_bps)],
          ['Rentals', <>at most {percentOfBps(of.rental_bps)}; what they do not earn is never minted</>],
          ['Reward of a provider', <>at most {percentOfBps(of.provider_fee_bps)} of the protocol fee</>],
        ]} />
        <Table label="Loyalty of renters" head={['Fees paid in the epoch', 'Comes back']} rows={of.loyalty_tiers.map((tier) => ({ key: tier.fees_wei, cells: [<>from <Amount wei={big(tier.fees_wei)} unit={null} /></>, percentOfBps(tier.reward_bps)] }))} />
      </Panel>
      <Panel title="So far">
        <Facts rows={[
          ['Fees received', <Amount wei={big(of.fees_received_wei)} />],
          ['Burned', <Amount wei={big(of.burned_wei)} />],
          ['Rewards of rentals', <Amount wei={big(of.rental_rewards_wei)} />],
          ['Loyalty', <Amount wei={big(of.loyalty_rewards_wei)} />],
          ...of.staking_rewards.map((reward) => [STAKES[reward.role], <Amount wei={big(reward.amount_wei)} />] as const),
          ['Genesis, released of allocated', <><Amount wei={big(of.released_wei)} unit={null} /> of <Amount wei={big(of.allocated_wei)} /></>],
        ]} />
      </Panel>
    </>
  );
}
