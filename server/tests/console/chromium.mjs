// Drives Chromium by its own protocol over a pipe: no package, no port. It ends with the pipe.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
  "--disable-background-networking", "--remote-debugging-pipe", "--autoplay-policy=no-user-gesture-required",
];
/** How long a condition may take on a machine that is busy. Units: ms. */
const STEP = 30_000;

export class Browser {
  #next = 1;
  #waiting = new Map();
  /** What pages complained of. */
  complaints = [];

  constructor(profile, flags) {
    this.program = spawn("chromium", [...FLAGS, ...flags, `--user-data-dir=${profile}`, "about:blank"], {
      stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
    });
    let rest = "";
    this.program.stdio[4].on("data", (octets) => {
      const parts = (rest + octets).split("\0");
      rest = parts.pop();
      parts.forEach((part) => this.#heard(JSON.parse(part)));
    });
  }

  #heard(message) {
    const { id, method, params } = message;
    if (method === "Inspector.targetCrashed") this.crashed?.();
    if (id !== undefined) {
      const { done, fail } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (message.error === undefined) done(message.result);
      else fail(new Error(JSON.stringify(message.error)));
    } else if (method === "Page.javascriptDialogOpening") {
      // Whether to leave in the middle of a call: yes.
      void this.say("Page.handleJavaScriptDialog", { accept: true }, message.sessionId);
    } else if (method === "Runtime.exceptionThrown") {
      this.complaints.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.complaints.push(`${params.entry.text} ${params.entry.url ?? ""}`);
    }
  }

  say(method, params = {}, sessionId = undefined) {
    const id = this.#next++;
    this.program.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((done, fail) => this.#waiting.set(id, { done, fail }));
  }

  async open(url) {
    const { targetId } = await this.say("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.say("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId);
    for (const part of ["Page", "Runtime", "Log"]) await page.say(`${part}.enable`);
    await page.look(1_280, 860, "light");
    await page.say("Page.navigate", { url });
    return page;
  }

  close() {
    this.program.kill();
  }
}

class Page {
  constructor(browser, session) {
    this.browser = browser;
    this.session = session;
  }

  say(method, params) {
    return this.browser.say(method, params, this.session);
  }

  async run(expression) {
    const answer = await this.say("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) throw new Error(`${expression}: ${answer.exceptionDetails.exception?.description}`);
    return answer.result.value;
  }

  /** Waits until something is true in the page, or there, and gives it. */
  async until(expression, what = expression) {
    const began = Date.now();
    for (;;) {
      // In the middle of a navigation there is nobody to ask.
      const found = await this.run(`((found) => (found instanceof Object ? true : found))(${expression})`).catch(() => false);
      if (found) return found;
      if (Date.now() - began > STEP) throw new Error(`not within ${STEP} ms: ${what}`);
      await new Promise((done) => setTimeout(done, 25));
    }
  }

  /** Loads the page again, as a person does or after it died; resolves in the new one. */
  async again(died) {
    if (died) {
      // Nobody is left to answer.
      void this.say("Page.crash").catch(() => undefined);
      await new Promise((done) => { this.browser.crashed = done; });
    } else {
      await this.run("void (window.old = true)");
    }
    await this.say("Page.reload");
    await this.until("window.old === undefined && document.readyState === 'complete'", "the page again");
  }

  async look(width, height, scheme) {
    await this.say("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await this.say("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  async shoot(file) {
    const { data } = await this.say("Page.captureScreenshot", { format: "png" });
    writeFileSync(file, Buffer.from(data, "base64"));
  }
}
