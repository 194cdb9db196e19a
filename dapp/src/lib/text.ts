/** `0x1234…abcd` */
export function short(hex: string): string {
  return hex.length > 13 ? `${hex.slice(0, 6)}…${hex.slice(-4)}` : hex;
}

export function same(a: string | null | undefined, b: string | null | undefined): boolean {
  return a != null && b != null && a.toLowerCase() === b.toLowerCase();
}

export function sentence(text: string): string {
  const trimmed = text.trim();
  if (!trimmed) return trimmed;
  const start = trimmed[0]?.toUpperCase() + trimmed.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}

/** `rental_ready` as `rental ready`. */
export function plain(name: string): string {
  return name.replaceAll('_', ' ');
}

/** What a provider declares, as rows. It is free text by contract; JSON objects by convention. */
export function attributes(text: string): Array<[string, string]> {
  if (!text.trim()) return [];
  try {
    const value: unknown = JSON.parse(text);
    if (value && typeof value === 'object' && !Array.isArray(value)) {
      return Object.entries(value).slice(0, 40).map(([name, entry]) => [name, typeof entry === 'string' ? entry : JSON.stringify(entry)]);
    }
  } catch {
    // Not JSON, so it is shown as it is.
  }
  return [['declared', text]];
}

/** `value` if it is an address, in lower case. */
export function address(value: string): string | null {
  const plain = value.trim().toLowerCase();
  return /^0x[0-9a-f]{40}$/.test(plain) ? plain : null;
}
