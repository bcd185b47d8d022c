// The line to the server: JSON over one WebSocket (docs/phone.md), which comes back by itself when it is lost.

import type { Problem } from "./api.js";

export type State = "connecting" | "open" | "lost" | "gone" | "replaced";

export interface Heard {
  event: string;
  n: number;
  id?: number;
  call?: string;
  sdp?: string;
  [field: string]: unknown;
}

/** A call that the server has kept while this phone's page was loaded again. */
export interface Kept {
  call: string;
  standing: "calling" | "incoming" | "talking";
  peer: string;
  name?: string;
  picture?: string;
  sdp?: string;
}

export interface Welcome {
  session: string;
  user: string;
  resumed: boolean;
  calls: number;
  grace: number;
  after: number;
  kept?: Kept[];
}

interface Waiting {
  done: (call: string | undefined) => void;
  fail: (problem: Problem) => void;
}

const PROTOCOL = "carillon.phone.1";
/** Between two tries, growing. Units: ms. */
const AGAIN_MIN = 250;
const AGAIN_MAX = 5_000;
/** How long a command may wait for its answer. Units: ms. */
const ANSWER_MAX = 20_000;

/** One phone's line. `told` hears events in order, `changed` how the line is. */
export class Line {
  state: State = "gone";
  problem: Problem | undefined;
  private socket: WebSocket | undefined;
  session: string | undefined;
  /** Unknown to a page that was loaded again. */
  private after: number | undefined;
  private next = 1;
  private again = AGAIN_MIN;
  private timer = 0;
  private closed = false;
  private readonly waiting = new Map<number, Waiting>();

  constructor(
    private readonly server: string,
    private readonly token: () => Promise<string | undefined>,
    private readonly told: (heard: Heard) => void,
    private readonly welcomed: (welcome: Welcome) => void,
    private readonly changed: () => void,
  ) {}

  /** `session`: the phone of a page that was loaded again. */
  open(session: string | undefined): void {
    this.session = session;
    this.after = undefined;
    this.closed = false;
    window.clearTimeout(this.timer);
    void this.dial();
  }

  close(): void {
    this.closed = true;
    window.clearTimeout(this.timer);
    this.socket?.close();
    this.set("gone");
  }

  /** Says something and waits for what became of it; a command that begins a call gives its id. */
  say(command: Record<string, unknown>): Promise<string | undefined> {
    const id = this.next++;
    return new Promise((done, fail) => {
      const socket = this.socket;
      if (socket?.readyState !== WebSocket.OPEN) {
        fail({ code: "", number: "", title: "The connection is lost for the moment.", fix: "", status: 0 });
        return;
      }
      this.waiting.set(id, { done, fail });
      window.setTimeout(() => {
        this.settle(id)?.fail({ code: "", number: "", title: "No answer came.", fix: "", status: 0 });
      }, ANSWER_MAX);
      socket.send(JSON.stringify({ id, ...command }));
    });
  }

  private settle(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private set(state: State): void {
    if (this.state !== state) {
      this.state = state;
      this.changed();
    }
  }

  private async dial(): Promise<void> {
    this.set(this.after === undefined ? "connecting" : "lost");
    const base = this.server === "" ? location.origin : this.server;
    let token: string | undefined;
    try {
      token = await this.token();
    } catch {
      return this.later();
    }
    const socket = new WebSocket(`${base.replace(/^http/, "ws")}/v1/phone`, PROTOCOL);
    this.socket = socket;
    socket.onopen = () => {
      // Of both, what is not known is left out.
      const resume = { session: this.session, after: this.session === undefined ? undefined : this.after };
      socket.send(JSON.stringify({ hello: { ...(token === undefined ? {} : { token }), ...resume } }));
    };
    socket.onmessage = (message) => {
      if (this.socket === socket) this.heard(JSON.parse(message.data as string));
    };
    socket.onclose = () => {
      if (this.socket === socket && this.state !== "replaced" && !this.closed) this.later();
    };
  }

  private later(): void {
    if (this.closed || this.problem !== undefined) return;
    this.set(this.after === undefined ? "connecting" : "lost");
    this.timer = window.setTimeout(() => void this.dial(), this.again);
    this.again = Math.min(this.again * 2, AGAIN_MAX);
  }

  private heard(value: { welcome?: Welcome; problem?: Problem; replaced?: boolean } & Heard): void {
    if (value.welcome !== undefined) {
      this.again = AGAIN_MIN;
      this.session = value.welcome.session;
      this.after = value.welcome.after;
      this.set("open");
      this.welcomed(value.welcome);
    } else if (value.replaced === true) {
      this.session = undefined;
      this.set("replaced");
    } else if (value.event === undefined && value.problem !== undefined) {
      this.refused(value.problem);
    } else {
      this.after = value.n;
      this.pass(value);
    }
  }

  private pass(heard: Heard): void {
    const waiting = heard.id === undefined || heard.id === null ? undefined : this.settle(heard.id);
    if (heard.event === "done") waiting?.done(heard.call);
    else if (heard.event === "unwilling") waiting?.fail(heard["problem"] as Problem);
    else this.told(heard);
  }

  /** The phone of before is gone: a new one begins. Anything else will not get better by trying. */
  private refused(problem: Problem): void {
    if (problem.code === "web.phone_gone" && this.session !== undefined) {
      this.session = undefined;
      this.after = undefined;
      this.again = AGAIN_MIN;
      return;
    }
    if (problem.status >= 500) return;
    this.problem = problem;
    this.set("gone");
  }
}
