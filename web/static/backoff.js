// How long to wait before the next attempt to connect.

const BASE_MS = 500;
const CAP_MS = 30_000;

// Full jitter: anything between nothing and the exponential bound. When a
// server with a hundred thousand clients restarts, they come back spread over
// the whole interval instead of in waves. attempt counts from 0.
export function backoff(attempt, random = Math.random) {
  return random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt);
}
