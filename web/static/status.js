// The one line that says how the connection is.

import { t } from "./i18n.js";

// Status shows a state of Connection. Its button asks for an attempt at once,
// and is there as long as the connection isn't.
export class Status {
  #line;
  #retry;
  #afterRetry;

  // afterRetry has to find a place for the focus when the button, still
  // holding it, goes away.
  constructor({ line, retry, onRetry, afterRetry }) {
    this.#line = line;
    this.#retry = retry;
    this.#afterRetry = afterRetry;
    retry.addEventListener("click", onRetry);
  }

  show({ state, attempt }) {
    const down = state !== "open" && attempt > 0;
    this.#line.dataset.state = down ? "down" : state;
    say(this.#line, down ? downText(attempt) : t(`status.${state}`));

    const focused = document.activeElement === this.#retry;
    this.#retry.hidden = !down;
    if (focused && !down) this.#afterRetry();
  }
}

function downText(attempt) {
  return navigator.onLine ? t("status.retrying", { n: attempt }) : t("status.offline");
}

// say sets the text of a live region, unless it is the same: screen readers
// would repeat it.
export function say(region, text) {
  if (region.textContent !== text) region.textContent = text;
}
