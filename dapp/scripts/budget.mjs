// Fails if what a first visit loads before it can show a page is more JavaScript than agreed, or if a page has anything that the
// content security policy would have to make an exception for.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { root } from './files.mjs';

const LIMIT_BYTES = 120 * 1024;
const dist = join(root, 'dapp/dist');
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const manifest = JSON.parse(readFileSync(join(dist, 'manifest.json'), 'utf8'));
const byFile = new Map(Object.values(manifest).map((chunk) => [chunk.file, chunk]));

// What index.html names, and all that those import statically.
const initial = new Set();
const visit = (file) => {
  if (initial.has(file)) return;
  initial.add(file);
  for (const name of byFile.get(file)?.imports ?? []) visit(manifest[name].file);
};
for (const [, file] of html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.js)"/g)) visit(file);
if (initial.size === 0) throw new Error('dist/index.html loads no script');

// The page that is shown first comes on top.
const first = manifest['src/pages/Offers.tsx'];
if (!first) throw new Error('the manifest has no page of offers');
visit(first.file);

const size = (file) => gzipSync(readFileSync(join(dist, file)), { level: 9 }).length;
const files = [...initial].map((file) => [file, size(file)]);
const total = files.reduce((sum, [, bytes]) => sum + bytes, 0);
for (const [file, bytes] of files) console.log(`${(bytes / 1024).toFixed(1).padStart(7)} kB  ${file}`);
console.log(`${(total / 1024).toFixed(1).padStart(7)} kB  JavaScript (gzip) before the first page; at most ${LIMIT_BYTES / 1024} kB`);
if (total > LIMIT_BYTES) process.exitCode = 1;

const inline = [/<script(?![^>]*\bsrc=)/, /<style\b/, /\sstyle="/, /\son[a-z]+="/].filter((pattern) => pattern.test(html));
if (inline.length) {
  console.error(`dist/index.html has inline code or styles: ${inline.join(' ')}`);
  process.exitCode = 1;
}
