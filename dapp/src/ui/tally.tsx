import type { Proposal } from '../api/schema';
import { big, share } from '../lib/amount';
import { Amount } from './bits';

export function TallyBar({ of }: { of: Proposal }) {
  const [yes, no, none] = [big(of.for_wei), big(of.against_wei), big(of.abstain_wei)];
  const total = yes + no + none;
  const quorum = of.quorum_wei === null ? null : big(of.quorum_wei);
  const part = (wei: bigint) => `${share(wei, total) / 100} %`;
  return (
    <div class="tally">
      <div class="bar" role="img" aria-label={total === 0n ? 'No votes yet' : `For ${part(yes)}, against ${part(no)}, abstain ${part(none)}`}>
        {total > 0n && ([['for', yes], ['against', no], ['abstain', none]] as const).map(([kind, wei]) => wei > 0n && <span key={kind} class={kind} style={{ flexGrow: Math.max(1, share(wei, total)) }} />)}
      </div>
      <p class="tally-words"><span><span class="swatch for" aria-hidden="true" />For <Amount wei={yes} unit={null} /></span><span><span class="swatch against" aria-hidden="true" />Against <Amount wei={no} unit={null} /></span><span><span class="swatch abstain" aria-hidden="true" />Abstain <Amount wei={none} unit={null} /></span></p>
      {quorum !== null && <p class="muted">{yes + none >= quorum ? 'Quorum reached' : 'Quorum not reached'}: <Amount wei={yes + none} unit={null} /> of <Amount wei={quorum} unit={null} /></p>}
    </div>
  );
}
