// Reads the demo's report as a stranger would: the sums are exact, every challenge passed, every ETC transaction is of type 0.
import { readFileSync } from 'node:fs';

const path = process.argv[2];
const report = JSON.parse(readFileSync(path, 'utf8'));
const faults = [];
const wei = (name) => {
  if (!/^\d+$/.test(report[name])) faults.push(`${name} is no decimal string: ${JSON.stringify(report[name])}`);
  return BigInt(/^\d+$/.test(report[name]) ? report[name] : 0);
};
const [escrowed, paid, refunded, fees] = ['escrowed_wei', 'paid_wei', 'refunded_wei', 'fees_wei'].map(wei);
if (escrowed !== paid + refunded + fees) faults.push(`escrowed ${escrowed} is not paid ${paid} + refunded ${refunded} + fees ${fees}`);
if (paid === 0n) faults.push('the provider was paid nothing');
if (!(report.challenges_passed >= 1)) faults.push(`no challenge was passed: ${report.challenges_passed}`);
if (!(report.wall_s > 0)) faults.push(`wall_s is ${report.wall_s}`);

const steps = report.steps ?? [];
const sent = steps.filter((step) => step.transaction);
if (sent.length === 0) faults.push('no step has a transaction');
for (const step of sent) {
  if (step.chain === 'classic' && step.type !== 0) faults.push(`${step.name}: type ${step.type} on Ethereum Classic`);
  if (!(step.gas > 0)) faults.push(`${step.name}: gas ${step.gas}`);
}
for (const fault of faults) console.error(`${path}: ${fault}`);
if (faults.length) process.exit(1);
console.log(`${path}: ${sent.length} transactions, ${escrowed} wei escrowed = ${paid} paid + ${refunded} refunded + ${fees} fees`);
