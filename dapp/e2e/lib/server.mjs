// Serves dist/ as the node does, with its content security policy as a header, and hands /api on to `api`.
import { createServer, request } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' };
export const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

async function file(path, answer) {
  const name = path === '/' ? '/index.html' : normalize(path);
  try {
    const body = await readFile(join(dist, name));
    answer.writeHead(200, { 'Content-Type': TYPES[extname(name)] ?? 'application/octet-stream', 'Content-Security-Policy': CSP, 'X-Content-Type-Options': 'nosniff' });
    answer.end(body);
  } catch {
    answer.writeHead(404).end();
  }
}

/** Passes a request on to a real API at `base`. */
export function proxy(base) {
  return (asked, answer) => {
    const onward = request(new URL(asked.url, base), { method: asked.method, headers: { ...asked.headers, host: new URL(base).host } }, (found) => {
      answer.writeHead(found.statusCode, found.headers);
      found.pipe(answer);
    });
    onward.on('error', () => { if (!answer.headersSent) answer.writeHead(502); answer.end(); });
    answer.on('close', () => onward.destroy());
    asked.pipe(onward);
  };
}

/** `api` answers what begins with /api; `setAway(true)` refuses all of it and cuts what is open, as a node that is gone does. */
export async function serve(api) {
  let isAway = false;
  const open = new Set();
  const server = createServer((asked, answer) => {
    if (!asked.url.startsWith('/api/')) return file(new URL(asked.url, 'http://x').pathname, answer);
    if (isAway) return asked.socket.destroy();
    if (!open.has(asked.socket)) asked.socket.once('close', () => open.delete(asked.socket));
    open.add(asked.socket);
    return api(asked, answer);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    setAway(away) {
      isAway = away;
      if (away) for (const socket of open) socket.destroy();
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
