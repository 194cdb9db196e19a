/** Amounts are whole numbers of wei, as strings on the wire and BigInt here. Nothing in this file knows floating point. */

export const DECIMALS = 18;

const GROUPS = /\B(?=(\d{3})+$)/g;

export interface AmountParts {
  sign: '' | '−';
  /** With thin groups of three. */
  whole: string;
  /** Digits after the point that matter at a glance. */
  near: string;
  /** The rest of them, so that the number is complete. */
  far: string;
}

/** An exact decimal of wei. Trailing zeros go; at least `least` digits stay after the point. */
export function parts(wei: bigint, least = 2, near = 4): AmountParts {
  const sign = wei < 0n ? '−' : '';
  const digits = (wei < 0n ? -wei : wei).toString().padStart(DECIMALS + 1, '0');
  const whole = digits.slice(0, -DECIMALS).replace(GROUPS, ',');
  const fraction = digits.slice(-DECIMALS).replace(/0+$/, '').padEnd(least, '0');
  // A number that is all small has its first digits where they begin.
  const lead = wei !== 0n && digits.slice(0, -DECIMALS) === '0' ? fraction.search(/[1-9]/) : 0;
  const cut = Math.max(near, lead > 0 ? lead + 2 : 0);
  return { sign, whole, near: fraction.slice(0, cut), far: fraction.slice(cut) };
}

/** The same as one text: `1,234.50`. */
export function format(wei: bigint, least = 2): string {
  const { sign, whole, near, far } = parts(wei, least);
  const fraction = near + far;
  return `${sign}${whole}${fraction ? `.${fraction}` : ''}`;
}

/** What somebody typed as an amount of tokens, in wei; null if it is none, is negative or has more than 18 decimals. */
export function parse(text: string): bigint | null {
  const plain = text.trim().replace(/[\s,'_\u202f]/g, '');
  const found = /^(\d{1,60})(?:\.(\d{0,18}))?$/.exec(plain) ?? /^()\.(\d{1,18})$/.exec(plain);
  if (!found) return null;
  return BigInt(`${found[1] || '0'}${(found[2] ?? '').padEnd(DECIMALS, '0')}`);
}

/** `part` of `whole` in hundredths of a percent, for widths of bars: rounded down, never beyond either end. */
export function share(part: bigint, whole: bigint): number {
  if (whole <= 0n || part <= 0n) return 0;
  return part >= whole ? 10_000 : Number((part * 10_000n) / whole);
}

/** A wire integer; zero for null. Throws on what is none: the answer is then not the described one. */
export function big(value: string | null | undefined): bigint {
  return value ? BigInt(value) : 0n;
}

/** Parts per million as percent with at most two digits, rounded down so that 99.999 % never reads as 100 %. */
export function percentOfPpm(ppm: string | bigint): string {
  return hundredths(BigInt(ppm) / 100n);
}

/** Basis points as percent. */
export function percentOfBps(bps: string | bigint): string {
  return hundredths(BigInt(bps));
}

function hundredths(value: bigint): string {
  const fraction = (value % 100n).toString().padStart(2, '0').replace(/0+$/, '');
  return `${value / 100n}${fraction ? `.${fraction}` : ''} %`;
}

/** Permille as a factor: 1250 is `1.25×`. */
export function factorOfPermille(permille: string | bigint): string {
  const value = BigInt(permille);
  const fraction = (value % 1000n).toString().padStart(3, '0').replace(/0+$/, '').padEnd(2, '0');
  return `${value / 1000n}.${fraction}×`;
}

/** A whole number with groups of three. */
export function count(value: string | bigint | number): string {
  return BigInt(value).toString().replace(GROUPS, ',');
}

/** Bytes in the largest binary unit that leaves a number of at least one. */
export function bytes(value: string | bigint): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = BigInt(value);
  let unit = 0;
  while (size >= 1024n && size % 1024n === 0n && unit < units.length - 1) {
    size /= 1024n;
    unit += 1;
  }
  return `${count(size)} ${units[unit]}`;
}
