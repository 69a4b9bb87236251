// Where one writes: the name, the message, and what keeps it from being sent.

import { t } from "./i18n.js";
import { recall, remember } from "./memory.js";
import { byteLength, encode, MAX_BYTES } from "./message.js";
import { say } from "./status.js";

const NAME_KEY = "hubbub.name";

// Composer calls onSend(name, text); what that reports decides whether the text
// leaves the box. While not connected it can be written but not sent.
export class Composer {
  #name;
  #text;
  #send;
  #note;
  #onSend;
  #connected = false;

  constructor({ who, write, name, text, send, note, onSend }) {
    this.#name = name;
    this.#text = text;
    this.#send = send;
    this.#note = note;
    this.#onSend = onSend;

    name.value = recall(NAME_KEY);
    name.addEventListener("input", () => {
      remember(NAME_KEY, name.value);
      this.#update();
    });
    who.addEventListener("submit", (event) => {
      event.preventDefault();
      text.focus();
    });
    write.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    text.addEventListener("input", () => this.#update());
    text.addEventListener("keydown", (event) => {
      if (sends(event)) {
        event.preventDefault();
        this.#submit();
      }
    });
    this.#update();
  }

  // focus puts the cursor where the next thing has to be written.
  focus() {
    (this.#name.value ? this.#text : this.#name).focus();
  }

  connected(connected) {
    this.#connected = connected;
    this.#update();
  }

  // restore puts texts back, before what was written since.
  restore(texts) {
    this.#text.value = [...texts, this.#text.value].filter(Boolean).join("\n");
    this.#update();
  }

  #submit() {
    const name = this.#name.value.trim();
    const text = this.#text.value.trimEnd();
    if (this.#send.disabled || text === "") return;
    if (!this.#onSend(name, text)) return;
    this.#text.value = "";
    this.#update();
    this.#text.focus();
  }

  #update() {
    const { value, maxLength } = this.#text;
    const bytes = byteLength(encode(this.#name.value, value));
    // The browser keeps typing within maxlength, but not what restore put back.
    const long = value.length > maxLength || bytes > MAX_BYTES;
    this.#send.disabled = !this.#connected || long;
    this.#text.setAttribute("aria-invalid", String(long));
    const kind = long ? "long" : value.length === maxLength ? "full" : "keys";
    this.#note.dataset.kind = kind;
    say(this.#note, t(`note.${kind}`));
  }
}

// sends reports whether a key press means "send". An input method takes Enter to
// accept a candidate; Safari ends the composition before it reports that key,
// which then has only the code 229 to be told by.
function sends(event) {
  return event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
