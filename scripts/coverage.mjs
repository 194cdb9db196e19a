// Prints line and branch coverage per file of contracts/src, and fails below a share of all lines. forge counts no line of inline assembly,
// whether it runs or not: those are left out, and their number is told.
// usage: coverage.mjs LCOV MINIMUM_PERCENT
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const [path, minimum] = process.argv.slice(2);
const files = [];
let file;
for (const line of readFileSync(path, 'utf8').split('\n')) {
  const [key, value] = [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)];
  if (key === 'SF') file = { name: value, lines: [], branches: [] };
  else if (key === 'DA') file.lines.push(value.split(','));
  else if (key === 'BRDA') file.branches.push(value.split(','));
  else if (line === 'end_of_record' && file.name.startsWith('src/')) files.push(file);
}
/** Numbers of the lines inside blocks of assembly, the line that opens one included. */
function assembly(name) {
  const inside = new Set();
  let depth = 0;
  readFileSync(join('contracts', name), 'utf8').split('\n').forEach((line, index) => {
    if (depth === 0 && !/^\s*assembly\b.*\{/.test(line)) return;
    inside.add(String(index + 1));
    for (const sign of line) depth += sign === '{' ? 1 : sign === '}' ? -1 : 0;
  });
  return inside;
}

const taken = (list, at) => list.filter((entry) => entry[at] !== '0' && entry[at] !== '-').length;
const percent = (hit, all) => (all === 0 ? '' : `${((100 * hit) / all).toFixed(1)} %`);
const sum = { assembly: 0, lines: 0, linesHit: 0, branches: 0, branchesHit: 0 };
const row = (name, lines, branches, missed) =>
  console.log(`${name.padEnd(42)} ${lines.padStart(18)} ${branches.padStart(18)}  ${missed}`.trimEnd());
row('file', 'lines', 'branches', 'lines never run');
for (const { name, lines: all, branches } of files.sort((a, b) => (a.name < b.name ? -1 : 1))) {
  if (all.length === 0) continue;
  const uncounted = assembly(name);
  const lines = all.filter(([number]) => !uncounted.has(number));
  sum.assembly += all.length - lines.length;
  const [linesHit, branchesHit] = [taken(lines, 1), taken(branches, 3)];
  sum.lines += lines.length;
  sum.linesHit += linesHit;
  sum.branches += branches.length;
  sum.branchesHit += branchesHit;
  const missed = lines.filter((entry) => entry[1] === '0').map((entry) => entry[0]);
  row(
    name,
    `${linesHit}/${lines.length} ${percent(linesHit, lines.length)}`,
    `${branchesHit}/${branches.length} ${percent(branchesHit, branches.length)}`,
    missed.join(' '),
  );
}
row(
  'all',
  `${sum.linesHit}/${sum.lines} ${percent(sum.linesHit, sum.lines)}`,
  `${sum.branchesHit}/${sum.branches} ${percent(sum.branchesHit, sum.branches)}`,
  '',
);
console.log(`${sum.assembly} lines of inline assembly are not counted`);
if (sum.lines === 0 || sum.linesHit * 100 < sum.lines * Number(minimum)) {
  console.error(`coverage: below ${minimum} % of the lines`);
  process.exit(1);
}
