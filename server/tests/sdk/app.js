// The official Node package asks the API. Prints one JSON object at the end.
const assert = require("node:assert");
const twilio = require("twilio");

async function refused(code, status, ask) {
  await assert.rejects(ask, (no) => {
    assert.deepStrictEqual([no.code, no.status], [code, status], no.message);
    return true;
  });
}

async function main() {
  const { server, account, token, number } = JSON.parse(process.argv[2]);
  const client = twilio(account, token);
  client.api.baseUrl = server;
  const twiml = new twilio.twiml.VoiceResponse();
  twiml.say("Hello");
  const made = [];
  for (const _ of [1, 2, 3]) {
    made.push(await client.calls.create({ to: "client:nobody", from: number, twiml: twiml.toString() }));
  }
  const listed = (await client.calls.list({ pageSize: 2, limit: 3 })).map((call) => call.sid);
  assert.deepStrictEqual(listed, made.map((call) => call.sid).reverse());
  assert.strictEqual((await client.calls(made[0].sid).fetch()).status, "failed");
  await refused(21220, 400, () => client.calls(made[0].sid).update({ status: "completed" }));
  await refused(21211, 400, () => client.calls.create({ to: "a b", from: number, twiml: "<Response/>" }));
  await refused(20404, 404, () => client.calls("CA" + "0".repeat(32)).fetch());
  assert.ok(await client.calls(made[0].sid).remove());
  const shop = await client.applications.create({ friendlyName: "node" });
  assert.strictEqual((await client.applications(shop.sid).fetch()).friendlyName, "node");
  assert.ok(await client.applications(shop.sid).remove());
  await refused(20404, 404, () => client.applications(shop.sid).fetch());
  const key = await client.newKeys.create({ friendlyName: "node" });
  const keyed = twilio(key.sid, key.secret, { accountSid: account });
  keyed.api.baseUrl = server;
  assert.strictEqual((await keyed.calls(made[1].sid).fetch()).sid, made[1].sid);
  assert.ok(await client.keys(key.sid).remove());
  await refused(20003, 401, () => keyed.calls(made[1].sid).fetch());
  const used = await client.usage.records.today.list();
  assert.ok(used.some((one) => one.category === "calls-outbound" && Number(one.count) >= 3));
  console.log(JSON.stringify({ event: "done" }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
