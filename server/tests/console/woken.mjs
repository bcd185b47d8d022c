// A person whose page is closed is called by a notification. Prints `step: WORDS` as it gets on; the test reads them, and
// does the calling.
// Words: folder for profiles, sign-in link.
import { Firefox, until } from "./firefox.mjs";
import { PushService } from "./push-service.mjs";

const [, , profiles, link] = process.argv;
const step = (words) => console.log(`step: ${words}`);
const HOUSE = "document.querySelector('carillon-console')?.shadowRoot";
const PHONE = `${HOUSE}?.querySelector('carillon-phone')`;
const IN_PHONE = (query) => `${PHONE}?.shadowRoot.querySelector('${query}')`;
const WAKING = `${HOUSE}?.querySelector('#waking')?.textContent`;
const PERMISSION = (allowed) => `
  const page = Services.scriptSecurityManager.createContentPrincipalFromOrigin("${new URL(link).origin}");
  Services.perms.addFromPrincipal(page, "desktop-notification", Services.perms.${allowed ? "ALLOW" : "DENY"}_ACTION);`;

const service = new PushService();
let browser;

const home = new URL("/#/phone", link).href;

async function leave() {
  await browser.go("about:blank");
  step("closed");
}

async function run() {
  browser = await Firefox.start(`${profiles}/ben`, await service.listen());
  await browser.go(link);
  await browser.until(IN_PHONE(".dot.good"), "a phone that can be called");
  await browser.until(`${WAKING}.includes('only while')`, "a page that is not woken yet");
  await browser.run(`${HOUSE}.querySelector('#wake').click()`);
  await browser.until(`${WAKING}.includes('even when')`, "a page that is woken");
  step("subscribed");
  // Until the test has looked at what the server knows.
  await new Promise((done) => process.stdin.once("data", done));
  await leave();

  const [name, words, picture] = await browser.notification(0);
  const { headers } = service.taken[0];
  step(`rings ${name} ${words} ${new URL(picture).pathname.startsWith("/v1/images/")} ${headers["content-encoding"]} ${headers.urgency}`);
  await browser.click(0);
  await browser.until(IN_PHONE("#answer"), "the call that waits");
  await browser.run(`${IN_PHONE("#answer")}.click()`);
  await browser.until(`${PHONE}.calls[0].standing === 'talking'`, "a talk");
  step("talks");
  await browser.until(`${PHONE}.calls.every((call) => call.standing === 'ended')`, "the end");
  await leave();

  await browser.notification(1);
  step("rings again");
  await browser.notification(2);
  const [, rang, , over] = await browser.notification(1);
  const [, missed] = await browser.notification(2);
  step(`missed ${rang} ${over} ${missed}`);

  // The permission is taken away, and given again; then the person signs out.
  await browser.inside(PERMISSION(false));
  await browser.go(home);
  await browser.until(`${WAKING}.includes('no notifications')`, "a page that may not show anything");
  await until("a subscription that is given up", async () => service.gone.size === 1);
  step("forbidden");
  await browser.go("about:blank");
  await browser.inside(PERMISSION(true));
  await browser.go(home);
  await browser.until(`${WAKING}.includes('even when')`, "a page that is woken again");
  step("allowed");
  await browser.run(`[...${HOUSE}.querySelectorAll('.end button')].at(-1).click()`);
  await browser.until(`${HOUSE}.querySelector('.outside')`, "a page without anybody");
  await until("the last subscription given up", async () => service.gone.size === 2);
  step("signed out");
}

run()
  .catch((why) => step(`failed: ${why.message}`))
  .finally(() => {
    process.stdin.destroy();
    browser?.close();
    service.close();
  });
