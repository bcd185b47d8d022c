//! Which test shows which class: classes 1 to 79 of hostile input, and the answer that each must get.

use std::fs;
use std::path::Path;

/// Number, what it is, what it gets, and the tests: files of the project, and names of tests in them.
type Row = (u8, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const PARSER: &str = "server/tests/hostile/parser.rs";
const DIALOG: &str = "server/tests/hostile/dialog.rs";
const DIGEST: &str = "server/tests/hostile/digest.rs";
const FLOOD: &str = "server/tests/hostile/flood.rs";
const SLOW: &str = "server/tests/hostile/slow.rs";
const MEMORY: &str = "server/tests/hostile/memory.rs";
const MEDIA: &str = "server/tests/hostile/media.rs";
const STRANGERS: &str = "services/tests/hostile/strangers.rs";
const CALLS: &str = "services/tests/hostile/calls.rs";

const NUMBERS: (&str, &str) = (PARSER, "rows_1_to_5_numbers_and_names_without_measure");
const LENGTHS: (&str, &str) = (PARSER, "rows_6_to_9_lengths_that_are_no_truth");
const SIZES: (&str, &str) = (PARSER, "rows_10_to_14_more_of_it_than_there_may_be");
const LINES: (&str, &str) = (PARSER, "rows_15_to_20_lines_and_languages_of_others");
const ADDRESSES: (&str, &str) = (PARSER, "rows_21_to_25_addresses_that_mean_something_else");
const GUESSES: (&str, &str) = (DIALOG, "rows_28_to_30_guessed_dialogs_get_481");
const STRAYS: (&str, &str) = (DIALOG, "rows_31_to_33_answers_to_nothing_go_nowhere");
const RELAY: (&str, &str) = (DIALOG, "rows_34_to_36_nothing_is_relayed");
const REGISTRATIONS: (&str, &str) = (DIALOG, "rows_37_to_39_registrations_that_would_harm");
const NO_DIALOG: (&str, &str) = (DIALOG, "rows_40_to_43_requests_about_dialogs_that_are_not");
const CHALLENGED: (&str, &str) =
    (DIALOG, "row_45_a_realm_is_answered_once_and_59_no_proof_for_others");
const PROOFS: (&str, &str) = (DIGEST, "rows_50_to_53_proofs_that_are_none");
const NAMES: (&str, &str) = (DIGEST, "rows_54_to_56_nobody_speaks_for_another");

const CALL: (&str, &str) = (MEDIA, "rows_73_to_76_what_comes_to_the_ports_of_a_call");
const FILES: (&str, &str) = (MEDIA, "rows_77_to_79_files_that_lie_and_uploads_that_never_end");

#[rustfmt::skip]
const ROWS: [Row; 79] = [
    (1, "a CSeq method of 300 to 20000 characters", "400", &[NUMBERS]),
    (2, "a CSeq number that is none, or beyond 2^31", "400", &[NUMBERS]),
    (3, "tags, branches and Call-IDs of 5000 characters", "400, above 1024", &[NUMBERS]),
    (4, "a Call-ID of 4 kB, with control characters, on its way to log and console", "400; never in the log as it is", &[NUMBERS]),
    (5, "50 Accept lines of 400 characters", "401", &[NUMBERS]),
    (6, "a Content-Length that is no number, or a huge one", "400; a stream is closed", &[LENGTHS]),
    (7, "two lengths", "400; a stream is closed, what follows is not read", &[LENGTHS]),
    (8, "a length beyond the datagram", "400", &[LENGTHS]),
    (9, "a message behind the message", "ignored in a datagram", &[LENGTHS]),
    (10, "70 and 900 Via values", "as usual up to 70; 400 above, nothing where the head has no end", &[SIZES]),
    (11, "1000 headers, 50 kB of one, a name of 10 kB", "400 or 513", &[SIZES]),
    (12, "a Request-URI with 1000 parameters", "414", &[SIZES]),
    (13, "Max-Forwards that is none; 0", "400; 483", &[SIZES]),
    (14, "datagrams of nothing, of noise, of 65507 octets", "nothing", &[SIZES]),
    (15, "lines ended by LF or CR alone, NUL in names and values", "400 or nothing", &[LINES]),
    (16, "white space before the colon", "it is that header", &[LINES]),
    (17, "2000 continuation lines", "read as one value", &[LINES]),
    (18, "methods in lower case, too long, with delimiters", "400; 501 to people, 401 to strangers", &[LINES]),
    (19, "SIP/7.0, SIP/2.1", "505", &[LINES]),
    (20, "HTTP, TLS, STUN, RTP on the port of SIP", "nothing; a stream is closed", &[LINES]),
    (21, "%00 and %0d%0a in a user", "another user, who is not there; never a header", &[ADDRESSES]),
    (22, "addresses that cannot be read", "400", &[ADDRESSES]),
    (23, "an unknown scheme", "416", &[ADDRESSES]),
    (24, "headers in a Request-URI or a Contact", "400; not obeyed", &[ADDRESSES]),
    (25, "octets that are no UTF-8", "taken as octets, shown as text", &[ADDRESSES]),
    (26, "thousands of broken messages", "400, 401 or nothing", &[
        (PARSER, "row_26_four_and_a_half_thousand_broken_invites"),
        ("proto/sip/tests/hostile.rs", "mutated_messages_never_panic_and_copies_read_back"),
        ("services/tests/hostile/mutator.rs", "broken_messages_break_nothing"),
    ]),
    (27, "bodies of many parts", "415: nobody looks into them", &[(PARSER, "row_27_bodies_of_many_parts")]),
    (28, "requests with an invented To tag", "481", &[GUESSES]),
    (29, "a call's Call-ID with guessed tags", "481; all ids right from elsewhere: 401", &[
        GUESSES, (CALLS, "strangers_do_not_reach_into_a_call"),
    ]),
    (30, "CANCEL by a stranger, or with another branch", "481", &[GUESSES]),
    (31, "responses to nothing", "nothing", &[STRAYS]),
    (32, "a response with 255.255.255.255 in its Via", "nothing", &[STRAYS]),
    (33, "a status that is none", "nothing", &[STRAYS]),
    (34, "a Route to elsewhere, without a login", "401; to a foreign address 403", &[RELAY]),
    (35, "a Route to us, an invented tag, a foreign address", "481", &[RELAY]),
    (36, "maddr, foreign domains, numbers that cost, without a login", "401 or 403", &[RELAY, (STRANGERS, "nothing_is_relayed")]),
    (37, "a Contact that is our own; 500 of them; a circle of forwardings", "403; 400; 482", &[REGISTRATIONS]),
    (38, "Contact: * with a life", "400", &[REGISTRATIONS]),
    (39, "a life of 10^20 or -1", "cut to the longest, or 400", &[REGISTRATIONS]),
    (40, "Replaces of nothing, or 100 of them", "481; 400", &[NO_DIALOG]),
    (41, "Refer-To with a method or a Route", "refused; NOTIFY goes to the peer alone", &[NO_DIALOG]),
    (42, "NOTIFY without a subscription", "481", &[NO_DIALOG]),
    (43, "SUBSCRIBE, PUBLISH, MESSAGE without a login", "401", &[
        NO_DIALOG, ("services/tests/hostile/news.rs", "strangers_neither_watch_nor_write_nor_publish"),
    ]),
    (44, "a flood of INVITEs by TCP, then a reset", "nothing is left", &[(DIALOG, "row_44_a_flood_of_calls_that_is_reset_leaves_nothing")]),
    (45, "a server that challenges us for ever", "one more try", &[CHALLENGED]),
    (46, "one INVITE 200 times", "one call", &[(DIALOG, "row_46_one_invite_is_one_call"), (CALLS, "one_invite_is_one_call_however_often_it_comes")]),
    (47, "no ACK", "200 again and again for 64*T1, then BYE", &[
        (DIALOG, "row_47_an_answer_that_nobody_acknowledges_is_taken_back"),
        (CALLS, "an_answer_that_nobody_acknowledges_is_repeated_and_then_ended"),
    ]),
    (48, "requests that cross each other", "as RFC 5407 says", &[
        (DIALOG, "row_48_requests_that_cross_each_other"),
        (CALLS, "cancel_and_answer_cross"),
        (CALLS, "a_bye_before_the_ack"),
        (CALLS, "both_hang_up_at_once"),
    ]),
    (49, "what a challenge offers", "SHA-256, then MD5; qop=auth; a nonce of its own", &[(DIGEST, "row_49_what_a_challenge_offers")]),
    (50, "a proof that was overheard or used", "401; stale=true to whoever knew the password", &[PROOFS, (STRANGERS, "a_proof_is_good_once_here_and_for_this")]),
    (51, "a proof for another address", "401", &[PROOFS]),
    (52, "invented nonces, other realms and methods, MD5 where it is not offered", "401", &[
        PROOFS, (DIGEST, "row_52_md5_is_no_proof_where_only_sha_256_is_offered"),
    ]),
    (53, "an Authorization that is none; 100 of them", "400 or 401", &[PROOFS]),
    (54, "registering another user", "403", &[NAMES]),
    (55, "From of another user", "403, or the name of whoever proved himself", &[NAMES]),
    (56, "identities that only a trusted side may say, in 8 spellings", "not passed on", &[NAMES]),
    (57, "which users there are", "the same answer, the same work", &[
        (DIGEST, "row_57_a_stranger_cannot_tell_who_exists"),
        (STRANGERS, "a_stranger_cannot_tell_who_exists"),
    ]),
    (58, "60 guesses", "401 for 30, then 403 for a minute; the victim gets in", &[
        (DIGEST, "row_58_guesses_are_throttled_and_the_victim_gets_in"),
        (STRANGERS, "guessing_is_throttled_and_the_victim_gets_in"),
    ]),
    (59, "a phone that challenges us as the carrier does", "no proof", &[CHALLENGED]),
    (60, "one account that calls everywhere at once", "503 above `calls.user_calls_max`; nowhere without a route", &[
        (DIGEST, "row_60_calls_of_one_account_are_counted_and_go_where_a_route_goes"),
    ]),
    (61, "one user from everywhere", "403 above 10 bindings", &[(DIGEST, "row_61_a_user_has_so_many_bindings_and_no_more")]),
    (62, "answers longer than their requests", "at most three times, else none", &[
        (FLOOD, "row_62_a_stranger_gets_three_times_his_octets_at_most"),
        (STRANGERS, "an_answer_to_a_stranger_is_at_most_three_times_as_long"),
        (STRANGERS, "an_unproved_caller_gets_twelve_datagrams_at_most"),
    ]),
    (63, "a Via that names a third host", "answered where it came from", &[(FLOOD, "row_63_a_via_names_nobody_else"), (STRANGERS, "answers_go_back_and_nowhere_else")]),
    (64, "20000 requests from one address", "2000 answers, then 500 a second; proofs and calls go on", &[
        (FLOOD, "row_64_a_loud_address_is_not_answered_and_harms_nobody"),
        (FLOOD, "row_64_whoever_proves_himself_is_heard_behind_a_loud_address"),
        (STRANGERS, "a_flood_of_strangers_is_not_answered_and_harms_no_call"),
    ]),
    (65, "floods of seven methods", "401 and 481; nothing is left", &[(FLOOD, "row_65_floods_of_seven_methods_leave_nothing"), (MEMORY, "rows_1_to_72_memory_is_back_behind_the_storm")]),
    (66, "2000 silent connections", "512 of one address, 15 seconds each", &[(SLOW, "row_66_silent_connections_make_room_and_end")]),
    (67, "peers that drip", "closed after 10 to 20 seconds", &[(SLOW, "row_67_dripping_peers_are_dropped")]),
    (68, "a body of 2 GB, a line of 32 MB", "400 or 513, and closed", &[(SLOW, "row_68_what_never_ends_is_cut_at_the_limit")]),
    (69, "WebSocket frames that break the rules", "1002, 1007 or 1009; 40 pings in 10 seconds", &[
        (SLOW, "row_69_websocket_frames_that_break_the_rules"),
        ("shell/net/src/stream/web_socket.rs", "who_breaks_the_protocol_hears_which_rule"),
    ]),
    (70, "50 at once, octet by octet, line breaks without end", "answered in order; closed above 40 in 10 seconds", &[(SLOW, "row_70_streams_in_pieces_and_in_heaps")]),
    (71, "TLS below 1.2, keys by RSA, a second handshake", "an alert", &[(SLOW, "row_71_old_ways_of_tls_are_refused")]),
    (72, "more calls than there is room for", "503 with Retry-After at once; what runs goes on", &[(FLOOD, "row_72_a_full_house_refuses_at_once_and_lets_calls_end")]),
    (73, "RTP, RTCP, STUN and DTLS of a phone, broken in thousands of ways", "dropped where it is none; the call goes on", &[CALL]),
    (74, "media of a third address, right in all but its source", "heard by nobody, answered by nothing", &[CALL]),
    (75, "more datagrams than a leg takes", "4000 a second are looked at; the call goes on", &[CALL]),
    (76, "noise, forged checks and handshakes at the port of browsers", "never more octets than came", &[CALL]),
    (77, "clips that lie about their length", "as long as they are, or 4xx", &[FILES]),
    (78, "clips that are no sound, or too much of it", "4xx with a code", &[FILES]),
    (79, "uploads that stop in the middle", "others are served; ended after 20 seconds", &[FILES]),
];

#[test]
fn every_row_has_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (place, (number, what, gets, tests)) in ROWS.iter().enumerate() {
        assert_eq!(usize::from(*number), place + 1);
        assert!(!tests.is_empty() && !gets.is_empty(), "{number}: {what}");
        for (file, name) in *tests {
            let text =
                fs::read_to_string(root.join(file)).unwrap_or_else(|why| panic!("{file}: {why}"));
            assert!(text.contains(&format!("fn {name}()")), "{number}: {file} has no {name}");
        }
    }
}

/// The page for people says the same.
#[test]
fn the_page_of_limits_has_every_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/hostile-input.md")).expect("the page");
    for (number, what, gets, _) in ROWS {
        let line = format!("| {number} | {what} | {gets} |");
        assert!(page.lines().any(|known| known == line), "docs/hostile-input.md lacks:\n{line}");
    }
}
