//! Counters and gauges of the shards, as they were last told, in Prometheus' text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use web::Part;

/// Requests are counted by these methods; the switchboard judges them later.
const METHODS: [(&str, &str); 10] = [
    ("ACK", "sip.requests_ack"),
    ("BYE", "sip.requests_bye"),
    ("CANCEL", "sip.requests_cancel"),
    ("INVITE", "sip.requests_invite"),
    ("MESSAGE", "sip.requests_message"),
    ("OPTIONS", "sip.requests_options"),
    ("PUBLISH", "sip.requests_publish"),
    ("REGISTER", "sip.requests_register"),
    ("SUBSCRIBE", "sip.requests_subscribe"),
    ("other", "sip.requests_other"),
];

/// Counters that have a name of their own: metric, labels, our name.
const NAMED: [(&str, &str, &str); 5] = [
    ("carillon_auth_failures_total", "{reason=\"wrong_pass\"}", "sip.wrong_pass"),
    ("carillon_auth_failures_total", "{reason=\"wrong_password\"}", "sip.wrong_password"),
    ("carillon_push_sent_total", "{outcome=\"accepted\"}", "push.accepted"),
    ("carillon_sip_parse_errors_total", "", "sip.nonsense"),
    ("carillon_sip_responses_total", "{direction=\"in\"}", "sip.responses"),
];

/// The counter of a message, by its first word.
pub fn counter_of(bytes: &[u8]) -> &'static str {
    let word = bytes.split(|octet| *octet == b' ').next().unwrap_or_default();
    if word.eq_ignore_ascii_case(b"SIP/2.0") {
        return "sip.responses";
    }
    let known = METHODS.iter().find(|(method, _)| method.as_bytes() == word);
    known.map_or("sip.requests_other", |(_, name)| name)
}

/// What one shard says once a second.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Counters of the switchboard and of the loop.
    pub counters: BTreeMap<&'static str, u64>,
    /// How much there is.
    pub gauges: Vec<(&'static str, u64)>,
}

/// The newest reading of each shard. Clones are the same.
#[derive(Clone, Debug)]
pub struct Meters(Arc<Mutex<Vec<Reading>>>);

impl Meters {
    /// Nothing told yet.
    pub fn new(shards: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![Reading::default(); shards])))
    }

    /// Takes the place of what the shard said before.
    pub fn tell(&self, shard: usize, reading: Reading) {
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(shard) {
            *known = reading;
        }
    }

    /// A gauge over all shards.
    pub fn gauge(&self, name: &str) -> u64 {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = readings.iter().flat_map(|reading| &reading.gauges);
        all.filter(|(known, _)| *known == name).map(|(_, value)| value).sum()
    }

    /// The text of `/metrics`.
    pub fn text(&self, parts: &[(String, Part)]) -> String {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (mut counters, mut gauges) = (BTreeMap::new(), BTreeMap::new());
        for reading in &readings {
            for (name, value) in &reading.counters {
                *counters.entry(*name).or_insert(0) += value;
            }
            for (name, value) in &reading.gauges {
                *gauges.entry(*name).or_insert(0) += value;
            }
        }
        let mut text = write(&counters, &gauges);
        write_parts(&mut text, parts);
        text
    }
}

fn write(counters: &BTreeMap<&str, u64>, gauges: &BTreeMap<&str, u64>) -> String {
    let mut text = String::new();
    let version = env!("CARGO_PKG_VERSION");
    // Writing into a string cannot fail.
    let _ = writeln!(text, "# TYPE carillon_build_info gauge");
    let _ = writeln!(text, "carillon_build_info{{version=\"{version}\"}} 1");
    let _ = writeln!(text, "# TYPE carillon_sip_requests_total counter");
    for (method, name) in METHODS {
        let value = counters.get(name).copied().unwrap_or(0);
        let labels = format!("method=\"{method}\",direction=\"in\"");
        let _ = writeln!(text, "carillon_sip_requests_total{{{labels}}} {value}");
    }
    for (metric, label, name) in NAMED {
        let value = counters.get(name).copied().unwrap_or(0);
        let _ = writeln!(text, "# TYPE {metric} counter\n{metric}{label} {value}");
    }
    for (metric, gauge) in [("carillon_registrations", "bindings"), ("carillon_legs", "legs")] {
        let value = gauges.get(gauge).copied().unwrap_or(0);
        let _ = writeln!(text, "# TYPE {metric} gauge\n{metric} {value}");
    }
    let _ = writeln!(text, "# TYPE carillon_counter_total counter");
    for (name, value) in counters {
        let _ = writeln!(text, "carillon_counter_total{{name=\"{name}\"}} {value}");
    }
    let _ = writeln!(text, "# TYPE carillon_gauge gauge");
    for (name, value) in gauges {
        let _ = writeln!(text, "carillon_gauge{{name=\"{name}\"}} {value}");
    }
    text
}

/// What disks gave back otherwise than it was written: places of the log at the start, and reads of blobs since.
pub fn damage(log: usize, blobs: u64) -> String {
    format!(
        "# TYPE carillon_damage_found_total counter\n\
         carillon_damage_found_total{{place=\"keeper\"}} {log}\n\
         carillon_damage_found_total{{place=\"blobs\"}} {blobs}\n"
    )
}

/// Datagrams on the ports that phones share that were of no leg.
pub fn strangers(count: u64) -> String {
    format!(
        "# TYPE carillon_media_strangers_total counter\ncarillon_media_strangers_total {count}\n"
    )
}

/// The same as `/readyz` says; what nobody asked for is not told.
fn write_parts(text: &mut String, parts: &[(String, Part)]) {
    let _ = writeln!(text, "# TYPE carillon_up_component gauge");
    for (name, part) in parts.iter().filter(|(_, part)| *part != Part::Unused) {
        let value = u8::from(part.is_ready());
        let _ = writeln!(text, "carillon_up_component{{component=\"{name}\"}} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_by_their_first_word() {
        assert_eq!(counter_of(b"INVITE sip:a SIP/2.0\r\n"), "sip.requests_invite");
        assert_eq!(counter_of(b"SIP/2.0 200 OK\r\n"), "sip.responses");
        assert_eq!(counter_of(b"\r\n\r\n"), "sip.requests_other");
        assert_eq!(counter_of(b""), "sip.requests_other");
    }

    #[test]
    fn shards_are_added_up() {
        let meters = Meters::new(2);
        for shard in 0..2 {
            let counters = BTreeMap::from([("sip.nonsense", 2)]);
            meters.tell(shard, Reading { counters, gauges: vec![("bindings", 5)] });
        }
        assert_eq!(meters.gauge("bindings"), 10);
        let parts = [
            ("keeper".to_owned(), Part::Fault("full".to_owned())),
            ("push".to_owned(), Part::Unused),
            ("store".to_owned(), Part::Ready),
        ];
        let text = meters.text(&parts);
        assert!(text.contains("\ncarillon_registrations 10\n"), "{text}");
        assert!(text.contains("\ncarillon_sip_parse_errors_total 4\n"), "{text}");
        assert!(text.contains("carillon_counter_total{name=\"sip.nonsense\"} 4"), "{text}");
        assert!(text.contains("carillon_up_component{component=\"keeper\"} 0"), "{text}");
        assert!(text.contains("carillon_up_component{component=\"store\"} 1"), "{text}");
        assert!(!text.contains("component=\"push\""), "{text}");
    }
}
