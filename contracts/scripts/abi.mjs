// Writes abi/<Name>.json for every deployable contract; with --check only compares and fails when one is stale.
import { createRequire } from 'node:module';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEPLOYABLES, PARTS, ROOT, artifactOf } from './deployables.mjs';

const { keccak256 } = createRequire(import.meta.url)('js-sha3');
const SIZE_LIMIT = 24_576;
const folder = join(ROOT, 'abi');
const check = process.argv.includes('--check');

/** What can be called and what can happen at a contract's address, the code of its other parts included. */
function wholeAbi(name, abi) {
  if (!(name in PARTS)) return abi;
  const others = PARTS[name].flatMap((part) => artifactOf(part).artifact.abi.filter((item) => item.type !== 'constructor'));
  return [...new Map([...abi, ...others].map((item) => [JSON.stringify(item), item])).values()];
}

/** Stable whatever order the compiler visits the sources in. */
function sortedAbi(abi) {
  const key = (item) => `${item.type} ${item.name ?? ''} ${(item.inputs ?? []).map((input) => input.type).join(',')}`;
  return [...abi].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

function render(name) {
  const { artifact, evmVersion } = artifactOf(name);
  const deployed = artifact.deployedBytecode.object;
  const size = deployed.length / 2 - 1;
  if (size >= SIZE_LIMIT) throw new Error(`${name}: ${size} bytes, the limit is ${SIZE_LIMIT}`);
  const fields = {
    contractName: name,
    evmVersion,
    abi: sortedAbi(wholeAbi(name, artifact.abi)),
    bytecode: { object: artifact.bytecode.object },
    deployedBytecode: { object: deployed },
    deployedCodeHash: `0x${keccak256(Buffer.from(deployed.slice(2), 'hex'))}`,
  };
  return `${JSON.stringify(fields, null, 2)}\n`;
}

mkdirSync(folder, { recursive: true });
const stale = [];
for (const name of Object.keys(DEPLOYABLES)) {
  const path = join(folder, `${name}.json`);
  const text = render(name);
  if (existsSync(path) && readFileSync(path, 'utf8') === text) continue;
  stale.push(name);
  if (!check) writeFileSync(path, text);
}
for (const entry of readdirSync(folder)) {
  if (entry.slice(0, -'.json'.length) in DEPLOYABLES) continue;
  stale.push(entry);
  if (!check) rmSync(join(folder, entry));
}
if (check && stale.length > 0) {
  console.error(`abi: stale: ${stale.join(', ')}; run npm run abi`);
  process.exit(1);
}
console.log(`abi: ${Object.keys(DEPLOYABLES).length} contracts, ${check ? 'all current' : `${stale.length} written`}`);
