// What a tab remembers of its phone while it has calls: a page that is loaded again, or comes back from a crash, takes
// them up. It is kept for the tab alone, and a tab that was copied from another one leaves the other its calls.

/** A call, as far as the server does not know it. */
export interface Remembered {
  id: string;
  peer: string;
  name: string;
  picture: string;
  outgoing: boolean;
  since: number;
  held: boolean;
  muted: boolean;
  /** The kinds of its sections, in order: whoever offers anew must not drop one. */
  kinds: string[];
}

export interface Before {
  session: string;
  calls: Remembered[];
}

/** How long the page of before may take to be gone. Units: ms. */
const GONE_MAX = 1_000;

export class Memory {
  private readonly place: string;
  /** Lets go of the session that this page holds. */
  private release: () => void = () => undefined;
  private held = "";

  constructor(server: string) {
    this.place = `carillon.phone ${server}`;
  }

  /** What the page of before left, if it was this tab's and is gone. */
  async before(): Promise<Before | undefined> {
    const text = sessionStorage.getItem(this.place);
    if (text === null) return undefined;
    const before = JSON.parse(text) as Before;
    if (await this.hold(before.session)) return before;
    this.forget();
    return undefined;
  }

  keep(session: string, calls: Remembered[]): void {
    if (calls.length === 0) return this.forget();
    sessionStorage.setItem(this.place, JSON.stringify({ session, calls }));
    void this.hold(session);
  }

  forget(): void {
    sessionStorage.removeItem(this.place);
  }

  /** Whether the session is this page's alone, from now on and for as long as it lives. */
  private hold(session: string): Promise<boolean> {
    const { locks } = navigator;
    if (locks === undefined || this.held === session) return Promise.resolve(true);
    this.release();
    this.held = session;
    return new Promise((done) => {
      const patience = new AbortController();
      const timer = window.setTimeout(() => patience.abort(), GONE_MAX);
      const mine = () => {
        window.clearTimeout(timer);
        done(true);
        return new Promise<void>((release) => { this.release = release; });
      };
      locks.request(`carillon.phone ${session}`, { signal: patience.signal }, mine).catch(() => {
        this.held = "";
        done(false);
      });
    });
  }
}
