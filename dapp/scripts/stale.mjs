// dist/ is committed, so that building the Rust binary needs no Node.js. `--write` notes after a build what it was built from;
// without, this says whether dist/ still belongs to those sources. It needs no installed packages.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { root } from './files.mjs';

const dapp = join(root, 'dapp');
const walk = (path) => (statSync(path).isDirectory() ? readdirSync(path).sort().flatMap((name) => walk(join(path, name))) : [path]);

function digest(paths) {
  const hash = createHash('sha256');
  for (const path of paths.flatMap((name) => walk(join(dapp, name)))) {
    hash.update(`${relative(dapp, path)}\0`).update(readFileSync(path)).update('\0');
  }
  return hash.digest('hex');
}

const note = join(dapp, 'dist.json');
const sources = digest(['src', 'public', 'index.html', 'vite.config.ts', 'tsconfig.json', 'package.json', 'package-lock.json']);
const built = digest(['dist']);
if (process.argv.includes('--write')) {
  writeFileSync(note, `${JSON.stringify({ sources, built }, null, 2)}\n`);
} else {
  const noted = JSON.parse(readFileSync(note, 'utf8'));
  if (noted.sources !== sources) console.error('dapp/dist was built from other sources: run `make dapp` and commit the result');
  if (noted.built !== built) console.error('dapp/dist is not what the build wrote: run `make dapp` and commit the result');
  process.exitCode = noted.sources === sources && noted.built === built ? 0 : 1;
}
