/** What a page shows of one answer: first nothing, then data, and data stays on screen while something newer is asked for or fails. */
import { useEffect, useReducer, useRef } from 'preact/hooks';
import { listen, type News } from './live';

export interface Resource<T> {
  data: T | null;
  error: unknown;
  /** An answer is on its way. */
  busy: boolean;
  /** What `data` shows may be outdated: the newest attempt failed. */
  stale: boolean;
}

export type Step<T> = { type: 'asked' } | { type: 'answered'; data: T } | { type: 'failed'; error: unknown } | { type: 'other' };

export const EMPTY: Resource<never> = { data: null, error: null, busy: true, stale: false };

export function reduce<T>(state: Resource<T>, step: Step<T>): Resource<T> {
  switch (step.type) {
    case 'asked':
      return { ...state, busy: true };
    case 'answered':
      return { data: step.data, error: null, busy: false, stale: false };
    case 'failed':
      return { ...state, error: step.error, busy: false, stale: state.data !== null };
    case 'other':
      return { ...EMPTY };
  }
}

/** Events come in bunches, one block at a time. */
const GATHER_MS = 250;
/** Without news for so long it is asked anyway: a stream can be silent for more than one reason. */
const ANYWAY_MS = 20_000;

export interface Loaded<T> extends Resource<T> {
  reload: () => void;
}

/**
 * Loads with `load` whenever `key` changes, and again when `concerns` says that news matters to it.
 * A null key loads nothing.
 */
export function useResource<T>(key: string | null, load: () => Promise<T>, concerns: (news: News) => boolean = () => true): Loaded<T> {
  const [state, dispatch] = useReducer<Resource<T>, Step<T>>(reduce, { ...EMPTY, busy: key !== null });
  const latest = useRef({ load, concerns, run: 0 });
  latest.current.load = load;
  latest.current.concerns = concerns;

  const ask = useRef(() => {});
  useEffect(() => {
    if (key === null) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = () => {
      clearTimeout(timer);
      timer = setTimeout(run, ANYWAY_MS);
      latest.current.run += 1;
      const mine = latest.current.run;
      const isMine = () => latest.current.run === mine;
      dispatch({ type: 'asked' });
      latest.current.load().then(
        (data) => { if (isMine()) dispatch({ type: 'answered', data }); },
        (error: unknown) => { if (isMine()) dispatch({ type: 'failed', error }); },
      );
    };
    ask.current = run;
    dispatch({ type: 'other' });
    run();
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(run, GATHER_MS);
    };
    const stop = listen((news) => {
      if (news.kind !== 'event' || latest.current.concerns(news)) soon();
    });
    return () => {
      stop();
      clearTimeout(timer);
      latest.current.run += 1;
    };
  }, [key]);

  return { ...state, reload: () => ask.current() };
}
