"""Public senders against the stand-ins. Reads its task as JSON on stdin, prints one line per service."""

import asyncio
import json
import sys

NAME = 'Ünï "q" 👨‍👩‍👧'


def expect(seen, wanted, what):
    if seen != wanted:
        raise SystemExit(f"{what}: {seen!r} instead of {wanted!r}")


def new_key():
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption()).decode()


async def apns(task, port):
    from aioapns import APNs, NotificationRequest, PushType
    from aioapns.connection import APNsKeyConnectionPool

    async def connect(self, protocol_factory):
        """HTTP/2 with prior knowledge where the package would use TLS."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(protocol_factory, "127.0.0.1", port))[1]

    APNsKeyConnectionPool._create_connection = connect

    async def silent(*_):
        """Refusals are expected here and need no log line."""

    def client(key):
        return APNs(key=key, key_id=task["key_id"], team_id=task["team_id"], topic=task["topic"],
                    max_connection_attempts=1, err_func=silent)

    ours, stranger = client(task["key"]), client(new_key())

    async def send(device, kind, topic, body, sender=ours, **more):
        result = await sender.send_notification(NotificationRequest(
            device_token=device, message=body, push_type=kind, time_to_live=30,
            apns_topic=topic, **more))
        return result.status, result.description

    device, topic = task["device"], task["topic"]
    voip = topic + ".voip"
    call = {"aps": {}, "t": "call.invite", "name": NAME}
    quiet = {"aps": {"content-available": 1}}
    token, alert = device["prid"], device["prid_alert"]
    ok = ("200", None)
    expect(await send(token, PushType.VOIP, voip, call, priority=10), ok, "voip")
    expect(await send(alert, PushType.BACKGROUND, topic, quiet, priority=5), ok, "background")
    for what, wanted, sent in [
        ("background at once", ("400", "BadPriority"),
         send(alert, PushType.BACKGROUND, topic, quiet, priority=10)),
        ("voip topic", ("400", "BadTopic"), send(token, PushType.VOIP, topic, call)),
        ("other topic", ("400", "TopicDisallowed"), send(token, PushType.VOIP, "a.b.voip", call)),
        ("token of the other kind", ("400", "DeviceTokenNotForTopic"),
         send(alert, PushType.VOIP, voip, call)),
        ("unknown token", ("400", "BadDeviceToken"), send("ab" * 32, PushType.VOIP, voip, call)),
        ("key of another", ("403", "InvalidProviderToken"),
         send(token, PushType.VOIP, voip, call, sender=stranger)),
        ("removed app", ("410", "Unregistered"),
         send(task["gone"]["prid"], PushType.VOIP, voip, call)),
        ("size", ("413", "PayloadTooLarge"),
         send(token, PushType.VOIP, voip, {"aps": {}, "x": "x" * 5120})),
    ]:
        expect(await sent, wanted, what)
    print("apns ok")


def fcm(task, base):
    import firebase_admin
    from firebase_admin import exceptions, messaging

    messaging._MessagingService.FCM_URL = base + "/v1/projects/{0}/messages:send"
    firebase_admin.initialize_app(firebase_admin.credentials.Certificate(task["account"]))

    def send(token, data):
        android = messaging.AndroidConfig(priority="high", ttl=30)
        return messaging.send(messaging.Message(token=token, data=data, android=android))

    token = task["device"]["prid"]
    data = {"t": "call.invite", "caller": json.dumps({"name": NAME})}
    name = send(token, data)
    expect(name.startswith("projects/carillon-dev/messages/"), True, "name of the message")
    size = sum(len(key) + len(value.encode()) for key, value in data.items()) + 1
    send(token, dict(data, x="x" * (4096 - size)))
    for what, kind, sent in [
        ("removed app", messaging.UnregisteredError, (task["gone"]["prid"], data)),
        ("malformed token", exceptions.InvalidArgumentError, ("short", data)),
        ("size", exceptions.InvalidArgumentError, (token, dict(data, x="x" * (4097 - size)))),
        ("reserved key", exceptions.InvalidArgumentError, (token, {"from": "x"})),
    ]:
        try:
            send(*sent)
        except kind:
            continue
        raise SystemExit(f"{what}: no {kind.__name__}")
    print("fcm ok")


def web_push(task):
    from pywebpush import WebPushException, webpush

    def send(device, data, **more):
        subscription = {"endpoint": device["prid"],
                        "keys": {"p256dh": device["p256dh"], "auth": device["auth"]}}
        try:
            answer = webpush(subscription, data, vapid_private_key=task["private_key"],
                             vapid_claims={"sub": "mailto:dev@example.org"}, **more)
        except WebPushException as error:
            return error.response.status_code
        return answer.status_code if "location" in answer.headers else "no location"

    device = task["device"]
    call = json.dumps({"t": "call.invite", "name": NAME})
    expect(send(device, call, ttl=30, headers={"Urgency": "high", "Topic": "a-b_c"}), 201, "push")
    for what, wanted, seen in [
        ("removed app", 410, send(task["gone"], call, ttl=30)),
        ("topic", 400, send(device, call, ttl=30, headers={"Topic": "x" * 33})),
        ("urgency", 400, send(device, call, ttl=30, headers={"Urgency": "now"})),
        ("size", 413, send(device, "x" * 3994, ttl=30)),
        ("other keys", 400, send(dict(device, auth="AAAAAAAAAAAAAAAAAAAAAA"), call, ttl=30)),
    ]:
        expect(seen, wanted, what)
    print("webpush ok")


def main():
    task = json.load(sys.stdin)
    asyncio.run(apns(task["apns"], task["port"]))
    fcm(task["fcm"], task["base"])
    web_push(task["webpush"])


main()
