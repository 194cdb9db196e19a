// Writes src/abi/generated.ts from contracts/abi: the functions and events that the pages call, and every custom error that a contract
// on Ethereum can answer with. `--check` compares instead.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, writeOrCheck } from './files.mjs';

const WANTED = {
  GPUToken: ['balanceOf', 'nonces', 'allowance', 'approve', 'getVotes', 'delegates', 'delegate'],
  GPURental: ['quote', 'rentWithPermit', 'extend', 'extendWithPermit', 'endRental', 'cancel', 'claim', 'closeAfterDeadline',
    'collectFees', 'releaseDelayed', 'rental', 'RentalRequested'],
  RentalCourt: ['parameters', 'complain', 'claim', 'draw', 'vote', 'expire', 'openComplaint', 'CaseOpened'],
  StakingManager: ['stakeWithPermit', 'addStake', 'requestUnstake', 'withdraw', 'delegate', 'delegateStake', 'undelegateStake', 'withdrawDelegation',
    'claimRewards', 'claimCredit', 'earned', 'getVotes', 'staker'],
  Governance: ['castVote', 'castVoteWithReason', 'queue', 'execute', 'hasVoted', 'getVotes', 'proposalSnapshot'],
  TokenDistributor: ['release', 'claim', 'settleRental', 'settled'],
  Faucet: ['request', 'nextAt', 'amount'],
};
/** Contracts whose errors can come back from a transaction of ours, directly or from below. */
const ERRORS = [...Object.keys(WANTED), 'StakingPools', 'GPURentalTerms', 'TimelockController'];

const abiOf = (name) => JSON.parse(readFileSync(join(root, 'contracts/abi', `${name}.json`), 'utf8')).abi;
const slim = ({ name, type, indexed, components }) => ({
  name, type, ...(indexed === undefined ? {} : { indexed }), ...(components ? { components: components.map(slim) } : {}),
});

const StakingPools = abiOf('StakingPools');
let out = '// Written by `npm run abi` from contracts/abi. Do not edit.\n';
for (const [contract, names] of Object.entries(WANTED)) {
  // StakingManager hands calls it does not know on to StakingPools: one address, two interfaces.
  const abi = [...abiOf(contract), ...(contract === 'StakingManager' ? StakingPools : [])];
  const items = names.map((name) => {
    const found = abi.find((item) => item.name === name && item.type !== 'error');
    if (!found) throw new Error(`${contract} has no ${name}`);
    const { type, stateMutability, inputs, outputs } = found;
    return { type, name, inputs: inputs.map(slim), ...(outputs ? { outputs: outputs.map(slim), stateMutability } : {}) };
  });
  out += `\nexport const ${contract} = ${JSON.stringify(items)} as const;\n`;
}
const errors = new Map();
for (const contract of ERRORS) {
  for (const item of abiOf(contract)) {
    if (item.type === 'error') errors.set(`${item.name}(${item.inputs.map((input) => input.type)})`, item);
  }
}
const sorted = [...errors].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { name, inputs }]) => ({ type: 'error', name, inputs: inputs.map(slim) }));
out += `\nexport const errors = ${JSON.stringify(sorted)} as const;\n`;

writeOrCheck('dapp/src/abi/generated.ts', out, 'npm run abi');
