"""Documents of every verb and noun, as the builders of the official Python package make them. One line for each."""

import json

from twilio.twiml.voice_response import Connect, Dial, Enqueue, Gather, Refer, Start, Stop, VoiceResponse


def response(*verbs):
    made = VoiceResponse()
    for verb in verbs:
        made.append(verb)
    return made


plain = VoiceResponse()
plain.say("Hello & welcome", voice="alice", language="en-GB", loop=2)
plain.play("https://app.example/a.wav", loop=1)
plain.play("", digits="12w3")
plain.pause(length=2)
plain.redirect("/next", method="GET")

gather = Gather(
    input="dtmf speech", action="/key", method="POST", timeout=4, num_digits=3, finish_on_key="#",
    speech_timeout="auto", hints="one, two", language="en-US", profanity_filter=False,
    speech_model="numbers_and_commands", action_on_empty_result=True,
    partial_result_callback="https://app.example/partial",
)
gather.say("Press a key")
gather.play("https://app.example/menu.wav")
gather.pause(length=1)

recorded = VoiceResponse()
recorded.record(
    action="/done", max_length=30, timeout=3, play_beep=True, trim="trim-silence", finish_on_key="*",
    transcribe=True, transcribe_callback="/words", recording_status_callback="/recorded",
)
recorded.hangup()

dial = Dial(
    action="/dialled", timeout=20, caller_id="+15550100", hangup_on_star=True, time_limit=600,
    answer_on_bridge=True, record="record-from-answer-dual", ring_tone="us",
)
dial.number("+15550111", send_digits="1w2", url="/whisper", status_callback="/leg", status_callback_event="initiated answered")
dial.client("ann", status_callback="/leg")
dial.sip("sip:bob@example.com", username="bob", password="word")
room = Dial()
room.conference(
    "room", muted=False, beep=True, start_conference_on_enter=True, end_conference_on_exit=True,
    wait_url="/music", max_participants=10, record="record-from-start", status_callback="/room",
    status_callback_event="start end join leave mute hold",
)
fetch = Dial()
fetch.queue("help", url="/about")

enqueue = Enqueue("help", action="/left", wait_url="/wait")
left = VoiceResponse()
left.leave()
rejected = VoiceResponse()
rejected.reject(reason="busy")

connect = Connect(action="/bot")
stream = connect.stream(url="wss://bot.example/media", name="bot", status_callback="/stream")
stream.parameter(name="who", value="ann")
start = Start()
start.stream(url="wss://bot.example/hear", track="both_tracks", name="ear")
words = Start()
words.transcription(name="words", track="both_tracks", status_callback_url="/words", language_code="en-US")
stop = Stop()
stop.stream(name="ear")
refer = Refer(action="/referred")
refer.sip("sip:desk@example.com")

for made in (
    plain, response(gather), recorded, response(dial), response(room), response(fetch), response(enqueue),
    left, rejected, response(start, words, stop, connect), response(refer),
):
    print(json.dumps(str(made)))
