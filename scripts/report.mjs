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
if (report.challenges_passed !== report.challenges_due) {
  faults.push(`${report.challenges_passed} of ${report.challenges_due} challenges passed`);
}
if (!(report.checkpoint_signers && Object.keys(report.checkpoint_signers).length >= 1)) faults.push('no checkpoint names its signers');
if (!(report.message_ids?.length >= 1)) faults.push('no message crossed the bridge');
if (!(report.wall_s > 0)) faults.push(`wall_s is ${report.wall_s}`);

const steps = report.steps ?? [];
for (const chain of ['ethereum', 'classic']) {
  if (!steps.some((step) => step.chain === chain)) faults.push(`no transaction on ${chain}`);
}
for (const { step, chain, type, gas, tx_hash: hash } of steps) {
  if (!/^0x[0-9a-f]{64}$/.test(hash)) faults.push(`${step}: no transaction hash: ${hash}`);
  if (chain === 'classic' && type !== 0) faults.push(`${step}: type ${type} on Ethereum Classic`);
  if (!(gas >= 21000)) faults.push(`${step}: gas ${gas}`);
}
for (const fault of faults) console.error(`${path}: ${fault}`);
if (faults.length) process.exit(1);
console.log(`${path}: ${steps.length} transactions, ${escrowed} wei escrowed = ${paid} paid + ${refunded} refunded + ${fees} fees`);
