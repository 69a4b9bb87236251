// The log: a window onto the timeline.

import { arrange, get, perFrame } from './dom';
import { lineOf, type Setting, settingOf } from './line';
import type { Entry } from './timeline';

// So many lines are in the document, however long the timeline is, and the window moves by so many.
const WINDOW = 300;
const STEP = 100;

// Within this distance of the end a reader counts as being there, and within this of an edge of the window
// it moves on.
const END_PX = 48;
const EDGE_PX = 600;

interface Line {
  node: HTMLElement;
  setting: Setting;
}

// Log shows the end of the timeline while the reader is there, and holds still while the reader is not.
export class Log {
  #scroller = get('log');
  #list = get('lines');
  #jump = get<HTMLButtonElement>('jump');
  #entries: readonly Entry[] = [];
  #lines = new Map<Entry, Line>(); // those in the document
  #first: Entry | undefined; // of the window
  #rest = 0; // so many entries came after the window when it was drawn
  #following = true;
  #fresh: Entry | undefined; // the first that the reader hasn't seen
  #oldest: () => void;

  // oldest is called when the reader has come to the beginning, seen when to the end.
  constructor(oldest: () => void, seen: () => void) {
    this.#oldest = oldest;
    this.#scroller.addEventListener('scroll', () => {
      if (this.#scrolled()) seen();
    }, { passive: true });
    this.#jump.addEventListener('click', () => {
      this.#scroller.focus({ preventScroll: true });
      this.toEnd();
      seen();
    });
    // A phone's keyboard, a rotation or a growing message box changes the height under the reader.
    new ResizeObserver(() => this.#keepEnd()).observe(this.#scroller);
  }

  get following(): boolean {
    return this.#following;
  }

  // show has another timeline shown, or the changed one again.
  show(entries: readonly Entry[]) {
    if (entries !== this.#entries) this.#following = true;
    this.#entries = entries;
    this.redraw();
  }

  // mark has the line "new" stand before an entry.
  mark(entry: Entry | undefined) {
    this.#fresh = entry;
    this.redraw();
  }

  // offer offers the way to the end, where something is new.
  offer() {
    this.#jump.hidden = this.#following;
  }

  toEnd() {
    this.#following = true;
    this.redraw();
  }

  readonly redraw = perFrame(() => {
    const held = this.#following ? undefined : this.#inView();
    const before = this.#topOf(held);
    this.#draw();
    this.#scroller.scrollTop += this.#topOf(held) - before;
    this.#keepEnd();
    this.#scrolled();
  });

  // draw makes the document's lines those of the window, keeping the ones that stay as they are.
  #draw() {
    const start = this.#start();
    const window = this.#entries.slice(start, start + WINDOW);
    const lines = new Map<Entry, Line>();
    window.forEach((entry, i) => {
      const setting = settingOf(entry, this.#entries[start + i - 1], entry === this.#fresh);
      const line = this.#lines.get(entry);
      lines.set(entry, line && same(line.setting, setting) ? line : { node: lineOf(entry, setting), setting });
    });
    arrange(this.#list, [...lines.values()].map(({ node }) => node));
    this.#lines = lines;
    this.#first = window[0];
    this.#rest = this.#entries.length - start - window.length;
  }

  #start(): number {
    const last = Math.max(0, this.#entries.length - WINDOW);
    if (this.#following || this.#first === undefined) return last;
    return Math.max(0, this.#entries.indexOf(this.#first));
  }

  // inView returns the first entry that the reader sees, which shall stay where it is.
  #inView(): Entry | undefined {
    const { top } = this.#scroller.getBoundingClientRect();
    for (const [entry, { node }] of this.#lines) {
      if (node.getBoundingClientRect().bottom > top) return entry;
    }
    return undefined;
  }

  // topOf returns where an entry's own text is: what stands above it in its line may change.
  #topOf(entry: Entry | undefined): number {
    const line = entry && this.#lines.get(entry);
    return line?.node.lastElementChild?.getBoundingClientRect().top ?? 0;
  }

  #keepEnd() {
    if (this.#following) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  // scrolled moves the window on where the reader comes near its edge, and reports whether the reader is at
  // the end of everything.
  #scrolled(): boolean {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const below = scrollHeight - clientHeight - scrollTop;
    const start = this.#first === undefined ? 0 : this.#entries.indexOf(this.#first);
    this.#following = below <= END_PX && this.#rest === 0;
    if (this.#following) this.#jump.hidden = true;
    else if (scrollTop < EDGE_PX && start > 0) this.#move(start - STEP);
    else if (below < EDGE_PX && this.#rest > 0) this.#move(start + Math.min(STEP, this.#rest));
    if (scrollTop < EDGE_PX && start === 0) this.#oldest();
    return this.#following;
  }

  #move(start: number) {
    this.#first = this.#entries[Math.max(0, start)];
    this.redraw();
  }
}

function same(a: Setting, b: Setting): boolean {
  return a.day === b.day && a.fresh === b.fresh && a.continues === b.continues;
}
