// Measures the device, alone and beside other programs, runs one demo with the given binary, watches the memory of its processes,
// and writes target/bench/summary.json: a flat map from a stable name that ends with its unit, or names a ratio, to a number.
// Figures come from this machine and from nowhere else.
import { execFileSync, spawn } from 'node:child_process';
import { access } from './access.mjs';
import { peers } from './peers.mjs';
import { existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, statSync, writeFileSync } from 'node:fs';

const binary = realpathSync(process.argv[2]);
const REPORT = 'target/demo/report.json';
const SUMMARY = 'target/bench/summary.json';
const ROLES = ['king', 'queen', 'provider', 'relay'];
/** Linux keeps each process's peak, so a slow poll misses only processes that live shorter than this. */
const POLL_MS = 250;

const summary = {};
const put = (name, value) => { if (Number.isFinite(value)) summary[name] = Number(value.toPrecision(6)); };
const snake = (name) =>
  name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replace(/[^A-Za-z0-9]+/g, '_').replace(/^_|_$/g, '').toLowerCase();

/** Processes of the binary under `root`, by role. */
function descendants(root) {
  const parents = new Map();
  for (const entry of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      parents.set(Number(entry), Number(readFileSync(`/proc/${entry}/stat`, 'utf8').replace(/^.*\) \S /s, '').split(' ')[0]));
    } catch { /* ended meanwhile */ }
  }
  const below = (pid) => { while (pid > 1 && pid !== root) pid = parents.get(pid) ?? 0; return pid === root; };
  return [...parents.keys()].filter((pid) => pid !== root && below(pid));
}

function notePeaks(root, peaks) {
  for (const pid of descendants(root)) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      const role = ROLES.find((name) => words.slice(1, 4).includes(name));
      if (!role || realpathSync(`/proc/${pid}/exe`) !== binary) continue;
      const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
      if (peak) peaks[role] = Math.max(peaks[role] ?? 0, Number(peak[1]) / 1024);
    } catch { /* ended meanwhile */ }
  }
}

async function demo() {
  const started = Date.now();
  const child = spawn(binary, ['devnet', 'demo'], { stdio: 'inherit' });
  const peaks = {};
  const watch = setInterval(() => notePeaks(child.pid, peaks), POLL_MS);
  const code = await new Promise((resolve, reject) => child.on('close', resolve).on('error', reject));
  clearInterval(watch);
  if (code !== 0) throw new Error(`the demo ended with exit code ${code}`);
  if (!existsSync(REPORT) || statSync(REPORT).mtimeMs < started) throw new Error(`the demo wrote no ${REPORT}`);
  for (const role of ROLES) put(`${role}_peak_rss_mib`, peaks[role]);
  fromReport(JSON.parse(readFileSync(REPORT, 'utf8')));
}

function fromReport(report) {
  put('demo_wall_s', report.wall_s);
  put('relay_latency_s', report.relay_latency_s);
  for (const { name, wall_s: seconds } of report.stages ?? []) put(`stage_${snake(name)}_s`, seconds);
  // A step that happens more than once (a message each way, a proof per challenge) is represented by its dearest. Creations of
  // contracts have no name of their own in the ledger: snapshots of the contracts' gas tests hold them.
  for (const { step, gas } of (report.steps ?? []).filter((entry) => entry.step.includes('.'))) {
    const name = `gas_${step.replace('.', '_')}`;
    put(name, Math.max(gas, summary[name] ?? 0));
  }
}

/** What the device does in the class, and what checking it costs. */
function device() {
  for (const mode of ['full', 'light']) {
    const text = execFileSync(binary, ['bench', '--device', '0', '--class', 'cpu-test', '--mode', mode, '--json'], { encoding: 'utf8' });
    const report = JSON.parse(text);
    put(`proof_${mode}_s`, report.median.total_us / 1e6);
    put(`verify_${mode}_per_sample_s`, report.verify_us_per_sample / 1e6);
    if (mode !== 'full') continue;
    for (const name of ['keccak_mhash_per_second', 'matmul_gmac_per_second', 'memory_msteps_per_second']) put(name, report[name]);
  }
}

/** The bridge with King sets of several sizes, built with the profile of the given binary. */
function bridge() {
  const profile = binary.includes('/debug/') ? 'dev' : 'release';
  const text = execFileSync('cargo', ['bench', '--locked', '--profile', profile, '--bench', 'bridge'], { encoding: 'utf8', maxBuffer: 1 << 26 });
  const line = text.split('\n').findLast((candidate) => candidate.startsWith('{'));
  for (const [name, value] of Object.entries(JSON.parse(line))) put(name, value);
}

put('binary_mib', statSync(binary).size / 2 ** 20);
device();
peers(binary, put);
await demo();
bridge();
await access(binary, put);
mkdirSync('target/bench', { recursive: true });
const sorted = Object.fromEntries(Object.entries(summary).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(SUMMARY, `${JSON.stringify(sorted, null, 2)}\n`);
console.log();
for (const [name, value] of Object.entries(sorted)) console.log(`${name.padEnd(44)} ${value}`);
for (const name of ['relay_latency_s', ...ROLES.map((role) => `${role}_peak_rss_mib`)]) {
  if (!(name in sorted)) console.log(`${name.padEnd(44)} not measured: the demo did not report it`);
}
console.log(`\nwritten to ${SUMMARY}`);
