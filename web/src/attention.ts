// What happens while the reader doesn't look: the title counts it, a line marks it, the system tells of
// mentions. What happens before the reader's eyes is told to screen readers.

import { get, say } from './dom';
import { t } from './i18n';
import type { Log } from './log';
import { notify } from './notify';
import type { Entry } from './timeline';

export class Attention {
  #announce = get('announce');
  #log: Log;
  #room = '';
  #unread = 0;

  constructor(log: Log) {
    this.#log = log;
    document.addEventListener('visibilitychange', () => this.seen());
  }

  enter(room: string) {
    this.#room = room;
    this.#log.mark(undefined);
    this.#count(0);
  }

  news(entry: Entry) {
    if (entry.kind !== 'message' || entry.own) return;
    const name = entry.name || t('anonymous');
    const text = entry.parts.map((part) => part.text).join('');
    const visible = document.visibilityState === 'visible';
    if (visible) say(this.#announce, `${name}: ${text}`);
    else if (entry.mentioned) notify(t('notify.title', { name, room: this.#room }), text);
    if (visible && this.#log.following) return;
    if (this.#unread === 0) this.#log.mark(entry);
    this.#count(this.#unread + 1);
    this.#log.offer();
  }

  // seen is for when the reader may have come to the end. The mark stays, to show where that began.
  seen() {
    if (document.visibilityState === 'visible' && this.#log.following) this.#count(0);
  }

  // answered is for when the reader has written something, who then knows what is new.
  answered() {
    this.#log.mark(undefined);
    this.seen();
  }

  #count(unread: number) {
    this.#unread = unread;
    document.title = `${unread > 0 ? `(${unread}) ` : ''}#${this.#room} – hubbub`;
  }
}
