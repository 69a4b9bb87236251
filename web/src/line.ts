// An entry of the timeline as a line of the log.

import { element } from './dom';
import { dateTime, day, t, time } from './i18n';
import { nodesOf } from './rich';
import type { Entry, Event, Message } from './timeline';

// Messages of one writer that follow each other within this time share a header.
const GROUP_MS = 5 * 60_000;

// Setting is what a line's looks owe to where it stands.
export interface Setting {
  day: boolean; // a new day begins
  fresh: boolean; // what is new begins
  continues: boolean; // the writer of the line before goes on
}

export function settingOf(entry: Entry, before: Entry | undefined, fresh: boolean): Setting {
  const sameDay = before !== undefined && new Date(before.at).toDateString() === new Date(entry.at).toDateString();
  return { day: !sameDay, fresh, continues: sameDay && !fresh && continues(before, entry) };
}

function continues(before: Entry, entry: Entry): boolean {
  return (
    entry.kind === 'message' && before.kind === 'message' &&
    entry.client === before.client && entry.name === before.name && entry.own === before.own &&
    entry.at - before.at < GROUP_MS
  );
}

export function lineOf(entry: Entry, setting: Setting): HTMLLIElement {
  const line = element('li', `line ${entry.kind === 'message' ? 'message' : 'event'}`);
  line.dataset.kind = entry.kind;
  if (setting.day) line.append(element('p', 'day', day(entry.at)));
  if (setting.fresh) line.append(element('p', 'fresh', t('new')));
  if (entry.kind === 'message') fill(line, entry, setting.continues);
  else line.append(happening(entry));
  return line;
}

// headOf is what stands above a message: who wrote it, and when.
export function headOf(name: string, at: number, own: boolean): HTMLElement {
  const head = element('p', 'head');
  head.append(element('bdi', name ? 'name' : 'name anonymous', name || t('anonymous')));
  if (own) head.append(' ', element('span', 'tag', t('tag.own')));
  head.append(' ', timeOf(at));
  return head;
}

function fill(line: HTMLElement, message: Message, continued: boolean) {
  line.classList.toggle('own', message.own);
  line.classList.toggle('mentioned', message.mentioned);
  line.classList.toggle('continues', continued);
  const body = element('p', 'body');
  body.dir = 'auto';
  body.append(...nodesOf(message.parts));
  line.append(headOf(message.name, message.at, message.own), body);
}

function happening(event: Event): HTMLElement {
  const node = element('p', 'happening');
  if (event.kind === 'missing') {
    node.textContent = t('missing');
    return node;
  }
  // The name is isolated: one written from right to left must not turn the sentence around.
  const [before, after] = t(event.kind, { name: '\0' }).split('\0');
  node.append(before ?? '', element('bdi', 'whom', event.name || t('anonymous')), after ?? '', ' ', timeOf(event.at));
  return node;
}

function timeOf(at: number): HTMLTimeElement {
  const node = element('time', 'time', time(at));
  node.dateTime = new Date(at).toISOString();
  node.title = dateTime(at);
  return node;
}
