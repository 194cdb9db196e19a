import { describe, expect, it } from 'vitest';
import { bytes, factorOfPermille, format, parse, parts, percentOfPpm, share } from '../src/lib/amount';

const ONE = 10n ** 18n;

describe('amounts', () => {
  it('shows every digit and no more', () => {
    expect(format(0n)).toBe('0.00');
    expect(format(1n)).toBe('0.000000000000000001');
    expect(format(ONE)).toBe('1.00');
    expect(format(1_234_567n * ONE + 500_000_000_000_000_000n)).toBe('1,234,567.50');
    expect(format(2n ** 255n)).toMatch(/^[\d,]+\.\d{18}$/);
    expect(format(-ONE / 4n)).toBe('−0.25');
    expect(format(5n * ONE, 0)).toBe('5');
  });

  it('reads back what it shows, at all 18 decimals', () => {
    for (const wei of [0n, 1n, 999n, ONE - 1n, ONE, 123_456_789_123_456_789_123_456_789n, 2n ** 128n - 1n]) {
      expect(parse(format(wei))).toBe(wei);
    }
  });

  it('splits at the digits that matter without losing any', () => {
    const { whole, near, far } = parts(123_456_789_012_345_678n);
    expect([whole, near, far]).toEqual(['0', '1234', '56789012345678']);
    expect(parts(1n).near).toBe('000000000000000001');
  });

  it('refuses what is no amount', () => {
    for (const text of ['', ' ', '-1', '1e18', '0x10', '1.2.3', 'NaN', '1.0000000000000000001', 'Infinity', '१']) expect(parse(text)).toBeNull();
    expect(parse(' 1,000.5 ')).toBe(1000n * ONE + ONE / 2n);
    expect(parse('.5')).toBe(ONE / 2n);
    expect(parse('7.')).toBe(7n * ONE);
  });

  it('never rounds up to certainty', () => {
    expect(percentOfPpm('999999')).toBe('99.99 %');
    expect(percentOfPpm('1000000')).toBe('100 %');
    expect(percentOfPpm('0')).toBe('0 %');
    expect(share(1n, 3n)).toBe(3_333);
    expect(share(ONE, 0n)).toBe(0);
    expect(share(5n, 4n)).toBe(10_000);
  });

  it('names factors and sizes', () => {
    expect(factorOfPermille('1250')).toBe('1.25×');
    expect(factorOfPermille('999')).toBe('0.999×');
    expect(factorOfPermille('2000')).toBe('2.00×');
    expect(bytes(24n << 30n)).toBe('24 GiB');
    expect(bytes('1536')).toBe('1,536 B');
  });
});
