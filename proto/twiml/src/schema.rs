//! Every verb and noun with its attributes, their defaults and what a wrong value is called.
//!
//! One row is one element; a row of attributes that several share stands once.
//!
//! Spec: programmable-voice §1.2, §1.3, §5

/// What stands in an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Any text.
    Any,
    /// `true` or `false`.
    Flag,
    /// `GET` or `POST`.
    Method,
    /// A whole number of this range.
    Number(u32, u32),
    /// Keys of these, as many as this at most.
    Keys(&'static str, usize),
    /// One of these words.
    Word(&'static [&'static str]),
    /// Some of these words with white space between them.
    Words(&'static [&'static str]),
}

/// One attribute of an element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) value: Value,
    pub(crate) default: Option<&'static str>,
    /// What a wrong value is called.
    pub(crate) code: u16,
    /// Whether a wrong value ends the document.
    pub(crate) fatal: bool,
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Rows of attributes.
    pub(crate) fields: &'static [&'static [Field]],
    /// What may stand within.
    pub(crate) children: &'static [&'static str],
    /// What something else within is called.
    pub(crate) nested: u16,
    /// Whether it may hold text.
    pub(crate) text: bool,
}

impl Value {
    /// Whether this text is such a value.
    pub(crate) fn fits(self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Flag => ["true", "false"].contains(&&*text.to_ascii_lowercase()),
            Self::Method => ["GET", "POST"].contains(&&*text.to_ascii_uppercase()),
            Self::Number(low, high) => {
                text.trim().parse().is_ok_and(|number: u32| (low..=high).contains(&number))
            }
            Self::Keys(keys, most) => {
                text.chars().count() <= most && text.chars().all(|c| keys.contains(c))
            }
            Self::Word(words) => words.contains(&text),
            Self::Words(words) => text.split_whitespace().all(|word| words.contains(&word)),
        }
    }

    /// What would fit, for a person.
    pub(crate) fn wants(self) -> String {
        match self {
            Self::Any => "any text".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Method => "GET or POST".to_owned(),
            Self::Number(low, u32::MAX) => format!("a whole number from {low}"),
            Self::Number(low, high) => format!("a whole number from {low} to {high}"),
            Self::Keys(keys, 1) => format!("one key of {keys}, or nothing"),
            Self::Keys(keys, most) => format!("at most {most} keys of {keys}"),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::Words(words) => format!("some of {}, with spaces between them", words.join(", ")),
        }
    }
}

impl Shape {
    /// An attribute by its name.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.name == name)
    }

    /// All attributes.
    pub(crate) fn fields(&self) -> impl Iterator<Item = &'static Field> {
        self.fields.iter().flat_map(|row| row.iter())
    }
}

/// The names of all elements.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|shape| shape.name)
}

/// The row of an element.
pub(crate) fn shape(name: &str) -> Option<&'static Shape> {
    SHAPES.iter().find(|shape| shape.name == name)
}

const KEYS: &str = "0123456789*#";
/// Attributes that say something about the document itself.
pub(crate) const SHAPES_OF_NAMESPACES: &[&str] = &["xmlns", "xml:", "xsi:"];

const TONES: &str = "0123456789ABCD#*wW";

const fn field(name: &'static str, value: Value, default: &'static str, code: u16) -> Field {
    Field { name, value, default: Some(default), code, fatal: false }
}

/// Text without a default.
const fn text(name: &'static str) -> Field {
    Field { name, value: Value::Any, default: None, code: 12200, fatal: false }
}

const fn method(name: &'static str, code: u16) -> Field {
    field(name, Value::Method, "POST", code)
}

const fn flag(name: &'static str, default: &'static str, code: u16) -> Field {
    field(name, Value::Flag, default, code)
}

const fn fatal(field: Field) -> Field {
    Field { fatal: true, ..field }
}

/// Without a default.
const fn bare(field: Field) -> Field {
    Field { default: None, ..field }
}

const ACTION: &[Field] = &[text("action"), method("method", 12200)];
const CALLEE: &[Field] = &[
    text("url"),
    text("statusCallback"),
    method("statusCallbackMethod", 12200),
    field(
        "statusCallbackEvent",
        Value::Words(&["initiated", "ringing", "answered", "completed"]),
        "completed",
        12200,
    ),
];
const MACHINE: &[Field] = &[
    bare(field("machineDetection", Value::Word(&["Enable", "DetectMessageEnd"]), "", 12200)),
    field("machineDetectionTimeout", Value::Number(3, 60), "30", 12200),
    field("machineDetectionSpeechThreshold", Value::Number(1000, 6000), "2400", 12200),
    field("machineDetectionSpeechEndThreshold", Value::Number(500, 5000), "1200", 12200),
    field("machineDetectionSilenceTimeout", Value::Number(2000, 10000), "5000", 12200),
    text("amdStatusCallback"),
    method("amdStatusCallbackMethod", 12200),
];
const TRIM: Value = Value::Word(&["trim-silence", "do-not-trim"]);
const RECORDING: &[Field] = &[
    text("recordingStatusCallback"),
    method("recordingStatusCallbackMethod", 12200),
    text("recordingConfigurationId"),
];
const RECORDING_EVENTS: Value = Value::Words(&["in-progress", "completed", "absent"]);
const STATUS: &[Field] = &[text("statusCallback"), method("statusCallbackMethod", 12200)];
const TRACK: Value = Value::Word(&["inbound_track", "outbound_track", "both_tracks"]);
const SSML: &[&str] =
    &["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w"];
const NONE: &[&str] = &[];

const fn row(
    name: &'static str,
    fields: &'static [&'static [Field]],
    children: &'static [&'static str],
) -> Shape {
    Shape { name, fields, children, nested: 12200, text: false }
}

const fn with_text(shape: Shape) -> Shape {
    Shape { text: true, ..shape }
}

const fn nested(shape: Shape, code: u16) -> Shape {
    Shape { nested: code, ..shape }
}

/// Verbs that may stand in a document.
pub(crate) const VERBS: &[&str] = &[
    "Connect", "Dial", "Echo", "Enqueue", "Gather", "Hangup", "Leave", "Pause", "Pay", "Play",
    "Record", "Redirect", "Refer", "Reject", "Say", "Sms", "Start", "Stop",
];

const SHAPES: &[Shape] = &[
    row("Response", &[], VERBS),
    // Verbs.
    row(
        "Connect",
        &[ACTION],
        &[
            "AiSession",
            "Assistant",
            "Autopilot",
            "Conversation",
            "ConversationRelay",
            "Room",
            "Stream",
            "VirtualAgent",
        ],
    ),
    nested(
        with_text(row(
            "Dial",
            &[
                &[
                    text("action"),
                    method("method", 13210),
                    field("timeout", Value::Number(5, 600), "30", 13212),
                    flag("hangupOnStar", "false", 13213),
                    field("timeLimit", Value::Number(1, 86_400), "14400", 13216),
                    text("callerId"),
                    field(
                        "record",
                        Value::Word(&[
                            "do-not-record",
                            "record-from-answer",
                            "record-from-answer-dual",
                            "record-from-ringing",
                            "record-from-ringing-dual",
                            "true",
                            "false",
                        ]),
                        "do-not-record",
                        13217,
                    ),
                    bare(fatal(field("trim", TRIM, "", 13239))),
                    field("recordingStatusCallbackEvent", RECORDING_EVENTS, "completed", 12200),
                    field(
                        "recordingTrack",
                        Value::Word(&["both", "inbound", "outbound"]),
                        "both",
                        12200,
                    ),
                    flag("answerOnBridge", "false", 13219),
                    text("ringTone"),
                    flag("sequential", "false", 13218),
                    text("referUrl"),
                    method("referMethod", 12200),
                    text("callReason"),
                    text("events"),
                    text("passports"),
                ],
                RECORDING,
            ],
            &["Number", "Client", "Sip", "Conference", "Queue", "Application", "WhatsApp", "Sim"],
        )),
        13215,
    ),
    row("Echo", &[], NONE),
    with_text(row(
        "Enqueue",
        &[
            ACTION,
            &[
                text("waitUrl"),
                // Its default depends on whether there is a `waitUrl`.
                bare(method("waitUrlMethod", 12200)),
                text("workflowSid"),
                field("maxQueueSize", Value::Number(1, 5_000), "1000", 12200),
            ],
        ],
        &["Task"],
    )),
    nested(
        row(
            "Gather",
            &[&[
                field(
                    "input",
                    Value::Word(&["dtmf", "speech", "dtmf speech", "speech dtmf"]),
                    "dtmf",
                    13326,
                ),
                text("action"),
                method("method", 13312),
                field("timeout", Value::Number(1, 600), "5", 13313),
                // `auto`, or a number of seconds.
                text("speechTimeout"),
                bare(field("maxSpeechTime", Value::Number(1, 600), "", 13328)),
                field("finishOnKey", Value::Keys(KEYS, 1), "#", 13311),
                bare(field("numDigits", Value::Number(1, 256), "", 13314)),
                flag("actionOnEmptyResult", "false", 13338),
                text("partialResultCallback"),
                method("partialResultCallbackMethod", 13329),
                field("language", Value::Any, "en-US", 13331),
                text("hints"),
                flag("bargeIn", "true", 13332),
                flag("profanityFilter", "true", 13333),
                field("speechModel", Value::Any, "default", 13334),
                flag("enhanced", "false", 12200),
                flag("debug", "false", 12200),
            ]],
            &["Say", "Play", "Pause"],
        ),
        13320,
    ),
    row("Hangup", &[], &["Parameter"]),
    row("Leave", &[], NONE),
    row("Pause", &[&[field("length", Value::Number(1, 86_400), "1", 13910)]], NONE),
    row(
        "Pay",
        &[
            ACTION,
            STATUS,
            &[
                text("input"),
                text("bankAccountType"),
                text("timeout"),
                text("maxAttempts"),
                text("securityCode"),
                text("postalCode"),
                text("minPostalCodeLength"),
                text("paymentConnector"),
                text("paymentMethod"),
                text("tokenType"),
                text("chargeAmount"),
                text("currency"),
                text("description"),
                text("validCardTypes"),
                text("language"),
            ],
        ],
        &["Prompt", "Parameter"],
    ),
    with_text(row(
        "Play",
        &[&[
            field("loop", Value::Number(0, 1_000), "1", 13410),
            bare(field("digits", Value::Keys(TONES, 256), "", 13430)),
        ]],
        NONE,
    )),
    row(
        "Record",
        &[
            &[
                text("action"),
                method("method", 13610),
                field("timeout", Value::Number(0, 86_400), "5", 13611),
                field("maxLength", Value::Number(1, 14_400), "3600", 13612),
                field("finishOnKey", Value::Keys(KEYS, 12), "1234567890*#", 13613),
                flag("transcribe", "false", 13614),
                text("transcribeCallback"),
                flag("playBeep", "true", 13616),
                field("trim", TRIM, "trim-silence", 13620),
                fatal(field("recordingStatusCallbackEvent", RECORDING_EVENTS, "completed", 13621)),
            ],
            RECORDING,
        ],
        NONE,
    ),
    with_text(row("Redirect", &[&[method("method", 13710)]], NONE)),
    row("Refer", &[ACTION], &["Sip", "ReferSip"]),
    row(
        "Reject",
        &[&[field("reason", Value::Word(&["rejected", "busy"]), "rejected", 13810)]],
        &["Parameter"],
    ),
    with_text(row(
        "Say",
        &[&[
            field("voice", Value::Any, "man", 13511),
            field("language", Value::Any, "en-US", 13512),
            field("loop", Value::Number(0, 1_000), "1", 13510),
        ]],
        SSML,
    )),
    with_text(row("Sms", &[ACTION, &[text("to"), text("from"), text("statusCallback")]], NONE)),
    row("Start", &[ACTION], &["Stream", "Siprec", "Transcription", "Recording"]),
    row("Stop", &[], &["Stream", "Siprec", "Transcription"]),
    // Nouns.
    row("AiSession", &[&[text("aiConnector"), text("aiSessionConfiguration")]], NONE),
    row(
        "Application",
        &[
            CALLEE,
            &[method("method", 12200), text("customerId"), flag("copyParentTo", "false", 12200)],
        ],
        &["ApplicationSid", "Parameter"],
    ),
    with_text(row("ApplicationSid", &[], NONE)),
    with_text(row(
        "Assistant",
        &[&[text("id"), text("welcomeGreeting"), text("voice")]],
        &["Parameter"],
    )),
    with_text(row("Autopilot", &[], NONE)),
    with_text(row("Client", &[CALLEE, &[method("method", 12200)]], &["Identity", "Parameter"])),
    with_text(row(
        "Conference",
        &[
            &[
                flag("muted", "false", 13230),
                field("beep", Value::Word(&["true", "false", "onEnter", "onExit"]), "true", 13235),
                flag("startConferenceOnEnter", "true", 13232),
                fatal(flag("endConferenceOnExit", "false", 13231)),
                text("participantLabel"),
                field(
                    "jitterBufferSize",
                    Value::Word(&["large", "medium", "small", "off"]),
                    "large",
                    12200,
                ),
                text("waitUrl"),
                // Its default depends on whether there is a `waitUrl`.
                bare(method("waitMethod", 13234)),
                field("maxParticipants", Value::Number(2, 250), "250", 12200),
                field(
                    "record",
                    Value::Word(&["do-not-record", "record-from-start", "true", "false"]),
                    "do-not-record",
                    12200,
                ),
                bare(fatal(field("trim", TRIM, "", 13239))),
                text("coach"),
                text("region"),
                bare(field(
                    "statusCallbackEvent",
                    Value::Words(&[
                        "start",
                        "end",
                        "join",
                        "leave",
                        "mute",
                        "hold",
                        "modify",
                        "speaker",
                        "announcement",
                    ]),
                    "",
                    12200,
                )),
                text("statusCallback"),
                method("statusCallbackMethod", 12200),
                field("recordingStatusCallbackEvent", RECORDING_EVENTS, "completed", 12200),
                text("eventCallbackUrl"),
            ],
            RECORDING,
        ],
        NONE,
    )),
    row("Config", &[&[text("name"), text("value")]], NONE),
    with_text(row(
        "Conversation",
        &[
            STATUS,
            RECORDING,
            &[
                text("serviceInstanceSid"),
                text("inboundAutocreation"),
                text("routingAssignmentTimeout"),
                text("inboundTimeout"),
                text("url"),
                method("method", 12200),
                text("record"),
                text("trim"),
                text("recordingStatusCallbackEvent"),
                text("statusCallbackEvent"),
            ],
        ],
        NONE,
    )),
    row(
        "ConversationRelay",
        &[&[
            text("url"),
            text("language"),
            text("ttsLanguage"),
            text("transcriptionLanguage"),
            text("ttsProvider"),
            text("voice"),
            text("transcriptionProvider"),
            text("speechModel"),
            text("profanityFilter"),
            text("dtmfDetection"),
            text("welcomeGreeting"),
            text("welcomeGreetingInterruptible"),
            text("partialPrompts"),
            text("interruptible"),
            text("preemptible"),
            text("hints"),
            text("interruptSensitivity"),
            text("debug"),
        ]],
        &["Language", "Parameter"],
    ),
    row("Header", &[&[text("name"), text("value")]], NONE),
    row("Headers", &[], &["Header"]),
    with_text(row("Identity", &[], NONE)),
    row(
        "Language",
        &[&[
            text("code"),
            text("ttsProvider"),
            text("voice"),
            text("transcriptionProvider"),
            text("speechModel"),
        ]],
        NONE,
    ),
    with_text(row(
        "Number",
        &[
            CALLEE,
            MACHINE,
            &[
                method("method", 13221),
                bare(field("sendDigits", Value::Keys(TONES, 256), "", 13222)),
                text("byoc"),
            ],
        ],
        NONE,
    )),
    row("Parameter", &[&[text("name"), text("value")]], NONE),
    row(
        "Prompt",
        &[&[
            text("for"),
            text("errorType"),
            text("cardType"),
            text("attempt"),
            text("requireMatchingInputs"),
        ]],
        &["Say", "Play", "Pause"],
    ),
    with_text(row(
        "Queue",
        &[&[
            text("url"),
            method("method", 12200),
            text("reservationSid"),
            text("postWorkActivitySid"),
        ]],
        NONE,
    )),
    row(
        "Recording",
        &[
            RECORDING,
            &[
                field("recordingStatusCallbackEvent", RECORDING_EVENTS, "completed", 12200),
                field("trim", TRIM, "do-not-trim", 12200),
                field("track", Value::Word(&["both", "inbound", "outbound"]), "both", 12200),
                field("channels", Value::Word(&["mono", "dual"]), "dual", 12200),
            ],
        ],
        NONE,
    ),
    with_text(row("ReferSip", &[], NONE)),
    with_text(row("Room", &[&[text("participantIdentity")]], NONE)),
    with_text(row("Sim", &[CALLEE, &[method("method", 12200)]], NONE)),
    with_text(row(
        "Sip",
        &[CALLEE, MACHINE, &[method("method", 13241), text("username"), text("password")]],
        &["Uri", "Headers"],
    )),
    row(
        "Siprec",
        &[
            STATUS,
            &[text("name"), text("connectorName"), field("track", TRACK, "both_tracks", 12200)],
        ],
        &["Parameter"],
    ),
    row(
        "Stream",
        &[
            STATUS,
            &[
                text("name"),
                text("connectorName"),
                text("url"),
                fatal(field("track", TRACK, "inbound_track", 31941)),
            ],
        ],
        &["Parameter"],
    ),
    with_text(row("Task", &[&[text("priority"), text("timeout")]], NONE)),
    row(
        "Transcription",
        &[&[
            text("name"),
            field("track", TRACK, "both_tracks", 12200),
            text("statusCallbackUrl"),
            method("statusCallbackMethod", 12200),
            text("inboundTrackLabel"),
            text("outboundTrackLabel"),
            flag("partialResults", "false", 12200),
            field("languageCode", Value::Any, "en-US", 12200),
            text("transcriptionEngine"),
            flag("profanityFilter", "true", 12200),
            text("speechModel"),
            text("hints"),
            flag("enableAutomaticPunctuation", "true", 12200),
            text("intelligenceService"),
        ]],
        &["Config", "Parameter"],
    ),
    with_text(row("Uri", &[&[text("priority"), text("weight")]], NONE)),
    row(
        "VirtualAgent",
        &[
            STATUS,
            &[text("connectorName"), text("language"), flag("sentimentAnalysis", "false", 12200)],
        ],
        &["Config", "Parameter"],
    ),
    with_text(row("WhatsApp", &[CALLEE, &[method("method", 12200)]], NONE)),
    // Marks in spoken text.
    row("break", &[&[text("strength"), text("time")]], NONE),
    with_text(row("emphasis", &[&[text("level")]], SSML)),
    with_text(row("lang", &[&[text("xml:lang")]], SSML)),
    with_text(row("p", &[], SSML)),
    with_text(row("phoneme", &[&[text("alphabet"), text("ph")]], SSML)),
    with_text(row("prosody", &[&[text("volume"), text("rate"), text("pitch")]], SSML)),
    with_text(row("s", &[], SSML)),
    with_text(row("say-as", &[&[text("interpret-as"), text("format"), text("role")]], SSML)),
    with_text(row("sub", &[&[text("alias")]], SSML)),
    with_text(row("w", &[&[text("role")]], SSML)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        for shape in SHAPES {
            for child in shape.children {
                assert!(super::shape(child).is_some(), "{}: {child} has no row", shape.name);
            }
            for (at, field) in shape.fields().enumerate() {
                let twice = shape.fields().skip(at + 1).any(|other| other.name == field.name);
                assert!(!twice, "{}: {} stands twice", shape.name, field.name);
                if let Some(default) = field.default {
                    assert!(field.value.fits(default), "{}: {}", shape.name, field.name);
                }
            }
        }
        let mut names: Vec<_> = SHAPES.iter().map(|shape| shape.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|two| two[0] != two[1]));
    }
}
