// What was said and what happened in a room, in order, each once.

import type { Part } from './rich';

export interface Message {
  kind: 'message';
  at: number;
  offset?: number; // in the channel's history, where there is one
  client: string;
  name: string;
  parts: Part[];
  own: boolean;
  mentioned: boolean;
}

export interface Event {
  kind: 'join' | 'leave' | 'missing';
  at: number;
  name: string;
}

export type Entry = Message | Event;

// So many entries are kept. What is older has to come from the server's history again.
const MAX_ENTRIES = 10_000;

// Timeline keeps messages in the order of their offsets. An offset counts within an epoch: when that ends
// (the server has lost its history), the offsets of before mean nothing.
export class Timeline {
  #entries: Entry[] = [];
  #offsets = new Set<number>();
  #epoch = '';

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  get epoch(): string {
    return this.#epoch;
  }

  enter(epoch: string) {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#offsets.clear();
    for (const entry of this.#entries) {
      if (entry.kind === 'message') delete entry.offset;
    }
  }

  // oldest returns the least offset, 0 if there is none.
  get oldest(): number {
    return offsetOf(this.#entries.find((entry) => offsetOf(entry) > 0));
  }

  // newest returns the greatest offset, 0 if there is none.
  get newest(): number {
    return offsetOf(this.#entries.findLast((entry) => offsetOf(entry) > 0));
  }

  // append adds what has just happened, and reports whether it wasn't there yet.
  append(entry: Entry): boolean {
    if (offsetOf(entry) > 0 && offsetOf(entry) <= this.newest) return this.insert(entry as Message);
    this.#note(entry);
    this.#entries.push(entry);
    const excess = this.#entries.length - MAX_ENTRIES;
    if (excess > 0) {
      for (const old of this.#entries.splice(0, excess)) this.#offsets.delete(offsetOf(old));
    }
    return true;
  }

  // insert adds an older message at its place, and reports whether it wasn't there yet. Its place among
  // messages is that of its offset; among events between them, which have none, that of its time.
  insert(message: Message): boolean {
    const offset = offsetOf(message);
    if (this.#offsets.has(offset)) return false;
    this.#note(message);
    let i = this.#entries.findIndex((entry) => offsetOf(entry) > offset);
    if (i < 0) i = this.#entries.length;
    while (i > 0 && offsetOf(this.#entries[i - 1]) === 0 && this.#entries[i - 1]!.at > message.at) i--;
    this.#entries.splice(i, 0, message);
    return true;
  }

  #note(entry: Entry) {
    if (offsetOf(entry) > 0) this.#offsets.add(offsetOf(entry));
  }
}

function offsetOf(entry: Entry | undefined): number {
  return entry?.kind === 'message' ? (entry.offset ?? 0) : 0;
}
