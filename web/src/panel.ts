// Who is here: the number in the header, and the list behind it.

import { arrange, element, get, perFrame } from './dom';
import { byName, number, t } from './i18n';
import type { People } from './people';

// So many names are in the document.
const MAX_SHOWN = 200;

export class Panel {
  #button = get<HTMLButtonElement>('count');
  #panel = get('people');
  #names = get('names');
  #rest = get('rest');
  #wide = matchMedia('(min-width: 76rem)'); // the log's column, and the list on either side
  #people: People | null = null;
  #items = new Map<string, { name: string; node: HTMLElement }>(); // by client
  #own: Set<string>;
  #mention: (name: string) => void;

  // own are the clients that are us. mention is called with the name that was chosen.
  constructor(own: Set<string>, mention: (name: string) => void) {
    this.#own = own;
    this.#mention = mention;
    this.#toggle(this.#wide.matches);
    this.#button.addEventListener('click', () => this.#toggle(this.#panel.hidden !== false));
  }

  show(people: People) {
    this.#people = people;
    this.#redraw();
  }

  // close reports whether there was anything to close: beside the log the list is no obstacle.
  close(): boolean {
    if (this.#panel.hidden || (this.#wide.matches && !this.#panel.contains(document.activeElement))) return false;
    this.#toggle(false);
    this.#button.focus();
    return true;
  }

  #toggle(open: boolean) {
    this.#panel.hidden = !open;
    this.#button.setAttribute('aria-expanded', String(open));
    this.#redraw();
  }

  readonly #redraw = perFrame(() => {
    const count = this.#people?.count ?? null;
    this.#button.hidden = count === null;
    this.#button.textContent = count === null ? '' : t('count', { n: number(count) });
    if (this.#panel.hidden) return;
    const names = [...(this.#people?.names ?? [])].sort(([a, x], [b, y]) =>
      Number(this.#own.has(b)) - Number(this.#own.has(a)) || byName(x, y));
    this.#items = new Map(names.slice(0, MAX_SHOWN).map(([client, name]) => {
      const item = this.#items.get(client);
      return [client, item?.name === name ? item : { name, node: this.#item(client, name) }];
    }));
    arrange(this.#names, [...this.#items.values()].map(({ node }) => node));
    const more = (count ?? 0) - Math.min(names.length, MAX_SHOWN);
    this.#rest.textContent =
      more === 0 ? '' : names.length === 0 ? t('people.unlisted') : t('people.rest', { n: number(more) });
  });

  #item(client: string, name: string): HTMLElement {
    const item = element('li', 'person');
    if (name === '' || this.#own.has(client)) {
      item.append(element('bdi', name ? '' : 'anonymous', name || t('anonymous')));
      if (this.#own.has(client)) item.append(' ', element('span', 'you', t('people.you')));
      return item;
    }
    const button = element('button', 'mentions');
    button.type = 'button';
    button.title = t('people.mention', { name });
    button.append(element('bdi', '', name));
    button.addEventListener('click', () => this.#mention(name));
    item.append(button);
    return item;
  }
}
