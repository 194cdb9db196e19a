// Measures a renter's way to its device on a network of this machine: seconds from the payment to a shell, the tunnel's throughput and
// what it adds to a keystroke beside a plain sshd on loopback, and the sessions that one provider's node serves. `make bench` runs it with
// everything else; by itself: node scripts/access.mjs target/release/gpumkt
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const UP_WITHIN_MS = 420_000;
const RENTABLE_WITHIN_MS = 300_000;
/** Long enough to drown the login, short enough for a bench. */
const THROUGHPUT_MIB = 256;
const TURNS = 3;
const KEYSTROKES = 200;
/** More than a node serves at once. */
const MAX_SESSIONS = 80;
const SESSION_WITHIN_MS = 60_000;
const SSHD = '/usr/sbin/sshd';

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

export async function access(binary, put) {
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-access-'));
  const log = join(folder, 'up.log');
  const up = spawn('bash', ['-c', 'exec "$0" devnet up --dir "$1" >"$2" 2>&1', binary, join(folder, 'net'), log], { stdio: 'ignore' });
  let sshd;
  try {
    await until('the network is up', UP_WITHIN_MS, () => {
      if (up.exitCode !== null) throw new Error(`the network ended:\n${readFileSync(log, 'utf8')}`);
      return existsSync(log) && readFileSync(log, 'utf8').includes('The network is running');
    });
    const config = join(folder, 'net', `run-${up.pid}`, 'renter.toml');
    const gpumkt = (words, options = {}) => execFileSync(binary, [words[0], '--config', config, ...words.slice(1)], { encoding: 'utf8', ...options });
    await until('a device is rentable', RENTABLE_WITHIN_MS, () => JSON.parse(gpumkt(['market', '--json'])).length > 0);
    const rental = await rentToShell(binary, config, put);
    const tunnel = (words, options) => ({ command: binary, words: ['ssh', '--config', config, rental, ...options, '--', ...words] });
    sshd = await startSshd(folder);
    await throughput(tunnel, sshd, put);
    await keystrokes(config, binary, rental, sshd, put);
    await sessions(binary, config, rental, put);
  } finally {
    sshd?.process.kill('SIGTERM');
    up.kill('SIGINT');
    if (up.exitCode === null) await new Promise((resolve) => { up.on('close', resolve); });
    rmSync(folder, { recursive: true, force: true });
  }
}

async function until(what, within, done) {
  const deadline = Date.now() + within;
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await sleep(200);
  }
}

/** Steps as `rent` prints them, then the first command over ssh. */
async function rentToShell(binary, config, put) {
  const started = Date.now();
  const child = spawn(binary, ['rent', '--config', config, '1', '--duration', '1h', '--yes'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let rental;
  let buffered = '';
  for await (const piece of child.stdout) {
    buffered += piece;
    const paid = /rental (\d+): paid in/.exec(buffered);
    if (paid && rental === undefined) {
      [, rental] = paid;
      put('rent_paid_s', (Date.now() - started) / 1000);
    }
  }
  if (!rental || !buffered.includes('is ready until')) throw new Error(`rent said: ${buffered}`);
  put('rent_ready_s', (Date.now() - started) / 1000);
  execFileSync(binary, ['run', '--config', config, rental, '--', 'true'], { stdio: 'ignore' });
  put('rent_to_shell_s', (Date.now() - started) / 1000);
  return rental;
}

/** A plain sshd with keys of its own, or nothing where there is none. */
async function startSshd(folder) {
  if (!existsSync(SSHD)) {
    console.log('access: no sshd here; install openssh-server to compare with it');
    return undefined;
  }
  const at = (name) => join(folder, name);
  for (const name of ['host', 'user']) execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  writeFileSync(at('authorized'), readFileSync(at('user.pub')));
  chmodSync(at('authorized'), 0o600);
  // Its own place for unprivileged children; Debian makes it at boot.
  mkdirSync('/run/sshd', { recursive: true });
  const port = await new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => { const { port: free } = server.address(); server.close(() => resolve(free)); });
  });
  const text = `Port ${port}\nListenAddress 127.0.0.1\nHostKey ${at('host')}\nAuthorizedKeysFile ${at('authorized')}\nStrictModes no\nUsePAM no\nPidFile none\n`;
  writeFileSync(at('sshd_config'), text);
  const child = spawn(SSHD, ['-D', '-e', '-f', at('sshd_config')], { stdio: 'ignore' });
  const options = ['-F', 'none', '-p', String(port), '-i', at('user'), '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
    '-o', 'LogLevel=ERROR', `${userInfo().username}@127.0.0.1`];
  await until('sshd answers', 10_000, () => spawnSync('ssh', [...options, 'true'], { stdio: 'ignore' }).status === 0);
  return { process: child, options };
}

/** Mebibytes per second into `cat`, in turns with the peer. */
async function throughput(tunnel, sshd, put) {
  const zeros = Buffer.alloc(THROUGHPUT_MIB << 20);
  const measure = (command, words) => {
    const started = process.hrtime.bigint();
    const { status } = spawnSync(command, words, { input: zeros, stdio: ['pipe', 'ignore', 'inherit'] });
    if (status !== 0) throw new Error(`${command} ended with ${status}`);
    return THROUGHPUT_MIB / (Number(process.hrtime.bigint() - started) / 1e9);
  };
  const [ours, theirs] = [[], []];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const { command, words } = tunnel(['cat >/dev/null'], []);
    ours.push(measure(command, words));
    if (sshd) theirs.push(measure('ssh', [...sshd.options, 'cat >/dev/null']));
  }
  put('tunnel_mib_per_second', median(ours));
  if (!sshd) return;
  put('ssh_mib_per_second', median(theirs));
  put('tunnel_vs_ssh', median(ours) / median(theirs));
}

/** Milliseconds until a byte comes back from `cat` on a terminal's raw line. */
async function keystrokes(config, binary, rental, sshd, put) {
  const remote = 'stty raw -echo; echo ready; cat';
  // `gpumkt ssh-config` gives plain ssh the way in, so that both sides run the same program with the same options.
  const ours = await echo(['-tt', '-F', sshConfig(binary, config, rental), `gpumkt-${rental}`, remote]);
  put('keystroke_ms', ours);
  if (!sshd) return;
  const theirs = await echo(['-tt', ...sshd.options, remote]);
  put('keystroke_added_ms', ours - theirs);
}

function sshConfig(binary, config, rental) {
  const path = join(mkdtempSync(join(tmpdir(), 'gpumkt-ssh-')), 'config');
  writeFileSync(path, execFileSync(binary, ['ssh-config', '--config', config, rental], { encoding: 'utf8' }));
  return path;
}

async function echo(words) {
  const child = spawn('ssh', words, { stdio: ['pipe', 'pipe', 'ignore'] });
  const pieces = child.stdout[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await pieces.next();
    if (done) throw new Error('the terminal ended');
    return String(value);
  };
  let said = '';
  while (!said.includes('ready')) said += await next();
  const times = [];
  for (let stroke = 0; stroke < KEYSTROKES; stroke += 1) {
    const started = process.hrtime.bigint();
    child.stdin.write('x');
    while (!(await next()).includes('x'));
    times.push(Number(process.hrtime.bigint() - started) / 1e6);
  }
  child.kill('SIGTERM');
  return median(times);
}

/** Sessions with connections of their own that one node holds open at once. */
async function sessions(binary, config, rental, put) {
  const path = sshConfig(binary, config, rental);
  const open = [];
  try {
    for (let number = 0; number < MAX_SESSIONS; number += 1) {
      const child = spawn('ssh', ['-F', path, '-o', 'ControlPath=none', `gpumkt-${rental}`, 'echo up; sleep 600'], { stdio: ['ignore', 'pipe', 'ignore'] });
      open.push(child);
      const isUp = await Promise.race([
        new Promise((resolve) => { child.stdout.once('data', () => resolve(true)); child.once('close', () => resolve(false)); }),
        sleep(SESSION_WITHIN_MS).then(() => false),
      ]);
      if (!isUp) break;
      put('sessions_per_node', number + 1);
    }
  } finally {
    for (const child of open) child.kill('SIGTERM');
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const figures = {};
  await access(realpathSync(process.argv[2]), (name, value) => { figures[name] = Number(value.toPrecision(6)); });
  console.log(JSON.stringify(figures, null, 2));
}
