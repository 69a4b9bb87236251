// A WebSocket that comes back by itself.

import { backoff } from "./backoff.js";

// A handshake that nobody answers would otherwise hang for minutes.
const CONNECT_TIMEOUT_MS = 15_000;

// Only a connection that lasted this long starts the back-off afresh, so that a
// server which accepts and closes at once isn't hammered.
const STABLE_MS = 10_000;

// Connection dispatches
//   "state"    detail { state, attempt }: "connecting", "open" or "waiting";
//              attempt is 0 until a connection failed or was lost
//   "open"
//   "message"  detail: a string, or an ArrayBuffer for a binary message
//   "error"    the browser tells no more than that there was one
//   "close"    detail { code, reason }, also for an attempt that failed
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #listeners = null; // aborted with the socket they listen to
  #timer = 0; // of the next attempt, or of the handshake under way
  #attempt = 0;
  #openedAt = 0;
  #state = "stopped";

  constructor(url) {
    super();
    this.#url = url;
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.retryNow();
    });
  }

  start() {
    if (this.#state === "stopped") this.#connect();
  }

  stop() {
    this.#drop();
    this.#attempt = 0;
    this.#enter("stopped");
  }

  retryNow() {
    if (this.#state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  // send reports whether the message was handed to an open socket.
  send(data) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(data);
    return true;
  }

  #connect() {
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#listeners = new AbortController();
    const { signal } = this.#listeners;
    socket.addEventListener("open", () => this.#opened(), { signal });
    socket.addEventListener("message", (event) => this.#emit("message", event.data), { signal });
    socket.addEventListener("error", () => this.#emit("error"), { signal });
    socket.addEventListener("close", ({ code, reason }) => this.#closed(code, reason), { signal });
    this.#timer = setTimeout(() => this.#closed(1006, ""), CONNECT_TIMEOUT_MS);
    this.#enter("connecting");
  }

  #opened() {
    clearTimeout(this.#timer);
    this.#openedAt = performance.now();
    this.#enter("open");
    this.#emit("open");
  }

  #closed(code, reason) {
    const stable = this.#state === "open" && performance.now() - this.#openedAt >= STABLE_MS;
    this.#drop();
    this.#timer = setTimeout(() => this.#connect(), backoff(stable ? 0 : this.#attempt));
    this.#attempt = stable ? 1 : this.#attempt + 1;
    this.#enter("waiting");
    this.#emit("close", { code, reason });
  }

  // drop lets go of the socket: no event of it arrives any more.
  #drop() {
    clearTimeout(this.#timer);
    this.#listeners?.abort();
    this.#socket?.close();
    this.#listeners = this.#socket = null;
  }

  #enter(state) {
    this.#state = state;
    this.#emit("state", { state, attempt: this.#attempt });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
