import type { Case, Config } from '../api/schema';
import { chainNow, heads } from '../lib/chainclock';
import { same } from '../lib/text';
import { account } from '../wallet/session';
import { ActButton } from './act';
import { Address, Badge, Copy, Facts, Panel, Time, Tx } from './bits';
import { short } from '../lib/text';

/** A case before the court: what it is about, who judges it, how it stands, and what can be done. */
export function CasePanel({ of, config }: { of: Case; config: Config }) {
  const until = Number(of.opened_at) + Number(config.court?.verdict_window_seconds ?? 0);
  const judges = of.committee.some((queen) => same(queen, account.value));
  // Its hash, which nobody knew when the case was opened, draws the committee.
  const canDraw = Number(heads.value.ethereum?.block ?? 0) > Number(of.draw_block);
  const tones = { open: 'warn', upheld: 'bad', rejected: 'calm', expired: 'calm' } as const;
  return (
    <Panel title={`${of.kind === 'complaint' ? 'Complaint' : 'Reachability'}: case ${of.id}`} aside={<Badge tone={tones[of.status]}>{of.status}</Badge>}>
      <Facts rows={[
        ['Opened by', <Address of={of.opener} />],
        ['Opened', <Time at={of.opened_at} />],
        ['Hash of the evidence', <Copy text={of.evidence} label="Copy the hash of the evidence"><span class="mono">{short(of.evidence)}</span></Copy>],
        ['Judges', of.committee.length === 0 ? 'not drawn yet' : <>{of.committee.map((queen) => <span key={queen}><Address of={queen} /> </span>)}</>],
        ['Votes', <>{of.ayes} to uphold, {of.nays} to reject, of {of.committee.length || config.court?.committee_size}</>],
        [of.closed_at ? 'Closed' : 'Verdict until', <Time at={of.closed_at ?? until} />],
        ['Transaction', <Tx hash={of.transaction} />],
      ]} />
      {of.status === 'open' && of.committee.length === 0 && <ActButton label="Draw the judges" kind="quiet" disabled={!canDraw} work={async (actions, on) => { await actions.drawCase(of.id, on); return 'The judges are drawn.'; }} />}
      {of.status === 'open' && judges && (
        <div class="row">
          <ActButton label="Uphold" work={async (actions, on) => { await actions.voteCase(of.id, true, on); return 'You voted to uphold.'; }} />
          <ActButton label="Reject" kind="quiet" work={async (actions, on) => { await actions.voteCase(of.id, false, on); return 'You voted to reject.'; }} />
        </div>
      )}
      {of.status === 'open' && until < chainNow() && <ActButton label="Close without a verdict" kind="quiet" work={async (actions, on) => { await actions.expireCase(of.id, on); return 'Closed; the bond is back.'; }} />}
    </Panel>
  );
}
