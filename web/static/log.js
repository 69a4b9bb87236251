// The list of what was said and what happened.

import { dateTime, t, time } from "./i18n.js";

const MAX_LINES = 1_000;

// Longer texts are cut: other clients may send up to what the server takes.
const MAX_TEXT = 4_000;
const MAX_NAME = 80;

// Within this distance of the end a reader counts as being there.
const END_PX = 48;

// Lines of one writer that follow each other within this time share a header.
const GROUP_MS = 5 * 60_000;

// After drawing for some time the log rests this many times as long. A page
// that drew all the time would read its socket too slowly, and the server
// disconnects slow readers.
const REST = 4;

// Log keeps the newest lines in the document. Lines are collected and drawn
// once per frame at most, so that a flood of messages costs a bounded amount of
// work, and a hidden tab none.
export class Log {
  #scroller;
  #list;
  #jump;
  #queue = [];
  #frame = 0;
  #restUntil = 0;
  #atEnd = true;
  #last = null; // the newest line drawn

  constructor({ scroller, list, jump }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#jump = jump;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    jump.addEventListener("click", () => {
      scroller.focus({ preventScroll: true });
      this.#toEnd();
    });
    // A phone's keyboard, a rotation or a growing message box changes the
    // height under the reader.
    new ResizeObserver(() => this.#follow()).observe(scroller);
  }

  // message adds what somebody wrote. kind is "chat", "plain" or "binary";
  // own says that it was written here.
  message({ kind, name = "", text, own }) {
    this.#add({ kind, name: clip(name, MAX_NAME), text: clip(text, MAX_TEXT), own });
  }

  // system adds what happened. kind is "open", "error", "close" or "notice".
  system(kind, text) {
    this.#add({ kind, text: clip(text, MAX_TEXT), system: true });
  }

  #add(line) {
    this.#queue.push({ ...line, at: new Date() });
    if (this.#queue.length > MAX_LINES) this.#queue.shift();
    this.#frame ||= requestAnimationFrame(() => this.#drawOrRest());
  }

  #drawOrRest() {
    const start = performance.now();
    if (start < this.#restUntil) {
      this.#frame = requestAnimationFrame(() => this.#drawOrRest());
      return;
    }
    this.#frame = 0;
    this.#draw();
    const end = performance.now();
    this.#restUntil = end + REST * (end - start);
  }

  #draw() {
    const items = this.#queue.map((line) => {
      const item = line.system ? systemItem(line) : messageItem(line, continues(this.#last, line));
      this.#last = line;
      return item;
    });
    this.#queue = [];
    this.#list.append(...items);
    this.#trim();
    if (!this.#atEnd) this.#jump.hidden = false;
    this.#follow();
  }

  #trim() {
    const excess = this.#list.children.length - MAX_LINES;
    if (excess <= 0) return;
    const range = document.createRange();
    range.setStart(this.#list, 0);
    range.setEndBefore(this.#list.children[excess]);
    range.deleteContents();
    this.#list.firstElementChild.classList.remove("continues");
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    this.#atEnd = scrollHeight - clientHeight - scrollTop <= END_PX;
    if (this.#atEnd) this.#jump.hidden = true;
  }

  #follow() {
    if (this.#atEnd) this.#toEnd();
  }

  #toEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

function continues(last, line) {
  return (
    last !== null &&
    !last.system &&
    last.kind === line.kind &&
    last.name === line.name &&
    last.own === line.own &&
    line.at - last.at < GROUP_MS
  );
}

function messageItem({ kind, name, text, own, at }, continued) {
  const item = element("li", "line message");
  item.dataset.kind = kind;
  item.classList.toggle("own", own);
  item.classList.toggle("continues", continued);

  const head = element("p", "head");
  head.append(element("bdi", name ? "name" : "name anonymous", name || t("anonymous")));
  if (own) head.append(" ", element("span", "tag", t("tag.own")));
  if (kind !== "chat") head.append(" ", element("span", "tag", t(`tag.${kind}`)));
  head.append(" ", timeOf(at));

  const body = element("p", "body", text);
  body.dir = "auto";
  item.append(head, body);
  return item;
}

function systemItem({ kind, text, at }) {
  const item = element("li", "line system");
  item.dataset.kind = kind;
  item.append(element("span", "body", text), " ", timeOf(at));
  return item;
}

function timeOf(at) {
  const node = element("time", "time", time(at));
  node.dateTime = at.toISOString();
  node.title = dateTime(at);
  return node;
}

// element sets text as text, never as markup: what others wrote passes here.
function element(tag, className, text = "") {
  const node = document.createElement(tag);
  node.className = className;
  node.textContent = text;
  return node;
}

function clip(text, length) {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
