// The console: who is signed in, which page is shown. The phone stays while pages change, so that no call ends by a click.

import { LitElement, css, html, nothing } from "lit";

import "./calls.js";
import "./home.js";
import "./ladder.js";
import "./phone.js";
import { Refused, api, type Who } from "./api.js";
import { shared } from "./styles.js";
import { Waker } from "./waking.js";
import { words } from "./words.js";

type Page = "home" | "phone" | "calls";

class CarillonConsole extends LitElement {
  private who: Who | undefined;
  private asked = false;
  private problem = "";
  private incoming = "";
  private unwoken = "";
  private readonly waker = new Waker(() => this.requestUpdate());

  override connectedCallback(): void {
    super.connectedCallback();
    void this.ask();
    window.addEventListener("hashchange", this.turn);
    // A notification was clicked while this page was open.
    navigator.serviceWorker?.addEventListener("message", (event: MessageEvent<{ place?: string }>) => {
      if (event.data.place !== undefined) location.hash = event.data.place;
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    window.removeEventListener("hashchange", this.turn);
  }

  private readonly turn = (): void => {
    this.requestUpdate();
  };

  private async ask(): Promise<void> {
    try {
      const who = await api.get<Who>("/v1/session");
      this.who = who.user !== null || who.admin ? who : undefined;
    } catch (error) {
      this.who = undefined;
      this.problem = error instanceof Refused ? error.problem.title : String(error);
    }
    const key = this.who?.push_key ?? null;
    await this.waker.look(typeof this.who?.user === "string", key);
    this.asked = true;
    this.requestUpdate();
    await this.wake(this.waker.keep(key));
  }

  /** Shows why calls do not wake this browser. */
  private async wake(work: Promise<void>): Promise<void> {
    this.unwoken = "";
    try {
      await work;
    } catch (error) {
      const why = error instanceof Refused ? [error.problem.title, error.problem.fix].join(" ") : error instanceof Error ? error.message : String(error);
      this.unwoken = `${words.waking.failed} ${why}`;
    }
    this.requestUpdate();
  }

  private get place(): { page: Page; more: string; act: string } {
    const [, page = "", more = "", act = ""] = location.hash.split("/");
    const open: Page[] = this.who?.admin === true ? ["home", "phone", "calls"] : ["phone"];
    const known = open.find((one) => one === page);
    return { page: known ?? open[0] ?? "phone", more, act };
  }

  private called(event: CustomEvent<{ standing: string; peer: string }>): void {
    const { standing, peer } = event.detail;
    this.incoming = standing === "incoming" ? peer : "";
    document.title = standing === "incoming" ? `☎ ${peer}` : words.title;
    if (standing === "incoming" && this.place.page !== "phone") location.hash = "#/phone";
    this.requestUpdate();
  }

  private async signOut(): Promise<void> {
    await this.waker.end().catch(() => undefined);
    await api.remove("/v1/session").catch(() => undefined);
    location.hash = "";
    await this.ask();
  }

  override render() {
    if (!this.asked) return nothing;
    if (this.who === undefined) return this.outside();
    const { page, more, act } = this.place;
    const pages: Page[] = this.who.admin ? ["home", "phone", "calls"] : ["phone"];
    return html`
      <a class="skip" href="#main" @click=${(event: Event) => { event.preventDefault(); this.renderRoot.querySelector<HTMLElement>("main")?.focus(); }}>${words.nav.skip}</a>
      <header>
        <a class="brand" href="#/">${bell}<span>${words.title}</span></a>
        <nav aria-label=${words.title}>${pages.map((one) => html`
          <a href="#/${one}" aria-current=${one === page ? "page" : "false"}>${words.nav[one]}${one === "phone" && this.incoming !== "" ? html`<span class="dot"></span>` : nothing}</a>`)}
        </nav>
        <span class="end"><a href="/help">${words.nav.help}</a>
          <button class="link" @click=${() => void this.signOut()}>${words.signOut}</button></span>
      </header>
      <main tabindex="-1">
        ${page === "home" ? html`<carillon-home></carillon-home>` : nothing}
        ${page === "calls" ? html`<carillon-calls chosen=${more}></carillon-calls>` : nothing}
        ${this.who.user === null ? nothing : html`
          <div ?hidden=${page !== "phone"}>
            <carillon-phone push=${this.waker.endpoint} answering=${page === "phone" && act === "answer" ? more : ""} @call=${this.called}></carillon-phone>
            ${this.waking()}
          </div>`}
      </main>
    `;
  }

  /** Whether calls reach this browser when no page is open, and how that is changed. */
  private waking() {
    const say = words.waking;
    const { state } = this.waker;
    if (state === "unavailable") return nothing;
    const key = this.who?.push_key ?? null;
    const act = state === "on" ? () => this.wake(this.waker.turnOff()) : () => this.wake(this.waker.turnOn(key));
    return html`<p class="waking" id="waking" role="status">${say[state]}
      ${state === "denied" ? nothing : html`<button class="link" id="wake" @click=${() => void act()}>${state === "on" ? say.turnOff : say.turnOn}</button>`}
      ${this.unwoken === "" ? nothing : html`<span role="alert">${this.unwoken}</span>`}</p>`;
  }

  private outside() {
    const say = words.signedOut;
    return html`<main class="outside">
      ${bell}
      <h1>${say.title}</h1>
      <p>${say.text}</p>
      <pre>${say.command}</pre>
      <p><a href="/sign-in">${say.other}</a> · <a href="/help">${words.nav.help}</a></p>
      ${this.problem === "" ? nothing : html`<p role="alert">${this.problem}</p>`}
    </main>`;
  }

  static override styles = [shared, css`
    :host { display: block; min-height: 100vh; }
    header { display: flex; flex-wrap: wrap; align-items: center; gap: 0.5rem 1.5rem; max-width: 76rem; margin: 0 auto; padding: 1rem 1.5rem; }
    .brand { display: flex; align-items: center; gap: 0.55rem; font: 500 1.25rem var(--serif); color: inherit; text-decoration: none; }
    svg { width: 1.7rem; height: 1.7rem; fill: var(--bronze); }
    nav { display: flex; gap: 0.25rem; flex: 1; }
    nav a { position: relative; padding: 0.4rem 0.95rem; border-radius: 999px; color: var(--quiet); text-decoration: none; font-weight: 550; }
    nav a:hover { color: var(--ink); background: var(--bronze-soft); }
    nav a[aria-current="page"] { color: var(--ink); background: var(--bronze-soft); }
    .dot { display: inline-block; width: 0.5rem; height: 0.5rem; border-radius: 50%; background: var(--good); margin-left: 0.4rem; }
    .end { display: flex; gap: 1.25rem; font-size: 0.9rem; }
    @media (max-width: 40rem) { .brand { flex: 1; } nav { order: 3; flex-basis: 100%; } header { padding: 0.9rem 1.1rem 0; } main { padding: 1rem 1.1rem 3rem; } }
    main { max-width: 76rem; margin: 0 auto; padding: 1.25rem 1.5rem 4rem; outline: none; }
    .outside { max-width: 34rem; padding-top: 14vh; }
    .outside svg { width: 3rem; height: 3rem; }
    h1 { font: 500 2.2rem/1.2 var(--serif); margin: 0.75rem 0; }
    pre { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; padding: 0.8rem 1rem; font: 0.9rem var(--mono); overflow-x: auto; }
    .waking { max-width: 23rem; margin: 1rem auto 0; padding: 0 0.5rem; color: var(--quiet); font-size: 0.88rem; text-align: center; }
    .skip { position: absolute; left: -99rem; } .skip:focus { left: 1rem; top: 0.5rem; background: var(--paper); padding: 0.5rem; }
    [hidden] { display: none; }
  `];
}

const bell = html`<svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 3a2 2 0 0 1 2 2v.6c4 .9 6.600 4.300 6.600 8.700 0 5.400 1.300 7.300 3.100 9.200.9 1 .3 2.500-1.100 2.500H5.400c-1.400 0-2-1.500-1.100-2.500 1.800-1.900 3.100-3.800 3.100-9.200 0-4.400 2.600-7.800 6.600-8.700V5a2 2 0 0 1 2-2z"></path><circle cx="16" cy="28" r="2.600"></circle></svg>`;

customElements.define("carillon-console", CarillonConsole);
