// The page of calls: live ones, past ones, and the ladder of one.

import { LitElement, css, html, nothing } from "lit";

import { api, follow, short, type LiveCall } from "./api.js";
import { shared } from "./styles.js";
import { words } from "./words.js";

export interface PastCall {
  id: string;
  from: string;
  to: string;
  from_name?: string;
  began_at: string;
  outcome: string;
  status: number;
  refusal: string;
  talk_seconds: number;
}

class CarillonCalls extends LitElement {
  static override properties = { chosen: { type: String } };

  declare chosen: string;
  private live: LiveCall[] = [];
  private past: PastCall[] = [];
  private problem = "";
  private unfollow: (() => void) | undefined;

  constructor() {
    super();
    this.chosen = "";
  }

  override connectedCallback(): void {
    super.connectedCallback();
    void this.read();
    this.unfollow = follow(() => void this.read());
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.unfollow?.();
  }

  private async read(): Promise<void> {
    try {
      const [live, past] = await Promise.all([
        api.get<{ items: LiveCall[] }>("/v1/calls"),
        api.get<{ items: PastCall[] }>("/v1/records"),
      ]);
      this.live = live.items;
      const running = new Set(live.items.map((call) => call.id));
      this.past = past.items.filter((call) => !running.has(call.id)).sort((a, b) => (a.began_at < b.began_at ? 1 : -1)).slice(0, 100);
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.requestUpdate();
  }

  override render() {
    const running = this.live.some((call) => call.id === this.chosen);
    const none = this.live.length + this.past.length === 0;
    return html`
      <h1>${words.calls.title}</h1>
      ${this.problem === "" ? nothing : html`<p class="none" role="alert">${this.problem}</p>`}
      <div class="two">
        <nav aria-label=${words.calls.title}>
          ${none ? html`<p class="none">${words.calls.none}</p>` : nothing}
          ${this.live.length === 0 ? nothing : html`<h2>${words.calls.live}</h2>
            <ul>${this.live.map((call) => this.row(call.id, call.from, call.to, call.state, "live"))}</ul>`}
          ${this.past.length === 0 ? nothing : html`<h2>${words.calls.past}</h2>
            <ul>${this.past.map((call) => this.row(call.id, call.from, call.to, ending(call), good(call) ? "" : "bad"))}</ul>`}
        </nav>
        <section aria-label=${words.calls.ladder}>
          ${this.chosen === "" ? html`<p class="none">${words.calls.choose}</p>` : html`
            <carillon-ladder call=${this.chosen} ?live=${running}></carillon-ladder>
            ${running ? html`<button class="small" @click=${() => void api.remove(`/v1/calls/${this.chosen}`)}>${words.calls.hangUp}</button>` : nothing}`}
        </section>
      </div>
    `;
  }

  private row(id: string, from: string, to: string, state: string, tone: string) {
    return html`<li><a href="#/calls/${id}" aria-current=${id === this.chosen ? "true" : "false"}>
      <span class="pair">${short(from)} <span class="to" aria-label="to">→</span> ${short(to)}</span>
      <span class="state ${tone}">${state}</span></a></li>`;
  }

  static override styles = [shared, css`
    h1 { font: 500 2rem/1.2 var(--serif); margin: 0 0 1rem; }
    h2 { font-size: 0.8rem; color: var(--quiet); margin: 1rem 0 0.4rem; font-weight: 600; }
    .two { display: grid; grid-template-columns: minmax(14rem, 19rem) minmax(0, 1fr); gap: 1.75rem; align-items: start; }
    @media (max-width: 52rem) { .two { grid-template-columns: minmax(0, 1fr); } }
    ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.3rem; }
    a { display: grid; gap: 0.1rem; padding: 0.5rem 0.8rem; border-radius: 12px; color: inherit; text-decoration: none;
      border: 1px solid transparent; }
    a:hover { background: var(--paper); border-color: var(--line); }
    a[aria-current="true"] { background: var(--paper); border-color: var(--bronze); }
    .pair { font-weight: 600; } .to { color: var(--quiet); font-weight: 400; }
    .state { color: var(--quiet); font-size: 0.85rem; }
    .state.live { color: var(--good); } .state.bad { color: var(--bad); }
    .none { color: var(--quiet); }
    section .small { margin-top: 1rem; }
  `];
}

export function good(call: PastCall): boolean {
  return call.outcome === "answered";
}

/** How a call went and when, in a few words. */
export function ending(call: PastCall): string {
  const when = new Date(call.began_at);
  const today = when.toDateString() === new Date().toDateString();
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const shown = today ? time : `${when.toLocaleDateString()} ${time}`;
  const talked = `${Math.floor(call.talk_seconds / 60)}:${String(call.talk_seconds % 60).padStart(2, "0")}`;
  return good(call) ? `${shown} · ${talked}` : `${shown} · ${call.outcome} ${call.refusal === "" ? call.status || "" : call.refusal}`;
}

customElements.define("carillon-calls", CarillonCalls);
