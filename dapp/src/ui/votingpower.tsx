import { useEffect, useState } from 'preact/hooks';
import { same } from '../lib/text';
import { account, session } from '../wallet/session';
import { ActButton, loadActions } from './act';
import { Address, Notice } from './bits';
import { marketChain } from './walletmenu';

/** Tokens vote only once their owner has said who votes with them; many learn that after a vote has begun. */
export function VotingPower() {
  const mine = account.value;
  const isRight = session.value !== null && session.value.chainId === marketChain.value;
  const [delegate, set] = useState<string | null>(null);
  const [run, again] = useState(0);
  useEffect(() => {
    set(null);
    if (!mine || !isRight) return;
    let isOver = false;
    loadActions().then((actions) => actions.voteDelegate()).then((found) => { if (!isOver) set(found); }, () => {});
    return () => { isOver = true; };
  }, [mine, isRight, run]);
  if (!mine || delegate === null) return null;
  if (same(delegate, mine)) return null;
  const isNobody = /^0x0+$/.test(delegate);
  return (
    <Notice tone={isNobody ? 'warn' : 'info'} title={isNobody ? 'Your tokens vote for nobody' : 'Somebody else votes with your tokens'}>
      {isNobody ? <p>Say once that you vote with them yourself. It counts for proposals whose voting starts afterwards.</p> : <p>You named <Address of={delegate} />.</p>}
      <ActButton label="Vote with them myself" work={async (actions, on) => { await actions.tokenVotesTo(mine, on); again(run + 1); return 'Your tokens vote for you.'; }} />
    </Notice>
  );
}
