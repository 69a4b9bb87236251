// How many connections the topic has.

const INTERVAL_MS = 10_000;
const JITTER_MS = 2_000;
const TIMEOUT_MS = 5_000;

// Presence asks the server while it is started and the tab is visible, and
// calls show with a number, or with null when there is none to be had honestly.
export class Presence {
  #url;
  #show;
  #running = null; // an AbortController while started
  #timer = 0;

  constructor(url, show) {
    this.#url = url;
    this.#show = show;
    document.addEventListener("visibilitychange", () => {
      if (this.#running) this.#poll();
    });
  }

  start() {
    this.stop();
    this.#running = new AbortController();
    this.#poll();
  }

  stop() {
    this.#running?.abort();
    this.#running = null;
    clearTimeout(this.#timer);
    this.#show(null);
  }

  async #poll() {
    clearTimeout(this.#timer);
    if (document.visibilityState !== "visible") return;
    const { signal } = this.#running;
    // The jitter keeps pages that were opened together from asking together.
    const delay = INTERVAL_MS + (Math.random() * 2 - 1) * JITTER_MS;
    this.#timer = setTimeout(() => this.#poll(), delay);
    const number = await this.#ask(signal);
    if (!signal.aborted) this.#show(number);
  }

  async #ask(signal) {
    try {
      const response = await fetch(this.#url, {
        cache: "no-store",
        signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      if (!response.ok) return null;
      const { subscribers } = await response.json();
      return Number.isSafeInteger(subscribers) && subscribers >= 0 ? subscribers : null;
    } catch {
      return null;
    }
  }
}
