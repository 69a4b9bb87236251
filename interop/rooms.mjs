// Two clients of the npm package centrifuge have a conversation over the server:
//
//	node rooms.mjs URL json|protobuf
//
// It ends with exit code 0 if all was as it should be.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { Centrifuge } from 'centrifuge';
import { Centrifuge as ProtobufCentrifuge } from 'centrifuge/build/protobuf';

const [url, format] = process.argv.slice(2);
const protobuf = format === 'protobuf';
const Client = protobuf ? ProtobufCentrifuge : Centrifuge;
const encode = (v) => (protobuf ? new TextEncoder().encode(JSON.stringify(v)) : v);
const decode = (v) => (protobuf ? JSON.parse(new TextDecoder().decode(v)) : v);
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

const a = new Client(url, { websocket: WebSocket });
const b = new Client(url, { websocket: WebSocket });
const connected = Promise.all([once(a, 'connected'), once(b, 'connected')]);
a.connect();
b.connect();
const [ida, idb] = (await connected).map((ctx) => ctx.client);
assert.notEqual(ida, idb);

const channel = `chat:javascript ${format}`;
const suba = a.newSubscription(channel, { joinLeave: true });
const subb = b.newSubscription(channel);
suba.subscribe();
await suba.ready();
const joined = new Promise((resolve) => suba.on('join', (ctx) => ctx.info.client === idb && resolve()));
subb.subscribe();
await Promise.all([subb.ready(), joined]);

// All in one message, which startBatching is for.
const count = 500;
const heard = [];
const all = new Promise((resolve) => {
  subb.on('publication', (ctx) => {
    assert.equal(ctx.info.client, ida);
    if (heard.push(decode(ctx.data)) === count) resolve();
  });
});
a.startBatching();
const published = Array.from({ length: count }, (_, n) => suba.publish(encode({ n, text: 'line\nbreak ü' })));
a.stopBatching();
await Promise.all(published);
await all;
assert.deepEqual(heard, Array.from({ length: count }, (_, n) => ({ n, text: 'line\nbreak ü' })));

assert.deepEqual(Object.keys((await subb.presence()).clients).sort(), [ida, idb].sort());
assert.deepEqual(await suba.presenceStats(), { numClients: 2, numUsers: 1 });
await assert.rejects(a.rpc('method', encode({})), { code: 108 });
assert.deepEqual((await suba.history({ limit: 2, reverse: true })).publications.map((p) => decode(p.data).n), [count - 1, count - 2]);
await assert.rejects(a.history('chat:x'), { code: 103 });
await assert.rejects(a.publish('other:x', encode(1)), { code: 102 });
const refused = a.newSubscription('other:x');
const why = once(refused, 'unsubscribed');
refused.subscribe();
assert.equal((await why).code, 102);

// One with more subscriptions than there may be is connected all the same.
const c = new Client(url, { websocket: WebSocket });
const subscriptions = Array.from({ length: 200 }, (_, n) => c.newSubscription(`chat:${n}`));
const outcomes = subscriptions.map((s) => new Promise((resolve) => {
  s.on('subscribed', () => resolve('subscribed'));
  s.on('unsubscribed', (ctx) => resolve(ctx.code));
}));
for (const s of subscriptions) s.subscribe();
c.connect();
const settled = await Promise.all(outcomes);
assert.equal(settled.filter((o) => o === 'subscribed').length, 128);
assert.equal(settled.filter((o) => o === 106).length, 72);
c.disconnect();

const left = once(suba, 'leave');
b.disconnect();
assert.equal((await left).info.client, idb);
a.disconnect();
