// Drives Firefox by its own protocol (Marionette, JSON over TCP): no package. It reaches pages, and the browser itself,
// where the test stands in for the desktop that would show notifications.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";

/** How long a condition may take on a machine that is busy. Units: ms. */
const STEP = 30_000;
/** Between two looks. Units: ms. */
const AGAIN = 50;

/** Without a word to its maker, and with a push service of ours. */
const SETTINGS = (pushes) => ({
  "browser.shell.checkDefaultBrowser": false,
  "browser.startup.homepage_override.mstone": "ignore",
  "datareporting.policy.dataSubmissionEnabled": false,
  "dom.push.connection.enabled": true,
  "dom.push.serverURL": `ws://${pushes}/`,
  "dom.push.testing.allowInsecureServerURL": true,
  "marionette.port": 0,
  "media.navigator.permission.disabled": true,
  "media.navigator.streams.fake": true,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "network.manage-offline-status": false,
  "permissions.default.desktop-notification": 1,
});

/** Takes the desktop's place: what is to be shown is kept, and can be clicked. */
const DESKTOP = `
  globalThis.shown = [];
  const service = {
    QueryInterface: ChromeUtils.generateQI(["nsIAlertsService"]),
    showAlert(alert, listener) {
      shown.push({ alert, listener, closed: false });
      listener?.observe(null, "alertshow", alert.cookie);
    },
    closeAlert(name) {
      shown.filter((one) => one.alert.name === name).forEach((one) => { one.closed = true; });
    },
    teardown() {},
    pbmTeardown() {},
  };
  const factory = {
    QueryInterface: ChromeUtils.generateQI(["nsIFactory"]),
    createInstance: (kind) => service.QueryInterface(kind),
  };
  Components.manager.QueryInterface(Ci.nsIComponentRegistrar)
    .registerFactory(Services.uuid.generateUUID(), "desktop", "@mozilla.org/alerts-service;1", factory);`;

export class Firefox {
  #next = 1;
  #waiting = new Map();
  #socket;

  static async start(profile, pushes) {
    mkdirSync(profile, { recursive: true });
    const lines = Object.entries(SETTINGS(pushes)).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);
    writeFileSync(`${profile}/user.js`, lines.join(""));
    const browser = new Firefox();
    const flags = ["--headless", "--no-remote", "--marionette", "--remote-allow-system-access", "--profile", profile];
    browser.program = spawn("firefox-esr", [...flags, "about:blank"], { stdio: "ignore", env: { ...process.env, HOME: profile } });
    await browser.#dial(profile);
    await browser.say("WebDriver:NewSession");
    await browser.say("WebDriver:SetTimeouts", { script: STEP });
    await browser.inside(DESKTOP);
    return browser;
  }

  close() {
    this.program.kill("SIGKILL");
  }

  /** The browser writes where it listens into its profile. */
  async #dial(profile) {
    this.#socket = await until("a browser that listens", async () => {
      const port = Number(readFileSync(`${profile}/MarionetteActivePort`, "utf8"));
      return new Promise((done, fail) => {
        const socket = connect(port, "127.0.0.1", () => done(socket));
        socket.on("error", fail);
      });
    });
    let rest = Buffer.alloc(0);
    await new Promise((greeted) => {
      this.#socket.on("data", (octets) => {
        rest = Buffer.concat([rest, octets]);
        for (let colon = rest.indexOf(":"); colon >= 0; colon = rest.indexOf(":")) {
          const end = colon + 1 + Number(rest.subarray(0, colon));
          if (rest.length < end) return;
          const message = JSON.parse(rest.subarray(colon + 1, end));
          rest = rest.subarray(end);
          if (Array.isArray(message)) this.#heard(message);
          else greeted();
        }
      });
    });
  }

  #heard([, id, error, result]) {
    const { done, fail } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === null) done(result?.value === undefined ? result : result.value);
    else fail(new Error(`${error.error}: ${error.message}`));
  }

  say(command, words = {}) {
    const id = this.#next++;
    const text = JSON.stringify([0, id, command, words]);
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((done, fail) => this.#waiting.set(id, { done, fail }));
  }

  go(url) {
    return this.say("WebDriver:Navigate", { url });
  }

  /** In the page that is shown. */
  run(expression) {
    return this.say("WebDriver:ExecuteScript", { script: `return (${expression});`, args: [] });
  }

  /** In the browser itself. */
  async inside(script) {
    await this.say("Marionette:SetContext", { value: "chrome" });
    try {
      return await this.say("WebDriver:ExecuteScript", { script, args: [], sandbox: "system", newSandbox: false });
    } finally {
      await this.say("Marionette:SetContext", { value: "content" });
    }
  }

  /** Waits until something is true in the page, or there. */
  until(expression, what) {
    return until(what, () => this.run(`!!(${expression})`));
  }

  /** The notification at this place, once it is shown: its title, its text, its picture, whether it was closed. */
  notification(place) {
    const look = `const one = shown[${place}];
      return one === undefined ? null : [one.alert.title, one.alert.text, one.alert.imageURL, one.closed];`;
    return until(`notification ${place}`, () => this.inside(look));
  }

  /** Clicks it, and turns to the window that opens. */
  async click(place) {
    const before = await this.say("WebDriver:GetWindowHandles");
    await this.inside(`shown[${place}].listener.observe(null, "alertclickcallback", shown[${place}].alert.cookie);`);
    const opened = await until("a window that opens", async () => {
      const handles = await this.say("WebDriver:GetWindowHandles");
      return handles.find((handle) => !before.includes(handle));
    });
    await this.say("WebDriver:SwitchToWindow", { handle: opened });
  }
}

/** Looks again and again until there is something. In the middle of a navigation there is nobody to ask. */
export async function until(what, look) {
  const began = Date.now();
  for (;;) {
    const found = await look().catch(() => undefined);
    if (found) return found;
    if (Date.now() - began > STEP) throw new Error(`not within ${STEP} ms: ${what}`);
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}
