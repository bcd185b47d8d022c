// Two people on the console's phone. Prints `step: WORDS` as they get on; the test reads them.
// Words: folder for profiles, folder for pictures, two sign-in links, a telephone, the pitch that it says.
import { writeFileSync } from "node:fs";

import { Browser } from "./chromium.mjs";

const [, , profiles, pictures, first, second, telephone, pitch] = process.argv;
const step = (words) => console.log(`step: ${words}`);
const HOUSE = "document.querySelector('carillon-console')?.shadowRoot";
const PHONE = `${HOUSE}?.querySelector('carillon-phone')`;
const IN_PHONE = (query) => `${PHONE}?.shadowRoot.querySelector('${query}')`;
/** What each says: its microphone is a file. Units: Hz. */
const [LOW, HIGH] = [600, 1_500];
/** Between these are the notes of the music that the server plays to who waits. */
const MUSIC = [165, 540];

/** Ten seconds of one tone, which the browser repeats. */
function tone(file, pitch) {
  const rate = 48_000;
  const bytes = Buffer.alloc(44 + 20 * rate);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write("WAVEfmt ", 8);
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, rate, 4], [28, 2 * rate, 4], [32, 2, 2], [34, 16, 2]]
    .forEach(([place, value, width]) => bytes.writeUIntLE(value, place, width));
  bytes.write("data", 36);
  bytes.writeUInt32LE(bytes.length - 44, 40);
  for (let at = 0; at < 10 * rate; at++) {
    bytes.writeInt16LE(Math.round(12_000 * Math.sin((2 * Math.PI * pitch * at) / rate)), 44 + 2 * at);
  }
  writeFileSync(file, bytes);
  return `--use-file-for-fake-audio-capture=${file}`;
}

const SOUND = ["--use-fake-device-for-media-stream", "--disable-features=WebRtcHideLocalIpsWithMdns"];
const ada = new Browser(`${profiles}/ada`, [...SOUND, tone(`${profiles}/low.wav`, LOW)]);
/** His network lets no datagrams through: he reaches the server's media over TCP. */
const TCP = "--webrtc-ip-handling-policy=disable_non_proxied_udp";
const ben = new Browser(`${profiles}/ben`, [...SOUND, TCP, tone(`${profiles}/high.wav`, HIGH)]);

/** Allows or forbids the microphone. */
function microphone(browser, setting) {
  return browser.say("Browser.setPermission", { permission: { name: "microphone" }, setting });
}

/** In the page: resolves when what the call that is shown hears has been this pitch, or between two, or silence, for half a second. */
function hears(page, pitch) {
  const [from, to] = Array.isArray(pitch) ? pitch : [pitch - 25, Number(pitch) + 25];
  return page.run(`(async () => {
    const phone = ${PHONE};
    const context = new AudioContext();
    const ear = new AnalyserNode(context, { fftSize: 8192 });
    const call = phone.current;
    // On hold the stream has no track any more; what the connection receives is there all the same.
    const heard = new MediaStream([call.connection.getReceivers()[0].track]);
    context.createMediaStreamSource(heard).connect(ear);
    const bins = new Float32Array(ear.frequencyBinCount);
    const began = Date.now();
    for (let row = 0; row < 5;) {
      await new Promise((done) => setTimeout(done, 100));
      ear.getFloatFrequencyData(bins);
      const best = bins.reduce((best, level, bin) => (level > bins[best] ? bin : best), 0);
      const found = bins[best] < -70 ? 0 : best * context.sampleRate / ear.fftSize;
      row = found > ${from} && found < ${to} ? row + 1 : 0;
      if (Date.now() - began > 30_000) throw new Error("heard " + found + " Hz at " + bins[best] + " dB and not ${pitch} Hz");
    }
    await context.close();
  })()`);
}

/** By what the sound of the call that is shown comes and goes. */
function protocol(page) {
  return page.run(`(async () => {
    const report = [...(await ${PHONE}.current.connection.getStats()).values()];
    const { selectedCandidatePairId } = report.find((one) => one.type === "transport");
    const { remoteCandidateId } = report.find((one) => one.id === selectedCandidatePairId);
    return report.find((one) => one.id === remoteCandidateId).protocol;
  })()`);
}

/** A call with sound: heard, held, heard again, keys. */
async function talk(caller, callee) {
  await callee.until(`${PHONE}.calls.length === 0`, "a phone without calls");
  await caller.until(`${PHONE}.calls.length === 0`, "a phone without calls");
  for (const page of [caller, callee]) await page.run("localStorage.setItem('carillon.clean', 'no')");
  await caller.run(`${PHONE}.call('1002')`);
  await callee.until(IN_PHONE("#answer"), "a call that rings");
  await callee.run(`${IN_PHONE("#answer")}.click()`);
  for (const page of [caller, callee]) await page.until(IN_PHONE("#hold"), "a call that was taken");
  await Promise.all([hears(caller, HIGH), hears(callee, LOW)]);
  await caller.until(IN_PHONE(".figures"), "figures of quality");
  await caller.shoot(`${pictures}/talking.png`);
  step(`both hear by ${await protocol(caller)} and ${await protocol(callee)}`);
  await caller.run(`${IN_PHONE("#hold")}.click()`);
  await callee.until(`${PHONE}.calls[0].theyHold`, "being held");
  await Promise.all([hears(caller, 0), hears(callee, MUSIC)]);
  await callee.shoot(`${pictures}/held.png`);
  await caller.run(`${IN_PHONE("#hold")}.click()`);
  await callee.until(`!${PHONE}.calls[0].theyHold`, "being taken back");
  await Promise.all([hears(caller, HIGH), hears(callee, LOW)]);
  step("held and back");
  await caller.run(`${IN_PHONE("#keypad")}.click()`);
  await caller.until(IN_PHONE(".key"), "keys");
  await caller.shoot(`${pictures}/keypad.png`);
  await caller.run(`[...${PHONE}.shadowRoot.querySelectorAll('.key')].slice(4, 6).forEach((key) => key.click())`);
  await callee.until(`${PHONE}.calls[0].keys === '56'`, "both keys");
  step("keys");
  // Loaded again in the middle of the call, and after its tab died: both are heard by both as before.
  for (const [page, died] of [[caller, false], [callee, true]]) {
    await page.again(died);
    await page.until(`${PHONE}?.calls[0]?.standing === 'talking'`, "the call in the page that was loaded again");
    await page.until(`${PHONE}.calls[0].connection.connectionState === 'connected'`, "a path of its own");
    await Promise.all([hears(caller, HIGH), hears(callee, LOW)]);
  }
  step(`taken up ${await callee.run(`${PHONE}.calls[0].name`)}`);
  await callee.run(`${IN_PHONE("#hangup")}.click()`);
  await caller.until(`${PHONE}.calls[0]?.standing === 'ended'`, "the end of the talk");
}

/** The test has seen what it wanted to see. */
function told() {
  return new Promise((done) => process.stdin.once("data", done));
}

/** One call is put through to the other: whoever did it is out, the two talk. */
async function putThrough(caller, callee) {
  for (const page of [caller, callee]) await page.until(`${PHONE}.calls.length === 0`, "a phone without calls");
  await caller.run(`${PHONE}.call('1002')`);
  await callee.until(IN_PHONE("#answer"), "a call that rings");
  await callee.run(`${IN_PHONE("#answer")}.click()`);
  await caller.until(IN_PHONE("#hold"), "a call that was taken");
  await caller.run(`${PHONE}.call('${telephone}')`);
  await callee.until(`${PHONE}.calls[0].theyHold`, "waiting for the other call");
  await hears(callee, MUSIC);
  await caller.until(`${PHONE}.current.peer === '${telephone}' && ${PHONE}.current.standing === 'talking'`, "a telephone that answers");
  await hears(caller, pitch);
  await caller.shoot(`${pictures}/two-calls.png`);
  step("hears a telephone");
  await told();
  await caller.run(`${IN_PHONE("#transfer")}.click()`);
  await caller.until(IN_PHONE(".transfer button[type=button]"), "another call to connect with");
  await caller.shoot(`${pictures}/transfer.png`);
  await caller.run(`${IN_PHONE(".transfer button[type=button]")}.click()`);
  await caller.until(`${PHONE}.calls.every((call) => call.standing === 'ended')`, "being out");
  await hears(callee, pitch);
  step("put through");
  await told();
  await callee.run(`${IN_PHONE("#hangup")}.click()`);
  await callee.until(`${PHONE}.calls.every((call) => call.standing === 'ended')`, "the end of it");
}

async function run() {
  await microphone(ada, "granted");
  await microphone(ben, "denied");
  const [caller, callee] = [await ada.open(first), await ben.open(second)];
  await caller.until(`${HOUSE}?.querySelector('carillon-home')`, "the first page");
  for (const page of [caller, callee]) await page.until(IN_PHONE(".dot.good"), "a phone that can be called");
  await caller.until(`${HOUSE}.querySelector('carillon-home').shadowRoot.textContent.includes('1002')`, "the people");
  await caller.shoot(`${pictures}/home.png`);
  step(`signed in ${await caller.run(`location.hash + location.pathname`)}`);

  await caller.run("location.hash = '#/phone'");
  await caller.until(IN_PHONE("#to"), "the dial pad");
  await caller.shoot(`${pictures}/dial.png`);
  // As a person does it: type, then press Enter.
  await caller.run(`${IN_PHONE("#to")}.focus()`);
  await caller.say("Input.insertText", { text: "1002" });
  const enter = { key: "Enter", code: "Enter", windowsVirtualKeyCode: 13, text: "\r" };
  await caller.say("Input.dispatchKeyEvent", { type: "keyDown", ...enter });
  await caller.say("Input.dispatchKeyEvent", { type: "keyUp", ...enter });
  await callee.until(IN_PHONE("#answer"), "a call that rings");
  await callee.until(`${IN_PHONE(".call h2")}.textContent === 'Alice'`, "the caller's name");
  await callee.shoot(`${pictures}/incoming.png`);
  await caller.until(`${PHONE}.calls[0].standing === 'ringing'`, "ringing at the caller");
  await caller.shoot(`${pictures}/ringing.png`);
  step(`rings ${await callee.run("document.title")}`);

  // The socket breaks; the call rings on, and its end is heard on the next one. It is back within moments, so only
  // the new socket is waited for: nobody may see that there was none.
  await callee.run(`(window.lost = ${PHONE}.line.socket).close()`);
  const back = `${PHONE}.line.socket !== window.lost && ${PHONE}.line.state === 'open'`;
  await callee.until(`${back} && ${IN_PHONE("#decline")} !== null`, "the line and its call");
  step("came back");
  await callee.run(`${IN_PHONE("#decline")}.click()`);
  const over = `${PHONE}.calls[0]?.standing === 'ended' && ${PHONE}.calls[0].why`;
  step(`ended ${await caller.until(over, "the end")}`);

  // Without a microphone the phone says why, and calls all the same.
  await callee.run(`${PHONE}.call('1001')`);
  await caller.until(`${PHONE}.calls.some((call) => call.standing === 'incoming')`, "a call of somebody who only listens");
  step(`listens ${(await callee.run(`${IN_PHONE(".notice")}.textContent`)).includes("blocked")}`);
  await callee.shoot(`${pictures}/listening.png`);
  await callee.run(`${IN_PHONE("#hangup")}.click()`);
  await caller.until(`${PHONE}.calls.every((call) => call.standing === 'ended')`, "the end of the second call");

  await microphone(ben, "granted");
  await talk(caller, callee);
  await putThrough(caller, callee);

  const calls = `${HOUSE}.querySelector('carillon-calls')?.shadowRoot`;
  await caller.run("location.hash = '#/calls'");
  await caller.until(`${calls}.querySelectorAll('nav a').length >= 3`, "all calls");
  await caller.run(`[...${calls}.querySelectorAll('nav a')].at(-1).click()`);
  const ladder = `${calls}.querySelector('carillon-ladder')?.shadowRoot`;
  await caller.until(`${ladder}.querySelectorAll('li').length >= 8`, "a ladder");
  await caller.run(`${ladder}.querySelector('li button').click()`);
  await caller.until(`${ladder}.querySelector('pre')?.textContent.startsWith('INVITE ')`, "a whole message");
  step(`ladder ${(await caller.run(`${ladder}.textContent`)).includes("603 Decline")}`);
  for (const scheme of ["light", "dark"]) {
    await caller.look(1_280, 860, scheme);
    await caller.shoot(`${pictures}/ladder-${scheme}.png`);
  }
  await caller.look(390, 844, "light");
  let fits = true;
  for (const page of ["home", "phone", "calls"]) {
    await caller.run(`location.hash = '#/${page}'`);
    await caller.until(`${HOUSE}.querySelector('nav a[aria-current=page]').hash === '#/${page}'`, `the page ${page}`);
    await caller.shoot(`${pictures}/small-${page}.png`);
    fits &&= (await caller.run("document.documentElement.scrollWidth")) <= 390;
  }
  step(`fits ${fits}`);
  step(`complaints ${JSON.stringify([...ada.complaints, ...ben.complaints])}`);
  step("done");
}

run()
  .catch((why) => step(`failed: ${why.message}`))
  .finally(() => {
    process.stdin.destroy();
    ada.close();
    ben.close();
  });
