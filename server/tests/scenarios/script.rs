//! Scenario files: sipp's own XML, in which words in braces stand for the lines that every message has.
//!
//! | word | in | stands for |
//! |---|---|---|
//! | `{head}`, `{head N}` | the first request of a caller | Via to Contact, without CSeq; the branch is that of N messages before |
//! | `{again}`, `{again N}` | later requests of a caller | the same with the callee's tag |
//! | `{lost}` | requests in a dialog that never was | the same with a tag that nobody gave |
//! | `{login}` | REGISTER | Via to Call-ID: one who speaks of himself |
//! | `{failed}` | the ACK to a refusal | the transaction's own lines, without CSeq |
//! | `{keep}` | the `action` of a callee on an INVITE | keeps what the lines below need |
//! | `{reply}` | answers to the request that came last, without a tag in To yet | Via to Contact |
//! | `{kept}` | answers to the INVITE after other requests came | the same, from what was kept |
//! | `{echo}` | answers to requests inside of a dialog | the same, with the tag that came |
//! | `{back}` | requests of a callee | Via to Contact, without CSeq |
//! | `{sdp}`, `{sdp DIRECTION}`, `{sdp DIRECTION VERSION}` | the end of a message | type, length and description |
//! | `{end}` | the end of a message | no body |

/// Variables that a scenario sets and never reads make sipp refuse it, so each is named once more.
const REFERENCE: &str = "</scenario>";

/// The scenario that sipp reads.
#[track_caller]
pub fn written_out(name: &str, text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let word = after.split_once('}').and_then(|(word, rest)| Some((lines(word)?, rest)));
        rest = if let Some((lines, rest)) = word {
            out += &lines;
            rest
        } else {
            out.push('{');
            after
        };
    }
    out += rest;
    assert!(out.contains(REFERENCE), "{name} has no end");
    let mut names: Vec<&str> = out
        .split("assign_to=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .flat_map(|names| names.split(','))
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return out;
    }
    let reference = format!("<Reference variables=\"{}\" />\n{REFERENCE}", names.join(","));
    out.replace(REFERENCE, &reference)
}

/// What a word stands for; `None`: it is no word of ours.
fn lines(word: &str) -> Option<String> {
    let mut words = word.split(' ');
    let lines = match words.next()? {
        "head" => return Some(branched(HEAD, words.next())),
        "again" => return Some(branched(AGAIN, words.next())),
        "lost" => LOST,
        "login" => LOGIN,
        "failed" => FAILED,
        "keep" => KEEP,
        "reply" => REPLY,
        "kept" => KEPT,
        "echo" => ECHO,
        "back" => BACK,
        "end" => "Content-Length: 0\n\n",
        "sdp" => {
            let direction = words.next().unwrap_or("sendrecv");
            return Some(description(direction, words.next().unwrap_or("1")));
        }
        _ => return None,
    };
    words.next().is_none().then(|| lines.to_owned())
}

const HEAD: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[caller]@example.com>;tag=[pid]-[call_number]
To: <sip:[service]@example.com>
Call-ID: [call_id]
Contact: <sip:[caller]@[local_ip]:[local_port]>";

const AGAIN: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[caller]@example.com>;tag=[pid]-[call_number]
To: <sip:[service]@example.com>[peer_tag_param]
Call-ID: [call_id]
Contact: <sip:[caller]@[local_ip]:[local_port]>";

const LOST: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[caller]@example.com>;tag=[pid]-[call_number]
To: <sip:[service]@example.com>;tag=nobody-gave-this
Call-ID: [call_id]
Contact: <sip:[caller]@[local_ip]:[local_port]>";

const LOGIN: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:[service]@example.com>;tag=[pid]-[call_number]
To: <sip:[service]@example.com>
Call-ID: [call_id]";

const FAILED: &str = "[last_Via:]
Max-Forwards: 70
[last_From:]
[last_To:]
[last_Call-ID:]";

const KEEP: &str = "<ereg regexp=\".*\" search_in=\"hdr\" header=\"Via:\" assign_to=\"via\" />
<ereg regexp=\".*\" search_in=\"hdr\" header=\"From:\" assign_to=\"from\" />
<ereg regexp=\".*\" search_in=\"hdr\" header=\"To:\" assign_to=\"to\" />
<ereg regexp=\".*\" search_in=\"hdr\" header=\"CSeq:\" assign_to=\"cseq\" />
<ereg regexp=\"sip:[^>]*\" search_in=\"hdr\" header=\"Contact:\" assign_to=\"target\" />";

const REPLY: &str = "[last_Via:]
[last_From:]
[last_To:];tag=[pid]-[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[service]@[local_ip]:[local_port]>";

const KEPT: &str = "Via:[$via]
From:[$from]
To:[$to];tag=[pid]-[call_number]
Call-ID: [call_id]
CSeq:[$cseq]
Contact: <sip:[service]@[local_ip]:[local_port]>";

const ECHO: &str = "[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[service]@[local_ip]:[local_port]>";

const BACK: &str = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From:[$to];tag=[pid]-[call_number]
To:[$from]
Call-ID: [call_id]
Contact: <sip:[service]@[local_ip]:[local_port]>";

/// The lines with the branch of an earlier message of the scenario.
fn branched(lines: &str, before: Option<&str>) -> String {
    before.map_or_else(|| lines.to_owned(), |n| lines.replace("[branch]", &format!("[branch-{n}]")))
}

/// A description of one stream of sound.
fn description(direction: &str, version: &str) -> String {
    format!(
        "Content-Type: application/sdp\nContent-Length: [len]\n\n\
         v=0\no=- 1 {version} IN IP4 [local_ip]\ns=-\nc=IN IP4 [local_ip]\nt=0 0\n\
         m=audio 40000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\na={direction}\n"
    )
}
