/** Before the first paint: the theme somebody chose, otherwise the system's. */
try {
  const chosen = localStorage.getItem('gpumkt.theme');
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset['theme'] = chosen;
} catch {
  // Storage can be forbidden; the system's theme applies.
}
export {};
