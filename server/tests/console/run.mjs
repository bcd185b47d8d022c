// Two people on the console's phone. Prints `step: WORDS` as they get on; the test reads them.
// Words: folder for profiles, folder for pictures, two sign-in links.
import { Browser } from "./chromium.mjs";

const [, , profiles, pictures, first, second] = process.argv;
const step = (words) => console.log(`step: ${words}`);
const HOUSE = "document.querySelector('carillon-console')?.shadowRoot";
const PHONE = `${HOUSE}?.querySelector('carillon-phone')`;
const IN_PHONE = (query) => `${PHONE}?.shadowRoot.querySelector('${query}')`;
const SOUND = ["--use-fake-device-for-media-stream"];

const ada = new Browser(`${profiles}/ada`, SOUND);
const ben = new Browser(`${profiles}/ben`, SOUND);

/** Allows or forbids the microphone. */
function microphone(browser, setting) {
  return browser.say("Browser.setPermission", { permission: { name: "microphone" }, setting });
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

  // The socket breaks; the call rings on, and its end is heard on the next one.
  await callee.run(`${PHONE}.line.socket.close()`);
  await callee.until(`${PHONE}.line.state !== 'open'`, "a lost line");
  await callee.until(`${PHONE}.line.state === 'open' && ${IN_PHONE("#decline")} !== null`, "the line and its call");
  step("came back");
  await callee.run(`${IN_PHONE("#decline")}.click()`);
  await caller.until(`${PHONE}.calls[0]?.standing === 'ended'`, "the end");
  step(`ended ${await caller.run(`${PHONE}.calls[0].why`)}`);

  // Without a microphone the phone says why, and calls all the same.
  await callee.run(`${PHONE}.call('1001')`);
  await caller.until(`${PHONE}.calls.some((call) => call.standing === 'incoming')`, "a call of somebody who only listens");
  step(`listens ${(await callee.run(`${IN_PHONE(".notice")}.textContent`)).includes("blocked")}`);
  await callee.shoot(`${pictures}/listening.png`);
  await callee.run(`${IN_PHONE("#hangup")}.click()`);
  await caller.until(`${PHONE}.calls.every((call) => call.standing === 'ended')`, "the end of the second call");

  const calls = `${HOUSE}.querySelector('carillon-calls')?.shadowRoot`;
  await caller.run("location.hash = '#/calls'");
  await caller.until(`${calls}.querySelectorAll('nav a').length === 2`, "both calls");
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
  await caller.run("location.hash = '#/phone'");
  await caller.shoot(`${pictures}/small.png`);
  const wide = await caller.run("document.documentElement.scrollWidth");
  step(`fits ${wide <= 390}`);
  step(`complaints ${JSON.stringify([...ada.complaints, ...ben.complaints])}`);
  step("done");
}

run()
  .catch((why) => step(`failed: ${why.message}`))
  .finally(() => {
    ada.close();
    ben.close();
  });
