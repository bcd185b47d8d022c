// Requests to the server that this page came from, and the problems that it answers with.

export interface Problem {
  code: string;
  number: string;
  title: string;
  fix: string;
  status: number;
}

export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.title);
  }
}

export interface Who {
  user: string | null;
  admin: boolean;
  expires: string | null;
  /** What a browser subscribes to pushes with; none: calls wake no page here. */
  push_key: string | null;
}

export interface LiveCall {
  id: string;
  from: string;
  to: string;
  state: string;
  began?: string;
}

export interface Rung {
  number: number;
  time: string;
  micros: number;
  lane: string;
  peer?: string;
  text: string;
}

async function ask<T>(path: string, init: RequestInit = {}): Promise<T> {
  const answer = await fetch(path, { credentials: "same-origin", ...init });
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  let problem: Problem;
  try {
    problem = (await answer.json()) as Problem;
  } catch {
    problem = { code: "", number: "", title: answer.statusText, fix: "", status: answer.status };
  }
  throw new Refused(problem);
}

export const api = {
  get: <T>(path: string) => ask<T>(path),
  put: (path: string, body: unknown) => ask<void>(path, { method: "PUT", body: JSON.stringify(body) }),
  remove: (path: string, body?: unknown) =>
    ask<void>(path, { method: "DELETE", ...(body === undefined ? {} : { body: JSON.stringify(body) }) }),
};

/** The user of an address, or the address itself. */
export function short(address: string): string {
  const bare = /<([^>]*)>/.exec(address)?.[1] ?? address;
  const user = /^sips?:([^@;>]+)@/i.exec(bare)?.[1];
  return user === undefined ? bare.replace(/^sips?:/i, "") : decodeURIComponent(user);
}

/** How soon after an event things are read, and once more: a record is written a little after its call has ended. Units: ms. */
const SOON = 250;
const LATER = 1_500;
/** How often they are read when nothing happens. Units: ms. */
const NOW_AND_THEN = 10_000;

/** Calls `told` whenever something may have happened on the server. Ends with the returned function. */
export function follow(told: () => void): () => void {
  const source = new EventSource("/v1/events");
  const waiting = new Set<number>();
  let due = false;
  const after = (delay: number, act: () => void) => {
    const timer = window.setTimeout(() => {
      waiting.delete(timer);
      act();
    }, delay);
    waiting.add(timer);
  };
  const happened = () => {
    if (due) return;
    due = true;
    after(SOON, () => {
      due = false;
      told();
      after(LATER, told);
    });
  };
  source.onopen = happened;
  source.onmessage = happened;
  for (const kind of ["call.began", "call.answered", "call.ended", "binding.arrived", "binding.gone"]) {
    source.addEventListener(kind, happened);
  }
  const timer = window.setInterval(told, NOW_AND_THEN);
  return () => {
    waiting.forEach((one) => window.clearTimeout(one));
    window.clearInterval(timer);
    source.close();
  };
}
