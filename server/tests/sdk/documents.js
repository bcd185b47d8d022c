// Documents of every verb and noun, as the builders of the official Node package make them. One line for each.
const { VoiceResponse } = require("twilio").twiml;

const made = [];
function document(fill) {
  const response = new VoiceResponse();
  fill(response);
  made.push(response.toString());
}

document((response) => {
  response.say({ voice: "alice", language: "en-GB", loop: 2 }, "Hello & welcome");
  response.play({ loop: 1 }, "https://app.example/a.wav");
  response.pause({ length: 2 });
  response.redirect({ method: "GET" }, "/next");
});
document((response) => {
  const gather = response.gather({
    input: "dtmf speech", action: "/key", timeout: 4, numDigits: 3, finishOnKey: "#", speechTimeout: "auto",
    hints: "one, two", profanityFilter: false, speechModel: "numbers_and_commands", actionOnEmptyResult: true,
  });
  gather.say("Press a key");
});
document((response) => {
  response.record({
    action: "/done", maxLength: 30, timeout: 3, playBeep: true, trim: "trim-silence", finishOnKey: "*",
    transcribe: true, transcribeCallback: "/words", recordingStatusCallback: "/recorded",
  });
  response.hangup();
});
document((response) => {
  const dial = response.dial({ action: "/dialled", timeout: 20, callerId: "+15550100", answerOnBridge: true });
  dial.number({ sendDigits: "1w2", url: "/whisper", statusCallback: "/leg", statusCallbackEvent: "initiated answered" }, "+15550111");
  dial.client({ statusCallback: "/leg" }, "ann");
  dial.sip({ username: "bob", password: "word" }, "sip:bob@example.com");
});
document((response) => {
  response.dial().conference({ beep: "true", waitUrl: "/music", statusCallback: "/room", statusCallbackEvent: "start end" }, "room");
});
document((response) => response.dial().queue({ url: "/about" }, "help"));
document((response) => response.enqueue({ action: "/left", waitUrl: "/wait" }, "help"));
document((response) => response.leave());
document((response) => response.reject({ reason: "busy" }));
document((response) => {
  response.start().stream({ url: "wss://bot.example/hear", track: "both_tracks", name: "ear" });
  response.start().transcription({ name: "words", statusCallbackUrl: "/words", languageCode: "en-US" });
  response.stop().stream({ name: "ear" });
  const stream = response.connect({ action: "/bot" }).stream({ url: "wss://bot.example/media" });
  stream.parameter({ name: "who", value: "ann" });
});
document((response) => response.refer({ action: "/referred" }).sip("sip:desk@example.com"));

for (const text of made) console.log(JSON.stringify(text));
