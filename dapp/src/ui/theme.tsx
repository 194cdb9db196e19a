import { useState } from 'preact/hooks';

type Theme = 'light' | 'dark' | null;

function current(): Theme {
  const set = document.documentElement.dataset['theme'];
  return set === 'light' || set === 'dark' ? set : null;
}

/** The system's theme, or the other one. */
export function ThemeButton() {
  const [theme, set] = useState<Theme>(current());
  const isDark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const toggle = () => {
    const next = isDark ? 'light' : 'dark';
    document.documentElement.dataset['theme'] = next;
    try {
      localStorage.setItem('gpumkt.theme', next);
    } catch {
      // It holds for this visit only.
    }
    set(next);
  };
  return (
    <button type="button" class="icon" onClick={toggle} aria-label={isDark ? 'Use the light theme' : 'Use the dark theme'}>
      <svg viewBox="0 0 20 20" width="18" height="18" aria-hidden="true">
        {isDark
          ? <><circle cx="10" cy="10" r="3.6" fill="currentColor" /><path d="M10 1.5v2.6M10 15.9v2.6M1.5 10h2.6M15.9 10h2.6M4 4l1.8 1.8M14.2 14.2L16 16M16 4l-1.8 1.8M5.8 14.2L4 16" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" /></>
          : <path d="M16.8 12.3A7.2 7.2 0 0 1 7.7 3.2a7.2 7.2 0 1 0 9.1 9.1z" fill="currentColor" />}
      </svg>
    </button>
  );
}
