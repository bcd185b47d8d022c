//! What the server does when nobody answers in time. These timers are long, so all of them run at once, in one test.

use std::thread;

use crate::calls::call;
use crate::house::House;

/// A name with the RFC, what the caller does, what the callee does, and how the record calls it.
const ALARMS: [(&str, &str, &str, &str); 5] = [
    ("RFC 3261 §13.3.1.4: no ACK for 64*T1", "lost-ack.xml", "answer.xml", "answered"),
    ("RFC 3261 §17.1.2.2: no answer to BYE", "call.xml", "vanish.xml", "answered"),
    ("RFC 3262 §3: no PRACK for 64*T1", "never-prack.xml", "ring-reliably-in-vain.xml", "failed"),
    ("RFC 4028 §10: nobody refreshes", "session-expires.xml", "answer.xml", "answered"),
    ("RFC 4028 §7.4: we refresh", "hung-up.xml", "session-refreshed.xml", "answered"),
];

/// Spec: RFC 3261 §13.3.1.4, §17.1.2.2, RFC 3262 §3, RFC 4028 §7.4, §10
#[test]
fn rfc3261_rfc3262_rfc4028_calls_end_when_nobody_acknowledges_answers_or_refreshes() {
    let house = House::enter();
    thread::scope(|scope| {
        for (name, caller, callee, outcome) in ALARMS {
            let house = &house;
            scope.spawn(move || {
                let bob = call(house, caller, callee);
                let record = house.record(&bob);
                assert_eq!(record["outcome"], outcome, "{name}: {record}");
            });
        }
    });
}
