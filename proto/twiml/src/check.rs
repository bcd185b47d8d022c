//! A tree against the table: what is misspelt, misplaced, out of range or not offered here.

use crate::finding::{Class, Finding, Place};
use crate::schema::{Field, SHAPES_OF_NAMESPACES, Shape, VERBS, Value, shape};
use crate::tree::{Element, Node};

/// Targets of one `<Dial>`.
pub(crate) const TARGETS_MAX: usize = 10;
/// Octets of the address of a `<Sip>`, without what follows a question mark.
const SIP_MAX: usize = 255;
/// Octets of what follows it.
const SIP_HEADERS_MAX: usize = 1024;
/// Findings of one document: beyond, nobody reads on.
pub(crate) const FINDINGS_MAX: usize = 200;

/// What this server does not do: a document that wants it is abandoned.
pub(crate) const UNOFFERED: &[&str] = &[
    "AiSession",
    "Application",
    "Assistant",
    "Autopilot",
    "Conversation",
    "ConversationRelay",
    "Echo",
    "Pay",
    "Room",
    "Sim",
    "Sms",
    "Task",
    "VirtualAgent",
    "WhatsApp",
];

/// Everything that the table says against a document.
pub(crate) fn check(root: &Element) -> Vec<Finding> {
    let mut check = Check { findings: Vec::new() };
    if root.name == "Response" {
        check.element(root, None);
    } else {
        let sentence = format!("The root is <{}>, not <Response>.", root.name);
        check.add(Finding::new(Class::Error, 12102, root.place, sentence));
    }
    check.findings
}

struct Check {
    findings: Vec<Finding>,
}

impl Check {
    fn add(&mut self, finding: Finding) {
        // An error is never lost in the crowd: it decides what happens.
        if self.findings.len() < FINDINGS_MAX || finding.class == Class::Error {
            self.findings.push(finding);
        }
    }

    fn warn(&mut self, code: u16, place: Place, sentence: String) {
        self.add(Finding::new(Class::Warning, code, place, sentence));
    }

    fn element(&mut self, element: &Element, parent: Option<&Element>) {
        let Some(shape) = shape(&element.name) else { return };
        let within_gather = parent.is_some_and(|parent| parent.name == "Gather");
        for attribute in &element.attributes {
            if SHAPES_OF_NAMESPACES.iter().any(|prefix| attribute.name.starts_with(prefix)) {
                continue;
            }
            match shape.field(&attribute.name) {
                None => self.unknown_attribute(element, shape, &attribute.name, attribute.place),
                Some(field) if !field.value.fits(&attribute.value) => {
                    self.wrong(element, field, attribute.place, within_gather);
                }
                Some(_) => {}
            }
        }
        for node in &element.nodes {
            match node {
                Node::Element(child) => self.child(element, shape, child),
                Node::Text(text) if !shape.text && !text.trim().is_empty() => {
                    let sentence = format!("<{}> holds no text; it is skipped.", element.name);
                    self.warn(12200, element.place, sentence);
                }
                Node::Text(_) => {}
            }
        }
        self.content(element, within_gather);
        if let ("Stream", Some(parent)) = (&*element.name, parent) {
            self.stream(element, &parent.name);
        }
    }

    fn child(&mut self, parent: &Element, shape: &Shape, child: &Element) {
        if shape.children.contains(&&*child.name) {
            if UNOFFERED.contains(&&*child.name) {
                let sentence = format!("<{}> is not offered by this server.", child.name);
                self.add(Finding::new(Class::Error, 13750, child.place, sentence));
            }
            return self.element(child, Some(parent));
        }
        let (code, sentence) = if crate::schema::shape(&child.name).is_some() {
            let sentence = format!("<{}> may not stand in <{}>.", child.name, parent.name);
            (shape.nested, sentence)
        } else {
            let kind = if parent.name == "Response" { "a verb" } else { "known here" };
            let mut sentence = format!("<{}> is not {kind}.", child.name);
            if let Some(near) = nearest(&child.name, shape.children.iter().copied()) {
                sentence.push_str(&format!(" Did you mean <{near}>?"));
            }
            (12200, sentence)
        };
        self.warn(code, child.place, sentence);
    }

    fn unknown_attribute(&mut self, element: &Element, shape: &Shape, name: &str, place: Place) {
        let mut sentence = format!("<{}> has no attribute `{name}`.", element.name);
        if let Some(near) = nearest(name, shape.fields().map(|field| field.name)) {
            sentence.push_str(&format!(" Did you mean `{near}`?"));
        }
        self.warn(12200, place, sentence);
    }

    fn wrong(&mut self, element: &Element, field: &Field, place: Place, within_gather: bool) {
        let code = match (&*element.name, field.name) {
            ("Say", "loop") if within_gather => 13322,
            _ => field.code,
        };
        let class = if field.fatal { Class::Error } else { Class::Warning };
        let mut sentence = format!("`{}` takes {}", field.name, field.value.wants());
        match (class, field.default) {
            (Class::Warning, Some(default))
                if field.value == Value::Flag || !default.is_empty() =>
            {
                sentence.push_str(&format!("; {default} is used."));
            }
            (Class::Warning, _) => sentence.push_str("; it is left out."),
            (Class::Error | Class::Hint, _) => sentence.push('.'),
        }
        self.add(Finding::new(class, code, place, sentence));
    }

    /// What the table cannot say.
    fn content(&mut self, element: &Element, within_gather: bool) {
        let place = element.place;
        let text = element.text();
        match &*element.name {
            "Play" if within_gather && element.attribute("digits").is_some() => {
                self.warn(13320, place, "`digits` may not be played in <Gather>.".to_owned());
            }
            "Play" if text.is_empty() && element.attribute("digits").is_none() => {
                let sentence = "<Play> names neither an address nor `digits`; it is skipped.";
                self.warn(12200, place, sentence.to_owned());
            }
            "Say" if crate::verbs::spoken(element).is_empty() => {
                self.warn(13520, place, "<Say> has nothing to say.".to_owned());
            }
            "Number" if !is_number(&text) => {
                self.warn(13223, place, format!("`{}` is not a number.", short(&text)));
            }
            "Conference" | "Queue" if text.is_empty() => {
                self.warn(13237, place, format!("<{}> has no name; it is left out.", element.name));
            }
            "Enqueue" if !(1..=crate::meet::QUEUE_NAME_MAX).contains(&text.chars().count()) => {
                let sentence = "<Enqueue> names a queue, in 64 characters at most; it is skipped.";
                self.warn(12200, place, sentence.to_owned());
            }
            "Dial" => self.dial(element, &text),
            "Gather" => {
                let known = |text: &str| text == "auto" || Value::Number(1, 600).fits(text);
                let time = element.attribute("speechTimeout");
                if let Some(time) = time.filter(|time| !known(&time.value)) {
                    let sentence = "`speechTimeout` takes auto, or a whole number from 1 to 600.";
                    self.warn(13327, time.place, sentence.to_owned());
                }
            }
            "Refer" => {
                let named = |child: &Element| ["ReferSip", "Sip"].contains(&&*child.name);
                if !element.elements().any(named) {
                    let sentence = "<Refer> names no <Sip>; it is skipped.";
                    self.warn(12200, place, sentence.to_owned());
                }
            }
            "Recording" => {
                let url = element.attribute("recordingStatusCallback");
                if let Some(url) = url.filter(|url| !crate::streams::is_absolute(&url.value)) {
                    let sentence =
                        "`recordingStatusCallback` takes a whole address; nobody is told.";
                    self.warn(13256, url.place, sentence.to_owned());
                }
            }
            "Sip" => {
                let address = crate::verbs::sip_text(element);
                let (address, headers) = address.split_once('?').unwrap_or((&address, ""));
                if headers.len() >= SIP_HEADERS_MAX {
                    self.warn(13253, place, "Its headers are longer than 1,024.".to_owned());
                }
                if address.len() >= SIP_MAX || !is_sip(address) {
                    let sentence = format!("`{}` is not a SIP address.", short(address));
                    self.warn(13243, place, sentence);
                }
            }
            _ => {}
        }
    }

    /// A `<Stop>` needs no more than a name.
    fn stream(&mut self, element: &Element, parent: &str) {
        let mut error = |code, place, sentence: &str| {
            self.add(Finding::new(Class::Error, code, place, sentence));
        };
        let url = element.attribute("url");
        let scheme = url.and_then(|url| url.value.split_once("://")).map(|(scheme, _)| scheme);
        match (parent, url) {
            ("Stop", _) => return,
            (_, None) => match element.attribute("connectorName") {
                Some(name) => error(31940, name.place, "There are no connectors here: use `url`."),
                None => error(31923, element.place, "<Stream> has no `url`."),
            },
            (_, Some(url)) if scheme.is_some_and(|scheme| !["ws", "wss"].contains(&scheme)) => {
                error(31922, url.place, "`url` takes an address of wss or ws.");
            }
            (_, Some(_)) => {}
        }
        let track = element.attribute("track").filter(|track| track.value != "inbound_track");
        if let ("Connect", Some(track)) = (parent, track) {
            error(31941, track.place, "<Connect> hears the caller alone: inbound_track.");
        }
    }

    fn dial(&mut self, element: &Element, text: &str) {
        let place = element.place;
        let targets = element.elements().count();
        if targets > TARGETS_MAX {
            let sentence = "More than 10 targets; those beyond are left out.";
            self.warn(13250, place, sentence.to_owned());
        }
        if targets == 0 && !is_number(text) {
            self.warn(13223, place, format!("`{}` is not a number.", short(text)));
        }
        let mixed = element.elements().any(|child| child.name == "Conference") && targets > 1;
        if mixed {
            let sentence = "A <Conference> stands alone in its <Dial>.";
            self.warn(13000, place, sentence.to_owned());
        }
        let callback = element.attribute("callerId").filter(|id| id.value.contains(['<', '>']));
        if let Some(id) = callback {
            self.warn(13214, id.place, "`callerId` takes a number or a name.".to_owned());
        }
    }
}

/// Whether this is a number that could be dialled.
pub(crate) fn is_number(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | '.' | ' ');
    (1..=32).contains(&digits) && text.chars().all(fits)
}

pub(crate) fn is_sip(address: &str) -> bool {
    let rest = address.strip_prefix("sip:").or_else(|| address.strip_prefix("sips:"));
    let host = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, host)| host));
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"');
    host.is_some_and(|host| !host.is_empty()) && !address.contains(odd)
}

/// The beginning of a text from outside, for a sentence.
fn short(text: &str) -> String {
    let mut out: String = text.chars().filter(|c| !c.is_control()).take(40).collect();
    if text.chars().count() > 40 {
        out.push('…');
    }
    out
}

/// The word that was probably meant: at most two changes away, or the same in other letters.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut found: Vec<_> = known.map(|other| (distance(word, other), other)).collect();
    found.sort_unstable();
    let (changes, other) = found.first()?;
    let close = *changes <= 2 && *changes < other.len().min(word.len());
    (close || word.eq_ignore_ascii_case(other)).then_some(*other)
}

/// How many letters differ (Levenshtein). Long words are not worth it.
fn distance(one: &str, two: &str) -> usize {
    const WORD_MAX: usize = 40;
    if one.len() > WORD_MAX || two.len() > WORD_MAX {
        return usize::MAX;
    }
    let two: Vec<char> = two.chars().collect();
    let mut row: Vec<usize> = (0..=two.len()).collect();
    for (line, a) in one.chars().enumerate() {
        let mut corner = line;
        let mut left = line + 1;
        let mut next = vec![left];
        for (b, above) in two.iter().zip(row.iter().skip(1)) {
            let changed = corner + usize::from(a != *b);
            corner = *above;
            left = changed.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// Whether a name is one of the verbs.
pub(crate) fn is_verb(name: &str) -> bool {
    VERBS.contains(&name)
}
