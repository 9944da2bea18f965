// One WebSocket of the npm package `ws`, driven by JSON lines: commands on standard input, and on
// standard output first how the handshake went, then one line for each command.
"use strict";

const crypto = require("node:crypto");
const events = require("node:events");
const readline = require("node:readline");
const WebSocket = require("ws");

const { url, subprotocols, compression } = JSON.parse(process.argv[2]);
const socket = new WebSocket(url, subprotocols, {
  perMessageDeflate: compression && { threshold: 0 },
  maxPayload: 0,
});
const closed = events.once(socket, "close");

function tell(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

const commands = {
  async echo({ binary, size, fragments }) {
    const random = crypto.randomBytes(Math.ceil(size / 2));
    const sent = binary ? Buffer.concat([random, random]).subarray(0, size)
      : Buffer.from(random.toString("hex").slice(0, size));
    const part = Math.ceil(size / fragments);
    const reply = events.once(socket, "message");
    for (let at = 0; at < fragments; at++) {
      const fin = at === fragments - 1;
      socket.send(sent.subarray(at * part, (at + 1) * part), { binary, fin });
    }
    const [received, isBinary] = await reply;
    return { same: sent.equals(received), binary: isBinary };
  },
  async ping({ data }) {
    const pong = events.once(socket, "pong");
    socket.ping(data);
    return { pong: (await pong)[0].toString() };
  },
  async send({ text }) {
    socket.send(text);
    return {};
  },
  async ask({ text }) {
    const reply = events.once(socket, "message");
    socket.send(text);
    return { text: (await reply)[0].toString() };
  },
  async close({ code, reason }) {
    socket.close(code ?? undefined, reason);
    return commands.closed();
  },
  async closed() {
    const [code, reason] = await closed;
    return { code, reason: reason.toString() };
  },
};

async function drive() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    tell(await commands[command.do](command));
  }
  socket.terminate();
}

socket.on("error", (error) => console.error(error));
socket.on("unexpected-response", async (_, response) => {
  const body = Buffer.concat(await response.toArray()).toString();
  tell({ status: response.statusCode, headers: response.headers, body });
  process.stdout.end(() => process.exit());
});
socket.on("open", () => {
  tell({ status: 101, subprotocol: socket.protocol, extensions: socket.extensions });
  drive();
});
