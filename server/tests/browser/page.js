// Two JsSIP phones in one page. What they live through goes to the console, where the test reads it.
import JsSIP from "jssip";

const wanted = new URLSearchParams(location.search);

function step(words) {
  console.log(`step: ${words}`);
}

function phone(user) {
  const socket = new JsSIP.WebSocketInterface(wanted.get("ws"));
  const domain = wanted.get("domain");
  return new JsSIP.UA({
    sockets: [socket],
    uri: `sip:${user}@${domain}`,
    password: wanted.get("password"),
    register_expires: 120,
  });
}

function once(source, good, bad) {
  return new Promise((resolve, reject) => {
    source.once(good, (event) => resolve(event));
    if (bad) source.once(bad, (event) => reject(new Error(`${bad}: ${event.cause ?? event}`)));
  });
}

function answered(send) {
  return new Promise((resolve, reject) => {
    send({
      succeeded: (event) => resolve(event.response.status_code),
      failed: (event) => reject(new Error(`failed: ${event.cause} ${event.response?.status_code}`)),
    });
  });
}

async function run() {
  const domain = wanted.get("domain");
  const [alice, bob] = [phone("1001"), phone("1002")];
  for (const each of [alice, bob]) {
    const registered = once(each, "registered", "registrationFailed");
    each.start();
    await registered;
  }
  step("registered");

  const came = once(bob, "newMessage");
  const sent = await answered((eventHandlers) =>
    alice.sendMessage(`sip:1002@${domain}`, "how are you?", { eventHandlers }));
  const { request } = await came;
  step(`message ${sent} ${request.from.uri.user} ${request.body}`);

  const options = await answered((eventHandlers) =>
    alice.sendOptions(`sip:1002@${domain}`, null, { eventHandlers }));
  step(`options ${options}`);

  const watch = alice.subscribe(`sip:1002@${domain}`, "presence", "application/pidf+xml", { expires: 120 });
  const told = new Promise((resolve, reject) => {
    watch.on("notify", (_, __, body, kind) => body && resolve(`${kind} ${/<basic>(\w+)<\/basic>/.exec(body)?.[1]}`));
    watch.once("terminated", (code, reason) => reject(new Error(`watch ended: ${code} ${reason}`)));
  });
  watch.subscribe();
  step(`presence ${await told}`);

  const gone = once(bob, "unregistered");
  bob.unregister({ all: true });
  await gone;
  const kept = await answered((eventHandlers) =>
    alice.sendMessage(`sip:1002@${domain}`, "later then", { eventHandlers }));
  step(`kept ${kept}`);
  const late = once(bob, "newMessage");
  bob.register();
  step(`late ${(await late).request.body}`);
  step("done");
}

run().catch((why) => step(`failed: ${why.message}`));
