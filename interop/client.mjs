// One connection of the npm package ws, driven by node_test.go: commands come as JSON lines on standard
// input, what happens goes out as JSON lines on standard output. It ends when its input does.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import WebSocket from "ws";

const { url, compress, ca, window } = JSON.parse(process.argv[2]);

const ws = new WebSocket(url, {
  ca: ca && readFileSync(ca),
  perMessageDeflate: compress && { serverMaxWindowBits: window },
});

let socket; // with TLS, what it counts is what TLS wraps
let extensions;

function say(event, more) {
  process.stdout.write(JSON.stringify({ event, read: socket?.bytesRead, written: socket?.bytesWritten, ...more }) + "\n");
}

function fault(err) {
  if (err) say("fault", { reason: err.message });
}

ws.on("upgrade", (response) => {
  socket = response.socket;
  extensions = response.headers["sec-websocket-extensions"];
});
ws.on("open", () => say("open", { extensions }));
ws.on("message", (data, isBinary) => say(isBinary ? "binary" : "text", { data: data.toString("base64") }));
ws.on("ping", (data) => say("ping", { data: data.toString("base64") }));
ws.on("pong", (data) => say("pong", { data: data.toString("base64") }));
ws.on("close", (code, reason) => say("closed", { code, reason: reason.toString() }));
ws.on("error", fault); // "close" follows

const commands = {
  text: ({ data, last }) => ws.send(Buffer.from(data, "base64"), { binary: false, fin: last }, fault),
  binary: ({ data, last }) => ws.send(Buffer.from(data, "base64"), { binary: true, fin: last }, fault),
  ping: ({ data }) => ws.ping(Buffer.from(data, "base64"), true, fault),
  close: ({ code, reason }) => ws.close(code, reason),
};

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    commands[command.do](command);
  })
  .on("close", () => ws.terminate());
