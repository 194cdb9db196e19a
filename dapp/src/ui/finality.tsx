import type { Config } from '../api/schema';
import { duration } from '../lib/time';

/** How long news takes from one chain to the other, which is what a renter waits for its first verdict and last refund. */
export function FinalityNote({ config }: { config: Config }) {
  const { ethereum_to_classic_seconds: there, classic_to_ethereum_seconds: back } = config.finality;
  const said = (seconds: string | null) => (seconds === null ? 'not measured yet' : duration(seconds));
  return (
    <dl class="finality" aria-label="Wait between the chains">
      <div><dt>Ethereum → Classic</dt><dd>{said(there)}</dd></div>
      <div><dt>Classic → Ethereum</dt><dd>{said(back)}</dd></div>
    </dl>
  );
}
