/** The bytes of a libp2p peer id, which is base58 as people see it; the chain keeps the hash of the bytes. */

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';

export class InvalidPeerId extends Error {}

export function peerIdBytes(text: string): Uint8Array {
  const plain = text.trim();
  if (plain.length < 40 || plain.length > 64) throw new InvalidPeerId('a peer id has 46 to 52 characters');
  let value = 0n;
  for (const character of plain) {
    const digit = ALPHABET.indexOf(character);
    if (digit < 0) throw new InvalidPeerId(`"${character}" does not occur in a peer id`);
    value = value * 58n + BigInt(digit);
  }
  const hex = value.toString(16);
  const even = hex.length % 2 ? `0${hex}` : hex;
  const zeros = /^1*/.exec(plain)?.[0].length ?? 0;
  const bytes = new Uint8Array(zeros + even.length / 2);
  for (let at = 0; at < even.length / 2; at += 1) bytes[zeros + at] = Number.parseInt(even.slice(at * 2, at * 2 + 2), 16);
  return bytes;
}
