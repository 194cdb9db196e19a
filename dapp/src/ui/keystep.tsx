/** The session key: made here, saved by the user before anything is paid, so that no paid rental is without one. */
import { useState } from 'preact/hooks';
import { Command, Failure } from './bits';

export interface MadeKey {
  address: string;
  fileName: string;
  keystore: string;
  isSaved: boolean;
}

/** Shorter ones are told apart, not refused: the command line has one password for the keystore and this file, and the user chose it. */
const WEAK_BELOW = 8;

/** Where the command line looks for the file. */
export function KeyPlace({ fileName }: { fileName: string }) {
  return (
    <>
      <p class="muted">Put the key file where the command line looks for it; DATA_DIR is <code>data_dir</code> of your gpumkt config:</p>
      <Command label="Where the key file goes" text={`install -Dm600 ~/Downloads/${fileName} DATA_DIR/sessions/${fileName}`} />
    </>
  );
}

export function KeyStep({ made, onMade, isLocked }: { made: MadeKey | null; onMade: (key: MadeKey | null) => void; isLocked: boolean }) {
  return (
    <div class="keystep">
      <p class="muted">
        A rental knows two keys. The <strong>session key</strong> proves that you are the one who paid; it is made here and named in the payment.
        The <strong>SSH key</strong> is what you log in with; <code>gpumkt ssh</code> makes one for the rental or takes yours, and the session key vouches for it.
      </p>
      {made ? <Saved made={made} onMade={onMade} isLocked={isLocked} /> : <MakeKey onMade={onMade} />}
    </div>
  );
}

function MakeKey({ onMade }: { onMade: (key: MadeKey) => void }) {
  const [password, setPassword] = useState('');
  const [part, setPart] = useState<number | null>(null);
  const [error, fail] = useState<unknown>(null);
  const isWeak = password !== '' && password.length < WEAK_BELOW;
  const make = async () => {
    fail(null);
    setPart(0);
    try {
      const { makeSessionKey } = await import('../wallet/sessionkey');
      const key = await makeSessionKey(password, setPart);
      onMade({ ...key, isSaved: false });
    } catch (problem) {
      fail(problem);
    } finally {
      setPart(null);
    }
  };
  return (
    <form onSubmit={(event) => { event.preventDefault(); if (password) void make(); }}>
      <label class="field"><span>Password for the key file</span>
        <input type="password" autocomplete="new-password" value={password} onInput={(event) => setPassword(event.currentTarget.value)} aria-describedby="password-help" data-testid="key-password" /></label>
      <p id="password-help" class={isWeak ? 'wrong' : 'muted'}>
        {isWeak && <>Short: whoever gets the file can guess it. </>}Take the password of your gpumkt keystore if you have one: the command line opens both with the same.
      </p>
      <button type="submit" disabled={!password || part !== null} data-testid="make-key">{part === null ? 'Make the session key' : `Making it: ${Math.round(part * 100)} %`}</button>
      {error ? <Failure error={error} /> : null}
    </form>
  );
}

function Saved({ made, onMade, isLocked }: { made: MadeKey; onMade: (key: MadeKey | null) => void; isLocked: boolean }) {
  const save = () => {
    const url = URL.createObjectURL(new Blob([made.keystore], { type: 'application/json' }));
    const link = Object.assign(document.createElement('a'), { href: url, download: made.fileName });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    onMade({ ...made, isSaved: true });
  };
  return (
    <>
      <p>Session key <span class="mono" data-testid="session-key">{made.address}</span></p>
      <div class="row">
        <button type="button" class={made.isSaved ? 'quiet' : ''} onClick={save} data-testid="save-key">{made.isSaved ? 'Save it again' : 'Save the key file'}</button>
        {!isLocked && <button type="button" class="quiet" onClick={() => onMade(null)}>Make another one</button>}
      </div>
      {made.isSaved
        ? <KeyPlace fileName={made.fileName} />
        : <p class="muted">Nothing is stored in this browser: without the file nobody can log in to what you pay for.</p>}
    </>
  );
}
