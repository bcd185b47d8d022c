"""A listener of others: pocketsphinx behind the address that `[transcription] url` wants (a form with `file`, `prompt`).

What is likely is what can be heard: the words of `prompt`, or those that people leave in a shop's mailbox.
"""

import io
import json
import sys
import wave
from array import array
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from pocketsphinx import Decoder, get_model_path

LETTERS = ["call me tomorrow", "send me a pizza", "the door is open"]

model = f"{get_model_path()}/en-us"
decoder = Decoder(hmm=f"{model}/en-us", dict=f"{model}/cmudict-en-us.dict", loglevel="FATAL")
busy = Lock()


def understood(sound, likely):
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8_000, 2, 1)
        narrow = array("h", file.readframes(file.getnframes()))
    # Its model was made from 16 kHz.
    between = [(one + two) // 2 for one, two in zip(narrow, narrow[1:])]
    wide = array("h", [sample for pair in zip(narrow, between) for sample in pair])
    with busy:
        # A letter may hold several; who is asked says one thing.
        more = "+" if likely is LETTERS else ""
        decoder.add_jsgf_string("likely", f"#JSGF V1.0;\ngrammar g;\npublic <g> = ({' | '.join(likely)}){more};\n")
        decoder.activate_search("likely")
        decoder.start_utt()
        decoder.process_raw(wide.tobytes(), full_utt=True)
        decoder.end_utt()
        heard = decoder.hyp()
    return heard.hypstr if heard else ""


def whole(text, likely):
    """What was understood, without what breaks off in the middle."""
    found = []
    while words := next((words for words in likely if text.startswith(words)), None):
        found.append(words)
        text = text.removeprefix(words).lstrip()
    return " ".join(found)


class Door(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        form = message_from_bytes(b"Content-Type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + body)
        fields = {part.get_param("name", header="content-disposition"): part for part in form.get_payload()}
        hints = fields["prompt"].get_payload().strip().lower() if "prompt" in fields else ""
        likely = [words.strip() for words in hints.split(",") if words.strip()] or LETTERS
        text = whole(understood(fields["file"].get_payload(decode=True), likely), likely)
        sys.stdout.write(json.dumps({"likely": likely, "understood": text}) + "\n")
        sys.stdout.flush()
        answer = json.dumps({"text": text}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
print(f"Running on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
