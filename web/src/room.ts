// A room that the page is in: a channel, and what it knows of it.

import {
  type Centrifuge, type HistoryOptions, type PublicationContext, type SubscribedContext, type Subscription,
} from 'centrifuge';

import { encode, nameOf, textOf, timeOf } from './message';
import { type Outgoing, Outbox } from './outbox';
import { People } from './people';
import { mentions, partsOf } from './rich';
import { type Entry, type Message, Timeline } from './timeline';

// Messages of history to ask for at once; a server that keeps fewer sends fewer.
const PAGE = 50;

// So many pages are asked for after an outage, unless they reach back to what is known before.
const CATCH_UP_PAGES = 20;

// Watcher is told what changes. Everything but news may be old by then: look at the room.
export interface Watcher {
  changed(): void; // the timeline or the outbox
  news(entry: Entry): void; // something just happened
  people(): void;
  state(): void; // of the subscription
}

// Self is who writes here. clients are the connection's identifiers so far: each reconnect brings another.
export interface Self {
  name: string;
  clients: Set<string>;
}

export class Room {
  readonly timeline = new Timeline();
  readonly outbox = new Outbox();
  readonly people: People;
  refused = ''; // why the server doesn't let us in, if so
  troubled = false; // the last attempt to get in has failed

  #client: Centrifuge;
  #sub: Subscription;
  #self: Self;
  #watcher: Watcher;
  #been = false; // subscribed before
  #renaming = false;
  #floor = 0; // the offset before which the server's history has nothing for us
  #loading = false;
  #recovering = false; // what is heard was said before
  #unnumbered = false; // what is heard has no offsets: what is kept of it couldn't be told from it

  constructor(client: Centrifuge, name: string, self: Self, watcher: Watcher) {
    this.#client = client;
    this.#self = self;
    this.#watcher = watcher;
    this.#sub = client.newSubscription(`chat:${name}`, { data: { name: self.name }, joinLeave: true });
    this.people = new People(this.#sub, () => watcher.people());
    this.#sub.on('subscribed', (ctx) => void this.#entered(ctx));
    // Code 0 says that we asked for it.
    this.#sub.on('subscribing', ({ code }) => code !== 0 && this.#out(''));
    this.#sub.on('unsubscribed', ({ code, reason }) => code !== 0 && this.#out(reason));
    this.#sub.on('error', () => {
      this.troubled = true;
      watcher.state();
    });
    this.#sub.on('publication', (ctx) => this.#heard(ctx));
    this.#sub.on('join', ({ info }) => {
      this.people.joined(info);
      this.#happened('join', info);
    });
    this.#sub.on('leave', ({ info }) => {
      this.people.left(info);
      this.#happened('leave', info);
    });
  }

  get open(): boolean {
    return this.#sub.state === 'subscribed';
  }

  // enter begins what the watcher is told of, or tries again after the room was refused.
  enter() {
    this.refused = '';
    this.#sub.subscribe();
  }

  leave() {
    this.#sub.removeAllListeners();
    this.#client.removeSubscription(this.#sub);
    this.people.forget();
  }

  // rename makes the name of self known, which is told with the subscription. Going on from where the last
  // one ended, the next misses nothing.
  rename() {
    this.#renaming = this.open;
    this.#sub.setData({ name: this.#self.name });
    this.#sub.unsubscribe();
    this.#sub.subscribe();
  }

  send(text: string) {
    void this.#publish(this.outbox.add(text));
  }

  retry(outgoing: Outgoing) {
    outgoing.state = 'sending';
    void this.#publish(outgoing);
  }

  // loadOlder adds a page of history before what is known. A page without a message for us isn't one.
  async loadOlder() {
    const { oldest, epoch } = this.timeline;
    if (this.#loading || !this.open || oldest <= this.#floor) return;
    for (let offset = oldest; offset > 0 && this.timeline.oldest === oldest;) {
      offset = await this.#load({ since: { offset, epoch } });
    }
    if (this.timeline.oldest === oldest) this.#floor = oldest;
  }

  async #publish(outgoing: Outgoing) {
    this.#watcher.changed();
    try {
      await this.#sub.publish(encode(outgoing.text, outgoing.at));
      outgoing.state = 'sent';
    } catch (error) {
      outgoing.state = 'failed';
      outgoing.reason = (error as { message?: string }).message ?? '';
    }
    this.#watcher.changed();
  }

  async #entered({ recovered, streamPosition }: SubscribedContext) {
    const back = this.#been && !this.#renaming;
    this.#been = true;
    this.#renaming = false;
    this.refused = '';
    this.troubled = false;
    this.#floor = 0;
    this.#watcher.state();
    void this.people.ask();
    if (recovered) {
      this.#recovering = true;
      await null; // what was recovered follows this event at once
      this.#recovering = false;
    } else {
      if (back) this.#missing();
      if (streamPosition) this.timeline.enter(streamPosition.epoch);
      if (!this.#unnumbered) await this.#catchUp();
    }
    // Acknowledged, but neither relayed before the connection broke nor kept: nobody can show it but we.
    for (const { text, at } of this.outbox.takeSent()) {
      this.timeline.append({ ...this.#message(text, at), own: true, name: this.#self.name });
    }
    this.#watcher.changed();
  }

  // missing has a line say so behind what is known, once: the history that follows will be newer.
  #missing() {
    const last = this.timeline.entries.at(-1);
    if (last?.kind !== 'missing') this.timeline.append({ kind: 'missing', at: last?.at ?? Date.now(), name: '' });
  }

  // catchUp loads the newest messages, and those before as far as what is known.
  async #catchUp() {
    const known = this.timeline.newest;
    let last = await this.#load({});
    const more = () => this.timeline.oldest === 0 || (known > 0 && last > known + 1);
    for (let page = 1; last > 0 && more() && page < CATCH_UP_PAGES; page++) {
      last = await this.#load({ since: { offset: last, epoch: this.timeline.epoch } });
    }
  }

  // load adds a page of history, newest first, and returns the least offset in it: 0 if there is none, or no
  // history. Should the connection have broken, the next subscription starts over.
  async #load(options: HistoryOptions): Promise<number> {
    this.#loading = true;
    let least = 0;
    try {
      const { publications, epoch } = await this.#sub.history({ limit: PAGE, reverse: true, ...options });
      this.timeline.enter(epoch);
      for (const ctx of publications) {
        least = ctx.offset ?? 0;
        const message = this.#read(ctx, true);
        if (message) this.timeline.insert(message);
      }
    } catch {
      least = 0;
    }
    this.#loading = false;
    this.#watcher.changed();
    return least;
  }

  #heard(ctx: PublicationContext) {
    const message = this.#read(ctx, this.#recovering);
    if (!message || !this.timeline.append(message)) return;
    this.#watcher.changed();
    this.#watcher.news(message);
  }

  // read returns the message that a publication is, and takes it from the outbox if it is ours. Of old ones
  // only their writers know the time.
  #read({ data, offset, info }: PublicationContext, old: boolean): Message | null {
    const text = textOf(data);
    if (text === '') return null;
    const message = this.#message(text, old ? timeOf(data) : Date.now());
    message.client = info?.client ?? '';
    message.name = nameOf(info?.chanInfo);
    message.own = this.#self.clients.has(message.client);
    if (offset !== undefined) message.offset = offset;
    else this.#unnumbered = true;
    if (message.own) this.outbox.confirm(text, timeOf(data));
    return message;
  }

  #message(text: string, at: number): Message {
    const parts = partsOf(text, this.#self.name);
    return { kind: 'message', at, client: '', name: '', parts, own: false, mentioned: mentions(parts) };
  }

  #happened(kind: 'join' | 'leave', info: { client: string; chanInfo?: unknown }) {
    if (this.#self.clients.has(info.client)) return;
    const event = { kind, at: Date.now(), name: nameOf(info.chanInfo) };
    this.timeline.append(event);
    this.#watcher.changed();
    this.#watcher.news(event);
  }

  #out(reason: string) {
    this.#renaming = false;
    this.refused = reason;
    this.people.forget();
    this.#watcher.state();
  }
}
