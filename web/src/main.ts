// The chat page: one room at a time, the one in the address.

import './style.css';
import './log.css';
import './composer.css';
import './narrow.css';

import { Centrifuge } from 'centrifuge';

import { currentRoom, goTo } from './address';
import { Attention } from './attention';
import { Composer } from './composer';
import { get } from './dom';
import { translate } from './i18n';
import { Log } from './log';
import { offerNotifications } from './notify';
import { Panel } from './panel';
import { Pending } from './pending';
import { Room, type Self, type Watcher } from './room';
import { Status } from './status';

translate();
offerNotifications();

const composer = new Composer({
  send(text) {
    room.send(text);
    log.toEnd();
    attention.answered();
  },
  rename(name) {
    if (name === self.name) return;
    self.name = name;
    room.rename();
  },
});
const self: Self = { name: composer.name, clients: new Set() };

const log = new Log(() => void room.loadOlder(), () => attention.seen());
const attention = new Attention(log);
const pending = new Pending(() => self.name, (outgoing) => room.retry(outgoing), log.redraw);
const panel = new Panel(self.clients, (name) => composer.mention(name));
const status = new Status(reconnect, () => composer.focus());

const client = new Centrifuge(endpoint(), { name: 'hubbub page' });
let lost = false; // the connection, or an attempt at it
let ended = ''; // why the server wants us no more

client.on('connected', ({ client: id }) => {
  self.clients.add(id);
});
client.on('connecting', ({ code }) => {
  lost ||= code !== 0; // 0: we asked for it
  ended = '';
  showState();
});
client.on('error', () => {
  lost = true;
  showState();
});
client.on('disconnected', ({ reason }) => {
  ended = reason;
  showState();
});

const watcher: Watcher = {
  changed() {
    log.show(room.timeline.entries);
    pending.show(room.outbox);
  },
  news: (entry) => attention.news(entry),
  people: () => panel.show(room.people),
  state: showState,
};

let room = at(currentRoom());
room.enter();
client.connect();
// A phone would cover half the page with its keyboard.
if (matchMedia('(pointer: fine)').matches) composer.focus();

window.addEventListener('hashchange', () => {
  room.leave();
  room = at(currentRoom());
  room.enter();
  watcher.changed();
});

get('go').addEventListener('submit', (event) => {
  event.preventDefault();
  goTo(get<HTMLInputElement>('room').value);
  composer.focus();
});

document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing && !panel.close()) composer.focus();
});

function at(name: string): Room {
  get<HTMLInputElement>('room').value = name;
  attention.enter(name);
  return new Room(client, name, self, watcher);
}

function showState() {
  if (room.open) lost = false;
  const reason = room.refused || ended;
  status.show(room.open ? 'open' : reason ? 'stopped' : lost || room.troubled ? 'retrying' : 'connecting', reason);
}

function reconnect() {
  room.enter();
  client.disconnect();
  client.connect();
}

function endpoint(): string {
  const url = new URL('/connection/websocket', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}
