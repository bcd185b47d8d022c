// A help desk's telephone, as its owner wrote it with Express: a meeting, a queue with agents, a bot on a media stream.
// Says what it was asked on its standard output, one JSON object a line.
const express = require("express");
const http = require("node:http");
const twilio = require("twilio");
const { WebSocketServer } = require("ws");

const { CARILLON_URL, SOUNDS, TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = process.env;
const client = twilio(TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN);
client.api.baseUrl = CARILLON_URL;
const app = express();

function tell(event) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

// Answers with what `write` puts into a document.
function document(write) {
  return async (request, response) => {
    const twiml = new twilio.twiml.VoiceResponse();
    await write(twiml, request);
    response.type("text/xml").send(twiml.toString());
  };
}

app.use("/sounds", express.static(SOUNDS));
app.use(express.urlencoded({ extended: false }));

// What people at the desk press on their own page.
app.post("/desk/mute", async (request, response) => {
  const { conference, call } = request.body;
  const { muted } = await client.conferences(conference).participants(call).update({ muted: true });
  response.json({ muted });
});
app.post("/desk/waiting", async (_request, response) => {
  const queue = (await client.queues.list()).find((each) => each.friendlyName === "support");
  const members = await client.queues(queue.sid).members.list();
  response.json(members.map((each) => each.callSid));
});

// From here on only the server may ask: the package takes the token from the environment.
app.use(twilio.webhook());
app.use((request, _response, next) => {
  tell({ asked: request.path, said: request.body ?? {} });
  next();
});

// A meeting that begins with its moderator and ends with him.
app.post("/meeting", document((twiml) => {
  const gather = twiml.gather({ numDigits: 1, action: "/meeting/enter", timeout: 2 });
  gather.play("/sounds/menu.wav");
  twiml.redirect("/meeting/enter");
}));
app.post("/meeting/enter", document((twiml, { body }) => {
  const moderates = body.Digits === "7";
  twiml.dial({ action: "/meeting/over" }).conference({
    beep: "false",
    endConferenceOnExit: moderates,
    startConferenceOnEnter: moderates,
    statusCallback: "/meeting/events",
    statusCallbackEvent: "start end join leave mute",
    waitUrl: "/meeting/music",
  }, "Monday");
}));
app.post("/meeting/music", document((twiml) => twiml.play({ loop: 0 }, "/sounds/music.wav")));
app.post("/meeting/over", document((twiml) => twiml.play("/sounds/goodbye.wav")));
app.post("/meeting/events", (_request, response) => response.sendStatus(204));

// A queue and those who serve it, until nobody waits.
app.post("/support", document((twiml) => {
  twiml.enqueue({ action: "/support/left", waitUrl: "/support/wait" }, "support");
}));
app.post("/support/wait", document((twiml) => twiml.play({ loop: 0 }, "/sounds/music.wav")));
app.post("/support/left", document((twiml) => twiml.hangup()));
app.post("/support/whisper", document((twiml) => twiml.play("/sounds/whisper.wav")));
app.post("/agent", document((twiml) => {
  twiml.dial({ action: "/agent/next" }).queue({ url: "/support/whisper" }, "support");
}));
app.post("/agent/next", document(async (twiml) => {
  const queue = (await client.queues.list()).find((each) => each.friendlyName === "support");
  if (queue?.currentSize > 0) twiml.redirect("/agent");
  else twiml.hangup();
}));

// A bot that says a long tone, another one after a key, and then what it hears.
app.post("/bot", document((twiml, { headers }) => {
  twiml.connect().stream({ url: `ws://${headers.host}/bot/media` }).parameter({ name: "desk", value: "support" });
  twiml.play("/sounds/goodbye.wav");
}));

const RATE = 8000;

// G.711, µ-law.
function encode(sample) {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(Math.round(sample)), 32635) + 132;
  const exponent = Math.floor(Math.log2(magnitude)) - 7;
  return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)) & 0xff;
}

// So many seconds of a tone, second by second.
function* tone(pitch, seconds) {
  const sample = (at) => encode(4500 * Math.sin((2 * Math.PI * pitch * at) / RATE));
  for (let second = 0; second < seconds; second += 1) {
    yield Buffer.from(Array.from({ length: RATE }, (_, at) => sample(at))).toString("base64");
  }
}

const server = http.createServer(app);
const bots = new WebSocketServer({
  server,
  path: "/bot/media",
  verifyClient: ({ req: request }) => {
    const signature = request.headers["x-twilio-signature"] ?? "";
    return twilio.validateRequest(TWILIO_AUTH_TOKEN, signature, `ws://${request.headers.host}${request.url}`, {});
  },
});
bots.on("connection", (socket) => {
  let streamSid;
  let echoes = false;
  const send = (event, more) => socket.send(JSON.stringify({ event, streamSid, ...more }));
  const play = (pitch, seconds, name) => {
    for (const payload of tone(pitch, seconds)) send("media", { media: { payload } });
    send("mark", { mark: { name } });
  };
  socket.on("message", (text) => {
    const said = JSON.parse(text);
    if (said.event !== "media") tell({ asked: said.event, said: { ...said.start, ...said.mark, ...said.dtmf } });
    switch (said.event) {
      case "start":
        ({ streamSid } = said);
        play(540, 30, "long");
        break;
      case "dtmf":
        if (said.dtmf.digit === "9") return socket.close();
        send("clear");
        play(680, 2, "short");
        break;
      case "mark":
        echoes ||= said.mark.name === "short";
        break;
      case "media":
        if (echoes) send("media", { media: { payload: said.media.payload } });
        break;
    }
  });
});
server.listen(0, "127.0.0.1", () => console.log(`Running on http://127.0.0.1:${server.address().port}`));
