// Two clients of the npm package centrifuge lose connections, and the server, and nothing else:
//
//	node recovery.mjs URL json|protobuf SECRET
//
// It prints "restart" when it wants the server killed and started again, and goes on when a line comes that says it was. It
// ends with exit code 0 if all was as it should be. SECRET is what the server checks tokens with.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createInterface } from 'node:readline';
import WebSocket from 'ws';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';

const [url, format, secret] = process.argv.slice(2);
const protobuf = format === 'protobuf';
const Client = protobuf ? ProtobufCentrifuge : Centrifuge;
const encode = (v) => (protobuf ? new TextEncoder().encode(JSON.stringify(v)) : v);
const decode = (v) => (protobuf ? JSON.parse(new TextDecoder().decode(v)) : v);
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

function sign(claims) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString('base64url');
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}
const soon = () => Math.floor(Date.now() / 1000) + 2;

const options = { websocket: WebSocket, minReconnectDelay: 10, maxReconnectDelay: 200 };
const reader = new Client(url, options);
const writer = new Client(url, options);
reader.connect();
writer.connect();
await Promise.all([reader.ready(), writer.ready()]);

const channel = `chat:recovery ${format}`;
const heard = [];
let wanted = () => {};
const read = reader.newSubscription(channel);
read.on('publication', (ctx) => {
  heard.push(decode(ctx.data));
  wanted();
});
const hearing = (n) => new Promise((resolve) => {
  wanted = () => heard.length >= n && resolve();
  wanted();
});
read.subscribe();
const write = writer.newSubscription(channel);
write.subscribe();
await Promise.all([read.ready(), write.ready()]);
const said = [];
async function say(n) {
  for (let i = 0; i < n; i++) {
    said.push(said.length);
    await write.publish(encode(said.at(-1)));
  }
}

await say(3);
await hearing(3);

// Within what is kept: everything comes, once, in order.
reader.disconnect();
await say(20);
let back = next(read, 'subscribed');
reader.connect();
assert.equal((await back).recovered, true);
await say(3);
await hearing(26);
assert.deepEqual(heard, said);

// The server is killed under both; what it has acknowledged is there afterwards, and what comes then is too.
reader.disconnect();
await say(5);
const lost = next(writer, 'connecting');
console.log('restart');
await lost;
assert.match((await lines.next()).value, /restarted/);
await writer.ready();
await write.ready();
back = next(read, 'subscribed');
reader.connect();
assert.equal((await back).recovered, true);
await say(3);
await hearing(34);
assert.deepEqual(heard, said);

// Both connections at once, over a restart.
const coming = next(read, 'subscribed');
console.log('restart');
assert.match((await lines.next()).value, /restarted/);
assert.equal((await coming).recovered, true);
await write.ready();
await say(2);
await hearing(36);
assert.deepEqual(heard, said);

// Beyond what is kept: the client is told, and what is kept can be asked for.
reader.disconnect();
await say(40);
back = next(read, 'subscribed');
reader.connect();
const beyond = await back;
assert.equal(beyond.wasRecovering, true);
assert.equal(beyond.recovered, false);
const kept = await read.history({ limit: -1 });
assert.deepEqual(kept.publications.map((p) => decode(p.data)), said.slice(-30));
assert.equal(kept.offset, beyond.streamPosition.offset);
reader.disconnect();
writer.disconnect();

// Tokens: who one is, where one is subscribed without asking, and another one before it expires.
let asked = 0;
const user = new Client(url, {
  ...options,
  getToken: async () => sign({ sub: 'ann', info: { name: 'Ann' }, channels: ['closed:a'], exp: asked++ ? undefined : soon() }),
});
const given = next(user, 'subscribed');
user.connect();
assert.equal((await given).channel, 'closed:a');
let askedSub = 0;
const closed = user.newSubscription('closed:b', {
  getToken: async ({ channel: of }) => sign({ sub: 'ann', channel: of, exp: askedSub++ ? undefined : soon() }),
});
closed.subscribe();
await closed.ready();
const present = Object.values((await closed.presence()).clients);
assert.deepEqual(present.map((p) => [p.user, p.connInfo]), [['ann', protobuf ? encode({ name: 'Ann' }) : { name: 'Ann' }]]);
while (asked < 2 || askedSub < 2) await new Promise((resolve) => { setTimeout(resolve, 50); });
await closed.publish(encode('still here'));
const stranger = new Client(url, { ...options, token: sign({ sub: 'ann' }).slice(0, -2) });
const refused = next(stranger, 'disconnected');
stranger.connect();
assert.equal((await refused).code, 3500);
user.disconnect();
process.exit(0); // the reader of lines holds it
