// The banner that says how the connection is, while it isn't as it should be.

import { get, say } from './dom';
import { t } from './i18n';

export type State = 'connecting' | 'open' | 'retrying' | 'stopped';

export class Status {
  #banner = get('banner');
  #line = get('status');
  #retry = get<HTMLButtonElement>('retry');
  #afterRetry: () => void;

  // afterRetry has to find a place for the focus when the button, still holding it, goes away.
  constructor(retry: () => void, afterRetry: () => void) {
    this.#afterRetry = afterRetry;
    this.#retry.addEventListener('click', retry);
  }

  show(state: State, reason: string) {
    this.#banner.dataset.state = state;
    if (state === 'retrying' && !navigator.onLine) say(this.#line, t('banner.offline'));
    else say(this.#line, t(`banner.${state}`, { reason }));

    const focused = document.activeElement === this.#retry;
    this.#retry.hidden = state === 'open' || state === 'connecting';
    if (focused && this.#retry.hidden) this.#afterRetry();
  }
}
