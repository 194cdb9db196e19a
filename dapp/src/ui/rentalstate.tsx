import type { Rental } from '../api/schema';
import { chainNow } from '../lib/chainclock';
import { Badge, type Tone } from './bits';

/** Where a rental is, as a renter would say it. Pure, for tests. */
export function phaseOf(rental: Pick<Rental, 'state' | 'end' | 'opened_at' | 'frozen_from' | 'close_reason' | 'fault'>, now: number): { tone: Tone; text: string } {
  if (rental.state === 'requested') return { tone: 'info', text: 'waiting for the GPU' };
  if (rental.state === 'cancelled') return { tone: 'calm', text: 'cancelled' };
  if (rental.state === 'completed') {
    const isFine = rental.close_reason === 'completed' && rental.fault === null;
    return isFine ? { tone: 'good', text: 'completed' } : { tone: rental.fault ? 'bad' : 'calm', text: rental.fault ? 'closed, provider at fault' : 'closed' };
  }
  if (rental.frozen_from) return { tone: 'warn', text: 'complaint open' };
  if (rental.end && Number(rental.end) <= now) return { tone: 'info', text: 'ended, settling' };
  return rental.opened_at ? { tone: 'good', text: 'running' } : { tone: 'info', text: 'ready, not opened' };
}

export function StateBadge({ rental }: { rental: Rental }) {
  const { tone, text } = phaseOf(rental, chainNow());
  return <Badge tone={tone}>{text}</Badge>;
}
