//! Documents: what runs with which defaults, what is said about the rest, hostile octets.

use std::time::Duration;

use twiml::{
    Class, Document, Hook, Method, Prompt, Reading, Sound, Use, Verb, Who, lint, read, summary,
};
use types::Rng;

fn document(text: &str) -> Document {
    let reading = read(text.as_bytes());
    assert_eq!(reading.findings, [], "{text}");
    reading.document.unwrap()
}

/// Code, class, line and column of each finding.
fn found(text: &str) -> Vec<(u16, Class, usize, usize)> {
    found_in(text, &read(text.as_bytes()))
}

fn found_in(text: &str, reading: &Reading) -> Vec<(u16, Class, usize, usize)> {
    let row = |finding: &twiml::Finding| {
        let (line, column) = finding.line_and_column(text);
        (finding.code.unwrap_or(0), finding.class, line, column)
    };
    reading.findings.iter().map(row).collect()
}

#[test]
fn verbs_have_their_defaults() {
    let document = document(
        "<?xml version='1.0' encoding='UTF-8'?>\n<!-- a -- b --><Response>\
         <Say>Hi <break time='1s'/>there&#33; <sub alias='two'>2</sub></Say><Play>a.wav</Play>\
         <Play digits='1wW#'/><Pause/><Gather/><Record/><Dial>+1 (555) 010-0100</Dial>\
         <Redirect/><Reject/><Hangup/></Response>",
    );
    let mut verbs = document.steps.into_iter().map(|step| step.verb);
    let Some(Verb::Say(say)) = verbs.next() else { panic!("no Say") };
    assert_eq!((&*say.text, &*say.voice, &*say.language), ("Hi there! two", "man", "en-US"));
    assert_eq!(say.times, 1);
    let Some(Verb::Play(play)) = verbs.next() else { panic!("no Play") };
    assert_eq!((play.sound, play.times), (Sound::Url("a.wav".into()), 1));
    let Some(Verb::Play(play)) = verbs.next() else { panic!("no Play") };
    assert_eq!(play.sound, Sound::Keys("1wW#".into()));
    assert_eq!(verbs.next(), Some(Verb::Pause(Duration::from_secs(1))));
    let Some(Verb::Gather(gather)) = verbs.next() else { panic!("no Gather") };
    assert_eq!((gather.keys, gather.speech, gather.finish_on), (true, false, Some('#')));
    assert_eq!((gather.action, gather.method, gather.digits_max), (None, Method::Post, None));
    assert_eq!((gather.timeout, gather.action_on_empty), (Duration::from_secs(5), false));
    let Some(Verb::Record(record)) = verbs.next() else { panic!("no Record") };
    assert_eq!(record.timeout, Some(Duration::from_secs(5)));
    assert_eq!(
        (record.length_max, &*record.finish_on),
        (Duration::from_secs(3600), "1234567890*#")
    );
    assert!(record.beep && record.trim && record.status.is_none());
    let Some(Verb::Dial(dial)) = verbs.next() else { panic!("no Dial") };
    assert_eq!((dial.timeout, dial.time_limit.as_secs()), (Duration::from_secs(30), 14_400));
    assert!(!dial.answer_on_bridge && !dial.sequential && !dial.hangup_on_star);
    assert_eq!(dial.targets[0].who, Who::Number("+15550100100".into()));
    assert_eq!(verbs.next(), Some(Verb::Redirect(Hook::default())));
    assert_eq!(verbs.next(), Some(Verb::Reject { busy: false }));
    assert_eq!((verbs.next(), verbs.next()), (Some(Verb::Hangup), None));
}

#[test]
fn attributes_are_read() {
    let document = document(
        "<Response><Gather input='dtmf speech' action='/a?b=1&amp;c=2' method='get' timeout='3' \
         finishOnKey='' numDigits='4' actionOnEmptyResult='true' speechTimeout='auto'>\
         <Say loop='2' language='de'>Eins</Say><Play loop='0'>b.mp3</Play><Pause length='2'/></Gather>\
         <Record action='r' timeout='0' maxLength='30' finishOnKey='#' playBeep='FALSE' \
         trim='do-not-trim' recordingStatusCallback='/s' recordingStatusCallbackMethod='GET'/>\
         <Dial action='d' callerId='+15550100' answerOnBridge='true' record='record-from-answer-dual' \
         sequential='true' hangupOnStar='true' timeLimit='60' timeout='10'>\
         <Number url='w' method='GET' sendDigits='ww1' statusCallback='/n' \
         statusCallbackEvent='initiated answered'>+15550101</Number>\
         <Client><Identity>1001</Identity><Parameter name='a' value='b'/></Client>\
         <Sip><Uri priority='1'>sip:a@example.com?x-a=b</Uri></Sip></Dial></Response>",
    );
    let Verb::Gather(gather) = &document.steps[0].verb else { panic!("no Gather") };
    assert_eq!(gather.action.as_deref(), Some("/a?b=1&c=2"));
    assert_eq!((gather.method, gather.finish_on, gather.digits_max), (Method::Get, None, Some(4)));
    assert!(gather.action_on_empty && gather.keys && gather.speech);
    let Prompt::Say(say) = &gather.prompts[0] else { panic!("no Say") };
    assert_eq!((say.times, &*say.language), (2, "de"));
    assert_eq!(gather.prompts[2], Prompt::Pause(Duration::from_secs(2)));
    let Verb::Record(record) = &document.steps[1].verb else { panic!("no Record") };
    assert_eq!((record.timeout, record.beep, record.trim), (None, false, false));
    assert_eq!(record.status, Some(Hook { url: "/s".into(), method: Method::Get }));
    let Verb::Dial(dial) = &document.steps[2].verb else { panic!("no Dial") };
    assert_eq!(dial.record, twiml::DialRecord::Answer { dual: true });
    assert_eq!(dial.targets.len(), 3);
    let number = &dial.targets[0];
    assert_eq!(number.whisper, Some(Hook { url: "w".into(), method: Method::Get }));
    let (hook, events) = number.status.as_ref().unwrap();
    assert_eq!((&*hook.url, events.len()), ("/n", 2));
    assert_eq!(number.send_digits.as_deref(), Some("ww1"));
    assert_eq!(dial.targets[1].who, Who::Client("1001".into()));
    assert_eq!(dial.targets[2].who, Who::Sip("sip:a@example.com?x-a=b".into()));
}

#[test]
fn warnings_use_the_default_and_go_on() {
    use Class::Warning;
    for (inner, code, column) in [
        ("<say>a</say>", 12200, 12),
        ("<Gater numDigits='1'/>", 12200, 12),
        ("<Say Loop='1'>a</Say>", 12200, 16),
        ("<Say loop='x'>a</Say>", 13510, 16),
        ("<Say></Say>", 13520, 12),
        ("<Say>a<Play>b</Play></Say>", 12200, 18),
        ("<Play loop='-1'>a</Play>", 13410, 17),
        ("<Play digits='12y'/>", 13430, 17),
        ("<Pause length='0'/>", 13910, 18),
        ("<Redirect method='PUT'>a</Redirect>", 13710, 21),
        ("<Reject reason='no'/>", 13810, 19),
        ("<Gather finishOnKey='12' action='a'/>", 13311, 19),
        ("<Gather method='PUT' action='a'/>", 13312, 19),
        ("<Gather action='a' timeout='soon'/>", 13313, 30),
        ("<Gather action='a' numDigits='0'/>", 13314, 30),
        ("<Gather action='a' input='feet'/>", 13326, 30),
        ("<Gather action='a' speechTimeout='x'/>", 13327, 30),
        ("<Gather action='a'><Dial/></Gather>", 13320, 31),
        ("<Gather><Say loop='x'>a</Say></Gather>", 13322, 24),
        ("<Gather><Play digits='1'/></Gather>", 13320, 20),
        ("<Record method='PUT'/>", 13610, 19),
        ("<Record timeout='-1'/>", 13611, 19),
        ("<Record maxLength='0'/>", 13612, 19),
        ("<Record finishOnKey='a'/>", 13613, 19),
        ("<Record transcribe='1'/>", 13614, 19),
        ("<Record playBeep='1'/>", 13616, 19),
        ("<Record trim='no'/>", 13620, 19),
        ("<Dial method='PUT'>1</Dial>", 13210, 17),
        ("<Dial timeout='1'>1</Dial>", 13212, 17),
        ("<Dial hangupOnStar='1'>1</Dial>", 13213, 17),
        ("<Dial timeLimit='0'>1</Dial>", 13216, 17),
        ("<Dial record='no'>1</Dial>", 13217, 17),
        ("<Dial sequential='1'>1</Dial>", 13218, 17),
        ("<Dial answerOnBridge='1'>1</Dial>", 13219, 17),
        ("<Dial>nobody</Dial>", 13223, 12),
        ("<Dial><Say>a</Say></Dial>", 13215, 18),
        ("<Dial><Number method='PUT'>1</Number></Dial>", 13221, 25),
        ("<Dial><Number sendDigits='x'>1</Number></Dial>", 13222, 25),
        ("<Dial><Number>one</Number></Dial>", 13223, 18),
        ("<Dial><Sip>kate</Sip></Dial>", 13243, 18),
        ("<Hangup>a</Hangup>", 12200, 12),
    ] {
        let text = format!("<Response>{inner}<Hangup/></Response>");
        let reading = read(text.as_bytes());
        let findings = found_in(&text, &reading);
        assert!(findings.contains(&(code, Warning, 1, column)), "{inner}: {findings:?}");
        let document = reading.document.unwrap_or_else(|| panic!("{inner} was abandoned"));
        assert_eq!(document.steps.last().unwrap().verb, Verb::Hangup);
    }
}

#[test]
fn errors_abandon_the_document() {
    let deep =
        |depth: usize| format!("{}{}", "<Response>".repeat(depth), "</Response>".repeat(depth));
    let many = |count: usize| format!("<Response>{}</Response>", "<Hangup/>".repeat(count));
    let wide = |count: usize| {
        let attributes: String = (0..count).map(|at| format!(" a{at}=''")).collect();
        format!("<Response{attributes}/>")
    };
    let bomb = "<!DOCTYPE a [<!ENTITY b 'cc'><!ENTITY c '&b;&b;'>]><Response>&c;</Response>";
    for good in [
        deep(twiml::DEPTH_MAX),
        many(twiml::ELEMENTS_MAX - 1),
        wide(twiml::ATTRIBUTES_MAX),
        format!("{}<Response/>", " ".repeat(twiml::DOCUMENT_MAX - 11)),
    ] {
        assert!(read(good.as_bytes()).document.is_some());
    }
    for (text, code) in [
        ("", 11770),
        (" \n", 11770),
        ("<Response>", 12100),
        ("<Response></response>", 12100),
        ("<Response/><Response/>", 12100),
        ("<Response/>text", 12100),
        ("text", 12100),
        ("<Response>&nbsp;</Response>", 12100),
        ("<Response>& </Response>", 12100),
        ("<Response a='1' a='2'/>", 12100),
        ("<Response a='<'/>", 12100),
        ("<Response a/>", 12100),
        ("<Response>\u{1}</Response>", 12100),
        ("<?xml version='1.0' encoding='UTF-16'?><Response/>", 12100),
        (bomb, 12100),
        (&deep(twiml::DEPTH_MAX + 1), 12100),
        (&many(twiml::ELEMENTS_MAX), 12100),
        (&wide(twiml::ATTRIBUTES_MAX + 1), 12100),
        (&format!("{}<Response/>", " ".repeat(twiml::DOCUMENT_MAX)), 11750),
        ("<response/>", 12102),
        ("<html><body>Not Found</body></html>", 12102),
        ("<Response><Record recordingStatusCallbackEvent='later'/></Response>", 13621),
        ("<Response><Dial trim='x'>1</Dial></Response>", 13239),
        ("<Response><Pay/></Response>", 13750),
    ] {
        let findings = found(text);
        assert!(
            findings.iter().any(|row| row.0 == code && row.1 == Class::Error),
            "{text}: {findings:?}"
        );
        assert_eq!(read(text.as_bytes()).document, None);
    }
    assert_eq!(found("<Response>\n  <Say>a</Say>\n  <Play>b</Say>\n</Response>")[0].2, 3);
    let octets = b"<Response>\xff</Response>";
    assert_eq!(read(octets).findings[0].code, Some(12100));
}

#[test]
fn a_finding_shows_its_place() {
    let text = "<Response>\n  <Say>ü</Say>\n  <Gater numDigits=\"1\">\n  </Gater>\n</Response>";
    let reading = read(text.as_bytes());
    assert_eq!(
        reading.findings[0].show("voice.xml", text),
        "voice.xml:3:4  12200  <Gater> is not a verb. Did you mean <Gather>?\n   \
         3 |   <Gater numDigits=\"1\">\n     |    ^^^^^\n"
    );
    assert!(summary(&reading.findings).starts_with("1 warning."));
    // Nothing of a document steers the terminal, and long lines are cut.
    let text = format!("<Response><Say x='\u{9b}'>{}</Say></Response>", "é".repeat(300));
    let shown = read(text.as_bytes()).findings[0].show("a", &text);
    assert!(shown.contains('…') && !shown.contains('\u{9b}'), "{shown}");
}

#[test]
fn hints_are_for_whoever_writes() {
    let text = "<Response><Gather/><Redirect>a</Redirect><Say>b</Say><Say>c</Say></Response>";
    let reading = lint(text.as_bytes(), Use::default());
    assert!(reading.document.is_some());
    let rows = found_in(text, &reading);
    assert_eq!(rows, [(0, Class::Hint, 1, 12), (0, Class::Hint, 1, 43)]);
    let inline = Use { inline: true, waiting: false };
    let text = "<Response><Gather action='/a'/><Record/></Response>";
    let rows = found_in(text, &lint(text.as_bytes(), inline));
    assert_eq!(rows, [(15004, Class::Error, 1, 19), (15004, Class::Error, 1, 33)]);
    let waiting = Use { inline: false, waiting: true };
    let text = "<Response><Play>a</Play><Hangup/></Response>";
    let rows = found_in(text, &lint(text.as_bytes(), waiting));
    assert_eq!(rows, [(13238, Class::Error, 1, 26)]);
}

const PIECES: &[&str] = &[
    "<",
    ">",
    "/>",
    "</",
    "\"",
    "'",
    "&",
    "&amp;",
    "&#x;",
    "&#99999999;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<!DOCTYPE x>",
    "<?x",
    "?>",
    "=",
    " loop='0'",
    "<Say>",
    "</Say>",
    "<Gather ",
    "<Dial>",
    "<Number>",
    "\0",
    "\u{feff}",
    "é",
    "-1",
    "4294967296",
    "\n",
    " xmlns:a='b'",
    "a:",
];

#[test]
fn mutated_documents_never_panic() {
    let seeds = [
        "<Response><Gather numDigits='1' action='/a'><Say loop=\"2\">Hi &amp; ho</Say></Gather></Response>",
        "<?xml version='1.0'?><Response><Dial timeout='10'><Number url='b'>+1</Number><Sip>sip:a@b?x=y</Sip></Dial></Response>",
        "\u{feff}<Response>\n<!-- é --><Record trim='x'/><Play digits='1w'/><Pause length='2'/></Response>",
    ];
    let mut rng = Rng::from_number(21);
    for turn in 0..20_000 {
        let mut bytes = seeds[turn % seeds.len()].as_bytes().to_vec();
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len() as u64 + 1) as usize;
            match rng.below(4) {
                0 => bytes.truncate(at),
                1 => bytes.splice(at..at, [rng.below(256) as u8]).for_each(drop),
                2 => {
                    let end = (at + rng.below(9) as usize).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => {
                    let piece = PIECES[rng.below(PIECES.len() as u64) as usize];
                    bytes.splice(at..at, piece.bytes()).for_each(drop);
                }
            }
        }
        let reading = lint(&bytes, Use { inline: turn % 2 == 0, waiting: turn % 5 == 0 });
        let fatal = reading.findings.iter().any(|finding| finding.class == Class::Error);
        assert_eq!(fatal, reading.document.is_none());
        let text = String::from_utf8_lossy(&bytes);
        for finding in &reading.findings {
            assert!(!finding.show("a", &text).is_empty());
        }
    }
}

#[test]
fn outside_data_reads_or_is_refused_by_number() {
    let Some(folder) = std::env::var_os("CARILLON_OUTSIDE_DATA") else { return };
    let folder = std::path::Path::new(&folder).join("twiml");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "twiml") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let reading = read(&bytes);
        let codes: Vec<_> = reading.findings.iter().filter_map(|finding| finding.code).collect();
        // Samples are good documents: nothing but what we do not offer ends one.
        let fatal = reading.findings.iter().filter(|finding| finding.class == Class::Error);
        let foreign: Vec<_> = fatal.filter(|finding| finding.code != Some(13750)).collect();
        assert!(foreign.is_empty(), "{}: {foreign:?} of {codes:?}", path.display());
        count += 1;
    }
    assert!(count > 50, "{count} documents");
}

#[test]
fn the_same_as_json() {
    let xml = "<Response><Say voice='slt' loop='2'>Hello &amp; more</Say>\
               <Gather numDigits='1' action='/got' actionOnEmptyResult='true'><Play>a.wav</Play></Gather>\
               <Connect><Stream url='wss://bot.example/x'><Parameter name='a' value='b'/></Stream></Connect>\
               <Hangup/></Response>";
    let json = r#"{
        "state": {"step": [1, "two"]},
        "verbs": [
            {"verb": "say", "voice": "slt", "loop": 2, "text": "Hello \u0026 more"},
            {"verb": "gather", "numDigits": "1", "action": "/got", "actionOnEmptyResult": true, "input": null,
             "verbs": [{"verb": "Play", "text": "a.wav"}]},
            {"verb": "connect", "verbs": [
                {"verb": "stream", "url": "wss://bot.example/x", "parameters": {"a": "b"}}]},
            {"verb": "hangup"}
        ]
    }"#;
    let (one, two) = (twiml::read(xml.as_bytes()), twiml::read_json(json.as_bytes()));
    assert_eq!((one.findings.len(), two.findings.len()), (0, 0), "{:?}", two.findings);
    let verbs = |reading: twiml::Reading| -> Vec<_> {
        let steps = reading.document.expect("it runs").steps;
        steps.into_iter().map(|step| step.verb).collect()
    };
    assert_eq!(two.state.as_deref(), Some(r#"{"step": [1, "two"]}"#));
    assert_eq!(verbs(two), verbs(one));
    assert_eq!(twiml::read_json(br#"{"verbs":[]}"#).state, None);
    // What is wrong has the same numbers, and its place.
    let warned = r#"{"verbs": [{"verb": "pause", "length": "x", "wait": 2}, {"verb": "dance"}, {"verb": "say", "text": "a"}]}"#;
    let reading = twiml::read_json(warned.as_bytes());
    let codes: Vec<_> = reading.findings.iter().map(|finding| finding.code.unwrap()).collect();
    assert_eq!(codes, [13910, 12200, 12200]);
    assert_eq!(reading.findings[0].line_and_column(warned), (1, 30));
    for (text, code) in [
        ("", 11770),
        ("[]", 12102),
        ("{}", 12102),
        (r#"{"verbs": {}}"#, 12200),
        (r#"{"verbs": [1]}"#, 12200),
        (r#"{"verbs": [{}]}"#, 12200),
        (r#"{"verbs": []} x"#, 12100),
        (r#"{"verbs": [}"#, 12100),
        (r#"{"verbs": ["\ud800"]}"#, 12100),
        (r#"{"verbs": [{"verb": "pay"}]}"#, 13750),
        (&format!(r#"{{"verbs": {}"#, "[".repeat(50_000)), 12100),
        (&format!(r#"{{"state": "{}", "verbs": []}}"#, "a".repeat(5_000)), 11750),
    ] {
        let reading = twiml::read_json(text.as_bytes());
        assert_eq!(reading.document, None, "{text}");
        assert!(
            reading.findings.iter().any(|finding| finding.code == Some(code)),
            "{text}: {reading:?}"
        );
    }
    let mut rng = types::Rng::from_number(22);
    for _ in 0..20_000 {
        let mut octets = json.as_bytes().to_vec();
        for _ in 0..1 + rng.below(4) {
            let place = rng.below(octets.len() as u64) as usize;
            octets[place] = rng.next_u64() as u8;
        }
        twiml::read_json(&octets);
    }
}
