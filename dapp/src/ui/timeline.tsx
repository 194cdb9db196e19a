import type { Event, Message, Rental } from '../api/schema';
import type { Steps } from '../lib/timeline';
import { sentence } from '../lib/text';
import { duration, local } from '../lib/time';
import { big } from '../lib/amount';
import { Amount, Chain, Time, Tx } from './bits';

/** Both chains side by side in time: what happened where, with its transaction, and what is on its way between them. */
export function Timeline({ steps, messages, rental }: { steps: Steps; messages: readonly Message[]; rental: Rental }) {
  const waiting = messages.filter((message) => message.stage !== 'delivered');
  return (
    <>
      <ol class="timeline" aria-label="Steps of the rental" data-testid="timeline">
        {steps.map((event) => <Step key={event.id} event={event} />)}
        {waiting.map((message) => <OnItsWay key={`${message.origin}-${message.index}`} message={message} />)}
        <Next rental={rental} />
      </ol>
    </>
  );
}

function Step({ event }: { event: Event }) {
  return (
    <li class={event.chain} data-type={event.type}>
      <p class="what">{sentence(event.text)}{event.amount_wei && big(event.amount_wei) > 0n && !event.text.includes('GPU') && <> <Amount wei={big(event.amount_wei)} /></>}</p>
      <p class="muted"><Chain of={event.chain} /> <span title={local(event.timestamp)}><Time at={event.timestamp} /></span> · <Tx hash={event.transaction} /></p>
    </li>
  );
}

const STAGES: Record<Message['stage'], string> = {
  dispatched: 'waits until its block is final',
  final: 'final, waits for the signatures of the Kings',
  signed: 'signed, waits for somebody to carry it over',
  delivered: 'arrived',
};

function OnItsWay({ message }: { message: Message }) {
  const to = message.origin === 'ethereum' ? 'Classic' : 'Ethereum';
  return (
    <li class="moving">
      <p class="what">On its way to {to}: {message.kind.replaceAll('_', ' ')}</p>
      <p class="muted">{message.failed ? 'refused there; it can be delivered again' : STAGES[message.stage]} · sent <Time at={message.dispatched_at} />{message.latency_seconds && <>, took {duration(message.latency_seconds)}</>}</p>
    </li>
  );
}

/** What comes next, so that nobody wonders whether something is stuck. */
function Next({ rental }: { rental: Rental }) {
  const text = nextOf(rental);
  return text ? <li class="next"><p class="what">{text}</p></li> : null;
}

export function nextOf(rental: Pick<Rental, 'state' | 'opened_at' | 'frozen_from' | 'end'>): string | null {
  if (rental.state === 'requested') return 'Next: the provider starts the container and says ready. If it does not in time, all of your money comes back.';
  if (rental.state !== 'active') return null;
  if (rental.frozen_from) return 'Next: Queens judge the complaint.';
  if (!rental.opened_at) return 'Next: you log in. Nothing is paid for time before that unless it is verified.';
  return 'Next: challenges come at random; each report pays for verified time. The last one after the end closes the rental.';
}
