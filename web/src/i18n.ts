// Words, numbers and times in the language that the browser asks for.

import { type Key, tables } from './words';

const base = (tag: string) => tag.split('-', 1)[0]!.toLowerCase();

// The first of the preferred languages that there is a table for, English if there is none. The tag keeps
// its region: times are written differently in en-US and en-GB. What isn't a tag would throw below.
const locale =
  navigator.languages.find((tag) => /^[\w-]+$/.test(tag) && Object.hasOwn(tables, base(tag))) ?? 'en';
const words = tables[base(locale)]!;

// t returns the words for a key, with {param} replaced. A value that itself looks like a parameter stays as it is.
export function t(key: Key, params: Record<string, string | number> = {}): string {
  return words[key].replace(/\{(\w+)\}/g, (_, name: string) => String(params[name]));
}

const formats = {
  number: new Intl.NumberFormat(locale),
  time: new Intl.DateTimeFormat(locale, { timeStyle: 'short' }),
  day: new Intl.DateTimeFormat(locale, { dateStyle: 'full' }),
  dateTime: new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'medium' }),
};

export const number = (value: number) => formats.number.format(value);
export const time = (at: number) => formats.time.format(at);
export const day = (at: number) => formats.day.format(at);
export const dateTime = (at: number) => formats.dateTime.format(at);

export const byName = new Intl.Collator(locale).compare;

// translate puts the words into the document, whose elements name them with data-text, data-label and
// data-placeholder.
export function translate() {
  document.documentElement.lang = base(locale);
  for (const node of document.querySelectorAll<HTMLElement>('[data-text]')) {
    node.textContent = t(node.dataset.text as Key);
  }
  for (const node of document.querySelectorAll<HTMLElement>('[data-label]')) {
    node.setAttribute('aria-label', t(node.dataset.label as Key));
  }
  for (const node of document.querySelectorAll<HTMLInputElement>('[data-placeholder]')) {
    node.placeholder = t(node.dataset.placeholder as Key);
  }
}
