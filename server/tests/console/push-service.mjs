// A push service of the tests: senders post to it, a browser hears it over a WebSocket in the words of its maker's own
// service (autopush). It listens on loopback and knows nothing of what it passes on.
import { createHash, randomUUID } from "node:crypto";
import { createServer } from "node:http";

/** Spec: RFC 6455 §1.3 */
const ACCEPT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const [TEXT, CLOSE, PING, PONG] = [1, 8, 9, 10];

export class PushService {
  /** What senders posted: status and headers. */
  taken = [];
  /** Channels that the browser gave up. */
  gone = new Set();
  #sockets = new Set();
  #server = createServer((request, answer) => this.#post(request, answer));

  /** Resolves with its address, without a scheme. */
  async listen() {
    this.#server.on("upgrade", (request, socket) => this.#open(request, socket));
    await new Promise((done) => this.#server.listen(0, "127.0.0.1", done));
    this.place = `127.0.0.1:${this.#server.address().port}`;
    return this.place;
  }

  close() {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
  }

  /** Spec: RFC 8030 §5 */
  #post(request, answer) {
    const channelID = request.url.split("/").at(-1);
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const status = this.gone.has(channelID) ? 410 : request.headers.ttl === undefined ? 400 : 201;
      this.taken.push({ status, headers: request.headers });
      answer.writeHead(status, status === 201 ? { Location: `http://${this.place}/message/${randomUUID()}`, TTL: request.headers.ttl } : {});
      answer.end();
      if (status !== 201) return;
      const body = Buffer.concat(parts).toString("base64url");
      const headers = { encoding: request.headers["content-encoding"] };
      this.#tell({ messageType: "notification", channelID, version: randomUUID(), ttl: 60, data: body, headers });
    });
  }

  #open(request, socket) {
    const accept = createHash("sha1").update(request.headers["sec-websocket-key"] + ACCEPT).digest("base64");
    const head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
      `Sec-WebSocket-Accept: ${accept}`, "Sec-WebSocket-Protocol: push-notification"];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    let rest = Buffer.alloc(0);
    socket.on("data", (octets) => {
      rest = Buffer.concat([rest, octets]);
      for (let frame = unframed(rest); frame !== undefined; frame = unframed(rest)) {
        rest = rest.subarray(frame.length);
        if (frame.kind === CLOSE) socket.end();
        if (frame.kind === PING) socket.write(framed(PONG, frame.body));
        if (frame.kind === TEXT) this.#heard(JSON.parse(frame.body.toString()));
      }
    });
  }

  #heard({ messageType, channelID }) {
    if (messageType === "hello") {
      this.#tell({ messageType, uaid: randomUUID().replaceAll("-", ""), status: 200, use_webpush: true, broadcasts: {} });
    } else if (messageType === "register") {
      this.#tell({ messageType, channelID, status: 200, pushEndpoint: `http://${this.place}/push/${channelID}` });
    } else if (messageType === "unregister") {
      this.gone.add(channelID);
      this.#tell({ messageType, channelID, status: 200 });
    }
  }

  #tell(message) {
    for (const socket of this.#sockets) socket.write(framed(TEXT, Buffer.from(JSON.stringify(message))));
  }
}

/** Spec: RFC 6455 §5.2 */
function framed(kind, body) {
  const long = body.length > 125;
  const head = Buffer.alloc(long ? 4 : 2);
  head[0] = 0x80 | kind;
  head[1] = long ? 126 : body.length;
  if (long) head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
}

/** The first frame of what a browser sent, when all of it is there. Browsers mask what they send. */
function unframed(octets) {
  if (octets.length < 6) return undefined;
  const short = octets[1] & 0x7f;
  const at = short === 126 ? 4 : 2;
  const size = short === 126 ? octets.readUInt16BE(2) : short;
  if (octets.length < at + 4 + size) return undefined;
  const mask = octets.subarray(at, at + 4);
  const body = Buffer.from(octets.subarray(at + 4, at + 4 + size).map((octet, place) => octet ^ mask[place % 4]));
  return { kind: octets[0] & 0x0f, body, length: at + 4 + size };
}
