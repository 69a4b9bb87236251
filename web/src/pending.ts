// What was sent and hasn't come back yet, below the log.

import { arrange, element, get, perFrame } from './dom';
import { t } from './i18n';
import { headOf } from './line';
import type { Outbox, Outgoing } from './outbox';

export class Pending {
  #list = get('outbox');
  #outbox: Outbox | null = null;
  #name: () => string;
  #retry: (outgoing: Outgoing) => void;
  #drawn: () => void;
  #lines = new Map<Outgoing, HTMLElement>();

  // drawn is called when the list's height may be another.
  constructor(name: () => string, retry: (outgoing: Outgoing) => void, drawn: () => void) {
    this.#name = name;
    this.#retry = retry;
    this.#drawn = drawn;
  }

  show(outbox: Outbox) {
    this.#outbox = outbox;
    this.#redraw();
  }

  readonly #redraw = perFrame(() => {
    const lines = new Map<Outgoing, HTMLElement>();
    for (const outgoing of this.#outbox?.list ?? []) {
      const line = this.#lines.get(outgoing);
      lines.set(outgoing, line?.dataset.state === outgoing.state ? line : this.#line(outgoing));
    }
    if (lines.size > 0 || this.#lines.size > 0) {
      this.#lines = lines;
      arrange(this.#list, lines.values());
      this.#drawn();
    }
  });

  #line(outgoing: Outgoing): HTMLElement {
    const { text, at, state, reason } = outgoing;
    const line = element('li', 'line message own pending');
    line.dataset.state = state;
    const body = element('p', 'body', text);
    body.dir = 'auto';
    const status = element('p', 'state');
    const words = element('span', '', t(`state.${state}`));
    if (state === 'failed') words.setAttribute('role', 'alert');
    words.title = reason;
    status.append(words);
    if (state === 'failed') {
      const retry = element('button', 'button', t('state.retry'));
      retry.type = 'button';
      retry.addEventListener('click', () => this.#retry(outgoing));
      status.append(' ', retry);
    }
    line.append(headOf(this.#name(), at, true), body, status);
    return line;
  }
}
