import { useEffect, useState } from 'preact/hooks';
import { get, type Page } from '../api/client';
import { useResource } from '../api/resource';
import type { Proposal, Vote } from '../api/schema';
import { big } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { short } from '../lib/text';
import { ActButton, loadActions, Outcome, useAct } from '../ui/act';
import { Address, Amount, Badge, Copy, Empty, Facts, Head, Loads, Panel, Table, Time, Tx } from '../ui/bits';
import { TallyBar } from '../ui/tally';
import { marketChain } from '../ui/walletmenu';
import { account, session } from '../wallet/session';
import { TONES } from './Votes';

export default function ProposalPage({ id }: { id: string | null }) {
  const isMine = (type: string) => /^(proposal|vote)/.test(type);
  const loaded = useResource(`proposal/${id}`, async () => {
    const [proposal, votes] = await Promise.all([get<Proposal>(`/proposals/${id}`), get<Page<Vote>>(`/proposals/${id}/votes`, { limit: 100 })]);
    return { proposal, votes: votes.items };
  }, (news) => news.kind !== 'event' || isMine(news.event.type));
  return (
    <Loads of={loaded} what="the proposal" rows={7}>
      {({ proposal, votes }) => (
        <>
          <Head title={proposal.title || 'Proposal without a title'} lead={<>By <Address of={proposal.proposer} />, <Time at={proposal.created_at} /></>}><Badge tone={TONES[proposal.state]}>{proposal.state}</Badge></Head>
          <div class="columns">
            <div class="stack">
              <Panel title="Votes"><TallyBar of={proposal} /></Panel>
              <Panel title="What it says"><p class="prose">{proposal.description}</p></Panel>
              <Panel title="What it does"><Actions of={proposal} /></Panel>
              <Panel title="Who voted">{votes.length === 0 ? <Empty title="Nobody yet" /> : <Voters of={votes} />}</Panel>
            </div>
            <div class="stack">
              <Ballot proposal={proposal} />
              <Panel title="When"><Facts rows={[
                ['Voting starts', <Time at={proposal.vote_start} />],
                ['Voting ends', <Time at={proposal.vote_end} />],
                ['Can be executed', proposal.executable_at ? <Time at={proposal.executable_at} /> : 'once it is queued and the timelock is over'],
                ['Proposed in', <Tx hash={proposal.transaction} />],
                ['Number', <Copy text={proposal.id} label="Copy the number"><span class="mono">{short(proposal.id)}</span></Copy>],
              ]} /></Panel>
            </div>
          </div>
        </>
      )}
    </Loads>
  );
}

function Actions({ of }: { of: Proposal }) {
  const rows = of.actions.map((action, at) => ({
    key: String(at),
    cells: [action.contract ?? <Address of={action.target} />, <Copy text={action.data} label="Copy the call"><span class="mono">{action.data.slice(0, 18)}{action.data.length > 18 && '…'}</span></Copy>, <Amount wei={big(action.value_wei)} unit="ETH" />],
  }));
  return <><Table label="Calls" head={['Contract', 'Call', 'Ether']} rows={rows} /><p class="muted"><code>gpumkt gov show {of.id.slice(0, 8)}</code> prints each call with its values.</p></>;
}

function Voters({ of }: { of: Vote[] }) {
  const tones = { for: 'good', against: 'bad', abstain: 'calm' } as const;
  return <Table label="Votes" head={['Voter', 'Vote', 'Weight', 'Reason', 'When']} rows={of.map((vote) => ({ key: vote.voter, cells: [<Address of={vote.voter} />, <Badge tone={tones[vote.support]}>{vote.support}</Badge>, <Amount wei={big(vote.weight_wei)} unit={null} />, vote.reason || '–', <Time at={vote.timestamp} />] }))} />;
}

function Ballot({ proposal }: { proposal: Proposal }) {
  const [reason, setReason] = useState('');
  const act = useAct();
  const power = usePower(proposal, act.done);
  if (proposal.state === 'succeeded') return <Panel title="Next"><p>It has passed. Anybody may queue it; then the timelock runs.</p><ActButton label="Queue it" work={async (actions, on) => { await actions.queueProposal(proposal, on); return 'Queued.'; }} /></Panel>;
  if (proposal.state === 'queued') {
    const isDue = Number(proposal.executable_at ?? 0) <= chainNow();
    return <Panel title="Next"><p>{isDue ? 'The timelock is over. Anybody may execute it.' : <>The timelock is over <Time at={proposal.executable_at} />.</>}</p><ActButton label="Execute it" disabled={!isDue} work={async (actions, on) => { await actions.executeProposal(proposal, on); return 'Executed.'; }} /></Panel>;
  }
  if (proposal.state !== 'active') return null;
  const vote = (support: 'for' | 'against' | 'abstain') => act.run(async (actions, on) => {
    await actions.castVote(proposal.id, support, reason.trim(), on);
    return `You voted: ${support}`;
  });
  const isOver = power?.hasVoted === true || act.done !== '';
  return (
    <Panel title="Your vote">
      {power && !power.hasVoted && <p>It counts <strong><Amount wei={power.then ?? power.now} /></strong>{power.then === 0n && power.now > 0n && <span class="wrong"> Your tokens got a vote only after the snapshot of this proposal.</span>}</p>}
      {power?.hasVoted && <p>You have voted on this proposal.</p>}
      {!isOver && (
        <>
          <label class="field"><span>Reason, if you like; it is public</span><input type="text" maxLength={280} value={reason} onInput={(event) => setReason(event.currentTarget.value)} /></label>
          <div class="row" role="group" aria-label="Vote">
            <button type="button" disabled={act.busy} onClick={() => vote('for')}>For</button>
            <button type="button" class="danger" disabled={act.busy} onClick={() => vote('against')}>Against</button>
            <button type="button" class="quiet" disabled={act.busy} onClick={() => vote('abstain')}>Abstain</button>
          </div>
        </>
      )}
      <Outcome of={act} />
    </Panel>
  );
}

function usePower(proposal: Proposal, run: string) {
  const [power, set] = useState<{ now: bigint; then: bigint | null; hasVoted: boolean } | null>(null);
  const mine = account.value;
  const isRight = session.value !== null && session.value.chainId === marketChain.value;
  useEffect(() => {
    set(null);
    if (!mine || !isRight) return;
    let isOver = false;
    loadActions().then((actions) => actions.votesFor(proposal.id, proposal.vote_start)).then((found) => { if (!isOver) set(found); }, () => {});
    return () => { isOver = true; };
  }, [mine, isRight, proposal.id, proposal.state, run]);
  return power;
}
