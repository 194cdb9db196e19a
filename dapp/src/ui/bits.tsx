/** Small pieces that every page is made of. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { parts } from '../lib/amount';
import { chainNow } from '../lib/chainclock';
import { short } from '../lib/text';
import { ago, local } from '../lib/time';
import { words } from '../wallet/words';

/** Exact to the wei; digits that matter less at a glance are smaller, none are missing. */
export function Amount({ wei, unit = 'GPUTOKEN', least = 2, near = 4 }: { wei: bigint; unit?: string | null; least?: number; near?: number }) {
  const { sign, whole, near: shown, far } = parts(wei, least, near);
  return (
    <span class="amount">
      {sign}{whole}
      {shown && `.${shown}`}
      {far && <span class="far">{far}</span>}
      {unit && <span class="unit"> {unit}</span>}
    </span>
  );
}

export function Time({ at }: { at: string | number | null }) {
  if (at === null || Number(at) === 0) return <span class="muted">never</span>;
  return <time dateTime={new Date(Number(at) * 1000).toISOString()} title={local(at)}>{ago(Number(at), chainNow())}</time>;
}

export function Address({ of, link }: { of: string; link?: string }) {
  const text = <span class="mono" title={of}>{short(of)}</span>;
  return link ? <a href={link}>{text}</a> : text;
}

export function Provider({ of }: { of: string }) {
  return <Address of={of} link={`#/providers/${of}`} />;
}

/** A transaction, as the hash to look up in an explorer of one's own choice: this page sends nobody anywhere. */
export function Tx({ hash }: { hash: string | null }) {
  if (!hash) return <span class="muted">–</span>;
  return <Copy text={hash} label={`Copy transaction ${short(hash)}`}><span class="mono">{short(hash)}</span></Copy>;
}

export function Copy({ text, label, children }: { text: string; label: string; children?: ComponentChildren }) {
  const [said, say] = useState('');
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say('copied');
    } catch {
      say('select and copy it by hand');
    }
    setTimeout(() => say(''), 2_000);
  };
  return (
    <button type="button" class="copy" onClick={copy} title={text}>
      {children ?? 'Copy'}<span class="unseen"> {label}</span>
      <span class="copied" role="status">{said}</span>
    </button>
  );
}

export function Command({ text, label }: { text: string; label: string }) {
  return (
    <div class="command">
      <code tabIndex={0} aria-label={label}>{text}</code>
      <Copy text={text} label={`Copy: ${label}`} />
    </div>
  );
}

export type Tone = 'good' | 'bad' | 'warn' | 'info' | 'calm';

/** A state in a word, with a mark for those who do not see its colour. */
export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  const marks: Record<Tone, string> = { good: '✓', bad: '✕', warn: '!', info: '●', calm: '○' };
  return <span class={`badge ${tone}`}><span aria-hidden="true">{marks[tone]}</span> {children}</span>;
}

export function Chain({ of }: { of: 'ethereum' | 'classic' }) {
  return <span class={`chain ${of}`}>{of === 'ethereum' ? 'Ethereum' : 'Classic'}</span>;
}

export function Failure({ error, retry }: { error: unknown; retry?: () => void }) {
  const { kind, title, detail } = words(error);
  return (
    <div class="notice bad" role="alert" data-kind={kind}>
      <strong>{title}</strong>
      <p>{detail}</p>
      {retry && <button type="button" class="quiet" onClick={retry}>Try again</button>}
    </div>
  );
}

export function Notice({ tone = 'info', title, children }: { tone?: Tone; title?: string; children: ComponentChildren }) {
  return (
    <div class={`notice ${tone}`}>
      {title && <strong>{title}</strong>}
      <div>{children}</div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return <div class="empty"><strong>{title}</strong>{children && <p>{children}</p>}</div>;
}

/** Room for what comes, so that the page does not jump. */
export function Waiting({ rows = 3, what }: { rows?: number; what: string }) {
  return (
    <div class="waiting" role="status" aria-label={`Loading ${what}`}>
      {Array.from({ length: rows }, (_, at) => <span key={at} />)}
    </div>
  );
}

export interface Shown<T> {
  data: T | null;
  error: unknown;
  stale: boolean;
  reload: () => void;
}

/** What to show of an answer in each of its states. */
export function Loads<T>({ of, what, rows, children }: { of: Shown<T>; what: string; rows?: number; children: (data: T) => ComponentChildren }) {
  if (of.data === null) return of.error ? <Failure error={of.error} retry={of.reload} /> : <Waiting what={what} {...(rows ? { rows } : {})} />;
  return <>{of.stale && <Failure error={of.error} retry={of.reload} />}{children(of.data)}</>;
}

export function Facts({ rows }: { rows: ReadonlyArray<readonly [ComponentChildren, ComponentChildren]> }) {
  return (
    <dl class="facts">
      {rows.map(([name, value], at) => <div key={at}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

/** A table that becomes a list of cards where there is no room: each cell knows the name of its column. */
export function Table({ label, head, rows }: { label: string; head: readonly string[]; rows: ReadonlyArray<{ key: string; cells: readonly ComponentChildren[] }> }) {
  return (
    <table class="rows" aria-label={label}>
      <thead><tr>{head.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
      <tbody>
        {rows.map(({ key, cells }) => (
          <tr key={key}>{cells.map((cell, at) => <td key={at} data-name={head[at]}><div>{cell}</div></td>)}</tr>
        ))}
      </tbody>
    </table>
  );
}

export function Panel({ title, aside, children, id }: { title: string; aside?: ComponentChildren; children: ComponentChildren; id?: string }) {
  return (
    <section class="panel" {...(id ? { id } : {})} aria-label={title}>
      <header><h2>{title}</h2>{aside && <div class="aside">{aside}</div>}</header>
      {children}
    </section>
  );
}

export function Head({ title, lead, children }: { title: ComponentChildren; lead?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <div class="head">
      <div><h1 tabIndex={-1}>{title}</h1>{lead && <p class="lead">{lead}</p>}</div>
      {children && <div class="head-aside">{children}</div>}
    </div>
  );
}
