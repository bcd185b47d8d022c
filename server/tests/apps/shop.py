"""A shop's telephone, as its owner wrote it with Flask: a menu, a mailbox, a button that calls back, words.

Says what it was asked on its standard output, one JSON object a line.
"""

import json
import os
import sys
import urllib.request
from pathlib import Path

from flask import Flask, abort, request, session, url_for
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import Dial, Gather, VoiceResponse

account, token = os.environ["TWILIO_ACCOUNT_SID"], os.environ["TWILIO_AUTH_TOKEN"]
client = Client(account, token)
client.api.base_url = os.environ["CARILLON_URL"]
validator = RequestValidator(token)

app = Flask(__name__, static_folder=os.environ["SOUNDS"], static_url_path="/sounds")
app.secret_key = "only here"


def tell(**event):
    # In one piece: requests are answered by several threads.
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def sound(name):
    return url_for("static", filename=f"{name}.wav")


@app.before_request
def only_the_server_asks():
    if request.endpoint in ("static", "call_back", "hang_up"):
        return
    signature = request.headers.get("X-Twilio-Signature", "")
    if not validator.validate(request.url, request.form, signature):
        tell(refused=request.path)
        abort(403)
    tell(asked=request.path, said=request.form.to_dict(), wrong=session.get("wrong", 0))


# A menu.


@app.post("/voice")
def voice():
    answer = VoiceResponse()
    gather = Gather(num_digits=1, action=url_for("menu"), timeout=30)
    gather.play(sound("menu"), loop=0)
    answer.append(gather)
    answer.redirect(url_for("voice"))
    return str(answer)


@app.post("/menu")
def menu():
    answer = VoiceResponse()
    match request.form["Digits"]:
        case "1":
            dial = Dial(action=url_for("dialled"), timeout=30)
            dial.client("sales")
            answer.append(dial)
        case "2":
            answer.play(sound("hours"))
            answer.redirect(url_for("voice"))
        case _:
            session["wrong"] = session.get("wrong", 0) + 1
            answer.play(sound("wrong"))
            answer.redirect(url_for("voice"))
    return str(answer)


@app.post("/dialled")
def dialled():
    answer = VoiceResponse()
    answer.play(sound("goodbye"))
    answer.hangup()
    return str(answer)


# A mailbox for who calls in vain.


@app.post("/mailbox")
def mailbox():
    answer = VoiceResponse()
    dial = Dial(action=url_for("leave"), timeout=20)
    dial.client("owner")
    answer.append(dial)
    return str(answer)


@app.post("/leave")
def leave():
    answer = VoiceResponse()
    if request.form["DialCallStatus"] == "completed":
        answer.hangup()
        return str(answer)
    answer.play(sound("leave"))
    answer.record(
        action=url_for("left"),
        finish_on_key="#",
        max_length=30,
        timeout=20,
        recording_status_callback=url_for("recorded"),
        transcribe=True,
        transcribe_callback=url_for("transcribed"),
    )
    return str(answer)


@app.post("/left")
def left():
    answer = VoiceResponse()
    answer.play(sound("goodbye"))
    return str(answer)


@app.post("/recorded")
def recorded():
    letter = client.recordings(request.form["RecordingSid"]).fetch()
    with urllib.request.urlopen(request.form["RecordingUrl"] + ".mp3") as file:
        (Path(os.environ["LETTERS"]) / f"{letter.sid}.wav").write_bytes(file.read())
    tell(kept=letter.sid, call=letter.call_sid, source=letter.source)
    return "", 204


@app.post("/transcribed")
def transcribed():
    return "", 204


# A button that calls back.


@app.post("/call-back")
def call_back():
    call = client.calls.create(
        to=request.form["customer"],
        from_=os.environ["NUMBER"],
        url=url_for("connect", _external=True),
        status_callback=url_for("progress", _external=True),
        status_callback_event=["initiated", "ringing", "answered", "completed"],
    )
    return {"sid": call.sid, "status": call.status}


@app.post("/connect")
def connect():
    answer = VoiceResponse()
    answer.play(sound("hours"))
    dial = Dial(caller_id=os.environ["NUMBER"])
    dial.client(
        "agent",
        status_callback=url_for("agent_progress"),
        status_callback_event="initiated ringing answered completed",
    )
    answer.append(dial)
    return str(answer)


@app.post("/progress")
def progress():
    return "", 204


@app.post("/agent-progress")
def agent_progress():
    return "", 204


@app.post("/hang-up")
def hang_up():
    call = client.calls(request.form["sid"]).update(status="completed")
    return {"status": call.status}


# Words instead of keys.


@app.post("/ask")
def ask():
    answer = VoiceResponse()
    gather = Gather(input="speech", hints="opening hours, talk to sales", action=url_for("said"), speech_timeout="auto")
    gather.play(sound("menu"))
    answer.append(gather)
    return str(answer)


@app.post("/said")
def said():
    answer = VoiceResponse()
    match request.form["SpeechResult"]:
        case "opening hours":
            answer.play(sound("hours"))
            answer.redirect(url_for("ask"))
        case "talk to sales":
            answer.play(sound("goodbye"))
        case _:
            answer.play(sound("wrong"))
            answer.redirect(url_for("ask"))
    return str(answer)


if __name__ == "__main__":
    app.run(port=0)
