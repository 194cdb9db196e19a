// A King with its index and API, on chains of chains.mjs. It can be killed and started again on the same data.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEther } from 'viem';
import { freePort, gpumkt } from './chains.mjs';
import { accountOf } from './wallet.mjs';

const KING = 1;
/** Time a King has to open its database and its ports; a loaded machine needs it. */
const START_WITHIN_MS = 60_000;

export async function startKing(chains) {
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-king-'));
  const path = (name) => join(folder, name);
  await chains.write(KING, 'GPUToken', 'approve', [chains.addresses.ethereum.staking_manager, parseEther('100000')]);
  await chains.write(KING, 'StakingManager', 'stake', [3, parseEther('100000'), accountOf(KING).address, `0x${'02'.repeat(32)}`]);
  writeFileSync(path('password'), 'devnet');
  writeFileSync(path('addresses.json'), JSON.stringify(chains.addresses));
  execFileSync(gpumkt(), ['keys', 'import', '--password-file', path('password'), path('operator.json')], { input: Buffer.from(accountOf(KING).getHdKey().privateKey).toString('hex') });
  const [health, api] = [await freePort(), await freePort()];
  writeFileSync(path('king.toml'), `
data_dir = "${path('data')}"
addresses = "${path('addresses.json')}"
[keys]
operator = "${path('operator.json')}"
password_file = "${path('password')}"
[ethereum]
chain_id = 31301
rpc = ["${chains.ethereum.url}"]
poll_ms = 200
[classic]
chain_id = 31361
rpc = ["${chains.classic.url}"]
poll_ms = 200
[network]
listen = ["/ip4/127.0.0.1/tcp/0"]
local = true
[http]
listen = "127.0.0.1:${health}"
[api]
listen = "127.0.0.1:${api}"
[king]
single_endpoint = true
`);
  const url = `http://127.0.0.1:${api}`;
  let child = null;
  const start = async () => {
    const log = openSync(path('log'), 'a');
    const mine = spawn(gpumkt(), ['king', '--config', path('king.toml')], { stdio: ['ignore', log, log] });
    child = mine;
    const deadline = Date.now() + START_WITHIN_MS;
    for (;;) {
      const offers = await fetch(`${url}/api/v1/offers`).then((answer) => answer.json(), () => null);
      if (offers?.items?.length) return;
      if (mine.exitCode !== null || Date.now() > deadline) throw new Error(`the King does not start:\n${readFileSync(path('log'), 'utf8').slice(-1500)}`);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  };
  const kill = () => new Promise((resolve) => { child.once('exit', resolve); child.kill('SIGKILL'); });
  await start();
  return { url, start, kill, async stop() { if (child?.exitCode === null && child?.signalCode === null) await kill(); rmSync(folder, { recursive: true, force: true }); } };
}
