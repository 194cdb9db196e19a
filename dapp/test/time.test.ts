import { describe, expect, it } from 'vitest';
import { ago, clock, duration, parseDuration } from '../src/lib/time';

describe('time', () => {
  it('says durations in two units', () => {
    expect(duration(0)).toBe('0 s');
    expect(duration(59)).toBe('59 s');
    expect(duration(3_600)).toBe('1 h');
    expect(duration('90061')).toBe('1 d 1 h');
    expect(duration(86_400 + 59)).toBe('1 d');
    expect(duration(-5)).toBe('0 s');
  });

  it('counts down', () => {
    expect(clock(3_661)).toBe('01:01:01');
    expect(clock(90_061)).toBe('1 d 01:01:01');
    expect(clock(-1)).toBe('00:00:00');
  });

  it('tells past from future', () => {
    expect(ago(100, 160)).toBe('1 min ago');
    expect(ago(160, 100)).toBe('in 1 min');
    expect(ago(100, 100)).toBe('just now');
  });

  it('reads durations as people write them', () => {
    expect(parseDuration('2h')).toBe(7_200);
    expect(parseDuration('1h 30 min')).toBe(5_400);
    expect(parseDuration('1.5 h')).toBe(5_400);
    expect(parseDuration('2')).toBe(7_200);
    expect(parseDuration('45s')).toBe(45);
    expect(parseDuration('1d12h')).toBe(129_600);
    for (const text of ['', 'soon', '5 weeks', '-2h', '2h and', '1e3h']) expect(parseDuration(text)).toBeNull();
  });
});
