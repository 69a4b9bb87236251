// The chat page: one topic, everyone on it.

import { Composer } from "./composer.js";
import { Connection } from "./connection.js";
import { number, t, translate } from "./i18n.js";
import { Log } from "./log.js";
import { decode, encode } from "./message.js";
import { Outbox } from "./outbox.js";
import { Presence } from "./presence.js";
import { Status } from "./status.js";

const TOPIC = "lobby";

const $ = (id) => document.getElementById(id);

translate(document);
$("topic").textContent = `#${TOPIC}`;

const outbox = new Outbox();
const log = new Log({ scroller: $("log"), list: $("lines"), jump: $("jump") });
const connection = new Connection(socketURL());
const presence = new Presence(`/subscribers?${query()}`, showCount);

const composer = new Composer({
  who: $("who"),
  write: $("write"),
  name: $("name"),
  text: $("text"),
  send: $("send"),
  note: $("note"),
  onSend: send,
});

const status = new Status({
  line: $("status"),
  retry: $("retry"),
  onRetry: () => connection.retryNow(),
  afterRetry: () => composer.focus(),
});

// Attempts that fail are told by the status alone; the log has one error and
// one close per outage.
let outage = false;

connection.addEventListener("state", ({ detail }) => {
  status.show(detail);
  composer.connected(detail.state === "open");
  if (detail.state === "open") presence.start();
  else presence.stop();
});

connection.addEventListener("open", () => {
  outage = false;
  log.system("open", t("line.open"));
});

connection.addEventListener("error", () => {
  if (!outage) log.system("error", t("line.error"));
});

connection.addEventListener("close", ({ detail: { code, reason } }) => {
  if (outage) return;
  outage = true;
  const key = reason ? "line.close.reason" : "line.close";
  log.system("close", t(key, { code, reason }));
  restoreUnconfirmed();
});

connection.addEventListener("message", ({ detail }) => {
  const message = decode(detail);
  if (message.kind === "binary") {
    message.text = t("binary", { bytes: number(message.bytes) });
  }
  log.message({ ...message, own: outbox.confirm(detail) });
});

// A page that goes into the back-forward cache must let go of its socket.
window.addEventListener("pagehide", () => connection.stop());
window.addEventListener("pageshow", ({ persisted }) => {
  if (persisted) connection.start();
});

connection.start();
// A phone would cover half the page with its keyboard.
if (matchMedia("(pointer: fine)").matches) composer.focus();

// send reports whether the message is on its way. It appears in the log when
// the server sends it back, like everyone else's.
function send(name, text) {
  const wire = encode(name, text);
  if (!connection.send(wire)) return false;
  outbox.add(wire, text);
  return true;
}

// What was sent into a connection that broke may be lost. Nobody can know, so
// the writer gets the words back and decides.
function restoreUnconfirmed() {
  const texts = outbox.takeAll();
  if (texts.length === 0) return;
  composer.restore(texts);
  log.system("notice", t("line.unconfirmed"));
}

function showCount(n) {
  $("count").hidden = n === null;
  $("count").textContent = n === null ? "" : t("count", { n: number(n) });
  $("count").title = t("count.title");
}

function socketURL() {
  const url = new URL(`/ws?${query()}`, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function query() {
  return new URLSearchParams({ topic: TOPIC });
}
