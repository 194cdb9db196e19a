// Both chains with every contract, and one device that can be rented: real contracts, without the nodes around them.
// What nodes would bring over the bridge (a device's pass), the test lets the Inbox say itself, by anvil's impersonation.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createPublicClient, createWalletClient, encodeAbiParameters, http, parseAbi, parseEther, stringToHex } from 'viem';
import { accountOf } from './wallet.mjs';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const MNEMONIC = 'test test test test test test test test test test test junk';
const PROVIDER = 8;
const KIND_DEVICE_REPORT = '11';

const first = (what, paths) => paths.find((path) => path && existsSync(path)) ?? (() => { throw new Error(`no ${what}: ${paths.filter(Boolean)}`); })();
const anvil = () => first('anvil', [process.env.ANVIL, join(root, 'contracts/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil')]);
export const gpumkt = () => first('gpumkt', [process.env.GPUMKT, join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'debug/gpumkt')]);

export const abiOf = (name) => JSON.parse(readFileSync(join(root, 'contracts/abi', `${name}.json`), 'utf8')).abi;

export function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); });
  });
}

async function chain(id, flags) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const child = spawn(anvil(), ['--host', '127.0.0.1', '--port', String(port), '--chain-id', String(id), '--mnemonic', MNEMONIC, '--accounts', '32', '--balance', '100000', '--slots-in-an-epoch', '1', '--quiet', ...flags], { stdio: 'ignore' });
  const rpc = async (method, params = []) => {
    const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }) });
    const { result, error } = await answer.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  };
  const deadline = Date.now() + 60_000;
  for (;;) {
    if (await rpc('eth_chainId').then(() => true, () => false)) return { url, rpc, stop: () => child.kill() };
    if (Date.now() > deadline) throw new Error('anvil does not start');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function startChains() {
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-chains-'));
  const ethereum = await chain(31301, ['--hardfork', 'osaka', '--enable-tx-gas-limit']);
  const classic = await chain(31361, ['--hardfork', 'shanghai', '--block-base-fee-per-gas', '0', '--gas-price', '1000000000', '--gas-limit', '8000000']);
  const [password, key, book] = ['password', 'deployer.json', 'addresses.json'].map((name) => join(folder, name));
  try {
    writeFileSync(password, 'devnet');
    execFileSync(gpumkt(), ['keys', 'import', '--password-file', password, key], { input: Buffer.from(accountOf(0).getHdKey().privateKey).toString('hex') });
    execFileSync(gpumkt(), ['deploy', '--config', join(root, 'config/chains/devnet.toml'), '--ethereum-rpc', ethereum.url, '--classic-rpc', classic.url, '--key', key, '--password-file', password, '--out', book], { stdio: 'ignore' });
  } catch (error) {
    // Nobody else could end them.
    ethereum.stop();
    classic.stop();
    throw error;
  }
  const addresses = JSON.parse(readFileSync(book, 'utf8'));
  const client = createPublicClient({ transport: http(ethereum.url), pollingInterval: 100 });
  const viemChain = { id: 31301, name: 'devnet', nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 }, rpcUrls: { default: { http: [ethereum.url] } } };
  const eth = addresses.ethereum;
  const at = { GPUToken: eth.gpu_token, GPURental: eth.gpu_rental, StakingManager: eth.staking_manager, StakingPools: eth.staking_manager, RentalCourt: eth.rental_court, Governance: eth.governance, TokenDistributor: eth.token_distributor };
  const read = (contract, functionName, args = []) => client.readContract({ address: at[contract], abi: abiOf(contract), functionName, args });
  const write = async (from, contract, functionName, args = []) => {
    const account = typeof from === 'number' ? accountOf(from) : from;
    const wallet = createWalletClient({ account, chain: viemChain, transport: http(ethereum.url) });
    const hash = await wallet.writeContract({ address: at[contract], abi: abiOf(contract), functionName, args });
    const receipt = await client.waitForTransactionReceipt({ hash });
    if (receipt.status !== 'success') throw new Error(`${contract}.${functionName} failed`);
    return receipt;
  };
  return {
    ethereum, classic, addresses, client, read, write,
    stop() { ethereum.stop(); classic.stop(); rmSync(folder, { recursive: true, force: true }); },
  };
}

/** A provider with stake, a device whose pass has arrived, and an offer of it. */
export async function offerDevice(chains) {
  const { write, ethereum, addresses, client } = chains;
  const provider = accountOf(PROVIDER);
  await write(PROVIDER, 'GPUToken', 'approve', [addresses.ethereum.staking_manager, parseEther('5000')]);
  await write(PROVIDER, 'StakingManager', 'stake', [1, parseEther('5000'), provider.address, `0x${'01'.repeat(32)}`]);
  await write(PROVIDER, 'StakingManager', 'registerDevice', [1, accountOf(9).address]);
  const { timestamp } = await client.getBlock();
  const report = encodeAbiParameters([{ type: 'uint64' }, { type: 'uint64' }, { type: 'uint32' }, { type: 'uint32' }, { type: 'uint32' }, { type: 'uint64' }], [1n, timestamp, 990_000, 1_050, 0, 1n]);
  const { inbox } = addresses.ethereum.bridge;
  await ethereum.rpc('anvil_impersonateAccount', [inbox]);
  await ethereum.rpc('anvil_setBalance', [inbox, '0x56bc75e2d63100000']);
  await write(inbox, 'StakingManager', 'handle', [31361n, addresses.classic.work_verification, `0x${KIND_DEVICE_REPORT}${report.slice(2)}`, inbox]);
  await write(PROVIDER, 'GPURental', 'createOffer', [1n, 111_111_111_111_112n, 60, 86_400, stringToHex('eu-test', { size: 32 }), '{"gpu":"test"}']);
}
export { PROVIDER, parseAbi };
