// Counts slither's findings by kind and contract, and asks that docs/security.md answers each kind.
// usage: static.mjs REPORT.json SECURITY.md
import { readFileSync } from 'node:fs';

const [reportPath, answersPath] = process.argv.slice(2);
const report = JSON.parse(readFileSync(reportPath, 'utf8'));
if (!report.success) {
  console.error(`static: ${report.error}`);
  process.exit(1);
}
const answers = readFileSync(answersPath, 'utf8');
const kinds = new Map();
for (const finding of report.results.detectors ?? []) {
  const file = finding.elements[0]?.source_mapping?.filename_relative ?? '?';
  const contract = file.replace(/^.*\//, '').replace(/\.sol$/, '');
  const kind = kinds.get(finding.check) ?? { impact: finding.impact, contracts: new Map() };
  kind.contracts.set(contract, (kind.contracts.get(contract) ?? 0) + 1);
  kinds.set(finding.check, kind);
}
let unanswered = 0;
for (const [name, { impact, contracts }] of [...kinds].sort()) {
  const known = new RegExp(`(^|[^a-z-])${name}([^a-z-]|$)`, 'm').test(answers);
  if (!known) unanswered += 1;
  const where = [...contracts].sort().map(([contract, count]) => `${contract} ${count}`);
  console.log(`${known ? '      ok' : 'NO ANSWER'} ${impact.padEnd(13)} ${name}: ${where.join(', ')}`);
}
const total = [...kinds.values()].reduce((sum, { contracts }) => sum + [...contracts.values()].reduce((a, b) => a + b), 0);
console.log(`static: ${total} findings of ${kinds.size} kinds, ${unanswered} kinds without an answer in ${answersPath}`);
process.exit(unanswered === 0 ? 0 : 1);
