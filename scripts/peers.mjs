// Measures the kernels beside other programs on the same device in one run, in turns, and returns ratios. Rates are per second of a
// core, taken from the processor time of each program, because other programs on the machine slow both down by an unknown share.
// A peer that is not installed is left out, with a line that says so.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TURNS = 4;
/** Size of the product in the class "peers". */
const MATRIX_SIZE = '2048';
/** Keccak iterations per unit that the cheater's slowdown is given for; it grows in proportion to them. */
const CHEATER_ITERATIONS = 4;
/** OpenBLAS does not know every processor; the best of its own choice and of these is the peer. */
const BLAS_CORES = ['', 'SKYLAKEX', 'HASWELL'];
/** Two runs of hashcat whose difference is hashing alone. */
const HASHCAT_RUNTIMES_S = [4, 12];

export function peers(binary, put) {
  const folder = mkdtempSync(join(tmpdir(), 'gpumkt-bench-'));
  try {
    const blas = buildSgemm(folder);
    const best = {};
    const note = (name, value) => { if (Number.isFinite(value)) best[name] = Math.max(best[name] ?? 0, value); };
    const spread = { keccak: [], matmul: [] };
    for (let turn = 0; turn < TURNS; turn += 1) {
      const { figures, profile, variant, verify_us_per_sample: verifyUs } = bench(binary);
      if (figures.basis !== 'core') {
        console.log('peers: the device is not a CPU; the peers that this script knows run on CPUs');
        return;
      }
      best.variant = variant;
      best.verify_ms = Math.min(best.verify_ms ?? Infinity, verifyUs / 1000);
      spread.keccak.push(figures.rates.keccak_mhash_per_second);
      spread.matmul.push(figures.rates.matmul_gmac_per_second);
      note('keccak', figures.rates.keccak_mhash_per_second);
      note('matmul', figures.rates.matmul_gmac_per_second);
      note('walk', figures.memory_vs_plain_random_read);
      note('keccak_of_limit', figures.keccak_of_limit);
      const slowdown = figures.memory_cheater_slowdown * CHEATER_ITERATIONS / profile.hash_iterations;
      best.cheater = Math.min(best.cheater ?? Infinity, slowdown);
      best.generation = Math.min(best.generation ?? Infinity, figures.generation_share);
      for (const core of blas ? BLAS_CORES : []) note('blas', sgemm(blas, core));
      if (turn < 2) note('hashcat', hashcat(folder));
    }
    console.log(`peers: product by ${best.variant}; keccak ${range(spread.keccak)} MH/s, matmul ${range(spread.matmul)} GMAC/s per core`);
    put('verify_ms_per_sample', best.verify_ms);
    put('memory_vs_plain_random_read', best.walk);
    put('memory_cheater_slowdown', best.cheater);
    put('generation_share_n2048', best.generation);
    put('keccak_of_logic_limit', best.keccak_of_limit);
    put('keccak_mhash_per_core_second', best.keccak);
    put('matmul_gmac_per_core_second', best.matmul);
    ratio(put, 'matmul_vs_openblas', best.matmul, best.blas, 'OpenBLAS (Debian: libopenblas0-pthread)');
    ratio(put, 'keccak_vs_hashcat', best.keccak, best.hashcat, 'hashcat (Debian: hashcat)');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function ratio(put, name, ours, theirs, peer) {
  if (!theirs) return console.log(`peers: no ${name}: ${peer} is not installed or does not run here`);
  console.log(`peers: ${name}: ${ours.toFixed(2)} against ${theirs.toFixed(2)}`);
  put(name, ours / theirs);
}

const range = (values) => `${Math.min(...values).toFixed(1)} to ${Math.max(...values).toFixed(1)}`;

const bench = (binary) =>
  JSON.parse(execFileSync(binary, ['bench', '--device', '0', '--class', 'peers', '--runs', '3', '--json'], { encoding: 'utf8' }));

/** The helper's path, or nothing where there is no C compiler. */
function buildSgemm(folder) {
  const program = join(folder, 'sgemm');
  const source = new URL('bench/sgemm.c', import.meta.url).pathname;
  return spawnSync('cc', ['-O2', '-o', program, source, '-ldl'], { stdio: 'ignore' }).status === 0 ? program : undefined;
}

function sgemm(program, core) {
  const env = { ...process.env, OPENBLAS_NUM_THREADS: '1', ...(core && { OPENBLAS_CORETYPE: core }) };
  const { status, stdout } = spawnSync(program, [MATRIX_SIZE, '3'], { env, encoding: 'utf8' });
  return status === 0 ? Number.parseFloat(stdout) : NaN;
}

/** Keccak-256 (mode 17800) hashes per second of a core, in MH/s. */
function hashcat(folder) {
  const [short, long] = HASHCAT_RUNTIMES_S.map((seconds) => hashcatRun(folder, seconds));
  return short && long ? (long.hashes - short.hashes) / (long.cpu - short.cpu) / 1e6 : NaN;
}

function hashcatRun(folder, seconds) {
  const unfindable = 'ab'.repeat(32);
  const options = ['-m', '17800', '-a', '3', '-D', '1', '-O', '--potfile-disable', '--self-test-disable', '--hwmon-disable',
    '--logfile-disable', '--restore-disable', '--status', '--status-json', '--status-timer', '1', '--runtime', String(seconds),
    '--session', `gpumkt-bench-${process.pid}`, unfindable, '?b?b?b?b?b?b?b'];
  // The shell's builtin counts the processor time of the program and of what it started.
  const script = 'TIMEFORMAT="%U %S"; time "$@"';
  const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', 'hashcat', ...options], { encoding: 'utf8', cwd: folder });
  const hashes = [...(stdout ?? '').matchAll(/"progress": \[(\d+),/g)].at(-1);
  const time = /(\d+\.\d+) (\d+\.\d+)\s*$/.exec(stderr ?? '');
  return hashes && time ? { hashes: Number(hashes[1]), cpu: Number(time[1]) + Number(time[2]) } : undefined;
}
