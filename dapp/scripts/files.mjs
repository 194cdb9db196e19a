// What the scripts here share: where the repository is, and how a generated file is written or compared.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');

export function writeOrCheck(path, text, command) {
  const full = join(root, path);
  const is = existsSync(full) ? readFileSync(full, 'utf8') : '';
  if (!process.argv.includes('--check')) {
    if (is !== text) writeFileSync(full, text);
    return;
  }
  if (is === text) return;
  console.error(`${path} does not belong to its sources: run \`${command}\` in dapp/ and commit the result`);
  process.exitCode = 1;
}
