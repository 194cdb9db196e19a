import { encodeErrorResult } from 'viem/utils';
import { describe, expect, it } from 'vitest';
import { errors } from '../src/abi/generated';
import { ApiDown, ApiError } from '../src/api/client';
import { explained, revertData } from '../src/wallet/contracts';
import { NotMined, Refused, Reverted, TooFewTokens, WrongChain } from '../src/wallet/failures';
import { refusal, SENTENCES } from '../src/wallet/refusals';
import { words } from '../src/wallet/words';

const busy = encodeErrorResult({ abi: errors, errorName: 'DeviceBusy', args: [1n, 7n] });

describe('words for failures', () => {
  it('knows a refusal by the user in every form that wallets have', () => {
    const forms = [
      { code: 4001, message: 'User rejected the request.' },
      { code: 'ACTION_REJECTED', message: 'user rejected transaction' },
      { code: -32603, message: 'Internal error', data: { originalError: { code: 4001 } } },
      new Error('MetaMask Tx Signature: User denied transaction signature.'),
      { cause: { code: 4001 } },
    ];
    for (const form of forms) expect(words(form).kind).toBe('rejected');
    expect(words(forms[0]).detail).toContain('nothing was paid');
  });

  it('says what to do about each kind', () => {
    expect(words(new WrongChain(31301n, 1n)).detail).toContain('chain 31301');
    const poor = words(new TooFewTokens('The rental', 3n * 10n ** 18n, 10n ** 18n));
    expect(poor.kind).toBe('balance');
    expect(poor.detail).toContain('2.00 are missing');
    expect(words({ code: -32000, message: 'insufficient funds for gas * price + value' }).kind).toBe('gas');
    expect(words({ code: -32002, message: 'Request already pending' }).kind).toBe('busy');
    expect(words({ code: 4902, message: 'Unrecognized chain ID' }).kind).toBe('wrong-chain');
    expect(words(new NotMined('0xab')).detail).toContain('before you send it again');
    expect(words(new Reverted('0xab')).kind).toBe('reverted');
    expect(words(new ApiDown('x')).kind).toBe('node');
    expect(words(new ApiError(429, 'E-API-005', 'too many requests', 'wait a second')).detail).toBe('Too many requests. Wait a second. (E-API-005)');
    expect(words(undefined).detail).toBe('No reason was given.');
    expect(words('boom').detail).toBe('Boom.');
  });

  it('finds the data of a revert wherever a wallet puts it', () => {
    for (const form of [
      { code: 3, message: 'execution reverted', data: busy },
      { code: -32603, data: { code: 3, data: busy } },
      { code: -32603, data: { originalError: { data: busy } } },
      { cause: { error: { data: busy } } },
      { code: -32015, data: `Reverted ${busy}` },
    ]) expect(revertData(form)).toBe(busy);
    expect(revertData({ code: 4001 })).toBeNull();
  });

  it('tells a refusal of a contract as a sentence', () => {
    const refused = explained({ code: 3, data: busy });
    expect(refused).toBeInstanceOf(Refused);
    const { kind, detail } = words(refused);
    expect(kind).toBe('refused');
    expect(detail).toBe('The device was just rented by somebody else (rental 7). Nothing was spent.');
    const cost = encodeErrorResult({ abi: errors, errorName: 'MaxCostExceeded', args: [2n * 10n ** 18n, 10n ** 18n] });
    expect(words(explained({ data: cost })).detail).toContain('costs 2.00 GPUTOKEN');
  });

  it('keeps what is no refusal, and names what it does not know', () => {
    const rejected = { code: 4001, message: 'no' };
    expect(explained(rejected)).toBe(rejected);
    expect(words(explained({ data: '0x12345678' })).detail).toContain('0x12345678');
    expect(refusal('SomeNewError', [1n, '0xab'])).toBe('some new error (1, 0xab)');
  });

  it('has a sentence only for errors that exist', () => {
    const names = new Set(errors.map(({ name }) => name as string));
    const unknown = SENTENCES.filter((name) => !names.has(name));
    expect(unknown).toEqual([]);
  });
});
