// The contracts that get deployed, and the EVM they are compiled for.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Name -> [source file's name without .sol, EVM version]. */
export const DEPLOYABLES = {
  Faucet: ['Faucet', 'osaka'],
  GPURental: ['GPURental', 'osaka'],
  GPURentalTerms: ['GPURentalTerms', 'osaka'],
  GPUToken: ['GPUToken', 'osaka'],
  Governance: ['Governance', 'osaka'],
  Inbox: ['Inbox', 'shanghai'],
  KingCourt: ['KingCourt', 'osaka'],
  KingSet: ['KingSet', 'shanghai'],
  NodeDirectory: ['NodeDirectory', 'osaka'],
  Outbox: ['Outbox', 'shanghai'],
  ProofVerifier: ['ProofVerifier', 'shanghai'],
  RentalCourt: ['RentalCourt', 'osaka'],
  ReputationSystem: ['ReputationSystem', 'shanghai'],
  StakingManager: ['StakingManager', 'osaka'],
  StakingPools: ['StakingPools', 'osaka'],
  TimelockController: ['TimelockController', 'osaka'],
  TokenDistributor: ['TokenDistributor', 'osaka'],
  WorkDisputes: ['WorkDisputes', 'shanghai'],
  WorkSettlement: ['WorkSettlement', 'shanghai'],
  WorkVerification: ['WorkVerification', 'shanghai'],
};

/** Contracts that others answer for: name -> whose code the rest of their calls runs. */
export const PARTS = { GPURental: ['GPURentalTerms'], StakingManager: ['StakingPools'], WorkVerification: ['WorkSettlement', 'WorkDisputes'] };

/** forge writes one artifact per compiler profile that needed the file: take the one for the right EVM. */
export function artifactOf(name) {
  const [file, evmVersion] = DEPLOYABLES[name];
  const folder = join(ROOT, 'out', `${file}.sol`);
  const matching = readdirSync(folder)
    .filter((entry) => entry === `${name}.json` || entry.startsWith(`${name}.`))
    .map((entry) => JSON.parse(readFileSync(join(folder, entry), 'utf8')))
    .filter((artifact) => artifact.metadata?.settings?.evmVersion === evmVersion);
  if (matching.length === 0) throw new Error(`${name}: no artifact for ${evmVersion} under out/, run forge build`);
  // What a contract of another profile needs is built by that profile, too; only those near the size limit are optimised for size.
  const runs = (artifact) => artifact.metadata.settings.optimizer.runs;
  const mostRuns = Math.max(...matching.map(runs));
  const best = matching.filter((artifact) => runs(artifact) === mostRuns);
  const codes = new Set(best.map((artifact) => artifact.bytecode.object));
  if (codes.size !== 1) throw new Error(`${name}: ${codes.size} different builds for ${evmVersion}, run forge clean`);
  return { artifact: best[0], evmVersion };
}
