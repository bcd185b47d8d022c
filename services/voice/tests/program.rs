//! Programs: what verbs do one after another, and the traps that the vendor's documents know.

use std::time::Duration;

use twiml::{Class, Hook, Method};
use types::Instant;
use voice::hook::{Answer, Failure};
use voice::program::{
    APOLOGY, Act, Ask, DOCUMENTS_MAX, Dialled, Event, FALLBACKS_MAX, Heard, Listen, Piece, Program,
    Recorded, Saved, TIMES_MAX, Words,
};

const BASE: &str = "http://app.example/voice/start?x=1";

/// A program and its clock.
struct Script {
    program: Program,
    now: Instant,
}

impl Script {
    fn begun(fallback: Option<&str>) -> Self {
        let ask = Ask { url: BASE.into(), ..Ask::default() };
        let hook = |url: &str| Hook { url: url.into(), method: Method::Post };
        let mut script = Self {
            program: Program::new(ask.clone(), fallback.map(hook)),
            now: Instant::default(),
        };
        assert_eq!(script.acts(), [Act::Ask(ask)]);
        script
    }

    /// A program whose document this is, and what it does first.
    fn of(inner: &str) -> (Self, Vec<Act>) {
        let mut script = Self::begun(None);
        let acts = script.document(inner);
        (script, acts)
    }

    fn acts(&mut self) -> Vec<Act> {
        std::iter::from_fn(|| self.program.poll()).collect()
    }

    fn tell(&mut self, event: Event) -> Vec<Act> {
        self.program.handle(event, self.now);
        self.acts()
    }

    fn document(&mut self, inner: &str) -> Vec<Act> {
        self.answer("text/xml; charset=utf-8", &format!("<Response>{inner}</Response>"))
    }

    fn answer(&mut self, content_type: &str, body: &str) -> Vec<Act> {
        let (content_type, body, url) = (content_type.into(), body.into(), BASE.into());
        self.tell(Event::Answered(Answer { content_type, body, url }))
    }

    fn keys(&mut self, keys: &str) -> Vec<Act> {
        keys.chars().flat_map(|key| self.tell(Event::Key(key))).collect()
    }

    /// Lets the deadline come, which is so many seconds away.
    fn wait(&mut self, seconds: u64) -> Vec<Act> {
        let deadline = self.program.deadline().expect("nothing is waited for");
        assert_eq!(deadline.since(self.now), Duration::from_secs(seconds));
        self.now = deadline;
        self.tell(Event::Woke)
    }

    fn heard(&mut self) -> Vec<Act> {
        self.tell(Event::Sounded(Heard::All))
    }
}

fn say(text: &str) -> Act {
    let (text, language, voice) = (text.into(), "en-US".into(), "man".into());
    Act::Play { piece: Piece::Speech { text, language, voice }, times: 1 }
}

fn url(url: &str) -> Act {
    Act::Play { piece: Piece::Url(url.into()), times: 1 }
}

fn ask(url: &str, more: &[(&str, &str)]) -> Act {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Act::Ask(Ask { url: url.into(), method: Method::Post, more: more.iter().map(own).collect() })
}

/// The number of the complaint among these.
fn code(acts: &[Act]) -> Option<u16> {
    acts.iter().find_map(|act| match act {
        Act::Note { code, .. } => Some(*code),
        _ => None,
    })
}

#[test]
fn verbs_run_one_after_another() {
    let (mut script, acts) = Script::of(
        "<Say>a</Say><Play loop='0'>../b.mp3</Play><Pause length='3'/><Play digits='1w2'/>",
    );
    assert_eq!(acts, [Act::Answer, say("a")]);
    let piece = Piece::Url("http://app.example/b.mp3".into());
    assert_eq!(script.heard(), [Act::Play { piece, times: TIMES_MAX }]);
    assert_eq!(script.heard(), []);
    assert_eq!(script.keys("1"), [], "nobody collects");
    let keys = Act::Play { piece: Piece::Keys("1w2".into()), times: 1 };
    assert_eq!(script.wait(3), [keys]);
    assert_eq!(script.heard(), [Act::Hangup]);
    assert_eq!(script.tell(Event::Woke), []);
}

#[test]
fn gather_hears_words() {
    let ask_for = "<Gather input='dtmf speech' action='/got' timeout='4' speechTimeout='2' language='de-DE' \
                   hints='ja, nein'><Say>a</Say></Gather><Say>nothing</Say>";
    let (mut script, acts) = Script::of(ask_for);
    let listen = Listen {
        silence: Duration::from_secs(2),
        length_max: Duration::from_secs(60),
        language: "de-DE".into(),
        hints: "ja, nein".into(),
    };
    assert_eq!(acts, [Act::Answer, Act::Listen(Box::new(listen)), say("a")]);
    assert_eq!(script.tell(Event::Spoke), [Act::Hush], "he need not hear it all");
    // Nothing that could be understood: he may try again, and time passes.
    assert_eq!(script.tell(Event::Understood(None)), []);
    assert_eq!(script.tell(Event::Spoke), []);
    let words = Words { text: "ja".into(), confidence: 85 };
    let got = ask("http://app.example/got", &[("SpeechResult", "ja"), ("Confidence", "0.85")]);
    assert_eq!(script.tell(Event::Understood(Some(words.clone()))), [Act::Deafen, got]);
    assert_eq!(script.tell(Event::Understood(Some(words))), [], "it was said before");
    // Whoever presses a key does not speak.
    let (mut script, _) = Script::of(ask_for);
    assert_eq!(script.keys("1"), [Act::Deafen, Act::Hush]);
    assert_eq!(script.wait(4), [ask("http://app.example/got", &[("Digits", "1")])]);
    // Whoever does neither hears the next verb.
    let (mut script, _) = Script::of(ask_for);
    assert_eq!(script.heard(), []);
    assert_eq!(script.wait(4), [Act::Deafen, say("nothing")]);
    // Where he may not interrupt, nobody listens before the end of the prompts; keys count for nothing.
    let (mut script, acts) = Script::of(
        "<Gather input='speech' bargeIn='false' speechTimeout='auto'><Say>a</Say></Gather>",
    );
    assert_eq!(acts, [Act::Answer, say("a")]);
    let after = script.heard();
    let [Act::Listen(listen)] = &after[..] else { panic!("{after:?}") };
    assert_eq!(listen.silence, Duration::from_secs(1));
    assert_eq!(script.keys("1"), []);
}

#[test]
fn documents_in_json_run_and_keep_a_state() {
    let mut script = Script::begun(None);
    let first =
        r#"{"state": {"n": 1}, "verbs": [{"verb": "gather", "numDigits": 1, "action": "/got"}]}"#;
    assert_eq!(script.answer("application/json; charset=utf-8", first), [Act::Answer]);
    assert_eq!(script.program.told(), Some(r#"{"n": 1}"#));
    assert_eq!(script.keys("5"), [ask("http://app.example/got", &[("Digits", "5")])]);
    // A document that says nothing of it leaves it as it was.
    let next = script.answer("application/json", r#"{"verbs": [{"verb": "say", "text": "a"}]}"#);
    assert_eq!(next.len(), 1, "{next:?}");
    assert_eq!(script.program.told(), Some(r#"{"n": 1}"#));
    let mut script = Script::begun(None);
    assert_eq!(code(&script.answer("application/json", "<Response/>")), Some(12100));
}

#[test]
fn streams_take_the_place_of_verbs_or_run_beside_them() {
    let (mut script, acts) = Script::of(
        "<Start><Stream url='../media' name='a' track='outbound_track' statusCallback='/s'/></Start>\
         <Stop><Stream name='a'/></Stop><Connect><Stream url='wss://bot.example/x'>\
         <Parameter name='n' value='v'/></Stream></Connect><Say>b</Say>",
    );
    let status = Some(Hook { url: "http://app.example/s".into(), method: Method::Post });
    let forked = twiml::Stream {
        name: "a".into(),
        url: "ws://app.example/media".into(),
        track: twiml::Track::Outbound,
        status,
        parameters: Vec::new(),
    };
    let connected = twiml::Stream {
        url: "wss://bot.example/x".into(),
        track: twiml::Track::Inbound,
        parameters: vec![("n".into(), "v".into())],
        ..twiml::Stream::default()
    };
    let fork = Act::Fork(Box::new(forked));
    let connect = Act::Connect(Box::new(connected));
    assert_eq!(acts, [fork, Act::StopStream("a".into()), Act::Answer, connect]);
    assert_eq!(script.program.doing(), "connected");
    assert_eq!(script.keys("12"), [], "the app hears them");
    assert_eq!(script.tell(Event::Disconnected), [say("b")]);
    // With an action it is asked.
    let (mut script, _) =
        Script::of("<Connect action='/over'><Stream url='/media'/></Connect><Say>b</Say>");
    assert_eq!(script.tell(Event::Disconnected), [ask("http://app.example/over", &[])]);
    for (stream, wrong) in [
        ("<Connect><Stream/></Connect>", 31923),
        ("<Connect><Stream url='https://app.example/'/></Connect>", 31922),
        ("<Start><Stream connectorName='x'/></Start>", 31940),
        ("<Connect><Stream url='/m' track='both_tracks'/></Connect>", 31941),
        ("<Start><Stream url='/m' track='all'/></Start>", 31941),
    ] {
        let (_, acts) = Script::of(stream);
        assert_eq!(code(&acts), Some(wrong), "{stream}");
    }
}

#[test]
fn what_comes_first_may_leave_the_call_unanswered() {
    let (mut script, acts) = Script::of("<Pause length='2'/><Reject reason='busy'/>");
    assert_eq!(acts, []);
    assert_eq!(script.wait(2), [Act::Reject { busy: true }]);
    let (_, acts) = Script::of("<Reject/>");
    assert_eq!(acts, [Act::Reject { busy: false }]);
    let (_, acts) = Script::of("<Hangup/>");
    assert_eq!(acts, [Act::Answer, Act::Hangup]);
    let (_, acts) = Script::of("");
    assert_eq!(acts, [Act::Answer, Act::Hangup]);
    // Too late to refuse.
    let (mut script, _) = Script::of("<Say>a</Say><Reject/>");
    assert_eq!(script.heard(), [Act::Hangup]);
    let (_, acts) = Script::of("<Redirect method='POST'>/next</Redirect>");
    assert_eq!(acts, [ask("http://app.example/next", &[])]);
    // Empty: the same document.
    let (_, acts) = Script::of("<Redirect/>");
    assert_eq!(acts, [ask(BASE, &[])]);
}

#[test]
fn gather_collects_keys() {
    let menu = "<Gather numDigits='2' action='/got' timeout='4'><Say>a</Say><Pause length='2'/>\
                <Play>b.wav</Play></Gather><Say>nothing</Say>";
    let (mut script, acts) = Script::of(menu);
    assert_eq!(acts, [Act::Answer, say("a")]);
    assert_eq!(script.keys("1"), [Act::Hush], "a key ends the prompt");
    assert_eq!(script.keys("2"), [ask("http://app.example/got", &[("Digits", "12")])]);
    // All prompts, then silence: the next verb.
    let (mut script, _) = Script::of(menu);
    assert_eq!(script.heard(), []);
    assert_eq!(script.wait(2), [url("http://app.example/voice/b.wav")]);
    assert_eq!(script.heard(), []);
    assert_eq!(script.wait(4), [say("nothing")]);
    // The time begins anew with each key; what came counts.
    let (mut script, _) = Script::of(menu);
    script.keys("7");
    script.now = script.now + Duration::from_secs(3);
    assert_eq!(script.wait(1), [ask("http://app.example/got", &[("Digits", "7")])]);
    // The end key is not told; alone it is nothing.
    let (mut script, _) = Script::of("<Gather action='/got'/><Say>nothing</Say>");
    assert_eq!(script.keys("12#"), [ask("http://app.example/got", &[("Digits", "12")])]);
    let (mut script, _) = Script::of("<Gather action='/got'/><Say>nothing</Say>");
    assert_eq!(script.keys("#"), [say("nothing")]);
    let (mut script, _) = Script::of("<Gather action='/got' actionOnEmptyResult='true'/>");
    assert_eq!(script.wait(5), [ask("http://app.example/got", &[("Digits", "")])]);
    let (mut script, _) = Script::of("<Gather action='/got' finishOnKey=''/>");
    assert_eq!(script.keys("#*"), []);
    // Without an action its own document is asked: the endless loop.
    let (mut script, _) = Script::of("<Gather numDigits='1'/>");
    assert_eq!(script.keys("1"), [ask(BASE, &[("Digits", "1")])]);
}

#[test]
fn record_falls_through_when_nobody_spoke() {
    let recorded = || {
        let (url, sid) = ("http://h/media/a.wav".to_owned(), "RE1".to_owned());
        Event::Recorded(Some(Recorded { url, sid, hash: String::new(), seconds: 3 }))
    };
    let (mut script, acts) = Script::of("<Record action='/r' maxLength='9'/><Say>nobody</Say>");
    assert_eq!(acts, [Act::Answer, Act::Play { piece: Piece::Beep, times: 1 }]);
    assert_eq!(script.keys("1"), [], "not before the beep is over");
    assert!(matches!(&script.heard()[..], [Act::Record(_)]));
    assert_eq!(script.keys("1"), [Act::EndRecord]);
    let told = [
        ("RecordingUrl", "http://h/media/a.wav"),
        ("RecordingSid", "RE1"),
        ("RecordingDuration", "3"),
        ("Digits", "1"),
    ];
    assert_eq!(script.tell(recorded()), [ask("http://app.example/r", &told)]);
    let (mut script, acts) =
        Script::of("<Record maxLength='9' playBeep='false'/><Say>nobody</Say>");
    assert!(matches!(&acts[..], [Act::Answer, Act::Record(_)]));
    assert_eq!(script.wait(9), [Act::EndRecord]);
    // Without an action its own document is asked, too.
    assert_eq!(script.tell(recorded()), [ask(BASE, &told[..3])]);
    let (mut script, _) = Script::of("<Record playBeep='false'/><Say>nobody</Say>");
    assert_eq!(script.tell(Event::Silent), [Act::EndRecord]);
    assert_eq!(script.tell(Event::Recorded(None)), [say("nobody")]);
}

#[test]
fn dial_reaches_and_goes_on() {
    let over = |status, seconds| {
        let sid = if seconds == Some(7) { "CA2".to_owned() } else { String::new() };
        Event::Dialled(Dialled { status, sid, seconds, ..Dialled::default() })
    };
    let (mut script, acts) = Script::of("<Dial timeLimit='60'>+15550101</Dial><Say>next</Say>");
    assert!(matches!(&acts[..], [Act::Answer, Act::Dial(_)]));
    assert_eq!(script.tell(Event::Bridged), []);
    assert_eq!(script.keys("*"), []);
    assert_eq!(script.wait(60), [Act::EndDial]);
    // Without an action the next verb follows, unlike after Gather and Record.
    assert_eq!(script.tell(over("completed", Some(7))), [say("next")]);
    let (mut script, acts) = Script::of(
        "<Dial action='/d' answerOnBridge='true' hangupOnStar='true'><Client>1001</Client></Dial><Say>no</Say>",
    );
    assert!(matches!(&acts[..], [Act::Ring, Act::Dial(_)]));
    assert_eq!(script.keys("*"), [], "nobody talks yet");
    assert_eq!(script.tell(Event::Bridged), [Act::Answer]);
    assert_eq!(script.keys("1*"), [Act::EndDial]);
    let told = [
        ("DialCallStatus", "completed"),
        ("DialCallSid", "CA2"),
        ("DialCallDuration", "7"),
        ("DialBridged", "true"),
    ];
    assert_eq!(script.tell(over("completed", Some(7))), [ask("http://app.example/d", &told)]);
    let (mut script, _) = Script::of("<Dial action='/d'>+15550101</Dial>");
    let told = [("DialCallStatus", "busy"), ("DialBridged", "false")];
    assert_eq!(script.tell(over("busy", None)), [ask("http://app.example/d", &told)]);
    // Nobody to reach.
    let (_, acts) = Script::of("<Dial action='/d'>nobody</Dial>");
    assert_eq!(code(&acts), Some(13223));
    let told = [("DialCallStatus", "failed"), ("DialBridged", "false")];
    assert_eq!(acts[2], ask("http://app.example/d", &told));
    // When the caller goes, nothing behind it runs.
    let (mut script, _) = Script::of("<Dial>+15550101</Dial><Say>no</Say>");
    assert_eq!(script.tell(Event::Gone), []);
    assert_eq!(script.tell(over("completed", None)), []);
}

#[test]
fn answers_are_judged_by_their_kind() {
    let mut script = Script::begun(None);
    assert_eq!(script.answer("audio/mpeg", "…"), [Act::Answer, url(BASE)]);
    assert_eq!(script.heard(), [Act::Hangup]);
    let mut script = Script::begun(None);
    assert_eq!(
        script.answer("text/plain", "<Response><Hangup/></Response>"),
        [Act::Answer, Act::Hangup]
    );
    let mut script = Script::begun(None);
    let acts = script.answer("text/plain", "Hello\n there");
    assert!(
        matches!(&acts[1], Act::Play { piece: Piece::Speech { text, .. }, .. } if text == "Hello there")
    );
    for (kind, body, expected) in [
        ("image/png", "x", 12300),
        ("application/json", "{}", 12102),
        ("application/pdf", "{}", 12300),
        ("text/html", "<html></html>", 12102),
        ("text/xml", "<Response>", 12100),
        ("text/xml", "", 11770),
        ("text/plain", "", 11770),
        ("text/xml", "<Response><Pay/></Response>", 13750),
    ] {
        let mut script = Script::begun(None);
        let acts = script.answer(kind, body);
        assert_eq!(code(&acts), Some(expected), "{kind} {body}");
        assert_eq!(acts[1], Act::Answer);
        assert!(
            matches!(&acts[2], Act::Play { piece: Piece::Speech { text, .. }, .. } if text == APOLOGY)
        );
        assert_eq!(script.tell(Event::Sounded(Heard::Nothing)), [Act::Hangup]);
    }
    let mut script = Script::begun(None);
    let acts = script.document("<Gater/><Hangup/>");
    let warned = matches!(&acts[0], Act::Note { class: Class::Warning, code: 12200, .. });
    assert!(warned && acts[1..] == [Act::Answer, Act::Hangup], "{acts:?}");
}

#[test]
fn the_fallback_is_asked() {
    let failure =
        |url: &str| Event::Failed(Failure { code: 11200, sentence: "no".into(), url: url.into() });
    let mut script = Script::begun(Some("http://b.example/fall"));
    let told = [("ErrorCode", "11200"), ("ErrorUrl", BASE)];
    let acts = script.tell(failure(BASE));
    assert_eq!(acts[1], ask("http://b.example/fall", &told));
    // It fails as well.
    let acts = script.tell(failure("http://b.example/fall"));
    assert_eq!(acts[1], Act::Answer);
    assert_eq!(script.tell(Event::Sounded(Heard::All)), [Act::Hangup]);
    // A document that came opens it again, but not for ever.
    let mut script = Script::begun(Some("http://b.example/fall"));
    for _ in 0..FALLBACKS_MAX {
        let acts = script.tell(failure(BASE));
        assert!(matches!(&acts[..], [Act::Note { .. }, Act::Ask(_)]), "{acts:?}");
        script.document("<Redirect/>");
    }
    let acts = script.tell(failure(BASE));
    assert_eq!(acts[1], Act::Answer);
    // A sound that cannot be had costs a warning only.
    let (mut script, _) = Script::of("<Play>a.wav</Play><Say>b</Say>");
    let acts = script.tell(Event::Sounded(Heard::Nothing));
    assert_eq!((code(&acts), &acts[1]), (Some(12300), &say("b")));
}

#[test]
fn circles_end() {
    let mut script = Script::begun(Some("http://b.example/fall"));
    for _ in 0..DOCUMENTS_MAX {
        assert_eq!(script.document("<Redirect/>"), [ask(BASE, &[])]);
    }
    let acts = script.document("<Redirect/>");
    assert_eq!((code(&acts), &acts[1]), (Some(12400), &Act::Answer));
}

#[test]
fn a_program_goes_on_after_a_restart() {
    let (mut script, _) =
        Script::of("<Say>a</Say><Gather numDigits='3' action='/g'><Say>b</Say></Gather>");
    script.heard();
    script.keys("12");
    let (source, at, digits) = script.program.position();
    let (source, digits) = (source.clone(), digits.to_owned());
    let saved = Saved { source, at, digits, ask: None, talking: false, told: None };
    script.program = Program::resume(saved.clone(), None, script.now);
    assert_eq!(script.acts(), [], "who has begun to press needs no prompt");
    assert_eq!(script.keys("3"), [ask("http://app.example/g", &[("Digits", "123")])]);
    // Nothing was pressed: the prompt is heard again.
    let bare = Saved { digits: String::new(), ..saved.clone() };
    script.program = Program::resume(bare, None, script.now);
    assert_eq!(script.acts(), [say("b")]);
    // What was being asked is asked again.
    let asked = Ask { url: BASE.into(), ..Ask::default() };
    let asking = Saved { ask: Some(asked.clone()), ..saved };
    script.program = Program::resume(asking, None, script.now);
    assert_eq!(script.acts(), [Act::Ask(asked)]);
    // Two who talk go on talking.
    let (script, _) = Script::of("<Dial timeLimit='60' action='/d'>+15550101</Dial>");
    let (source, at, _) = script.program.position();
    let saved = Saved {
        source: source.clone(),
        at,
        digits: String::new(),
        ask: None,
        talking: true,
        told: None,
    };
    let mut script = Script { program: Program::resume(saved, None, script.now), now: script.now };
    assert_eq!((script.acts(), script.program.is_talking()), (Vec::new(), true));
    assert_eq!(script.wait(60), [Act::EndDial]);
}
