//! What a recording server is told of the call that it records.

use crate::Writer;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:recording:1";
/// Of what apps say about a call, which no specification knows.
const OWN: &str = "urn:carillon:recording:parameters:1";

/// The metadata of one recording session, whole or what changed. Moments are as RFC 3339 writes them.
///
/// Spec: RFC 7865 §6, §8
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordingMetadata {
    /// Whether this is all there is, or only what changed.
    pub complete: bool,
    /// The call that is recorded.
    pub session: Option<RecordedSession>,
    /// Who takes part.
    pub participants: Vec<RecordedParticipant>,
    /// What is sent, stream by stream.
    pub streams: Vec<RecordedStream>,
    /// Since when the call is recorded, by the id of its session.
    pub recorded: Vec<(RecordingId, Span)>,
    /// Who took part in which session when: the participant, the session.
    pub took_part: Vec<(RecordingId, RecordingId, Span)>,
    /// Who sends and hears which streams.
    pub shares: Vec<RecordedShare>,
}

/// Names one thing of a recording: 16 octets, written in base64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordingId(pub u128);

/// The call that is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedSession {
    /// Its name.
    pub id: RecordingId,
    /// When it began.
    pub began: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// What an app says of it: names and values.
    pub parameters: Vec<(String, String)>,
}

/// Who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedParticipant {
    /// His name here.
    pub id: RecordingId,
    /// His address.
    pub aor: String,
    /// His name, for people.
    pub display: Option<String>,
}

/// One stream that is sent to the recording server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedStream {
    /// Its name.
    pub id: RecordingId,
    /// Of which session.
    pub session: RecordingId,
    /// Its `a=label` in the description.
    pub label: String,
}

/// From when to when something was so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Since when.
    pub from: Option<String>,
    /// Until when.
    pub until: Option<String>,
}

/// What one participant sends and hears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedShare {
    /// Who.
    pub participant: RecordingId,
    /// What he sends.
    pub sends: Vec<RecordingId>,
    /// What he hears.
    pub hears: Vec<RecordingId>,
}

impl RecordingId {
    /// As documents have it: base64 with its padding.
    ///
    /// Spec: RFC 4648 §4
    fn text(self) -> String {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        // 128 bits are 21 letters of six and one of two.
        let letter = |six: u128| char::from(*LETTERS.get((six & 63) as usize).unwrap_or(&b'A'));
        let most = (0..21).map(|place| letter(self.0 >> (122 - 6 * place)));
        most.chain([letter(self.0 << 4), '=', '=']).collect()
    }
}

impl RecordingMetadata {
    /// Its Content-Type.
    pub const CONTENT_TYPE: &'static str = "application/rs-metadata+xml";

    /// The document.
    pub fn encode(&self) -> String {
        let mut writer = Writer::new("recording", NAMESPACE, &[]);
        writer.leaf("datamode", if self.complete { "complete" } else { "partial" });
        if let Some(session) = &self.session {
            writer.open("session").attribute("session_id", session.id.text());
            writer.leaf_if("start-time", session.began.as_ref());
            writer.leaf_if("stop-time", session.ended.as_ref());
            for (name, value) in &session.parameters {
                writer.open("parameter").attribute("xmlns", OWN);
                writer.attribute("name", name).text(value).close();
            }
            writer.close();
        }
        for participant in &self.participants {
            writer.open("participant").attribute("participant_id", participant.id.text());
            writer.open("nameID").attribute("aor", &participant.aor);
            writer.leaf_if("name", participant.display.as_ref());
            writer.close().close();
        }
        for stream in &self.streams {
            writer.open("stream").attribute("stream_id", stream.id.text());
            writer.attribute("session_id", stream.session.text());
            writer.leaf("label", &stream.label).close();
        }
        for (session, span) in &self.recorded {
            writer.open("sessionrecordingassoc").attribute("session_id", session.text());
            span.write(&mut writer);
        }
        for (participant, session, span) in &self.took_part {
            writer.open("participantsessionassoc").attribute("participant_id", participant.text());
            writer.attribute("session_id", session.text());
            span.write(&mut writer);
        }
        for share in &self.shares {
            writer.open("participantstreamassoc");
            writer.attribute("participant_id", share.participant.text());
            for sends in &share.sends {
                writer.leaf("send", sends.text());
            }
            for hears in &share.hears {
                writer.leaf("recv", hears.text());
            }
            writer.close();
        }
        writer.end()
    }
}

impl Span {
    /// The rest of an association, and its end.
    fn write(&self, writer: &mut Writer) {
        writer.leaf_if("associate-time", self.from.as_ref());
        writer.leaf_if("disassociate-time", self.until.as_ref()).close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;

    #[test]
    fn ids_are_base64() {
        // A participant of the examples of RFC 7865.
        let bob = RecordingId(0xb2b7_c112_5982_469d_9007_6ddb_ecca_64d3);
        assert_eq!(bob.text(), "srfBElmCRp2QB23b7Mpk0w==");
        assert_eq!(RecordingId(0).text(), "AAAAAAAAAAAAAAAAAAAAAA==");
        assert_eq!(RecordingId(u128::MAX).text(), "/////////////////////w==");
    }

    /// In the shape of the examples of RFC 7865.
    #[test]
    fn a_call_of_two_is_told_whole() {
        let [session, bob, paul, out, back] = [1, 2, 3, 4, 5].map(RecordingId);
        let at = |second: u32| Some(format!("2010-12-16T23:41:{second:02}Z"));
        let since = Span { from: at(7), until: None };
        let told = RecordingMetadata {
            complete: true,
            session: Some(RecordedSession {
                id: session,
                began: at(0),
                ended: None,
                parameters: vec![("case".into(), "7 < 8".into())],
            }),
            participants: vec![
                RecordedParticipant {
                    id: bob,
                    aor: "sip:bob@biloxi.com".into(),
                    display: Some("Bob & Co".into()),
                },
                RecordedParticipant { id: paul, aor: "sip:paul@box.com".into(), display: None },
            ],
            streams: vec![
                RecordedStream { id: out, session, label: "1".into() },
                RecordedStream { id: back, session, label: "2".into() },
            ],
            recorded: vec![(session, since.clone())],
            took_part: vec![(bob, session, since.clone()), (paul, session, since)],
            shares: vec![
                RecordedShare { participant: bob, sends: vec![out], hears: vec![back] },
                RecordedShare { participant: paul, sends: vec![back], hears: vec![out] },
            ],
        };
        let text = told.encode();
        let id = |last: &str| format!("AAAAAAAAAAAAAAAAAAAA{last}==");
        let [session, bob, paul, out, back] = ["AQ", "Ag", "Aw", "BA", "BQ"].map(id);
        let golden = [
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n",
            "<recording xmlns=\"urn:ietf:params:xml:ns:recording:1\"><datamode>complete</datamode>",
            &format!(
                "<session session_id=\"{session}\"><start-time>2010-12-16T23:41:00Z</start-time>"
            ),
            "<parameter xmlns=\"urn:carillon:recording:parameters:1\" name=\"case\">7 &lt; 8</parameter></session>",
            &format!("<participant participant_id=\"{bob}\"><nameID aor=\"sip:bob@biloxi.com\">"),
            "<name>Bob &amp; Co</name></nameID></participant>",
            &format!(
                "<participant participant_id=\"{paul}\"><nameID aor=\"sip:paul@box.com\"/></participant>"
            ),
            &format!(
                "<stream stream_id=\"{out}\" session_id=\"{session}\"><label>1</label></stream>"
            ),
            &format!(
                "<stream stream_id=\"{back}\" session_id=\"{session}\"><label>2</label></stream>"
            ),
            &format!("<sessionrecordingassoc session_id=\"{session}\">"),
            "<associate-time>2010-12-16T23:41:07Z</associate-time></sessionrecordingassoc>",
            &format!("<participantsessionassoc participant_id=\"{bob}\" session_id=\"{session}\">"),
            "<associate-time>2010-12-16T23:41:07Z</associate-time></participantsessionassoc>",
            &format!(
                "<participantsessionassoc participant_id=\"{paul}\" session_id=\"{session}\">"
            ),
            "<associate-time>2010-12-16T23:41:07Z</associate-time></participantsessionassoc>",
            &format!(
                "<participantstreamassoc participant_id=\"{bob}\"><send>{out}</send><recv>{back}</recv>"
            ),
            "</participantstreamassoc>",
            &format!(
                "<participantstreamassoc participant_id=\"{paul}\"><send>{back}</send><recv>{out}</recv>"
            ),
            "</participantstreamassoc></recording>\r\n",
        ];
        assert_eq!(text, golden.concat());
        Element::decode(text.as_bytes()).expect("it is well-formed");
    }

    #[test]
    fn a_change_tells_of_what_changed_alone() {
        let until = Some("2010-12-16T23:42:00Z".to_owned());
        let gone = (RecordingId(2), RecordingId(1), Span { from: None, until });
        let told = RecordingMetadata { took_part: vec![gone], ..RecordingMetadata::default() };
        let text = told.encode();
        assert!(text.contains("<datamode>partial</datamode><participantsessionassoc "), "{text}");
        assert!(
            text.contains("<disassociate-time>2010-12-16T23:42:00Z</disassociate-time>"),
            "{text}"
        );
    }
}
