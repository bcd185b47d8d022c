// Takes pushes while no page is open: a call rings as a notification and opens into the phone.

interface Push {
  t?: string;
  call_id?: string;
  caller?: { uri?: string; name?: string };
}

interface WorkerScope {
  registration: ServiceWorkerRegistration;
  clients: { matchAll(how: object): Promise<{ focus(): Promise<unknown> }[]>; openWindow(url: string): Promise<unknown> };
  addEventListener(kind: string, hear: (event: any) => void): void;
}

const worker = self as unknown as WorkerScope;

worker.addEventListener("push", (event) => {
  const push = (event.data?.json() ?? {}) as Push;
  event.waitUntil(push.t === "call.cancel" ? forget(push.call_id) : ring(push));
});

worker.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open());
});

async function ring(push: Push): Promise<void> {
  const name = push.caller?.name || push.caller?.uri?.replace(/^sips?:/i, "") || "Carillon";
  await worker.registration.showNotification(name, {
    body: "is calling",
    tag: push.call_id ?? "call",
    requireInteraction: true,
  });
}

async function forget(call: string | undefined): Promise<void> {
  const shown = await worker.registration.getNotifications({ tag: call ?? "call" });
  shown.forEach((notification) => notification.close());
}

async function open(): Promise<void> {
  const pages = await worker.clients.matchAll({ type: "window", includeUncontrolled: true });
  const page = pages[0];
  await (page === undefined ? worker.clients.openWindow("/#/phone") : page.focus());
}
