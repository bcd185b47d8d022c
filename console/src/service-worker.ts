// Takes pushes while no page is open: a call rings as a notification and opens into the phone.

interface Push {
  t?: string;
  call_id?: string;
  caller?: { uri?: string; name?: string };
  reply?: { url?: string; token?: string };
  img?: { url?: string };
  /** When ringing ends. Units: seconds since 1970. */
  exp?: number;
}

/** What a notification remembers of its call. */
interface Ringing {
  call: string;
  reply: string;
  token: string;
}

interface Page {
  focus(): Promise<unknown>;
  postMessage(message: unknown): void;
}

interface WorkerScope {
  registration: ServiceWorkerRegistration;
  clients: { matchAll(how: object): Promise<Page[]>; openWindow(url: string): Promise<unknown> };
  location: Location;
  addEventListener(kind: string, hear: (event: any) => void): void;
  skipWaiting(): Promise<void>;
}

const worker = self as unknown as WorkerScope;

worker.addEventListener("install", () => void worker.skipWaiting());

worker.addEventListener("push", (event) => {
  event.waitUntil(take(read(event.data)));
});

worker.addEventListener("notificationclick", (event) => {
  const { notification, action } = event;
  notification.close();
  event.waitUntil(action === "decline" ? decline(notification.data as Ringing) : open(notification.data as Ringing, action === "answer"));
});

// The browser's push service gives us a new place: whoever is signed in is called there.
worker.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil(move(event.oldSubscription, event.newSubscription));
});

function read(data: { json(): unknown } | null): Push {
  try {
    return (data?.json() ?? {}) as Push;
  } catch {
    return {};
  }
}

async function take(push: Push): Promise<void> {
  const late = push.exp !== undefined && push.exp * 1_000 < Date.now();
  if (push.t === "call.invite" && !late) return ring(push);
  await forget(push.call_id);
  // Browsers want to see something of every push; one who rang and gave up is worth it.
  if (push.t !== "call.answered_elsewhere") await show(push, "called", true);
}

async function ring(push: Push): Promise<void> {
  await show(push, "is calling", false);
}

async function show(push: Push, what: string, over: boolean): Promise<void> {
  const name = push.caller?.name || push.caller?.uri?.replace(/^sips?:/i, "") || "Carillon";
  const ringing: Ringing = { call: push.call_id ?? "", reply: path(push.reply?.url), token: push.reply?.token ?? "" };
  const picture = path(push.img?.url);
  const actions = over ? [] : [{ action: "answer", title: "Answer" }, { action: "decline", title: "Decline" }];
  await worker.registration.showNotification(name, {
    body: what,
    tag: push.call_id ?? "call",
    requireInteraction: !over,
    silent: over,
    data: over ? { ...ringing, call: "" } : ringing,
    ...(picture === "" ? {} : { icon: picture }),
    actions,
  } as NotificationOptions);
}

/** An address of our own server by its path: it may be known by several names, and nobody else is asked. */
function path(address: string | undefined): string {
  try {
    const url = new URL(address ?? "");
    return url.pathname.startsWith("/v1/") ? url.pathname + url.search : "";
  } catch {
    return "";
  }
}

async function forget(call: string | undefined): Promise<void> {
  const shown = await worker.registration.getNotifications({ tag: call ?? "call" });
  shown.forEach((notification) => notification.close());
}

async function decline(ringing: Ringing): Promise<void> {
  if (ringing.reply === "") return;
  await fetch(ringing.reply, {
    method: "POST",
    headers: { Authorization: `Bearer ${ringing.token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ action: "decline" }),
  });
}

/** A page that is there is shown and told; else a new one opens into the call. */
async function open(ringing: Ringing, answer: boolean): Promise<void> {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages[0];
  const place = `#/phone/${ringing.call}${answer ? "/answer" : ""}`;
  if (page === undefined) {
    await worker.clients.openWindow(`/${place}`);
  } else {
    page.postMessage({ place });
    await page.focus();
  }
}

async function move(before: PushSubscription | null, after: PushSubscription | null): Promise<void> {
  const say = (method: string, body: unknown) =>
    fetch("/v1/session/push", { method, credentials: "same-origin", body: JSON.stringify(body) });
  const made = after ?? (before === null ? null : await worker.registration.pushManager.subscribe(before.options as PushSubscriptionOptionsInit));
  if (made !== null) await say("PUT", made.toJSON());
  if (before !== null) await say("DELETE", { endpoint: before.endpoint });
}
