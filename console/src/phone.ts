// <carillon-phone>: a telephone for any page.
//
//   <carillon-phone></carillon-phone>                                        on a page of the server, as whoever is signed in
//   <carillon-phone server="https://phones.example" token="…"></carillon-phone>   elsewhere; or give `tokens`, a function
//
// Events: `call` with detail { id, standing, peer } whenever a call begins, changes or ends.

import { LitElement, css, html, nothing } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { Refused, type Problem } from "./api.js";
import { Call } from "./call.js";
import { Line, type Heard, type Kept, type Welcome } from "./line.js";
import { Memory, type Before } from "./memory.js";
import { choice, devices, keyTone, meter, openMicrophone, ringBack, ringBells, testTone, type Devices } from "./sound.js";
import { shared } from "./styles.js";
import { words } from "./words.js";

const say = words.phone;
const KEYS: [string, string][] = [
  ["1", ""], ["2", "ABC"], ["3", "DEF"], ["4", "GHI"], ["5", "JKL"], ["6", "MNO"],
  ["7", "PQRS"], ["8", "TUV"], ["9", "WXYZ"], ["*", ""], ["0", "+"], ["#", ""],
];
/** How long the end of a call is shown. Units: ms. */
const END_SHOWN = 6_000;

export class CarillonPhone extends LitElement {
  static override properties = {
    server: { type: String },
    token: { type: String },
    push: { type: String },
    answering: { type: String },
    typed: { state: true },
    panel: { state: true },
  };

  declare server: string;
  declare token: string;
  /** The endpoint of the page's push subscription: its device is woken there when it is closed. */
  declare push: string;
  /** A call that is to be taken as soon as it rings here: somebody has said so already. */
  declare answering: string;
  declare typed: string;
  declare panel: "" | "keypad" | "transfer" | "sound";
  /** Gives a fresh token each time the line begins; instead of `token`. */
  tokens: (() => Promise<string>) | undefined;
  calls: Call[] = [];
  /** Offers of calls that ring here. */
  private readonly offers = new Map<string, string | undefined>();
  private current: Call | undefined;
  private line: Line | undefined;
  private user = "";
  private standing: "registering" | "registered" | "unreachable" = "registering";
  private reason = "";
  private problem = "";
  private microphone: MediaStream | undefined;
  private why = "";
  private found: Devices = { microphones: [], speakers: [] };
  private level: { level: () => number; end: () => void } | undefined;
  private ringing: (() => void) | undefined;
  private tick = 0;
  private memory: Memory | undefined;
  /** What the page of before left in this tab. */
  private left: Before | undefined;

  constructor() {
    super();
    this.server = "";
    this.token = "";
    this.push = "";
    this.answering = "";
    this.typed = "";
    this.panel = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    const token = () => (this.tokens !== undefined ? this.tokens() : Promise.resolve(this.token === "" ? undefined : this.token));
    this.line = new Line(this.server, token, (heard) => void this.heard(heard), (welcome) => void this.welcomed(welcome), () => this.requestUpdate());
    this.memory = new Memory(this.server);
    void this.begin(this.line, this.memory);
    this.tick = window.setInterval(() => void this.second(), 1_000);
    void this.look();
    navigator.mediaDevices?.addEventListener?.("devicechange", this.look);
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("beforeunload", this.warn);
  }

  /** Where this tab had calls, its phone of before is asked for. */
  private async begin(line: Line, memory: Memory): Promise<void> {
    this.left = await memory.before();
    if (this.isConnected) line.open(this.left?.session);
  }

  /** Whoever closes a page in the middle of a call may not mean to; one that is loaded again takes it up. */
  private readonly warn = (event: BeforeUnloadEvent): void => {
    if (this.calls.some((call) => call.standing === "talking")) event.preventDefault();
  };

  /** Nobody can be called by a page that is gone. Its calls wait for it: nobody knows whether it is loaded again. */
  private readonly leave = (): void => {
    void this.line?.say({ do: "unregister" }).catch(() => undefined);
  };

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    for (const call of this.calls) void this.hangUp(call);
    this.leave();
    this.memory?.forget();
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("beforeunload", this.warn);
    this.line?.close();
    window.clearInterval(this.tick);
    this.level?.end();
    this.ringing?.();
    this.microphone?.getTracks().forEach((track) => track.stop());
    navigator.mediaDevices?.removeEventListener?.("devicechange", this.look);
  }

  private readonly look = async (): Promise<void> => {
    this.found = await devices();
    this.requestUpdate();
  };

  private async second(): Promise<void> {
    if (this.current?.standing === "talking") await this.current.measure();
    if (this.calls.length > 0 || this.panel === "sound") this.requestUpdate();
  }

  private async welcomed(welcome: Welcome): Promise<void> {
    this.user = welcome.user;
    const before = this.left;
    this.left = undefined;
    if (welcome.kept !== undefined) {
      await this.takeUp(welcome.kept, before);
    } else if (!welcome.resumed) {
      // The phone of before is gone, and with it its calls.
      for (const call of [...this.calls]) this.over(call, "unreachable", "");
      this.standing = "registering";
      await this.register();
      if (before !== undefined) this.problem = say.callsLost;
    }
    this.requestUpdate();
  }

  /** This page was loaded again, or its tab had died: its calls go on where they stood. */
  private async takeUp(kept: Kept[], before: Before | undefined): Promise<void> {
    const line = this.line;
    if (line === undefined) return;
    for (const one of kept) {
      if (one.standing === "incoming") {
        const { call, peer, name = "", picture, sdp } = one;
        this.incoming({ event: "incoming", n: 0, call, from: peer, name, picture, ...(sdp === undefined ? {} : { sdp }) });
      } else {
        const known = before?.calls.find((call) => call.id === one.call);
        this.calls = [...this.calls, Call.again(one, known, line, () => this.requestUpdate())];
      }
    }
    const ours = this.calls.filter((call) => call.standing !== "incoming");
    this.current = ours.find((call) => !call.held) ?? this.calls[0];
    await this.register();
    this.ring();
    if (ours.length === 0) return;
    const microphone = await this.openSound();
    for (const call of ours) {
      await this.tried(call.takeUp(microphone));
      this.tell(call);
    }
  }

  private async register(): Promise<void> {
    await this.tried(this.line?.say({ do: "register", ...(this.push === "" ? {} : { push: this.push }) }));
  }

  protected override updated(changed: Map<string, unknown>): void {
    const calls = this.calls.filter((call) => call.standing !== "ended" && call.id !== "");
    // Until it is welcomed it has nothing to say about calls.
    if (this.left === undefined && this.line?.state === "open" && this.line.session !== undefined) {
      this.memory?.keep(this.line.session, calls.map((call) => call.remembered));
    }
    // Before it is welcomed, the phone says so with its first registration.
    if (changed.get("push") !== undefined && this.user !== "" && this.line?.state === "open") void this.register();
    const waiting = this.calls.find((call) => call.id === this.answering && call.standing === "incoming");
    if (changed.has("answering") && waiting !== undefined) void this.take(waiting);
  }

  /** Takes a call that somebody has answered before it rang here. */
  private async take(call: Call): Promise<void> {
    this.answering = "";
    await this.answer(call);
  }

  /** Shows why something did not work. */
  private async tried<T>(work: Promise<T> | undefined): Promise<T | undefined> {
    try {
      this.problem = "";
      return await work;
    } catch (error) {
      const problem = error instanceof Refused ? error.problem : (error as Partial<Problem>);
      this.problem = [problem.title ?? String(error), problem.fix].filter(Boolean).join(" ");
      return undefined;
    } finally {
      this.requestUpdate();
    }
  }

  private async heard(heard: Heard): Promise<void> {
    switch (heard.event) {
      case "registered":
      case "unreachable":
        this.standing = heard.event;
        this.reason = String(heard["warning"] ?? heard["reason"] ?? "");
        break;
      case "incoming":
        this.incoming(heard);
        break;
      default: {
        // What is said of a call before its id is known comes right behind the id.
        await Promise.resolve();
        const call = this.calls.find((one) => one.id === heard.call);
        if (call !== undefined) await this.tried(this.pass(call, heard));
      }
    }
    this.ring();
    this.requestUpdate();
  }

  private async pass(call: Call, heard: Heard): Promise<void> {
    if (heard.event === "ended") {
      this.over(call, String(heard["why"]), String(heard["warning"] ?? (heard["why"] === "refused" ? heard["reason"] : "")));
    } else if (heard.event === "key") {
      call.keys += String(heard["key"]);
    } else if (heard.event === "transfer") {
      const status = Number(heard["status"]);
      call.note = status >= 300 ? say.transferFailed : say.transferring;
    } else {
      await call.heard(heard);
    }
    this.tell(call);
  }

  private incoming(heard: Heard): void {
    const line = this.line;
    if (line === undefined || heard.call === undefined) return;
    const call = new Call(String(heard["from"]), false, line, () => this.requestUpdate());
    call.id = heard.call;
    if (heard["name"] !== "") call.name = String(heard["name"]);
    call.picture = this.address(heard["picture"]);
    this.offers.set(call.id, heard.sdp);
    this.calls = [...this.calls, call];
    if (this.current === undefined || this.current.standing === "ended") this.current = call;
    this.tell(call);
    if (call.id === this.answering) void this.take(call);
  }

  /** A picture's address: ours by its path, so that no page asks anybody else. */
  private address(picture: unknown): string {
    if (typeof picture !== "string") return "";
    try {
      const url = new URL(picture);
      return url.pathname.startsWith("/v1/images/") ? `${this.server}${url.pathname}${url.search}` : "";
    } catch {
      return "";
    }
  }

  private tell(call: Call): void {
    const detail = { id: call.id, standing: call.standing, peer: call.peer };
    this.dispatchEvent(new CustomEvent("call", { detail, bubbles: true, composed: true }));
  }

  private over(call: Call, why: string, more: string): void {
    if (call.standing === "ended") return;
    call.end();
    call.note = "";
    // The code that the server adds for people whom it knows has a page of its own.
    const code = /CAR-\d{4}/.exec(more)?.[0] ?? "";
    call.help = code === "" ? "" : `${this.server}/help/${code}`;
    call.why = [say.whys[why] ?? say.whys["ours"], code === "" ? more : ""].filter(Boolean).join(" · ");
    this.offers.delete(call.id);
    this.tell(call);
    window.setTimeout(() => {
      this.calls = this.calls.filter((one) => one !== call);
      if (this.current === call) this.current = this.calls[0];
      if (this.calls.length === 0) {
        this.panel = this.panel === "sound" ? "sound" : "";
        this.letGo();
      }
      this.requestUpdate();
    }, END_SHOWN);
    this.ring();
  }

  /** The microphone's light goes out with the last call. */
  private letGo(): void {
    if (this.panel === "sound") return;
    this.level?.end();
    this.level = undefined;
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.microphone = undefined;
  }

  private ring(): void {
    this.ringing?.();
    this.ringing = undefined;
    const talking = this.calls.some((call) => call.standing === "talking");
    if (!talking && this.calls.some((call) => call.standing === "incoming")) this.ringing = ringBells();
    else if (this.current?.standing === "ringing" && this.current.heardStream === undefined) this.ringing = ringBack();
  }

  private async openSound(): Promise<MediaStream | undefined> {
    if (this.microphone?.getAudioTracks().some((track) => track.readyState === "live")) return this.microphone;
    const opened = await openMicrophone();
    this.why = opened.why;
    this.microphone = opened.stream;
    if (opened.stream !== undefined) {
      this.level?.end();
      this.level = meter(opened.stream);
    }
    await this.look();
    return opened.stream;
  }

  /** Calls somebody; the element's own button does the same. */
  async call(to: string): Promise<void> {
    const line = this.line;
    const peer = to.trim();
    if (line === undefined || peer === "") return;
    const microphone = await this.openSound();
    for (const other of this.calls) if (other.standing === "talking" && !other.held) await this.tried(other.hold(true));
    const call = new Call(peer, true, line, () => this.requestUpdate());
    this.calls = [...this.calls.filter((one) => one.standing !== "ended"), call];
    this.current = call;
    this.panel = "";
    this.requestUpdate();
    try {
      await call.begin(microphone);
      this.typed = "";
      this.tell(call);
    } catch (error) {
      this.calls = this.calls.filter((one) => one !== call);
      this.current = this.calls[0];
      call.end();
      await this.tried(Promise.reject(error));
    }
  }

  /** Takes a call that rings. */
  async answer(call: Call): Promise<void> {
    const microphone = await this.openSound();
    for (const other of this.calls) if (other.standing === "talking" && !other.held) await this.tried(other.hold(true));
    this.current = call;
    await this.tried(call.answer(this.offers.get(call.id), microphone));
    this.offers.delete(call.id);
  }

  async hangUp(call: Call): Promise<void> {
    if (call.standing === "ended") return;
    await this.tried(this.line?.say({ do: call.standing === "incoming" ? "decline" : "hangup", call: call.id }));
  }

  private async press(key: string): Promise<void> {
    keyTone(key);
    if (this.current?.standing === "talking") await this.tried(this.current.press(key));
    else this.typed += key;
  }

  private async transfer(call: Call, target: { to?: string; with?: string }): Promise<void> {
    this.panel = "";
    call.note = say.transferring;
    await this.tried(this.line?.say({ do: "transfer", call: call.id, ...target }));
  }

  private async retrySound(): Promise<void> {
    this.microphone = undefined;
    const microphone = await this.openSound();
    for (const call of this.calls) await this.tried(call.speakBy(microphone));
    this.requestUpdate();
  }

  override render() {
    const call = this.current;
    const others = this.calls.filter((one) => one !== call && one.standing !== "ended");
    return html`
      <section class="phone" aria-label=${say.title}>
        ${this.head()}
        ${repeat(others, (one) => one, (one) => this.other(one))}
        ${call === undefined ? this.pad() : this.shown(call)}
        ${this.panel === "sound" ? this.soundPanel() : nothing}
        ${this.why === "" ? nothing : html`<p class="notice" role="status">${this.why}
          <button class="link" @click=${() => void this.retrySound()}>${say.retry}</button></p>`}
        ${this.problem === "" ? nothing : html`<p class="notice bad" role="alert">${this.problem}</p>`}
      </section>
    `;
  }

  private head() {
    const line = this.line;
    const { text, good } = this.lineWords();
    const replaced = line?.state === "replaced";
    return html`
      <header>
        <span class="dot ${good ? "good" : ""}" aria-hidden="true"></span>
        <span class="who">${this.user}</span>
        <span class="state" role="status">${text}</span>
        ${replaced ? html`<button class="link" @click=${() => line?.open(undefined)}>${say.useHere}</button>` : nothing}
        <button class="icon" aria-label=${say.devices} title=${say.devices} aria-expanded=${this.panel === "sound"}
          @click=${() => this.toggleSound()}>${icons.sound}</button>
      </header>
    `;
  }

  private lineWords(): { text: string; good: boolean } {
    const line = this.line;
    switch (line?.state) {
      case "open": {
        const reason = this.standing === "unreachable" && this.reason !== "" ? `: ${this.reason}` : "";
        return { text: say.states[this.standing] + reason, good: this.standing === "registered" };
      }
      case "replaced":
        return { text: say.states.replaced, good: false };
      case "lost":
        return { text: say.states.lost, good: false };
      case "connecting":
        return { text: say.states.connecting, good: false };
      case "gone":
      case undefined:
        return { text: line?.problem?.title ?? say.states.gone, good: false };
    }
  }

  private toggleSound(): void {
    if (this.panel === "sound") {
      this.panel = "";
      if (this.calls.length === 0) this.letGo();
    } else {
      this.panel = "sound";
      void this.openSound();
    }
  }

  private pad() {
    return html`
      <form class="dial" @submit=${(event: Event) => { event.preventDefault(); void this.call(this.typed); }}>
        <input id="to" .value=${this.typed} placeholder=${say.placeholder} aria-label=${say.placeholder} autocomplete="off"
          spellcheck="false" @input=${(event: Event) => { this.typed = (event.target as HTMLInputElement).value; }}>
        ${this.keys()}
        <button class="big good" id="call" ?disabled=${this.typed.trim() === "" || this.line?.state !== "open"}>${icons.call}${say.call}</button>
      </form>
    `;
  }

  private keys() {
    return html`<div class="keys" role="group" aria-label=${say.keypad}>${KEYS.map(([key, letters]) => html`
      <button type="button" class="key" aria-label=${key} @click=${() => void this.press(key)}><b>${key}</b><small>${letters}</small></button>`)}</div>`;
  }

  private face(call: Call, small = false) {
    const letters = call.name.split(/\s+/).map((word) => word[0] ?? "").slice(0, 2).join("").toUpperCase();
    // A number has no initials.
    return call.picture === ""
      ? html`<span class="face ${small ? "small" : ""}" aria-hidden="true">${/\p{L}/u.test(letters) ? letters : icons.person}</span>`
      : html`<img class="face ${small ? "small" : ""}" alt="" src=${call.picture}>`;
  }

  private standingWords(call: Call): string {
    const states = say.call_states;
    if (call.standing === "talking") {
      if (call.held) return states.held;
      if (call.theyHold) return states.theyHold;
      return clock(Date.now() - call.since);
    }
    return call.standing === "ended" ? call.why : states[call.standing];
  }

  private other(call: Call) {
    return html`
      <div class="other">
        ${this.face(call, true)}
        <span class="name">${call.name}</span>
        <span class="state">${this.standingWords(call)}</span>
        ${call.standing === "incoming"
          ? html`<button class="small good" @click=${() => void this.answer(call)}>${say.answer}</button>
              <button class="small bad" @click=${() => void this.hangUp(call)}>${say.decline}</button>`
          : html`<button class="small" @click=${() => void this.swap(call)}>${say.resume}</button>`}
      </div>
    `;
  }

  private async swap(call: Call): Promise<void> {
    const before = this.current;
    if (before?.standing === "talking" && !before.held) await this.tried(before.hold(true));
    this.current = call;
    if (call.held) await this.tried(call.hold(false));
    this.requestUpdate();
  }

  private shown(call: Call) {
    const address = call.name === call.peer ? "" : call.peer.replace(/^sips?:/i, "");
    return html`
      <div class="call ${call.standing}">
        ${this.face(call)}
        <h2>${call.name}</h2>
        <p class="address">${address}</p>
        <p class="standing ${call.held || call.theyHold ? "waits" : ""}" role="status" aria-live=${call.standing === "talking" ? "off" : "assertive"}>${this.standingWords(call)}</p>
        ${call.help === "" ? nothing : html`<p class="address"><a href=${call.help} target="_blank" rel="noopener">${say.help}</a></p>`}
        ${call.note === "" ? nothing : html`<p class="standing" role="status">${call.note}</p>`}
        ${call.silent ? html`<button class="small good" id="listen" @click=${() => void call.listen()}>${say.listen}</button>` : nothing}
        ${call.keys === "" ? nothing : html`<p class="heard" role="status">${say.heardKey}: <kbd>${call.keys}</kbd></p>`}
        ${this.panel === "keypad" ? this.keys() : nothing}
        ${this.panel === "transfer" ? this.transferPanel(call) : nothing}
        ${this.controls(call)}
        ${call.standing === "talking" && call.figures !== undefined
          ? html`<p class="figures" title=${say.quality}>${say.quality_words(call.figures)}</p>` : nothing}
      </div>
    `;
  }

  private controls(call: Call) {
    const flip = (panel: "keypad" | "transfer") => () => { this.panel = this.panel === panel ? "" : panel; };
    switch (call.standing) {
      case "incoming":
        return html`<div class="row">
          <button class="big bad" id="decline" @click=${() => void this.hangUp(call)}>${icons.end}${say.decline}</button>
          <button class="big good" id="answer" @click=${() => void this.answer(call)}>${icons.call}${say.answer}</button></div>`;
      case "talking":
        return html`<div class="tools" role="group">
          ${this.tool("mute", call.muted ? say.unmute : say.mute, icons.mute, call.muted, () => call.mute(!call.muted))}
          ${this.tool("hold", call.held ? say.resume : say.hold, icons.hold, call.held, () => void this.tried(call.hold(!call.held)))}
          ${this.tool("keypad", say.keypad, icons.keys, this.panel === "keypad", flip("keypad"))}
          ${this.tool("transfer", say.transfer, icons.transfer, this.panel === "transfer", flip("transfer"))}
          </div>
          <button class="big bad" id="hangup" @click=${() => void this.hangUp(call)}>${icons.end}${say.hangUp}</button>`;
      case "calling":
      case "ringing":
        return html`<button class="big bad" id="hangup" @click=${() => void this.hangUp(call)}>${icons.end}${say.hangUp}</button>`;
      case "ended":
        return nothing;
    }
  }

  private tool(id: string, label: string, icon: unknown, on: boolean, act: () => void) {
    return html`<button class="tool" id=${id} aria-pressed=${on} @click=${act}>${icon}<span>${label}</span></button>`;
  }

  private transferPanel(call: Call) {
    const others = this.calls.filter((one) => one !== call && one.standing === "talking");
    const give = (event: Event) => {
      event.preventDefault();
      const to = new FormData(event.target as HTMLFormElement).get("target");
      if (typeof to === "string" && to.trim() !== "") void this.transfer(call, { to: to.trim() });
    };
    return html`<form class="transfer" @submit=${give}>
      <label for="target">${say.transferTo}</label>
      <span class="row"><input id="target" name="target" autocomplete="off" placeholder=${say.placeholder}>
      <button class="small good">${say.transferNow}</button></span>
      ${others.map((other) => html`<button type="button" class="small" @click=${() => void this.transfer(call, { with: other.id })}>
        ${say.joinCalls} ${other.name}</button>`)}
    </form>`;
  }

  private soundPanel() {
    const list = (id: string, label: string, found: MediaDeviceInfo[], chosen: string, choose: (id: string) => void) => html`
      <label for=${id}>${label}</label>
      <select id=${id} @change=${(event: Event) => choose((event.target as HTMLSelectElement).value)}>
        ${found.map((one) => html`<option value=${one.deviceId} ?selected=${one.deviceId === chosen}>${one.label || label}</option>`)}
      </select>`;
    return html`<div class="sound">
      ${list("microphone", say.microphone, this.found.microphones, choice.microphone, (id) => {
        choice.microphone = id;
        void this.retrySound();
      })}
      <meter min="0" max="1" .value=${this.level?.level() ?? 0} aria-label=${say.level}></meter>
      ${list("speaker", say.speaker, this.found.speakers, choice.speaker, (id) => {
        choice.speaker = id;
        for (const call of this.calls) void call.chooseSpeaker();
      })}
      <label class="check"><input type="checkbox" id="clean" ?checked=${choice.clean} @change=${(event: Event) => {
        choice.clean = (event.target as HTMLInputElement).checked;
        void this.retrySound();
      }}> ${say.clean}</label>
      <button class="small" @click=${() => testTone()}>${say.testTone}</button>
    </div>`;
  }

  static override styles = [shared, css`
    :host { display: block; }
    .phone { background: var(--paper); border: 1px solid var(--line); border-radius: 20px; box-shadow: var(--shadow);
      padding: 1rem 1.25rem 1.5rem; width: 100%; max-width: 23rem; margin: 0 auto; }
    header { display: flex; align-items: center; gap: 0.5rem; min-height: 2.5rem; }
    .dot { width: 0.6rem; height: 0.6rem; border-radius: 50%; background: var(--bad); flex: none; }
    .dot.good { background: var(--good); }
    .who { font-weight: 650; }
    .state { color: var(--quiet); font-size: 0.85rem; flex: 1; min-width: 0; }
    .icon { border: 0; background: none; color: var(--quiet); padding: 0.4rem; border-radius: 10px; }
    .icon:hover { background: var(--bronze-soft); color: var(--ink); }
    svg { width: 1.25em; height: 1.25em; fill: currentColor; flex: none; }
    .dial { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; margin-top: 0.5rem; }
    #to { width: 100%; border: 0; border-bottom: 2px solid var(--line); border-radius: 0; background: none; text-align: center;
      font-size: 1.6rem; padding: 0.5rem 0; }
    #to:focus { border-color: var(--bronze); outline: none; }
    .keys { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0.6rem; justify-items: center; margin: 0.25rem auto; }
    .key { width: 4.4rem; height: 4.4rem; border-radius: 50%; border: 1px solid var(--line); background: var(--raised);
      display: grid; place-content: center; padding: 0; transition: background 120ms; }
    .key:hover { background: var(--bronze-soft); }
    .key:active { background: var(--line); }
    .key b { font: 500 1.5rem/1.1 var(--sans); }
    .key small { font-size: 0.6rem; letter-spacing: 0.14em; color: var(--quiet); min-height: 0.8em; }
    .big { display: flex; gap: 0.6rem; align-items: center; justify-content: center; width: 100%; padding: 0.85rem 1rem;
      border: 0; border-radius: 999px; font-weight: 650; color: #fff; }
    .big.good { background: #1c7c4a; } .big.bad { background: #b3261e; }
    .big:hover:not(:disabled) { filter: brightness(1.1); }
    .big:disabled { background: var(--line); color: var(--quiet); }
    .row { display: flex; gap: 0.75rem; width: 100%; }
    .call { display: grid; justify-items: center; text-align: center; gap: 0.25rem; padding-top: 1rem; }
    .face { width: 6.5rem; height: 6.5rem; border-radius: 50%; background: var(--bronze-soft); color: var(--bronze); object-fit: cover;
      display: grid; place-content: center; font: 500 2.1rem/1 var(--serif); }
    .face.small { width: 2.2rem; height: 2.2rem; font-size: 0.9rem; }
    .incoming .face { animation: ring 1.6s ease-in-out infinite; }
    @keyframes ring { 50% { box-shadow: 0 0 0 10px var(--bronze-soft); } }
    @media (prefers-reduced-motion: reduce) { .incoming .face { animation: none; } }
    h2 { font: 500 1.6rem/1.2 var(--serif); margin: 0.75rem 0 0; overflow-wrap: anywhere; }
    .address { color: var(--quiet); margin: 0; font-size: 0.85rem; overflow-wrap: anywhere; }
    .standing { margin: 0.25rem 0 0.5rem; color: var(--quiet); font-variant-numeric: tabular-nums; }
    .talking .standing { color: var(--good); }
    .talking .standing.waits { color: var(--quiet); }
    .calling .big, .ringing .big { margin-top: 0.75rem; }
    .heard { margin: 0 0 0.5rem; color: var(--quiet); }
    kbd { font: 600 1rem var(--mono); color: var(--ink); letter-spacing: 0.15em; }
    .figures { color: var(--quiet); font-size: 0.78rem; margin: 0.75rem 0 0; font-variant-numeric: tabular-nums; }
    .tools { display: grid; grid-template-columns: repeat(4, 1fr); gap: 0.5rem; width: 100%; margin: 0.75rem 0 1.25rem; }
    .tool { display: grid; justify-items: center; gap: 0.35rem; border: 0; background: none; padding: 0.35rem 0; font-size: 0.8rem;
      color: var(--ink); border-radius: 12px; }
    .tool svg { box-sizing: content-box; padding: 0.85rem; width: 1.3rem; height: 1.3rem; border-radius: 50%; background: var(--raised);
      border: 1px solid var(--line); }
    .tool:hover svg { background: var(--bronze-soft); }
    .tool[aria-pressed="true"] svg { background: var(--bronze); color: var(--on-bronze); border-color: var(--bronze); }
    .call > .row { margin-top: 1rem; }
    .other { display: flex; align-items: center; gap: 0.5rem; border: 1px solid var(--line); border-radius: 12px; padding: 0.4rem 0.6rem;
      margin-top: 0.5rem; background: var(--raised); }
    .other .name { font-weight: 600; }
    .transfer { display: grid; gap: 0.4rem; width: 100%; text-align: left; margin: 0.5rem 0; }
    .transfer input { flex: 1; min-width: 0; }
    .sound { display: grid; gap: 0.4rem; border-top: 1px solid var(--line); margin-top: 1.25rem; padding-top: 1rem; font-size: 0.9rem; }
    .sound .small { justify-self: start; }
    .sound label { color: var(--quiet); }
    select { width: 100%; }
    meter { width: 100%; height: 0.7rem; }
    .check { display: flex; gap: 0.5rem; align-items: center; }
    .notice { background: var(--bronze-soft); border-radius: 12px; padding: 0.6rem 0.8rem; font-size: 0.88rem; margin: 1rem 0 0; }
    .notice.bad { background: var(--bad-soft); }
  `];
}

/** `1:05`, `1:00:05` */
function clock(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1_000));
  const two = (number: number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

const drawn = (path: string) => html`<svg viewBox="0 0 24 24" aria-hidden="true"><path d=${path}></path></svg>`;

const icons = {
  person: drawn("M12 12.500a4.500 4.500 0 1 0 0-9 4.500 4.500 0 0 0 0 9zm0 2c-4.200 0-8 2.200-8 5V21h16v-1.500c0-2.800-3.800-5-8-5z"),
  call: drawn("M6.6 10.8a15 15 0 0 0 6.6 6.6l2.2-2.2c.3-.3.7-.4 1-.2 1.100.4 2.300.6 3.600.6.600 0 1 .4 1 1V20c0 .6-.4 1-1 1A17 17 0 0 1 3 4c0-.6.4-1 1-1h3.500c.6 0 1 .4 1 1 0 1.300.2 2.500.6 3.600.1.3 0 .7-.2 1z"),
  end: drawn("M12 9c-1.600 0-3.200.3-4.600.7v3.100c0 .4-.2.7-.6.9-1 .5-1.900 1.100-2.700 1.800-.4.4-1 .4-1.400 0L.3 13.100c-.4-.4-.4-1 0-1.400A17 17 0 0 1 12 7c4.600 0 8.700 1.800 11.700 4.700.4.4.4 1 0 1.400l-2.400 2.400c-.4.4-1 .4-1.400 0-.8-.7-1.700-1.300-2.700-1.800-.4-.2-.6-.5-.6-.9V9.700C15.200 9.300 13.600 9 12 9z"),
  mute: drawn("M12 14a3 3 0 0 0 3-3V5a3 3 0 0 0-6 0v6a3 3 0 0 0 3 3zm5-3a5 5 0 0 1-10 0H5a7 7 0 0 0 6 6.900V21h2v-3.100A7 7 0 0 0 19 11z"),
  hold: drawn("M7 5h3.500v14H7zm6.500 0H17v14h-3.500z"),
  keys: drawn("M5 3h3v3H5zm5.500 0h3v3h-3zM16 3h3v3h-3zM5 8.500h3v3H5zm5.500 0h3v3h-3zm5.500 0h3v3h-3zM5 14h3v3H5zm5.500 0h3v3h-3zm5.500 0h3v3h-3zm-5.500 5.500h3v3h-3z"),
  transfer: drawn("M14 4l6 6-6 6v-4H9a4 4 0 0 0-4 4v3H3v-3a6 6 0 0 1 6-6h5z"),
  sound: drawn("M4 7h9.200a3 3 0 0 1 5.600 0H20v2h-1.200a3 3 0 0 1-5.600 0H4zm0 8h1.200a3 3 0 0 1 5.600 0H20v2h-9.200a3 3 0 0 1-5.600 0H4z"),
};

customElements.define("carillon-phone", CarillonPhone);
