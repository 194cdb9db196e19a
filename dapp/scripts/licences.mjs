// Every npm package below this one must have a licence of this list; those in dependencies end up in what users load.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './files.mjs';

const ALLOWED = new Set(['MIT', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', '0BSD', 'BlueOak-1.0.0']);
// Tools that never ship, under MPL-2.0, which covers their own files only.
const TOOLS = new Set(['axe-core', 'lightningcss']);

const { packages } = JSON.parse(readFileSync(join(root, 'dapp/package-lock.json'), 'utf8'));
const refused = [];
for (const [path, { license, dev }] of Object.entries(packages)) {
  if (!path) continue;
  const name = path.replace(/^.*node_modules\//, '');
  const options = (license ?? '').replace(/[()]/g, '').split(' OR ');
  const isTool = dev && [...TOOLS].some((tool) => name === tool || name.startsWith(`${tool}-`));
  if (!isTool && !options.some((option) => option.split(' AND ').every((part) => ALLOWED.has(part)))) refused.push(`${name}: ${license}`);
}
for (const line of refused) console.error(`licence not allowed: ${line}`);
console.log(`${Object.keys(packages).length - 1} npm packages, ${refused.length} with a licence outside the list`);
process.exitCode = refused.length ? 1 : 0;
