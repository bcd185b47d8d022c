"""An app on the official Python package: answers a number, and asks the API. Prints one JSON object a line."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Gather, VoiceResponse

options = json.loads(sys.stdin.readline())
validator = RequestValidator(options["token"])
told = []
heard = threading.Condition()


def say(**event):
    print(json.dumps(event), flush=True)


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers["content-length"])
        said = dict(parse_qsl(self.rfile.read(length).decode(), keep_blank_values=True))
        url = f"http://127.0.0.1:{self.server.server_port}{self.path}"
        right = validator.validate(url, said, self.headers.get("x-twilio-signature", ""))
        with heard:
            told.append((self.path, right, said))
            heard.notify_all()
        answer = VoiceResponse()
        if self.path == "/voice":
            gather = Gather(num_digits=1, action="/key", timeout=30)
            gather.pause(length=1)
            answer.append(gather)
        else:
            answer.hangup()
        body = str(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "text/xml")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def wait(path, **wanted):
    """What the app was told there, with a signature that the official validator takes."""

    def found():
        fits = lambda said: all(said.get(name) == value for name, value in wanted.items())
        return next((one for one in told if one[0] == path and fits(one[2])), None)

    with heard:
        assert heard.wait_for(found, 20), (path, wanted, told)
        _, right, said = found()
        assert right, said
        return said


def refused(code, status, ask):
    try:
        ask()
    except TwilioRestException as no:
        assert (no.code, no.status) == (code, status), (no.code, no.status, no.msg)
        assert str(code) in no.uri or no.msg, no
        return
    raise AssertionError(f"{code} was expected")


server = ThreadingHTTPServer(("127.0.0.1", 0), App)
threading.Thread(target=server.serve_forever, daemon=True).start()
app = f"http://127.0.0.1:{server.server_port}"
say(event="listens", url=app)

client = Client(options["account"], options["token"])
client.api.base_url = options["server"]

# Somebody calls the number and presses a key.
first = wait("/voice", Direction="inbound")
wait("/key", Digits="4", CallSid=first["CallSid"])
wait("/told", CallStatus="completed", CallSid=first["CallSid"])
over = client.calls(first["CallSid"]).fetch()
assert (over.status, over.direction, over.to) == ("completed", "inbound", options["number"]), over.status
assert over.start_time <= over.end_time

# Calls are made; nobody is there.
ask = {"from_": options["number"], "url": f"{app}/voice", "status_callback": f"{app}/told"}
made = [client.calls.create(to="client:nobody", **ask) for _ in range(3)]
for call in made:
    assert call.sid.startswith("CA") and call.status == "queued", call.status
    assert wait("/told", CallSid=call.sid)["CallStatus"] == "failed"
    assert client.calls(call.sid).fetch().status == "failed"
listed = [call.sid for call in client.calls.list(page_size=2)]
assert listed[:3] == [call.sid for call in reversed(made)], listed
assert listed[3] == first["CallSid"], listed
assert [call.sid for call in client.calls.list(status="completed")] == [first["CallSid"]]
refused(21220, 400, lambda: client.calls(made[0].sid).update(status="completed"))
refused(21201, 400, lambda: client.calls.create(to="", **ask))
refused(21205, 400, lambda: client.calls.create(to="client:a", from_=options["number"], url="x"))
refused(20404, 404, lambda: client.calls("CA" + "0" * 32).fetch())
assert client.calls(made[0].sid).delete()
refused(20404, 404, lambda: client.calls(made[0].sid).fetch())

# Numbers: listed, changed.
(number,) = client.incoming_phone_numbers.list(phone_number=options["number"])
assert number.update(voice_method="GET").voice_method == "GET"
fresh = client.incoming_phone_numbers.create(phone_number="+15550178", voice_url=f"{app}/voice")
assert client.incoming_phone_numbers(fresh.sid).fetch().voice_url == f"{app}/voice"
assert fresh.delete()

# Applications: made, changed, listed, used, deleted.
shop = client.applications.create(friendly_name="shop", voice_url=f"{app}/voice", status_callback=f"{app}/told")
assert client.applications(shop.sid).update(voice_method="GET").voice_method == "GET"
assert [one.friendly_name for one in client.applications.list()] == ["shop"]
call = client.calls.create(to="client:nobody", from_=options["number"], application_sid=shop.sid)
wait("/told", CallSid=call.sid)
assert client.applications(shop.sid).delete()
assert client.applications.list() == []
assert client.recordings.list() == []
asked = [event.request["url"] for event in client.calls(first["CallSid"]).events.list()]
assert asked[:2] == [f"{app}/voice", f"{app}/key"], asked
assert client.conferences.list() == [] and client.transcriptions.list() == []
(caller,) = client.outgoing_caller_ids.list(phone_number=options["number"])
assert caller.phone_number == options["number"]
(used,) = client.usage.records.list(category="calls-inbound")
assert used.count == "1", used.count
assert client.tokens.create(ttl=60).ice_servers == []

# Somebody is called into a conference, and is wanted no more.
guest = client.conferences("Team").participants.create(to="client:nobody", from_=options["number"], label="guest")
assert guest.conference_sid.startswith("CF") and guest.status == "queued", guest.status

# A key in place of the token, until it is deleted.
key = client.new_keys.create(friendly_name="shop")
keyed = Client(key.sid, key.secret, options["account"])
keyed.api.base_url = options["server"]
assert keyed.calls(first["CallSid"]).fetch().sid == first["CallSid"]
refused(20003, 403, lambda: keyed.new_keys.create())
assert client.keys(key.sid).delete()
refused(20003, 401, lambda: keyed.calls(first["CallSid"]).fetch())
assert client.api.accounts(options["account"]).fetch().status == "active"
wrong = Client(options["account"], "wrong")
wrong.api.base_url = options["server"]
refused(20003, 401, lambda: wrong.calls(made[1].sid).fetch())
say(event="done", calls=len(told))
