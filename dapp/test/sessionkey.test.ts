import { privateKeyToAddress } from 'viem/accounts';
import { expect, it } from 'vitest';
import { decrypt, makeSessionKey } from '../src/wallet/sessionkey';

it('makes a keystore that its password opens, and no other', async () => {
  const made = await makeSessionKey('correct horse', () => {}, 1 << 10);
  const stored = JSON.parse(made.keystore);
  expect(made.fileName).toBe(`${made.address}.json`);
  expect(stored).toMatchObject({ version: 3, crypto: { cipher: 'aes-128-ctr', kdf: 'scrypt', kdfparams: { r: 8, p: 1, dklen: 32 } } });
  expect(stored.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/);
  const key = await decrypt(made.keystore, 'correct horse');
  expect(privateKeyToAddress(key).toLowerCase()).toBe(made.address);
  await expect(decrypt(made.keystore, 'wrong horse')).rejects.toThrow('password');
  expect(made.keystore).not.toContain(key.slice(2));
});
