// Holds the licences of all Rust dependencies that are compiled in, or used to compile, to the list in deny.toml.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const list = readFileSync('deny.toml', 'utf8').match(/^\[licenses\]\nallow = \[([^\]]*)\]/m);
if (!list) throw new Error('deny.toml: no list `allow` under [licenses]');
const allowed = new Set([...list[1].matchAll(/"([^"]+)"/g)].map(([, name]) => name));

// SPDX expressions bind AND tighter than OR; older crates write OR as a slash.
function accepts(expression) {
  const tokens = expression.replaceAll('/', ' OR ').replace(/ WITH /g, '+WITH+').match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const term = () => {
    const token = tokens[at++];
    if (token !== '(') return allowed.has(token?.replaceAll('+', ' '));
    const inner = either();
    at++;
    return inner;
  };
  const both = () => {
    let holds = term();
    while (tokens[at] === 'AND') { at++; holds = term() && holds; }
    return holds;
  };
  const either = () => {
    let holds = both();
    while (tokens[at] === 'OR') { at++; holds = both() || holds; }
    return holds;
  };
  return either();
}

const options = ['--locked', '--edges', 'normal,build,dev', '--prefix', 'none', '--format', '{p}|{l}'];
const tree = execFileSync('cargo', ['tree', ...options], { encoding: 'utf8' });
const crates = new Map(tree.trim().split('\n').map((line) => line.replace(/ \(\*\)$/, '').split('|')));
const refused = [...crates].filter(([, licence]) => !accepts(licence));
for (const [name, licence] of refused) console.error(`${name}: licence "${licence}" is not covered by deny.toml`);
console.log(`${crates.size} crates, ${refused.length} with a licence outside ${[...allowed].join(', ')}`);
process.exitCode = refused.length ? 1 : 0;
