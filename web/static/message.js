// What travels over the socket: JSON text {"name", "text"}. Pure functions.

// The server takes 64 KiB. A message that people write stays far below, and the
// bound holds for the encoded form, where one character may take six bytes.
export const MAX_BYTES = 16_384;

const utf8 = new TextEncoder();

export function encode(name, text) {
  return JSON.stringify({ name, text });
}

export function byteLength(wire) {
  return utf8.encode(wire).length;
}

// decode turns whatever arrived into something that can be shown. The server
// relays what any client sends, so nothing about it can be relied on:
//   { kind: "chat", name, text }   a message of this page
//   { kind: "plain", text }        any other text
//   { kind: "binary", bytes }      a binary message of so many bytes
export function decode(data) {
  if (typeof data !== "string") {
    return { kind: "binary", bytes: data.byteLength };
  }
  const value = parse(data);
  if (typeof value?.name === "string" && typeof value.text === "string") {
    return { kind: "chat", name: value.name, text: value.text };
  }
  return { kind: "plain", text: data };
}

function parse(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
