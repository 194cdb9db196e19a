/** Reads from the node that serves this page. Every answer is one version of the truth with an ETag; nothing is written through it. */
import type { Config } from './schema';

const BASE = '/api/v1';
/** Time for an answer; a node that takes longer is as good as away. */
const TIMEOUT_MS = 15_000;
/** Answers kept for their ETag. */
const KEPT = 200;
/** Pages of one list that are followed: a page that shows more than this shows too much. */
const MAX_PAGES = 20;

/** The node answered that it cannot: its code is stable, its words are for people. */
export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly next: string) {
    super(message);
  }
}

/** No answer from the node, or none that is one. */
export class ApiDown extends Error {}

export type Query = Record<string, string | number | boolean | null | undefined>;

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

const kept = new Map<string, { etag: string; body: unknown }>();

function url(path: string, query: Query): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `${BASE}${path}${text ? `?${text}` : ''}`;
}

async function ask(address: string): Promise<Response> {
  const etag = kept.get(address)?.etag;
  try {
    return await fetch(address, {
      headers: etag ? { 'If-None-Match': etag } : {},
      // Our own ETags; the browser's cache would answer 304 as 200 from disk.
      cache: 'no-store',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new ApiDown('the node does not answer', { cause: error });
  }
}

async function refusal(answer: Response): Promise<Error> {
  const body: unknown = await answer.json().catch(() => null);
  if (body && typeof body === 'object' && 'code' in body && 'message' in body) {
    const { code, message, next } = body as { code: unknown; message: unknown; next?: unknown };
    return new ApiError(answer.status, String(code), String(message), String(next ?? ''));
  }
  return new ApiDown(`the node answered with status ${answer.status}`);
}

export async function get<T>(path: string, query: Query = {}): Promise<T> {
  const address = url(path, query);
  const answer = await ask(address);
  const known = kept.get(address);
  if (answer.status === 304 && known) return known.body as T;
  if (!answer.ok) throw await refusal(answer);
  let body: unknown;
  try {
    body = await answer.json();
  } catch (error) {
    throw new ApiDown('the node did not answer with JSON', { cause: error });
  }
  const etag = answer.headers.get('ETag');
  if (etag) {
    kept.delete(address);
    kept.set(address, { etag, body });
    const oldest = kept.keys().next();
    if (kept.size > KEPT && !oldest.done) kept.delete(oldest.value);
  }
  return body as T;
}

/** All pages of a list, at most `MAX_PAGES`. */
export async function all<T>(path: string, query: Query = {}): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const found: Page<T> = await get<Page<T>>(path, { limit: 100, ...query, cursor });
    items.push(...found.items);
    cursor = found.next_cursor;
    if (!cursor) break;
  }
  return items;
}

let config: Promise<Config> | null = null;

/** Contracts and parameters. They change by governance only, so one answer lasts a visit; a failed one is asked again. */
export function getConfig(): Promise<Config> {
  config ??= get<Config>('/config').catch((error: unknown) => {
    config = null;
    throw error;
  });
  return config;
}
