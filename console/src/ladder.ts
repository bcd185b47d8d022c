// <carillon-ladder>: what was said in one call, in order, with times.
//
//   <carillon-ladder call="call_…"></carillon-ladder>      read from the server of the page
//   element.rungs = [...]                                  or given
//
// `live` reads again once a second.

import { LitElement, css, html, nothing, svg } from "lit";

import { api, short, type Rung } from "./api.js";
import { shared } from "./styles.js";
import { words } from "./words.js";

/** Between two readings of a live call. Units: ms. */
const AGAIN = 1_000;
/** Width of one column and of a row. Units of the drawing. */
const COLUMN = 170;
const ROW = 34;

export class CarillonLadder extends LitElement {
  static override properties = {
    call: { type: String },
    live: { type: Boolean },
    rungs: { attribute: false },
    chosen: { state: true },
    problem: { state: true },
  };

  declare call: string;
  declare live: boolean;
  declare rungs: Rung[];
  declare chosen: number;
  declare problem: string;
  private timer = 0;

  constructor() {
    super();
    this.call = "";
    this.live = false;
    this.rungs = [];
    this.chosen = -1;
    this.problem = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = window.setInterval(() => { if (this.live) void this.read(); }, AGAIN);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.clearInterval(this.timer);
  }

  protected override updated(changed: Map<string, unknown>): void {
    if (changed.has("call") && this.call !== "") {
      this.chosen = -1;
      this.rungs = [];
      void this.read();
    } else if (changed.get("live") === true) {
      void this.read();
    }
  }

  private async read(): Promise<void> {
    const call = this.call;
    try {
      const ladder = await api.get<{ items: Rung[] }>(`/v1/calls/${encodeURIComponent(call)}/ladder`);
      if (call !== this.call) return;
      if (ladder.items.length !== this.rungs.length) this.rungs = ladder.items;
      this.problem = "";
    } catch {
      this.problem = this.rungs.length === 0 ? words.ladder.none : words.ladder.unreachable;
    }
  }

  /** Who speaks, in the order of their first words; we stand in the middle of two. */
  private columns(): string[] {
    const peers: string[] = [];
    for (const rung of this.rungs) {
      if (rung.peer !== undefined && !peers.includes(rung.peer)) peers.push(rung.peer);
    }
    peers.splice(Math.min(1, peers.length), 0, "");
    return peers;
  }

  /** The user whom a peer's messages are about. */
  private name(peer: string): string {
    if (peer === "") return words.ladder.server;
    for (const { peer: one, lane, text } of this.rungs) {
      if (one !== peer || /^SIP\/2\.0/.test(text)) continue;
      const header = new RegExp(lane === "sip_in" ? "^From:(.*)$" : "^To:(.*)$", "im").exec(text);
      if (header?.[1] !== undefined) return short(header[1].trim());
    }
    return peer;
  }

  override render() {
    if (this.rungs.length === 0) return html`<p class="none">${this.problem}</p>`;
    const columns = this.columns();
    const width = Math.max(columns.length, 2) * COLUMN;
    const place = (peer: string | undefined) => (columns.indexOf(peer ?? "") + 0.5) * COLUMN;
    const begin = this.rungs[0]?.micros ?? 0;
    const told = this.rungs[this.chosen];
    return html`
      <div class="frame">
        <div class="heads" aria-hidden="true"><span></span>
          <svg viewBox="0 0 ${width} 40" width=${width} height="40">${columns.map((peer) => svg`
            <text x=${place(peer)} y="17" class="who">${this.name(peer)}</text>
            <text x=${place(peer)} y="33" class="where">${peer.replace(/#\d+$/, "")}</text>`)}</svg></div>
        <ol>${this.rungs.map((rung, at) => this.rung(rung, at, columns, width, place, begin))}</ol>
      </div>
      <section class="message" aria-live="polite" aria-label=${words.ladder.message}>
        ${told === undefined ? html`<p class="none">${words.ladder.choose}</p>` : html`<pre tabindex="0">${told.text}</pre>`}
      </section>
      ${this.problem === "" ? nothing : html`<p class="none">${this.problem}</p>`}
    `;
  }

  private rung(rung: Rung, at: number, columns: string[], width: number, place: (peer: string | undefined) => number, begin: number) {
    const [title, tone] = headline(rung);
    const after = ((rung.micros - begin) / 1_000).toFixed(0);
    const out = rung.lane === "sip_out";
    const [left, right] = [place(""), place(rung.peer)];
    const [from, to] = out ? [left, right] : [right, left];
    const tip = to > from ? -7 : 7;
    const spoken = `${after} ms, ${rung.lane.startsWith("sip") ? (out ? `to ${this.name(rung.peer ?? "")}` : `from ${this.name(rung.peer ?? "")}`) : rung.lane}: ${title}`;
    return html`<li>
      <button aria-label=${spoken} aria-pressed=${at === this.chosen} @click=${() => { this.chosen = at; }} @keydown=${(event: KeyboardEvent) => this.walk(event, at)}>
        <time>+${after} ms</time>
        <svg viewBox="0 0 ${width} ${ROW}" width=${width} height=${ROW} aria-hidden="true" class=${tone}>
          ${columns.map((peer) => svg`<line class="life" x1=${place(peer)} x2=${place(peer)} y1="0" y2=${ROW}></line>`)}
          ${rung.peer === undefined
            ? svg`<rect x=${left - 6} y="9" width="12" height="12" rx="6" class="note"></rect><text x=${left + 14} y="19" class="beside">${title}</text>`
            : svg`<text x=${(from + to) / 2} y="14" class="title">${title}</text>
                <line class="arrow" x1=${from} x2=${to} y1="24" y2="24"></line>
                <path class="tip" d="M${to} 24 l${tip} -4.500 v9 z"></path>`}
        </svg>
      </button></li>`;
  }

  private walk(event: KeyboardEvent, at: number): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    this.renderRoot.querySelectorAll<HTMLButtonElement>("li button")[at + step]?.focus();
  }

  static override styles = [shared, css`
    :host { display: block; }
    .frame { overflow-x: auto; border: 1px solid var(--line); border-radius: 14px; background: var(--paper); }
    .heads { display: grid; grid-template-columns: 5.5rem max-content; border-bottom: 1px solid var(--line); padding: 0.5rem 0.75rem;
      position: sticky; top: 0; width: max-content; min-width: 100%; }
    ol { list-style: none; margin: 0; padding: 0.25rem 0; width: max-content; min-width: 100%; }
    li button { display: grid; grid-template-columns: 5.5rem max-content; align-items: center; width: 100%; border: 0; background: none;
      padding: 0 0.75rem; text-align: left; }
    li button:hover, li button[aria-pressed="true"] { background: var(--bronze-soft); }
    li button:focus-visible { outline-offset: -2px; }
    time { color: var(--quiet); font: 0.75rem var(--mono); }
    svg { display: block; overflow: visible; }
    text { fill: var(--ink); font: 500 12.500px var(--sans); text-anchor: middle; }
    .who { font-weight: 650; font-size: 14px; }
    .where { fill: var(--quiet); font: 10px var(--mono); }
    .beside { text-anchor: start; fill: var(--quiet); }
    .life { stroke: var(--line); stroke-width: 1.500; }
    .arrow { stroke: var(--bronze); stroke-width: 1.500; }
    .tip, .note { fill: var(--bronze); }
    .good .arrow { stroke: var(--good); } .good .tip { fill: var(--good); }
    .bad .arrow { stroke: var(--bad); } .bad .tip, .bad .note { fill: var(--bad); }
    .quiet .arrow { stroke: var(--quiet); } .quiet .tip, .quiet .note { fill: var(--quiet); }
    .message { margin-top: 1rem; }
    pre { margin: 0; max-height: 26rem; overflow: auto; background: var(--paper); border: 1px solid var(--line); border-radius: 14px;
      padding: 0.9rem 1rem; font: 0.8rem/1.55 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere; }
    .none { color: var(--quiet); margin: 0.75rem 0; }
  `];
}

/** What a line is about, and its colour. */
function headline(rung: Rung): [string, string] {
  const first = rung.text.split("\r\n", 1)[0]?.split("\n", 1)[0] ?? "";
  const answer = /^SIP\/2\.0 (\d)(\d\d) (.*)$/.exec(first);
  if (answer !== null) {
    const [, hundred = "", rest = "", phrase = ""] = answer;
    const tone = hundred === "2" ? "good" : hundred === "1" ? "quiet" : "bad";
    return [`${hundred}${rest} ${phrase}`, tone];
  }
  const request = /^([A-Z]+) (\S+) SIP\/2\.0$/.exec(first);
  if (request !== null) {
    const [, method = "", to = ""] = request;
    const sdp = rung.text.includes("\nm=audio") ? " (SDP)" : "";
    return [method === "ACK" ? method : `${method} ${short(to).slice(0, 18)}${sdp}`, ""];
  }
  return [first.length > 60 ? `${first.slice(0, 59)}…` : first, rung.lane === "refusal" ? "bad" : "quiet"];
}

customElements.define("carillon-ladder", CarillonLadder);
