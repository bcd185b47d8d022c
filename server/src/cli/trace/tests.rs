//! What is drawn and written for ladders of known calls.

use serde_json::{Value, json};

use super::{draw, named, pcapng, rung::Rung};

fn sip(number: u64, micros: u64, way: &str, remote: &str, text: &str) -> Value {
    json!({
        "number": number, "micros": 1_795_341_600_000_000_u64 + micros, "lane": way,
        "transport": "udp", "remote": remote, "local": "127.0.0.1:5060", "connection": 0, "cut": 0,
        "text": text.replace('\n', "\r\n"),
    })
}

const A: &str = "127.0.0.1:5071";
const B: &str = "127.0.0.1:5072";
const C: &str = "[::1]:5073";

fn rungs() -> Vec<Rung> {
    let mut again = sip(4, 500_000, "sip_out", B, "INVITE sip:1002@b SIP/2.0\n\n");
    again["repeats"] = 3.into();
    let items = [
        sip(1, 0, "sip_in", A, "INVITE sip:1002@h SIP/2.0\nContent-Type: application/sdp\n\nv=0\n"),
        json!({ "number": 2, "micros": 1_795_341_600_000_400_u64, "lane": "note", "text": "rings \u{1b}[2J" }),
        sip(3, 1_200, "sip_out", B, "INVITE sip:1002@b SIP/2.0\n\n"),
        again,
        sip(
            5,
            500_900,
            "sip_out",
            C,
            "CANCEL sip:a-name-that-is-longer-than-the-lane@c SIP/2.0\n\n",
        ),
        sip(6, 2_000_100, "sip_in", C, "SIP/2.0 200 OK\nCSeq: 1 CANCEL\n\n"),
        sip(
            7,
            2_000_900,
            "sip_out",
            A,
            "SIP/2.0 480 Gone\nCSeq: 1 INVITE\nWarning: 399 h \"x\"\n\n",
        ),
    ];
    Rung::all(&json!({ "items": items }))
}

#[test]
fn a_ladder_has_lanes_and_arrows() {
    let call = json!({
        "id": "call_1", "from": "sip:1001@h", "to": "sip:1002@h", "outcome": "unreachable",
        "status": 480, "refusal": "calls.nobody_reachable",
    });
    let drawn = draw::ladder("call_1", &call, &rungs());
    let wanted = "\
call_1  1001 → 1002 · unreachable 480 calls.nobody_reachable

             127.0.0.1:5071                    carillon                    127.0.0.1:5072                   [::1]:5073
   1 10:00:00.000   │ INVITE 1002 SDP ───────────▶ │                              │                              │
   2      +0.4 ms   │                              │ note: rings \u{fffd}[2J
   3      +1.2 ms   │                              │ INVITE 1002 ───────────────▶ │                              │
   4      +500 ms   │                              │ INVITE 1002 ───────────────▶ │                              │  again, as 3
   5      +500 ms   │                              │ CANCEL a-name-that-is-… ─────┼────────────────────────────▶ │
   6     +2.000 s   │                              │ ◀────────────────────────────┼───────────── 200 OK (CANCEL) │
   7     +2.000 s   │ ◀────────────────── 480 Gone │                              │                              │  Warning: 399 h \"x\"

carillon trace CALL NUMBER shows one message whole.
";
    assert_eq!(drawn, wanted, "\n{drawn}");
}

#[test]
fn a_message_is_shown_whole_and_moves_no_terminal() {
    let mut rung = rungs().remove(0);
    rung.text.push_str("\u{1b}]0;x\u{7}\r\n");
    rung.cut = 7;
    let shown = draw::message(&rung);
    assert!(
        shown.starts_with(
            "1  2026-11-22T10:00:00.000Z  127.0.0.1:5071 → 127.0.0.1:5060 over udp\n\nINVITE"
        ),
        "{shown}"
    );
    assert!(
        !shown.contains('\u{1b}') && shown.ends_with("\n(7 more octets were not kept)\n"),
        "{shown}"
    );
}

#[test]
fn calls_are_listed_and_named_by_their_beginning() {
    assert_eq!(draw::list(&[]), "No call yet.\n");
    let calls = [
        json!({ "id": "call_abc", "from": "sip:1@h", "to": "sip:2@h", "state": "ringing", "began": "T1" }),
        json!({ "id": "call_abd", "from": "sip:1@h", "to": "sip:22@h", "began_at": "T2", "outcome": "answered",
                "talk_seconds": 3, "hung_up_by": "caller", "status": 200, "refusal": "" }),
    ];
    let list = draw::list(&calls);
    assert!(list.starts_with("call_abc  T1  1 → 2   ringing now\ncall_abd  T2  1 → 22  answered, 3 s, caller hung up\n"), "{list}");
    assert_eq!(named(&calls, "call_abd").unwrap(), "call_abd");
    assert_eq!(named(&calls, "abc").unwrap(), "call_abc");
    assert_eq!(named(&calls, "other").unwrap(), "other");
    assert!(named(&calls, "call_ab").is_err());
}

#[test]
fn a_capture_has_a_block_for_each_message() {
    let rungs = rungs();
    let file = pcapng::file(&rungs);
    let (mut at, mut kinds) = (0, Vec::new());
    while at < file.len() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = word(at + 4) as usize;
        assert_eq!(word(at + length - 4) as usize, length);
        kinds.push(word(at));
        at += length;
    }
    assert_eq!(kinds, [0x0a0d_0d0a, 1, 6, 6, 6, 6, 6, 6]);
}
