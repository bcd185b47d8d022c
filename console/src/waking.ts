// Calls while no page is open: the browser's push subscription, and what the server keeps of it.
//
// The browser's word and the server's are brought together whenever a page begins: whoever is signed in and wants it is
// subscribed; where nobody is signed in, or the browser took its permission back, the subscription ends.

import { api } from "./api.js";

export type Waking = "denied" | "off" | "on" | "unavailable";

/** What the person chose in this browser: `yes` or `no`; empty before the first choice. */
const CHOICE = "carillon.waking";
/** The endpoint that the server knows, for the day when the browser does not know it any more. */
const KNOWN = "carillon.endpoint";
const WORKER = "/service-worker.js";
/** Push services of browsers answer in moments, or were not reached. Units: ms. */
const SUBSCRIBE_MAX = 20_000;

export class Waker {
  state: Waking = "unavailable";
  /** Where the browser's push service takes what wakes us. */
  endpoint = "";

  constructor(private readonly changed: () => void) {}

  /** What is so already, without a word to anybody outside. */
  async look(signedIn: boolean, key: string | null): Promise<void> {
    if (!("serviceWorker" in navigator) || !("PushManager" in window) || !window.isSecureContext) return;
    const registration = await navigator.serviceWorker.register(WORKER).catch(() => undefined);
    const subscription = await registration?.pushManager.getSubscription().catch(() => null);
    if (!signedIn || key === null) {
      // Whoever was signed in here is not called here any more.
      await subscription?.unsubscribe().catch(() => false);
      localStorage.removeItem(KNOWN);
      return;
    }
    if (registration === undefined) return;
    const denied = Notification.permission === "denied";
    const wanted = localStorage.getItem(CHOICE) === "yes" && Notification.permission === "granted";
    this.state = denied ? "denied" : wanted && subscription != null ? "on" : "off";
    this.endpoint = this.state === "on" ? (subscription?.endpoint ?? "") : "";
    if (!wanted) await this.forget(subscription ?? null);
    this.changed();
  }

  /** Subscribes where that was chosen, and tells the server. */
  async keep(key: string | null): Promise<void> {
    if (key === null || this.state === "unavailable" || this.state === "denied") return;
    if (localStorage.getItem(CHOICE) !== "yes" || Notification.permission !== "granted") return;
    const subscription = await within(subscribe(await navigator.serviceWorker.ready, key));
    await api.put("/v1/session/push", subscription.toJSON());
    localStorage.setItem(KNOWN, subscription.endpoint);
    this.state = "on";
    this.endpoint = subscription.endpoint;
    this.changed();
  }

  /** The person wants it. Browsers ask only after a click. */
  async turnOn(key: string | null): Promise<void> {
    const permission = await Notification.requestPermission();
    if (permission !== "granted") {
      this.state = permission === "denied" ? "denied" : "off";
      this.changed();
      return;
    }
    localStorage.setItem(CHOICE, "yes");
    await this.keep(key);
  }

  async turnOff(): Promise<void> {
    localStorage.setItem(CHOICE, "no");
    await this.end();
  }

  /** Before somebody signs out: the choice stays, the subscription does not. */
  async end(): Promise<void> {
    if (this.state === "unavailable") return;
    const registration = await navigator.serviceWorker.getRegistration(WORKER);
    await this.forget((await registration?.pushManager.getSubscription()) ?? null);
    if (this.state === "on") this.state = "off";
    this.endpoint = "";
    this.changed();
  }

  private async forget(subscription: PushSubscription | null): Promise<void> {
    const endpoint = subscription?.endpoint ?? localStorage.getItem(KNOWN);
    await subscription?.unsubscribe().catch(() => false);
    localStorage.removeItem(KNOWN);
    // The push service says that it is gone if we cannot.
    if (endpoint != null) await api.remove("/v1/session/push", { endpoint }).catch(() => undefined);
  }
}

/** The subscription for this key; one that was made for another is given up. */
async function subscribe(registration: ServiceWorkerRegistration, key: string): Promise<PushSubscription> {
  const applicationServerKey = octets(key);
  const known = await registration.pushManager.getSubscription();
  const used = known?.options.applicationServerKey;
  if (known !== null && used != null && same(new Uint8Array(used), applicationServerKey)) return known;
  await known?.unsubscribe();
  return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
}

function within<T>(work: Promise<T>): Promise<T> {
  const late = new Promise<never>((_, fail) => {
    window.setTimeout(() => fail(new Error("The browser's push service does not answer.")), SUBSCRIBE_MAX);
  });
  return Promise.race([work, late]);
}

function octets(base64url: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((octet, at) => octet === other[at]);
}
