/** Pages live behind `#`, so any server of static files can serve them and a reload finds them again. */
import { signal } from '@preact/signals';

export interface Route {
  /** `offers`, `rentals`, … */
  page: string;
  /** What comes after the page: an id or an address. */
  id: string | null;
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, id] = path.split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { page: page || 'offers', id: id || null, query: new URLSearchParams(search) };
}

const here = () => (typeof location === 'undefined' ? '' : location.hash);
export const route = signal<Route>(parseRoute(here()));

export function startRouting(): void {
  addEventListener('hashchange', () => {
    route.value = parseRoute(here());
  });
}

/** Changes what stands after `?` without a step in the history. */
export function setQuery(changes: Record<string, string | null>): void {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  const { page, id } = route.value;
  history.replaceState(null, '', `#/${page}${id ? `/${id}` : ''}${text ? `?${text}` : ''}`);
  route.value = parseRoute(here());
}
