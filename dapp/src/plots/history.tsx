/** How many challenges of each stretch of time were passed: reliability as it developed, not only as one number. */
import type { Verdict } from '../api/schema';
import { useWidth } from './width';

const HEIGHT = 110;
const BARS = 32;

export interface Bar {
  passed: number;
  missed: number;
  other: number;
  from: number;
}

/** Challenges in at most `bars` equal stretches of time, oldest first. Pure, for tests. */
export function stretches(verdicts: readonly Verdict[], bars = BARS): Bar[] {
  const settled = verdicts.filter(({ verdict }) => ['passed', 'missed', 'unmeasured', 'void'].includes(verdict));
  if (settled.length === 0) return [];
  const times = settled.map(({ timestamp }) => Number(timestamp));
  const from = Math.min(...times);
  const size = Math.max(1, Math.ceil((Math.max(...times) - from + 1) / bars));
  const found: Bar[] = [];
  for (const { timestamp, verdict } of settled) {
    const at = Math.floor((Number(timestamp) - from) / size);
    const bar = (found[at] ??= { passed: 0, missed: 0, other: 0, from: from + at * size });
    if (verdict === 'passed') bar.passed += 1;
    else if (verdict === 'missed') bar.missed += 1;
    else bar.other += 1;
  }
  return Array.from(found, (bar, at) => bar ?? { passed: 0, missed: 0, other: 0, from: from + at * size });
}

export function HistoryPlot({ verdicts }: { verdicts: readonly Verdict[] }) {
  const bars = stretches(verdicts);
  const [figure, width] = useWidth();
  if (bars.length < 2) return null;
  const most = Math.max(...bars.map(({ passed, missed, other }) => passed + missed + other), 1);
  const wide = width / bars.length;
  const missed = bars.reduce((sum, bar) => sum + bar.missed, 0);
  return (
    <figure class="plot" ref={figure}>
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`Challenges over time in ${bars.length} stretches; ${missed} missed in all`}>
        {bars.map((bar, at) => {
          const unit = (HEIGHT - 10) / most;
          const x = at * wide + 1;
          const rect = (kind: string, below: number, amount: number) => amount > 0 && <rect class={`hist ${kind}`} x={x} width={Math.max(1, wide - 2)} y={HEIGHT - (below + amount) * unit} height={amount * unit} />;
          return (
            <g key={bar.from}>
              <title>{`${new Date(bar.from * 1000).toLocaleString()}: ${bar.passed} passed, ${bar.missed} missed, ${bar.other} not counted`}</title>
              {rect('passed', 0, bar.passed)}{rect('other', bar.passed, bar.other)}{rect('missed', bar.passed + bar.other, bar.missed)}
            </g>
          );
        })}
      </svg>
      <figcaption class="muted">Settled challenges per stretch of time, oldest on the left.</figcaption>
    </figure>
  );
}
