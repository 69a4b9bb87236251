// What clients send each other: {text, at} as a message, {name} as what is known of a client. Whoever sends
// it may send anything else instead, so all of it passes through here.

export const MAX_NAME = 40; // characters
export const MAX_TEXT = 4_000; // UTF-16 units, as the message box counts

// The server takes 64 KiB. The bound holds for the encoded form, where one character may take six bytes.
export const MAX_BYTES = 16_384;

const utf8 = new TextEncoder();

export function encode(text: string, at: number) {
  return { text, at };
}

// fits reports whether a text may be sent.
export function fits(text: string): boolean {
  return text.length <= MAX_TEXT && utf8.encode(JSON.stringify(encode(text, Date.now()))).length <= MAX_BYTES;
}

// textOf returns the text of a message, cut if it is longer than this page would send; '' if data is none.
export function textOf(data: unknown): string {
  const text = field(data, 'text');
  if (typeof text !== 'string' || text.trim() === '') return '';
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

// timeOf returns when a message was written, by its writer's clock: the protocol's client passes on no time
// of the server's. A time to come counts as now, and so does none.
export function timeOf(data: unknown): number {
  const at = field(data, 'at');
  const now = Date.now();
  return typeof at === 'number' && at > 0 && at < now ? at : now;
}

// nameOf returns a client's name; '' if it has none, or none that could be shown.
export function nameOf(info: unknown): string {
  const name = field(info, 'name');
  if (typeof name !== 'string' || name.length > 1_000) return '';
  const trimmed = name.trim();
  return [...trimmed].length <= MAX_NAME && /[\p{L}\p{N}\p{P}\p{S}]/u.test(trimmed) ? trimmed : '';
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}
