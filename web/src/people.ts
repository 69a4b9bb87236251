// Who is in a room, and how many.

import { type ClientInfo, type Subscription } from 'centrifuge';

import { nameOf } from './message';

// Of more members than that the server keeps no list, and tells nobody who comes and goes.
const LISTED = 1_000;
const TOO_MANY = 106; // the error that says so

// How often the server is asked for the number then. The jitter keeps pages that came back together from
// asking together.
const INTERVAL_MS = 20_000;
const jitter = () => INTERVAL_MS * (0.8 + 0.4 * Math.random());

// People knows the members by name while there is a list of them, and their number at least. count is null
// while nothing is known.
export class People {
  names: Map<string, string> | null = null; // by client
  count: number | null = null;

  #sub: Subscription;
  #changed: () => void;
  #asked = 0; // counts questions, so that only the last one's answer is taken
  #since: Map<string, string | null> | null = null; // who has come, or gone, since the list was asked for
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(sub: Subscription, changed: () => void) {
    this.#sub = sub;
    this.#changed = changed;
  }

  // ask asks who is there; from then on joined and left keep what is known right.
  async ask() {
    const asked = this.#begin();
    this.#since = new Map();
    try {
      const { clients } = await this.#sub.presence();
      if (asked !== this.#asked) return;
      this.names = new Map(Object.values(clients).map((info) => [info.client, nameOf(info.chanInfo)]));
      for (const [client, name] of this.#since) this.#note(client, name);
      this.#since = null;
      this.#listed();
    } catch (error) {
      if (asked !== this.#asked) return;
      this.names = null;
      if ((error as { code?: number }).code === TOO_MANY) await this.#countOnly();
      else this.#tell(null);
    }
  }

  // forget is for when nobody tells us any more.
  forget() {
    this.#begin();
    this.names = null;
    this.#tell(null);
  }

  joined(info: ClientInfo) {
    this.#change(info.client, nameOf(info.chanInfo));
  }

  left(info: ClientInfo) {
    this.#change(info.client, null);
  }

  #begin(): number {
    clearTimeout(this.#timer);
    this.#since = null;
    return ++this.#asked;
  }

  #change(client: string, name: string | null) {
    this.#since?.set(client, name);
    if (this.names === null) return;
    this.#note(client, name);
    this.#listed();
  }

  #note(client: string, name: string | null) {
    if (name === null) this.names?.delete(client);
    else this.names?.set(client, name);
  }

  // listed tells of the list. When that is full we aren't told who else comes.
  #listed() {
    if (this.names === null) return;
    if (this.names.size >= LISTED) void this.#countOnly();
    else this.#tell(this.names.size);
  }

  // countOnly asks for the number, again and again, until there may be a list.
  async #countOnly() {
    const asked = this.#begin();
    this.names = null;
    this.#timer = setTimeout(() => {
      if (this.count !== null && this.count < LISTED) void this.ask();
      else void this.#countOnly();
    }, jitter());
    try {
      const { numClients } = await this.#sub.presenceStats();
      if (asked === this.#asked) this.#tell(numClients);
    } catch {
      if (asked === this.#asked) this.#tell(null);
    }
  }

  #tell(count: number | null) {
    this.count = count;
    this.#changed();
  }
}
