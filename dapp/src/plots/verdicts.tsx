/** Challenges over time: how long each took, and what became of it. Marks differ in form, not only in colour. */
import type { Verdict } from '../api/schema';
import { count } from '../lib/amount';
import { useWidth, WIDTH } from './width';

const HEIGHT = 190;
const PAD = { left: 48, right: 12, top: 12, bottom: 26 };

export interface Limits {
  passMs: number | null;
  referenceMs: number | null;
}

interface Mark {
  x: number;
  y: number;
  verdict: Verdict['verdict'];
  title: string;
}

/** Places of all marks, and the ticks. Pure, for tests. */
export function layout(verdicts: readonly Verdict[], limits: Limits, width = WIDTH): { marks: Mark[]; ticks: Array<{ y: number; text: string }>; times: Array<{ x: number; text: string }>; passY: number | null; top: number } {
  const sorted = [...verdicts].sort((a, b) => Number(a.timestamp) - Number(b.timestamp));
  const slowest = Math.max(0, ...sorted.map((verdict) => Number(verdict.elapsed_ms ?? 0)));
  const top = nice(Math.max(slowest * 1.15, Math.min(limits.passMs ?? 0, slowest * 4), 1));
  const from = Number(sorted[0]?.timestamp ?? 0);
  const span = Math.max(1, Number(sorted.at(-1)?.timestamp ?? 0) - from);
  const x = (time: number) => PAD.left + 10 + ((time - from) / span) * (width - PAD.left - PAD.right - 20);
  const y = (ms: number) => HEIGHT - PAD.bottom - (Math.min(ms, top) / top) * (HEIGHT - PAD.top - PAD.bottom);
  const marks = sorted.map((verdict) => ({
    x: sorted.length === 1 ? width / 2 : x(Number(verdict.timestamp)),
    // What was not measured stands on the ground.
    y: y(Number(verdict.elapsed_ms ?? 0)),
    verdict: verdict.verdict,
    title: `Block ${verdict.challenge}: ${verdict.verdict}${verdict.elapsed_ms === null ? '' : `, ${count(verdict.elapsed_ms)} ms`}`,
  }));
  const ticks = [0, 0.5, 1].map((part) => ({ y: y(top * part), text: seconds(top * part) }));
  const clock = (time: number) => new Date(time * 1000).toLocaleString(undefined, { ...(span > 72_000 ? { day: 'numeric', month: 'short' } : {}), hour: '2-digit', minute: '2-digit' });
  const times = sorted.length > 1 ? [{ x: x(from), text: clock(from) }, { x: x(from + span), text: clock(from + span) }] : [];
  return { marks, ticks, times, passY: limits.passMs !== null && limits.passMs <= top ? y(limits.passMs) : null, top };
}

function nice(value: number): number {
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * size).find((step) => step >= value) ?? value;
}

function seconds(ms: number): string {
  return ms >= 1000 || ms === 0 ? `${Number((ms / 1000).toFixed(2))} s` : `${Math.round(ms)} ms`;
}

export function VerdictPlot({ verdicts, limits }: { verdicts: readonly Verdict[]; limits: Limits }) {
  const [figure, width] = useWidth();
  const { marks, ticks, times, passY } = layout(verdicts, limits, width);
  const passed = verdicts.filter((verdict) => verdict.verdict === 'passed').length;
  return (
    <figure class="plot" ref={figure}>
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`Time taken by ${verdicts.length} challenges, ${passed} of them passed. The table below has each.`}>
        {ticks.map((tick) => <g key={tick.text}><line class="grid" x1={PAD.left} x2={width - PAD.right} y1={tick.y} y2={tick.y} /><text class="axis" x={PAD.left - 6} y={tick.y + 4} text-anchor="end">{tick.text}</text></g>)}
        {times.map((tick, at) => <text key={at} class="axis" x={tick.x} y={HEIGHT - 8} text-anchor={at === 0 ? 'start' : 'end'}>{tick.text}</text>)}
        {passY !== null && <g><line class="limit" x1={PAD.left} x2={width - PAD.right} y1={passY} y2={passY} /><text class="axis" x={width - PAD.right} y={passY - 5} text-anchor="end">slowest that passes</text></g>}
        {marks.map((mark, at) => <g key={at} class={`mark ${mark.verdict}`}><title>{mark.title}</title><Shape {...mark} /></g>)}
      </svg>
      <figcaption><span class="key passed">● passed</span><span class="key missed">✕ missed</span><span class="key unmeasured">▲ not measured</span><span class="key void">▲ void</span><span class="key open">○ not settled yet</span></figcaption>
    </figure>
  );
}

function Shape({ x, y, verdict }: Mark) {
  if (verdict === 'missed' || verdict === 'voided') return <path d={`M${x - 5} ${y - 5}l10 10M${x + 5} ${y - 5}l-10 10`} />;
  if (verdict === 'unmeasured' || verdict === 'void') return <path d={`M${x} ${y - 6}l6 10h-12z`} />;
  return <circle cx={x} cy={y} r="4.5" />;
}
