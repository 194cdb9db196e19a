/** Words for Unix seconds. The chain's clock may differ from this machine's, so "now" is always passed in. */

const UNITS: ReadonlyArray<readonly [string, number]> = [
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** `1 d 4 h`, `12 min`, `45 s`: the two largest units that are not zero. */
export function duration(seconds: number | string | bigint): string {
  let rest = Math.max(0, Math.floor(Number(seconds)));
  if (rest === 0) return '0 s';
  const words: string[] = [];
  for (const [unit, size] of UNITS) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) words.push(`${amount} ${unit}`);
    else if (words.length > 0) break;
    if (words.length === 2) break;
  }
  return words.join(' ');
}

/** A countdown that does not jump in width: `01:02:03`, or `2 d 01:02:03`. */
export function clock(seconds: number): string {
  const rest = Math.max(0, Math.floor(seconds));
  const two = (value: number) => value.toString().padStart(2, '0');
  const days = Math.floor(rest / 86_400);
  const time = `${two(Math.floor(rest / 3_600) % 24)}:${two(Math.floor(rest / 60) % 60)}:${two(rest % 60)}`;
  return days > 0 ? `${days} d ${time}` : time;
}

export function ago(then: number, now: number): string {
  const seconds = now - then;
  if (seconds < -1) return `in ${duration(-seconds)}`;
  if (seconds < 2) return 'just now';
  return `${duration(seconds)} ago`;
}

/** Local date and time, with seconds: two steps of a rental may be seconds apart. */
export function local(unix: number | string): string {
  return new Date(Number(unix) * 1000).toLocaleString(undefined, {
    year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit',
  });
}

/** Seconds of `1h 30m`, `90 min`, `2h`, `1.5 h`, `45s`; a plain number counts hours. Null if it is none of these. */
export function parseDuration(text: string): number | null {
  const plain = text.trim().toLowerCase();
  if (/^\d{1,6}(\.\d{1,4})?$/.test(plain)) return Math.round(Number(plain) * 3_600);
  const sizes: Record<string, number> = { d: 86_400, h: 3_600, m: 60, min: 60, s: 1 };
  const pattern = /(\d{1,9}(?:\.\d{1,4})?)\s*(d|h|min|m|s)(?![a-z])\s*/gy;
  let total = 0;
  let end = 0;
  for (let found = pattern.exec(plain); found; found = pattern.exec(plain)) {
    total += Number(found[1]) * (sizes[found[2] ?? ''] ?? 0);
    end = pattern.lastIndex;
  }
  return end === plain.length && end > 0 ? Math.round(total) : null;
}
