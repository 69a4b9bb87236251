// What the browser remembers between visits. Storage may be forbidden or full (private windows, strict
// settings); the page then just doesn't remember.

export function recall(key: string): string {
  try {
    return localStorage.getItem(key) ?? '';
  } catch {
    return '';
  }
}

export function remember(key: string, value: string) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Nothing depends on it.
  }
}
