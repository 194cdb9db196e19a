// Keeps snapshots/gas.json (gas per action) and snapshots/size.json (bytes of runtime code). With --check it fails when an
// action costs more than 2 % more than the snapshot says, when one is missing, or when a contract is too large.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEPLOYABLES, ROOT, artifactOf } from './deployables.mjs';

const TOLERANCE = 0.02;
const SIZE_LIMIT = 24_576;
const check = process.argv.includes('--check');
const path = (name) => join(ROOT, 'snapshots', name);
const read = (name) => (existsSync(path(name)) ? JSON.parse(readFileSync(path(name), 'utf8')) : {});
const sorted = (map) => Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));

if (!existsSync(path('measured.json'))) {
  console.error('gas: snapshots/measured.json is missing; the GasTest writes it');
  process.exit(1);
}
const measured = sorted(read('measured.json'));
const sizes = sorted(
  Object.fromEntries(
    Object.keys(DEPLOYABLES).map((name) => [name, artifactOf(name).artifact.deployedBytecode.object.length / 2 - 1]),
  ),
);
rmSync(path('measured.json'));

const problems = Object.entries(sizes)
  .filter(([, size]) => size >= SIZE_LIMIT)
  .map(([name, size]) => `${name}: ${size} bytes of code, the limit is ${SIZE_LIMIT}`);
const expected = read('gas.json');
if (check) {
  for (const action of new Set([...Object.keys(expected), ...Object.keys(measured)])) {
    const [before, after] = [expected[action], measured[action]];
    if (before === undefined || after === undefined) problems.push(`${action}: ${before ?? 'no snapshot'} -> ${after ?? 'not measured'}`);
    else if (after > before * (1 + TOLERANCE)) problems.push(`${action}: ${before} -> ${after}, more than ${TOLERANCE * 100} % up`);
    else if (after < before * (1 - TOLERANCE)) console.log(`gas: ${action} got cheaper: ${before} -> ${after}; run npm run gas`);
  }
} else {
  writeFileSync(path('gas.json'), `${JSON.stringify(measured, null, 2)}\n`);
  writeFileSync(path('size.json'), `${JSON.stringify(sizes, null, 2)}\n`);
}
if (problems.length > 0) {
  console.error(problems.map((problem) => `gas: ${problem}`).join('\n'));
  process.exit(1);
}
console.log(`gas: ${Object.keys(measured).length} actions, ${Object.keys(sizes).length} contracts, ${check ? 'within the snapshot' : 'snapshot written'}`);
