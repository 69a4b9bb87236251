// What the browser remembers between visits. Storage may be forbidden or full
// (private windows, strict settings); the page then just doesn't remember.

export function recall(key) {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Nothing depends on it.
  }
}
