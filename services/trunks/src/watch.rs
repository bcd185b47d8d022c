//! How a trunk is doing: where it is, whether it answers, whether we are registered there.
//!
//! Only the home shard of a trunk's name watches it, and tells all others when something changed. Each question goes to
//! the trunk's first address that has not failed lately.
//!
//! Spec: RFC 3261 §10.2 (REGISTER and its renewal), §11 (OPTIONS); RFC 3263 §4.3 (the next address)

use std::time::Duration;

use switchboard::hop::{Hop, Question};
use switchboard::requests::{RequestPlan, Response};
use switchboard::route::{Change, Health, Trunk};
use switchboard::{Effects, Notice, Ticket};
use types::{Flow, Instant, Transport, UnixTime};

use crate::{Pending, Room};

/// Probes without an answer in a row until a trunk counts as down.
pub const DOWN_AFTER: u32 = 3;
/// Answered probes in a row until it counts as up again.
pub const UP_AFTER: u32 = 2;
/// Shortest registration that we keep up. Units: seconds.
const EXPIRES_MIN: u64 = 30;
/// After a refused registration the next one comes this much later, and twice as much each time.
const REGISTER_RETRY_MIN: Duration = Duration::from_secs(5);
/// … but not later than this.
const REGISTER_RETRY_MAX: Duration = Duration::from_secs(300);
/// Between two questions where a trunk is.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);
/// The same while nobody knows.
const RESOLVE_RETRY: Duration = Duration::from_secs(30);

/// What is known of one trunk at its home.
#[derive(Debug, Default)]
pub struct Watch {
    timer: Ticket,
    next_resolve: Option<Instant>,
    next_probe: Option<Instant>,
    next_register: Option<Instant>,
    /// Where the last OPTIONS went, and the last REGISTER.
    asked: Option<Flow>,
    asked_registrar: Option<Flow>,
    /// Asked and not answered yet: the answer comes by this ticket.
    resolving: Option<Ticket>,
    probing: Option<Ticket>,
    registering: Option<Ticket>,
    failed: u32,
    answered: u32,
    /// Why nobody knows where it is.
    lost: Option<String>,
    /// Down by OPTIONS.
    silent: Option<String>,
    /// Refused registrations in a row, and what the last one said.
    refused: u32,
    unregistered: Option<String>,
    call_id: Option<String>,
    cseq: u32,
    health: Health,
}

/// Host, port and transport of a trunk's `server`.
pub fn place_of(server: &str) -> Option<(String, Option<u16>, Option<Transport>)> {
    let mut parts = server.split(';');
    let place = parts.next()?;
    let mut transport = None;
    for part in parts {
        let known = Transport::parse(part.strip_prefix("transport=")?.as_bytes())?;
        transport = Some(known).filter(|known| !matches!(known, Transport::Ws | Transport::Wss));
        transport?;
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                rest.strip_prefix(':')
                    .or(rest.is_empty().then_some(""))
                    .filter(|port| rest.is_empty() || !port.is_empty())?,
            )
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = match port {
        "" => None,
        digits => Some(digits.parse().ok().filter(|port| *port != 0)?),
    };
    let name = |octet: u8| octet.is_ascii_alphanumeric() || b".-:".contains(&octet);
    (!host.is_empty() && host.bytes().all(name)).then(|| (host.to_owned(), port, transport))
}

impl Room {
    /// Begins to watch a trunk, when its home is here.
    pub(crate) fn watch(&mut self, name: &str, effects: &mut Effects<'_>) {
        if !effects.hosts(effects.home(name)) {
            return;
        }
        let Some(trunk) = effects.directory().routing().trunks.get(name).cloned() else { return };
        let now = effects.now();
        let mut watch = Watch {
            next_resolve: Some(now),
            next_probe: trunk.probe.then_some(now),
            next_register: trunk.register.then_some(now),
            ..Watch::default()
        };
        if trunk.register {
            watch.unregistered = Some("not registered there yet".to_owned());
        }
        watch.health.since = effects.unix();
        watch.health.down.clone_from(&watch.unregistered);
        self.watches.insert(name.to_owned(), watch);
        self.due(name, effects);
    }

    /// The trunk changes or goes: what was known of it is old, and its registration ends.
    pub(crate) fn unwatch(&mut self, name: &str, effects: &mut Effects<'_>) {
        let Some(watch) = self.watches.remove(name) else { return };
        for ticket in [Some(watch.timer), watch.resolving, watch.probing, watch.registering]
            .into_iter()
            .flatten()
        {
            self.pending.remove(&ticket);
        }
        effects.cancel_timer(watch.timer);
        let trunk = effects.directory().routing().trunks.get(name).cloned();
        if let (Some(trunk), Some(_)) = (trunk, watch.health.registered)
            && let Some(plan) = register(&trunk, &watch, 0, effects)
        {
            let ticket = effects.request(plan);
            self.pending.insert(ticket, Pending::Unregister);
        }
    }

    /// Its timer came.
    pub(crate) fn watch_again(&mut self, name: &str, ticket: Ticket, effects: &mut Effects<'_>) {
        if self.watches.get(name).is_some_and(|watch| watch.timer == ticket) {
            self.due(name, effects);
        }
    }

    /// Sends what is due, and sets the timer for what comes next.
    fn due(&mut self, name: &str, effects: &mut Effects<'_>) {
        let now = effects.now();
        let Some(trunk) = effects.directory().routing().trunks.get(name).cloned() else { return };
        let Some(watch) = self.watches.get_mut(name) else { return };
        if watch.next_resolve.is_some_and(|at| at <= now) && watch.resolving.is_none() {
            watch.next_resolve = Some(now + RESOLVE_EVERY);
            if let Some((host, port, transport)) = place_of(&trunk.server) {
                let secure = transport == Some(Transport::Tls);
                let ticket = effects.resolve(Question { host, port, transport, secure });
                watch.resolving = Some(ticket);
                self.pending.insert(ticket, Pending::Resolve { trunk: name.to_owned() });
            }
        }
        // Where it is comes first: the answer leads back here.
        let known = !watch.health.hops.is_empty();
        if known && watch.next_register.is_some_and(|at| at <= now) && watch.registering.is_none() {
            watch.next_register = None;
            watch.cseq += 3; // A challenged try uses the numbers between.
            if watch.call_id.is_none() {
                watch.call_id = Some(effects.call_id(effects.home(name)));
            }
            watch.asked_registrar = first_hop(watch, effects);
            let seconds = self.config.register_for.0;
            if let Some(plan) = register(&trunk, watch, seconds.into(), effects) {
                let ticket = effects.request(plan);
                watch.registering = Some(ticket);
                self.pending.insert(ticket, Pending::Register { trunk: name.to_owned() });
            }
        }
        if known && watch.next_probe.is_some_and(|at| at <= now) && watch.probing.is_none() {
            watch.next_probe = Some(now + self.config.probe_every);
            watch.asked = first_hop(watch, effects);
            if let Some(flow) = watch.asked {
                let ticket = effects.request(options(&trunk, flow, effects));
                watch.probing = Some(ticket);
                self.pending.insert(ticket, Pending::Probe { trunk: name.to_owned() });
            }
        }
        let next = [
            watch.next_resolve,
            watch.next_probe.filter(|_| known && watch.probing.is_none()),
            watch.next_register.filter(|_| known && watch.registering.is_none()),
        ];
        effects.cancel_timer(watch.timer);
        self.pending.remove(&watch.timer);
        if let Some(at) = next.into_iter().flatten().min() {
            watch.timer = effects.set_timer(at);
            self.pending.insert(watch.timer, Pending::Watch { trunk: name.to_owned() });
        }
    }

    /// Somebody knows where it is, or nobody does.
    pub(crate) fn resolved(
        &mut self,
        name: &str,
        hops: Result<Vec<Hop>, String>,
        effects: &mut Effects<'_>,
    ) {
        let now = effects.now();
        let Some(watch) = self.watches.get_mut(name) else { return };
        watch.resolving = None;
        let flows = hops.map(|hops| hops.iter().filter_map(|hop| effects.way_to(hop)).collect());
        match flows {
            Ok::<Vec<_>, _>(flows) if !flows.is_empty() => {
                (watch.health.hops, watch.lost) = (flows, None);
            }
            // Names that are gone for a moment leave a trunk where it was.
            _ if !watch.health.hops.is_empty() => watch.next_resolve = Some(now + RESOLVE_RETRY),
            Ok(_) => {
                watch.lost = Some("we have no listener of its transport".to_owned());
                watch.next_resolve = Some(now + RESOLVE_RETRY);
            }
            Err(why) => {
                watch.lost = Some(format!("its server is not found: {why}"));
                watch.next_resolve = Some(now + RESOLVE_RETRY);
            }
        }
        self.tell(name, effects);
        self.due(name, effects);
    }

    /// OPTIONS was answered, or not.
    pub(crate) fn probed(&mut self, name: &str, response: &Response, effects: &mut Effects<'_>) {
        let Some(watch) = self.watches.get_mut(name) else { return };
        watch.probing = None;
        // Any word of its own shows that it lives; 503 asks us to stay away.
        if matches!(response.status, 408 | 503) {
            if let Some(hop) = watch.asked {
                effects.hop_failed(name, hop);
            }
            (watch.failed, watch.answered) = (watch.failed.saturating_add(1), 0);
            if watch.failed >= DOWN_AFTER && watch.silent.is_none() {
                let (times, status) = (watch.failed, response.status);
                watch.silent = Some(format!("{times} OPTIONS in a row got {status}"));
            }
        } else {
            (watch.failed, watch.answered) = (0, watch.answered.saturating_add(1));
            if watch.answered >= UP_AFTER {
                watch.silent = None;
            }
        }
        self.tell(name, effects);
        self.due(name, effects);
    }

    /// REGISTER was answered, or not.
    pub(crate) fn registered(
        &mut self,
        name: &str,
        response: &Response,
        effects: &mut Effects<'_>,
    ) {
        let (now, unix) = (effects.now(), effects.unix());
        let Some(watch) = self.watches.get_mut(name) else { return };
        watch.registering = None;
        if response.is_success() {
            let granted = granted(response).unwrap_or(self.config.register_for.0.into());
            let granted = granted.max(EXPIRES_MIN);
            let span = Duration::from_secs(granted);
            watch.health.registered = Some(unix + span);
            (watch.refused, watch.unregistered) = (0, None);
            // Early enough for a lost try and its repetition.
            watch.next_register = Some(now + span * 4 / 5);
        } else {
            if let (408 | 503, Some(hop)) = (response.status, watch.asked_registrar) {
                effects.hop_failed(name, hop);
            }
            let wait = REGISTER_RETRY_MIN * 2u32.saturating_pow(watch.refused.min(16));
            watch.refused = watch.refused.saturating_add(1);
            let why = format!("registration got {} {}", response.status, response.phrase);
            // What was granted before still holds until its end.
            if watch.health.registered.is_none_or(|until: UnixTime| until <= unix) {
                watch.health.registered = None;
                watch.unregistered = Some(why);
            }
            watch.next_register = Some(now + wait.min(REGISTER_RETRY_MAX));
        }
        self.tell(name, effects);
        self.due(name, effects);
    }

    /// Tells all shards what is new.
    fn tell(&mut self, name: &str, effects: &mut Effects<'_>) {
        let Some(watch) = self.watches.get_mut(name) else { return };
        let down = watch.lost.as_ref().or(watch.silent.as_ref()).or(watch.unregistered.as_ref());
        let down = down.cloned();
        if down.is_some() != watch.health.down.is_some() {
            watch.health.since = effects.unix();
            effects.count(if down.is_some() { "trunks.went_down" } else { "trunks.came_up" });
            let kind = if down.is_some() { "trunk.down" } else { "trunk.up" };
            effects.event(kind, name, &serde_json::json!({"trunk": name, "why": down}));
        }
        watch.health.down = down;
        let known = effects.directory().routing().health.get(name);
        if known != Some(&watch.health) {
            let change = Change::TrunkHealth(name.to_owned(), watch.health.clone());
            effects.publish(Notice::RoutingChanged(Box::new(change)));
        }
    }
}

/// The hop of a trunk that comes first now; one that has just been found counts as well.
fn first_hop(watch: &Watch, effects: &Effects<'_>) -> Option<Flow> {
    let routing = effects.directory().routing();
    let now = effects.unix();
    let well = watch.health.hops.iter().find(|hop| !routing.is_failed(hop, now));
    well.or(watch.health.hops.first()).copied()
}

fn options(trunk: &Trunk, flow: Flow, effects: &Effects<'_>) -> RequestPlan {
    let slot = effects.home(&trunk.name);
    let uri = format!("sip:{}", trunk.server);
    let mut plan = RequestPlan::new(slot, "OPTIONS", &uri, flow);
    plan.from = format!("<sip:{}>", effects.domain());
    plan.headers = vec![
        ("Contact".to_owned(), effects.contact(flow)),
        ("Accept".to_owned(), "application/sdp".to_owned()),
    ];
    plan
}

fn register(
    trunk: &Trunk,
    watch: &Watch,
    seconds: u64,
    effects: &Effects<'_>,
) -> Option<RequestPlan> {
    let flow = watch.asked_registrar?;
    let slot = effects.home(&trunk.name);
    let mut plan = RequestPlan::new(slot, "REGISTER", &format!("sip:{}", trunk.server), flow);
    let domain = if trunk.from_domain.is_empty() { trunk.host() } else { &trunk.from_domain };
    plan.from = format!("<sip:{}@{domain}>", trunk.user);
    plan.to.clone_from(&plan.from);
    plan.call_id.clone_from(&watch.call_id);
    plan.cseq = watch.cseq + if seconds == 0 { 3 } else { 0 };
    // Calls come to this Contact: the user part tells them from others' (services/calls reads To then).
    let contact = effects.contact(flow).replacen("<sip:", &format!("<sip:{}@", trunk.user), 1);
    plan.headers =
        vec![("Contact".to_owned(), contact), ("Expires".to_owned(), seconds.to_string())];
    plan.login = effects.login(trunk);
    Some(plan)
}

/// How long a registrar granted: by the Contact's parameter, else by Expires.
fn granted(response: &Response) -> Option<u64> {
    let contact = response.header("Contact").or_else(|| response.header("m")).unwrap_or_default();
    let of_contact = contact.to_ascii_lowercase().split(';').find_map(|part| {
        part.trim().strip_prefix("expires=")?.trim_end_matches(['>', ' ']).parse().ok()
    });
    of_contact.or_else(|| response.header("Expires")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        type Place<'a> = (&'a str, Option<u16>, Option<Transport>);
        let table: &[(&str, Option<Place<'_>>)] = &[
            ("sip.acme.example", Some(("sip.acme.example", None, None))),
            ("192.0.2.1:5080", Some(("192.0.2.1", Some(5080), None))),
            ("192.0.2.1;transport=TCP", Some(("192.0.2.1", None, Some(Transport::Tcp)))),
            (
                "[2001:db8::1]:5061;transport=tls",
                Some(("2001:db8::1", Some(5061), Some(Transport::Tls))),
            ),
            ("[2001:db8::1]", Some(("2001:db8::1", None, None))),
            ("[2001:db8::1]:", None),
            ("[2001:db8::1", None),
            ("[nonsense]", None),
            ("host:0", None),
            ("host:70000", None),
            ("host;lr", None),
            ("host;transport=ws", None),
            ("ho st", None),
            ("", None),
            (":5060", None),
        ];
        for (server, expected) in table {
            let found = place_of(server);
            let found = found.as_ref().map(|(host, port, how)| (host.as_str(), *port, *how));
            assert_eq!(found, *expected, "{server}");
        }
    }

    #[test]
    fn grants_are_read() {
        let response = |headers: &[(&str, &str)]| Response {
            headers: headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
            ..Response::default()
        };
        assert_eq!(granted(&response(&[("Contact", "<sip:a@b>;Expires=60")])), Some(60));
        assert_eq!(granted(&response(&[("Contact", "<sip:a@b>"), ("Expires", " 90 ")])), Some(90));
        assert_eq!(granted(&response(&[("Contact", "<sip:a@b>;expires=x")])), None);
    }
}
