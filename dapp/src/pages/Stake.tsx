import { useState } from 'preact/hooks';
import { get, getConfig, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Account, Config, Delegation, Stake } from '../api/schema';
import { big, parse, percentOfBps } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { address } from '../lib/text';
import { duration } from '../lib/time';
import { ActButton, Outcome, useAct } from '../ui/act';
import { Address, Amount, Badge, Empty, Facts, Head, Loads, Notice, Panel, Table, Time } from '../ui/bits';
import { AmountField, useBalance } from '../ui/amountfield';
import { openWallets } from '../ui/walletmenu';
import { account } from '../wallet/session';

export default function StakePage() {
  const mine = account.value;
  const config = useResource('config', getConfig, () => false);
  const stakes = useResource('stakes', () => get<Page<Stake>>('/stakes', { limit: 100 }), (news) => news.kind !== 'event' || /stake|delegat|withdrawn|slash|seat|commission/.test(news.event.type));
  const me = useResource<Account>(mine ? `account/${mine}` : null, () => get<Account>(`/accounts/${mine}`));
  return (
    <>
      <Head title="Stake" lead="Stake secures the bridge, judges complaints and stands behind devices. It earns, and it can be slashed." />
      <div class="columns">
        <div class="stack">
          {!mine ? <Empty title="Connect a wallet to stake or delegate"><button type="button" onClick={openWallets}>Connect wallet</button></Empty> : (
            <Loads of={me} what="your stake" rows={4}>
              {(found) => <><Mine of={found} />{config.data?.staking && <StakeForm config={config.data} current={found.stake} me={mine} />}</>}
            </Loads>
          )}
        </div>
        <div class="stack">
          {mine && me.data && <DelegationPanel of={me.data.delegation} unbonding={Number(config.data?.staking?.unbonding_period_seconds ?? 0)} stakes={stakes.data?.items ?? []} />}
        </div>
      </div>
      <Panel title="Who stakes">
        <Loads of={stakes} what="stakes" rows={5}>{({ items }) => items.length === 0 ? <Empty title="Nobody stakes yet" /> : <Stakes items={items} />}</Loads>
      </Panel>
    </>
  );
}

function Mine({ of }: { of: Account }) {
  const { stake } = of;
  const [text, setText] = useState('');
  const wei = parse(text);
  if (!stake) return null;
  const free = big(stake.staked_wei) - big(stake.locked_wei) - big(stake.retiring_wei);
  const canWithdraw = big(stake.unbonding_wei) > 0n && Number(stake.unbonds_at ?? 0) <= chainNow();
  return (
    <Panel title="Your stake" aside={<Badge tone={stake.is_seated || stake.role === 'provider' ? 'good' : 'calm'}>{stake.role}{stake.is_seated ? ', seated' : ''}</Badge>}>
      <Facts rows={[
        ['Staked', <Amount wei={big(stake.staked_wei)} />],
        ['Backs devices', <Amount wei={big(stake.locked_wei)} />],
        ['Leaving', <><Amount wei={big(stake.unbonding_wei)} />{stake.unbonds_at && <> <Time at={stake.unbonds_at} /></>}</>],
        ['Delegated by others', <Amount wei={big(stake.pool.total_wei)} />],
        ['Slashed so far', <Amount wei={big(stake.slashed_wei)} />],
        ['Operator', <Address of={stake.operator} />],
      ]} />
      <AmountField label="Take out of the stake" value={text} onValue={setText} most={free} testId="unstake-amount" />
      <ActButton label="Request unstaking" kind="quiet" disabled={!wei || wei > free} work={async (actions, on) => { if (wei) await actions.requestUnstake(wei, on); return 'Requested. It earns nothing from now on and stays slashable until it has left.'; }} />
      <ActButton label="Withdraw what has left" offered={big(stake.unbonding_wei) > 0n} disabled={!canWithdraw} work={async (actions, on) => { await actions.withdrawStake(on); return 'Withdrawn to your account.'; }} />
    </Panel>
  );
}

const ROLES = [['provider', 'Provider: offers devices'], ['queen', 'Queen: measures and judges'], ['king', 'King: signs for the bridge']] as const;

function StakeForm({ config, current, me }: { config: Config; current: Stake | null; me: string }) {
  const [role, setRole] = useState<Stake['role']>(current?.role ?? 'provider');
  const [text, setText] = useState('');
  const [operator, setOperator] = useState('');
  const [peer, setPeer] = useState('');
  const act = useAct();
  const has = useBalance(me);
  const { staking } = config;
  if (!staking) return null;
  const least = { provider: big(staking.minimum_provider_stake_wei), queen: big(staking.minimum_queen_stake_wei), king: big(staking.minimum_king_stake_wei) }[role];
  const wei = parse(text);
  const named = operator.trim() === '' ? (current?.operator ?? me) : address(operator);
  const total = (wei ?? 0n) + big(current?.staked_wei);
  const stake = () => act.run(async (actions, on) => {
    if (!wei || !named) throw new Error('the stake is not complete');
    if (current) await actions.addStake(wei, on);
    else await actions.stake(role, wei, named, peer.trim(), on);
    setText('');
    return current ? 'Added to your stake' : `Staked as ${role}`;
  });
  return (
    <Panel title={current ? 'Add to it' : 'Stake for a role'}>
      <form onSubmit={(event) => { event.preventDefault(); void stake(); }}>
        {!current && <label class="field"><span>Role</span>
          <select value={role} onChange={(event) => setRole(event.currentTarget.value as Stake['role'])} data-testid="role">{ROLES.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select></label>}
        <AmountField label="Amount" value={text} onValue={setText} most={has} testId="stake-amount" />
        <p class="muted">At least <Amount wei={least} /> in all. It leaves {duration(staking.unbonding_period_seconds)} after you ask for it, and can be slashed until then.</p>
        {!current && <label class="field"><span>Operator: the key your node signs with; empty for this account</span>
          <input type="text" value={operator} onInput={(event) => setOperator(event.currentTarget.value)} placeholder="0x…" aria-invalid={named === null} /></label>}
        {!current && <label class="field"><span>Peer id of your node, which it prints when it starts</span>
          <input type="text" value={peer} onInput={(event) => setPeer(event.currentTarget.value)} placeholder="12D3Koo…" data-testid="peer" /></label>}
        <button type="submit" disabled={!wei || !named || total < least || (!current && !peer.trim()) || act.busy} data-testid="stake">Stake</button>
      </form>
      <Outcome of={act} />
    </Panel>
  );
}

function DelegationPanel({ of, unbonding, stakes }: { of: Delegation | null; unbonding: number; stakes: Stake[] }) {
  const [text, setText] = useState('');
  const [to, setTo] = useState('');
  const has = useBalance(account.value);
  const open = stakes.filter((stake) => stake.pool.is_open);
  const target = of && big(of.shares) + big(of.unbonding_shares) > 0n ? of.account : address(to);
  const wei = parse(text);
  const isLeft = of && big(of.unbonding_shares) > 0n && Number(of.unbonds_at ?? 0) <= chainNow();
  return (
    <Panel title="Delegate">
      <p class="muted">Lend stake to a provider or King and share its rewards, and its slashes. You can leave at any time; it takes {duration(unbonding)}.</p>
      {of && <Facts rows={[
        ['Delegated to', <Address of={of.account} />],
        ['Worth now', <Amount wei={big(of.value_wei)} />],
        ['Leaving', <><Amount wei={big(of.unbonding_value_wei)} />{of.unbonds_at && <> <Time at={of.unbonds_at} /></>}</>],
      ]} />}
      {!(of && target === of.account) && <label class="field"><span>To</span>
        <select value={to} onChange={(event) => setTo(event.currentTarget.value)} data-testid="delegate-to">
          <option value="">Choose an open pool</option>
          {open.map((stake) => <option key={stake.account} value={stake.account}>{stake.role} {stake.account.slice(0, 8)}…, commission {percentOfBps(stake.pool.commission_bps)}</option>)}
        </select></label>}
      {open.length === 0 && !of && <Notice tone="info">No account takes delegations now: a pool opens when its account announces a commission.</Notice>}
      <AmountField label="Amount" value={text} onValue={setText} most={has} testId="delegate-amount" />
      <ActButton label="Delegate" disabled={!wei || !target} work={async (actions, on) => { if (wei && target) await actions.delegate(target, wei, on); setText(''); return 'Delegated.'; }} />
      <ActButton label="Take all of it back" kind="quiet" offered={of !== null && big(of.shares) > 0n} work={async (actions, on) => { if (of) await actions.undelegate(big(of.shares), on); return 'Requested. It can be withdrawn when it has left.'; }} />
      <ActButton label="Withdraw what has left" offered={of !== null && big(of.unbonding_shares) > 0n} disabled={!isLeft} work={async (actions, on) => { await actions.withdrawDelegation(on); return 'Withdrawn to your account.'; }} />
    </Panel>
  );
}

function Stakes({ items }: { items: Stake[] }) {
  const rows = items.map((stake) => ({
    key: stake.account,
    cells: [
      <Address of={stake.account} {...(stake.role === 'provider' ? { link: `#/providers/${stake.account}` } : {})} />,
      <>{stake.role}{stake.is_seated && ', seated'}</>,
      <Amount wei={big(stake.staked_wei)} unit={null} />,
      <Amount wei={big(stake.pool.total_wei)} unit={null} />,
      stake.pool.is_open ? <>{percentOfBps(stake.pool.commission_bps)}{stake.pool.next_commission_bps !== null && <>, soon {percentOfBps(stake.pool.next_commission_bps)}</>}</> : 'closed',
      big(stake.slashed_wei) > 0n ? <Amount wei={big(stake.slashed_wei)} unit={null} /> : 'nothing',
    ],
  }));
  return <Table label="Stakes" head={['Account', 'Role', 'Own stake', 'Delegated', 'Commission', 'Slashed']} rows={rows} />;
}
