// One JsSIP phone in a page, whose owner serves callers: it takes every call, says a tone of its own, and tells which tone it
// hears. Asked to by `dial`, it calls; what it lives through goes to the console, where the test reads it.
import JsSIP from "jssip";

const wanted = new URLSearchParams(location.search);
const domain = wanted.get("domain");
const context = new AudioContext();

function step(words) {
  console.log(`step: ${words}`);
}

// A microphone that hears one pitch.
function tone(pitch) {
  const [source, loudness, out] =
    [context.createOscillator(), context.createGain(), context.createMediaStreamDestination()];
  source.frequency.value = pitch;
  loudness.gain.value = 0.3;
  source.connect(loudness).connect(out);
  source.start();
  return out.stream;
}

// Tells each tone that is heard for half a second, when it is another than before.
function listen(session) {
  const track = session.connection.getReceivers().map((each) => each.track).find((each) => each?.kind === "audio");
  const stream = new MediaStream([track]);
  // Chromium moves the sound of a call only for who plays it.
  const player = Object.assign(new Audio(), { srcObject: stream, muted: true });
  player.play().catch(() => {});
  const ear = context.createAnalyser();
  ear.fftSize = 8192;
  context.createMediaStreamSource(stream).connect(ear);
  const bins = new Float32Array(ear.frequencyBinCount);
  let [told, last, inRow] = [0, 0, 0];
  const timer = setInterval(() => {
    ear.getFloatFrequencyData(bins);
    const best = bins.reduce((best, level, bin) => (level > bins[best] ? bin : best), 0);
    const heard = bins[best] > -60 ? best * context.sampleRate / ear.fftSize : 0;
    inRow = heard > 0 && Math.abs(heard - last) < 15 ? inRow + 1 : 0;
    last = heard;
    if (inRow < 5 || Math.abs(heard - told) < 25) return;
    told = heard;
    step(`hears ${Math.round(heard / 10) * 10}`);
  }, 100);
  session.once("ended", () => clearInterval(timer));
}

function run() {
  const mediaStream = tone(Number(wanted.get("pitch")));
  const ua = new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(wanted.get("ws"))],
    uri: `sip:${wanted.get("user")}@${domain}`,
    password: wanted.get("password"),
    register_expires: 120,
    session_timers: false,
  });
  ua.on("registrationFailed", ({ cause }) => step(`failed: ${cause}`));
  ua.on("newRTCSession", ({ originator, session }) => {
    session.once("confirmed", () => {
      step(originator === "remote" ? `is called by ${session.remote_identity.uri.user}` : "is answered");
      listen(session);
    });
    session.once("failed", ({ cause }) => step(`failed: ${cause}`));
    session.once("ended", () => step("ended"));
    if (originator === "remote") session.answer({ mediaStream });
  });
  ua.once("registered", () => {
    step("registered");
    const number = wanted.get("dial");
    if (number) ua.call(`sip:${number}@${domain}`, { mediaStream });
  });
  ua.start();
}

run();
