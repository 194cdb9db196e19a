/** A session key made in this browser: a file that `gpumkt ssh` opens. It never leaves the browser other than as that file. */
import { ctr } from '@noble/ciphers/aes';
import { scryptAsync } from '@noble/hashes/scrypt';
import { bytesToHex, hexToBytes, randomBytes } from '@noble/hashes/utils';
import { privateKeyToAddress } from 'viem/accounts';
import { keccak256 } from 'viem/utils';
import type { Hex } from 'viem';

export interface SessionKey {
  /** Lower case; what `rent` names. */
  address: string;
  /** Where the command line looks for it, below its data folder. */
  fileName: string;
  keystore: string;
}

/** scrypt N: 32 MiB and some tenths of a second per guess, which a phone can still do. */
export const STRENGTH = 1 << 15;

export async function makeSessionKey(password: string, onProgress: (part: number) => void = () => {}, n = STRENGTH): Promise<SessionKey> {
  const key = randomBytes(32);
  const made = await encrypt(key, password, onProgress, n);
  key.fill(0);
  return made;
}

/** Web3 secret storage, version 3, as the node reads it: scrypt with r = 8 and p = 1, aes-128-ctr, keccak. */
export async function encrypt(key: Uint8Array, password: string, onProgress: (part: number) => void, n: number): Promise<SessionKey> {
  const address = privateKeyToAddress(`0x${bytesToHex(key)}`).toLowerCase();
  const salt = randomBytes(32);
  const iv = randomBytes(16);
  const derived = await scryptAsync(new TextEncoder().encode(password), salt, { N: n, r: 8, p: 1, dkLen: 32, onProgress });
  const ciphertext = ctr(derived.slice(0, 16), iv).encrypt(key);
  const mac = keccak256(new Uint8Array([...derived.slice(16, 32), ...ciphertext]));
  const id = bytesToHex(randomBytes(16)).replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, '$1-$2-4$3-a$4-$5');
  const keystore = {
    version: 3,
    id,
    address: address.slice(2),
    crypto: {
      cipher: 'aes-128-ctr',
      cipherparams: { iv: bytesToHex(iv) },
      ciphertext: bytesToHex(ciphertext),
      kdf: 'scrypt',
      kdfparams: { dklen: 32, n, r: 8, p: 1, salt: bytesToHex(salt) },
      mac: mac.slice(2),
    },
  };
  derived.fill(0);
  return { address, fileName: `${address}.json`, keystore: `${JSON.stringify(keystore, null, 2)}\n` };
}

/** The key of a keystore, for whoever wants to check a file and its password. Throws where they do not belong together. */
export async function decrypt(keystore: string, password: string): Promise<Hex> {
  const { crypto } = JSON.parse(keystore) as { crypto: { ciphertext: string; mac: string; cipherparams: { iv: string }; kdfparams: { n: number; salt: string } } };
  const { n, salt } = crypto.kdfparams;
  const derived = await scryptAsync(new TextEncoder().encode(password), hexToBytes(salt), { N: n, r: 8, p: 1, dkLen: 32 });
  const ciphertext = hexToBytes(crypto.ciphertext);
  const mac = keccak256(new Uint8Array([...derived.slice(16, 32), ...ciphertext]));
  if (mac.slice(2) !== crypto.mac) throw new Error('the password does not open this file');
  return `0x${bytesToHex(ctr(derived.slice(0, 16), hexToBytes(crypto.cipherparams.iv)).decrypt(ciphertext))}`;
}
