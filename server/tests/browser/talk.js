// Two JsSIP phones in one page that talk: each sends a tone of its own and listens for those of others. What they live
// through goes to the console, where the test reads it.
import JsSIP from "jssip";

const wanted = new URLSearchParams(location.search);
const domain = wanted.get("domain");
const context = new AudioContext();

function step(words) {
  console.log(`step: ${words}`);
}

function phone(user) {
  return new JsSIP.UA({
    sockets: [new JsSIP.WebSocketInterface(wanted.get("ws"))],
    uri: `sip:${user}@${domain}`,
    password: wanted.get("password"),
    register_expires: 120,
    session_timers: false,
  });
}

function once(source, good, bad) {
  return new Promise((resolve, reject) => {
    source.once(good, (event) => resolve(event));
    if (bad) source.once(bad, (event) => reject(new Error(`${bad}: ${event.cause ?? event}`)));
  });
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

// Resolves when the pitch of what is heard has been this one for half a second.
function hears(session, pitch) {
  const track = session.connection.getReceivers().map((each) => each.track).find((each) => each?.kind === "audio");
  const stream = new MediaStream([track]);
  // Chromium moves the sound of a call only for who plays it.
  const player = Object.assign(new Audio(), { srcObject: stream, muted: true });
  player.play().catch(() => {});
  const ear = context.createAnalyser();
  ear.fftSize = 8192;
  const source = context.createMediaStreamSource(stream);
  source.connect(ear);
  const bins = new Float32Array(ear.frequencyBinCount);
  let inRow = 0;
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      ear.getFloatFrequencyData(bins);
      const best = bins.reduce((best, level, bin) => (level > bins[best] ? bin : best), 0);
      const heard = best * context.sampleRate / ear.fftSize;
      inRow = Math.abs(heard - pitch) < 25 && bins[best] > -60 ? inRow + 1 : 0;
      if (inRow < 5) return;
      clearInterval(timer);
      source.disconnect();
      resolve();
    }, 100);
  });
}

// The codec that is heard, as the browser counts it.
async function codec(session) {
  const stats = [...(await session.connection.getStats()).values()];
  const incoming = stats.find((each) => each.type === "inbound-rtp" && each.kind === "audio");
  return stats.find((each) => each.id === incoming?.codecId)?.mimeType;
}

function changed(change) {
  return new Promise((resolve, reject) => {
    if (!change(resolve)) reject(new Error("the session cannot be changed now"));
  });
}

function ring(ua) {
  return new Promise((resolve) => {
    const take = ({ originator, session }) => {
      if (originator !== "remote") return;
      ua.removeListener("newRTCSession", take);
      resolve(session);
    };
    ua.on("newRTCSession", take);
  });
}

async function run() {
  const [alice, bob] = [phone("1001"), phone("1002")];
  for (const each of [alice, bob]) {
    const registered = once(each, "registered", "registrationFailed");
    each.start();
    await registered;
  }
  step("registered");
  const [low, high] = [tone(1300), tone(2100)];

  // The page calls a phone, holds it and comes back.
  let call = alice.call(`sip:1003@${domain}`, { mediaStream: low });
  await once(call, "confirmed", "failed");
  await hears(call, 800);
  step(`calls and hears ${await codec(call)}`);
  await changed((done) => call.hold({}, done));
  step("holds");
  await changed((done) => call.unhold({}, done));
  await hears(call, 800);
  step("hears again");
  let ended = once(call, "ended");
  call.terminate();
  await ended;

  // The phone calls the page, and leaves it to another phone.
  let rings = ring(alice);
  step("waits");
  call = await rings;
  call.answer({ mediaStream: low });
  await once(call, "confirmed", "failed");
  await hears(call, 800);
  step(`is called and hears ${await codec(call)}`);
  await hears(call, 500);
  step("hears the other phone");
  ended = once(call, "ended");
  call.terminate();
  await ended;

  // The page calls a third phone, of another make, which takes no sound without keys in descriptions.
  call = alice.call(`sip:1005@${domain}`, { mediaStream: low });
  await once(call, "confirmed", "failed");
  await hears(call, 900);
  step("hears the third phone");
  await once(call, "ended");

  // One page calls another.
  rings = ring(bob);
  call = alice.call(`sip:1002@${domain}`, { mediaStream: low });
  const other = await rings;
  const confirmed = [once(call, "confirmed", "failed"), once(other, "confirmed", "failed")];
  other.answer({ mediaStream: high });
  await Promise.all(confirmed);
  await Promise.all([hears(call, 2100), hears(other, 1300)]);
  step("pages hear each other");
  ended = once(other, "ended");
  call.terminate();
  await ended;
  step("done");
}

run().catch((why) => step(`failed: ${why.message}`));
