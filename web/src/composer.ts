// Where one writes: the name, and the message.

import { get, say } from './dom';
import { t } from './i18n';
import { recall, remember } from './memory';
import { fits, nameOf } from './message';

const NAME_KEY = 'hubbub.name';

export interface Writer {
  send(text: string): void;
  rename(name: string): void;
}

export class Composer {
  #name = get<HTMLInputElement>('name');
  #text = get<HTMLTextAreaElement>('text');
  #send = get<HTMLButtonElement>('send');
  #note = get('note');
  #writer: Writer;

  constructor(writer: Writer) {
    this.#writer = writer;
    this.#name.value = recall(NAME_KEY);
    this.#name.addEventListener('change', () => {
      remember(NAME_KEY, this.#name.value);
      writer.rename(this.name);
    });
    get('who').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#text.focus();
    });
    get('write').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener('input', () => this.#update());
    this.#text.addEventListener('keydown', (event) => {
      if (!sends(event)) return;
      event.preventDefault();
      this.#submit();
    });
    this.#update();
  }

  // name returns what others will be told.
  get name(): string {
    return nameOf({ name: this.#name.value });
  }

  // focus puts the cursor where the next thing has to be written.
  focus() {
    (this.name ? this.#text : this.#name).focus();
  }

  // mention adds @name to what is being written.
  mention(name: string) {
    const { value } = this.#text;
    this.#text.value = `${value}${value === '' || /\s$/.test(value) ? '' : ' '}@${name} `;
    this.#text.focus();
    this.#update();
  }

  #submit() {
    const text = this.#text.value.trim();
    if (this.#send.disabled || text === '') return;
    this.#text.value = '';
    this.#update();
    this.#text.focus();
    this.#writer.send(text);
  }

  #update() {
    const { value, maxLength } = this.#text;
    const long = !fits(value); // the browser keeps typing within maxlength, but counts no bytes
    this.#send.disabled = long;
    this.#text.setAttribute('aria-invalid', String(long));
    const kind = long ? 'long' : value.length === maxLength ? 'full' : 'keys';
    this.#note.dataset.kind = kind;
    say(this.#note, t(`note.${kind}`));
  }
}

// sends reports whether a key press means "send". An input method takes Enter to accept a candidate; Safari
// ends the composition before it reports that key, which then has only the code 229 to be told by.
function sends(event: KeyboardEvent): boolean {
  return event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229;
}
