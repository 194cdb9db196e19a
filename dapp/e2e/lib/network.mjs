// A whole network, as `gpumkt devnet up` starts it: both chains, Kings, Queens, a relay, and a provider whose device can be rented.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { gpumkt } from './chains.mjs';

/** Time for chains, contracts, nine nodes and the first full challenge; a loaded machine needs it. */
const UP_WITHIN_MS = 420_000;
const COMMAND_WITHIN_MS = 120_000;

export async function startNetwork() {
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-network-'));
  const child = spawn(gpumkt(), ['devnet', 'up', '--dir', folder]);
  let said = '';
  const told = new Promise((resolve, reject) => {
    const failed = (why) => reject(new Error(`the network does not start (${why}):\n${said.slice(-2000)}`));
    const timer = setTimeout(() => failed('too slow'), UP_WITHIN_MS);
    const hear = (text) => {
      said += text;
      const found = /The network is running[\s\S]*Ethereum (http:\S+)[\s\S]*Web interface (http:\S+)/.exec(said);
      if (found) { clearTimeout(timer); resolve({ rpc: found[1], url: found[2] }); }
    };
    child.stdout.setEncoding('utf8').on('data', hear);
    child.stderr.setEncoding('utf8').on('data', hear);
    child.once('exit', (code) => { clearTimeout(timer); failed(`exit code ${code}`); });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => { child.once('exit', resolve); child.kill('SIGINT'); });
    }
    rmSync(folder, { recursive: true, force: true });
  };
  const { rpc, url } = await told.catch(async (error) => { await stop(); throw error; });
  const run = join(folder, readdirSync(folder).find((name) => name.startsWith('run-')));
  return { rpc, url, run, stop, addresses: JSON.parse(readFileSync(join(run, 'addresses.json'), 'utf8')), shell: renterShell(run) };
}

/** A renter's terminal: a line is run as it was copied. Only DATA_DIR, which a page can not know, is filled in. */
function renterShell(run) {
  const config = join(run, 'renter.toml');
  const [, dataDir] = /^data_dir = "(.*)"$/m.exec(readFileSync(config, 'utf8'));
  const home = join(run, 'home');
  const downloads = join(home, 'Downloads');
  mkdirSync(downloads, { recursive: true });
  const env = { ...process.env, HOME: home, GPUMKT_CONFIG: config, PATH: `${dirname(gpumkt())}${delimiter}${process.env.PATH}` };
  const type = (line) => new Promise((resolve, reject) => {
    const child = spawn('bash', ['-c', line.replaceAll('DATA_DIR', dataDir)], { env, cwd: home, stdio: ['ignore', 'pipe', 'pipe'], timeout: COMMAND_WITHIN_MS });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => { out += text; });
    child.stderr.setEncoding('utf8').on('data', (text) => { err += text; });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
  return { downloads, type };
}
