// What was handed to the socket and hasn't come back yet.

// Bounds what a server that drops our messages can make us keep.
const MAX_UNCONFIRMED = 100;

// The server relays messages verbatim, to the sender too, and adds no number.
// So a message that comes back is known by its bytes; of two equal ones sent
// by two people it doesn't matter which is called ours.
export class Outbox {
  #sent = [];

  add(wire, text) {
    this.#sent.push({ wire, text });
    if (this.#sent.length > MAX_UNCONFIRMED) this.#sent.shift();
  }

  // confirm reports whether wire is a message of ours, and forgets it.
  confirm(wire) {
    const i = this.#sent.findIndex((sent) => sent.wire === wire);
    if (i < 0) return false;
    this.#sent.splice(i, 1);
    return true;
  }

  // takeAll empties the outbox and returns the texts, oldest first.
  takeAll() {
    const texts = this.#sent.map((sent) => sent.text);
    this.#sent = [];
    return texts;
  }
}
