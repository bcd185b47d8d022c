// The first page: who talks, who can be reached, what failed lately.

import { LitElement, css, html } from "lit";

import { api, follow, short, type LiveCall } from "./api.js";
import { ending, good, type PastCall } from "./calls.js";
import { shared } from "./styles.js";
import { words } from "./words.js";

interface Person {
  name: string;
  display_name?: string | null;
}

/** Problems on the first page. */
const PROBLEMS = 10;

class CarillonHome extends LitElement {
  private live: LiveCall[] = [];
  private failed: PastCall[] = [];
  private any = false;
  private people: Person[] = [];
  private reachable = new Map<string, number>();
  private parts: [string, string][] = [];
  private ready = true;
  private unfollow: (() => void) | undefined;

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
    const list = <T>(path: string) => api.get<{ items: T[] }>(path).then((list) => list.items, () => []);
    const [live, records, people, bindings, state] = await Promise.all([
      list<LiveCall>("/v1/calls"),
      list<PastCall>("/v1/records"),
      list<Person>("/v1/users"),
      list<{ user: string }>("/v1/bindings"),
      fetch("/readyz").then((answer) => answer.json() as Promise<{ ready: boolean; parts: Record<string, string> }>).catch(() => undefined),
    ]);
    this.live = live;
    this.any = records.length > 0;
    this.failed = records.filter((call) => !good(call)).sort((a, b) => (a.began_at < b.began_at ? 1 : -1)).slice(0, PROBLEMS);
    this.people = people;
    this.reachable = new Map();
    for (const { user } of bindings) this.reachable.set(user, (this.reachable.get(user) ?? 0) + 1);
    this.ready = state?.ready ?? false;
    this.parts = Object.entries(state?.parts ?? {});
    this.requestUpdate();
  }

  override render() {
    const say = words.home;
    return html`
      <h1>${say.title}</h1>
      <div class="cards">
        <section>
          <h2>${say.live}</h2>
          ${this.live.length === 0 ? html`<p class="none">${say.noLive}</p>` : html`<ul>${this.live.map((call) => html`
            <li><a href="#/calls/${call.id}"><b>${short(call.from)} → ${short(call.to)}</b> <span class="good">${call.state}</span></a></li>`)}</ul>`}
        </section>
        <section>
          <h2>${say.people}</h2>
          <ul>${this.people.map((one) => html`<li><span class="dot ${this.reachable.has(one.name) ? "good" : ""}" aria-hidden="true"></span>
            <b>${one.name}</b> ${one.display_name ?? ""}
            <span class="quiet">${this.reachable.has(one.name) ? say.reachable : say.away}</span></li>`)}</ul>
        </section>
        ${this.any || this.live.length > 0 ? html`
        <section>
          <h2>${say.problems}</h2>
          ${this.failed.length === 0 ? html`<p class="none">${say.noProblems}</p>` : html`<ul>${this.failed.map((call) => html`
            <li><a href="#/calls/${call.id}"><b>${short(call.from)} → ${short(call.to)}</b> <span class="bad">${ending(call)}</span></a></li>`)}</ul>`}
        </section>` : html`
        <section>
          <h2>${say.first}</h2>
          <ol>${say.steps.map((step) => html`<li>${step.split("`").map((part, at) => (at % 2 === 1 ? html`<code>${part}</code>` : part))}</li>`)}</ol>
        </section>`}
        <section>
          <h2>${say.parts} <b class=${this.ready ? "good" : "bad"}>${this.ready ? say.ready : say.notReady}</b></h2>
          <ul class="parts">
            ${this.parts.map(([name, state]) => html`<li><b>${name}</b> <span class="quiet">${state}</span></li>`)}</ul>
        </section>
      </div>
    `;
  }

  static override styles = [shared, css`
    h1 { font: 500 2rem/1.2 var(--serif); margin: 0 0 1.25rem; }
    h2 { font-size: 1rem; margin: 0 0 0.6rem; }
    .cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.25rem; }
    @media (max-width: 52rem) { .cards { grid-template-columns: minmax(0, 1fr); } }
    .parts { display: flex; flex-wrap: wrap; gap: 0.4rem; }
    .parts li { border: 1px solid var(--line); border-radius: 999px; padding: 0.1rem 0.75rem; font-size: 0.9rem; }
    code { font: 0.85em var(--mono); background: var(--bronze-soft); border-radius: 6px; padding: 0.1em 0.4em; white-space: nowrap; }
    section { background: var(--paper); border: 1px solid var(--line); border-radius: 18px; padding: 1.1rem 1.35rem 1.25rem; }
    ul { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.35rem; }
    ol { margin: 0; padding-left: 1.2rem; display: grid; gap: 0.5rem; }
    li a { color: inherit; text-decoration: none; } li a:hover { text-decoration: underline; }
    .dot { display: inline-block; width: 0.55rem; height: 0.55rem; border-radius: 50%; border: 1.5px solid var(--quiet); margin-right: 0.35rem; }
    .dot.good { background: var(--good); border-color: var(--good); }
    b { font-weight: 600; } .quiet, .none { color: var(--quiet); } .none { margin: 0; }
    .good { color: var(--good); } .bad { color: var(--bad); }
  `];
}

customElements.define("carillon-home", CarillonHome);
