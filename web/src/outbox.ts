// What was written here and hasn't come back from the server yet.

export interface Outgoing {
  text: string;
  at: number;
  state: 'sending' | 'sent' | 'failed';
  reason: string; // of the failure
}

// Outbox keeps messages in the order in which they were sent.
export class Outbox {
  #list: Outgoing[] = [];

  get list(): readonly Outgoing[] {
    return this.#list;
  }

  add(text: string): Outgoing {
    const outgoing: Outgoing = { text, at: Date.now(), state: 'sending', reason: '' };
    this.#list.push(outgoing);
    return outgoing;
  }

  // confirm forgets the message that has come back, which its text and the time at which it was written tell
  // from others.
  confirm(text: string, at: number) {
    this.#list = this.#list.filter((outgoing) => outgoing.text !== text || outgoing.at !== at);
  }

  // takeSent returns the messages that the server has acknowledged, and forgets them.
  takeSent(): Outgoing[] {
    const sent = this.#list.filter(({ state }) => state === 'sent');
    this.#list = this.#list.filter(({ state }) => state !== 'sent');
    return sent;
  }
}
