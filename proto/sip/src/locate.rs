//! Where a SIP URI leads: the order of lookups and of what they find. No sockets here.
//!
//! Picture     Question --> Search: ask() -> Ask --lookup--> answer(Found) … --> hops, best first
//! Rules       NAPTR before SRV before addresses; each finding opens only what it leads to, in its place, so the list is in
//!             order of preference and each later hop is the failover of those before it. `secure` never leaves TLS.
//!             A lookup without an answer is an empty one.
//! Limits      HOPS_MAX, ASKS_MAX, RECORDS_MAX.
//! Not here    Lookups, time limits and caches (shell/net), what to do when a hop does not answer (the rooms).
//! Spec        RFC 3263 §4, RFC 2782 (priority and weight), RFC 3403 §4 (order, preference, flags)

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use types::{Flow, Rng, Transport};

/// Hops of one answer. A domain with more has enough to fail over.
pub const HOPS_MAX: usize = 16;
/// Lookups of one search; what is not known by then is left out.
pub const ASKS_MAX: usize = 32;
/// Records of one lookup that are looked at.
pub const RECORDS_MAX: usize = 32;

/// What a URI says about where it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Its host: a name, or an address with or without brackets; of `maddr`, if there is one.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// Its `transport` parameter.
    pub transport: Option<Transport>,
    /// `sips`: by TLS or not at all.
    pub secure: bool,
}

/// One place to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// By TLS: stands for the name that must be proved there, as [`Flow::connection`] does; 0: the address itself.
    pub peer: u64,
}

impl Hop {
    /// The way there, from a listener.
    pub const fn flow(&self, listener: u8) -> Flow {
        let connection = match self.transport {
            Transport::Udp => Flow::FREE,
            Transport::Tcp | Transport::Ws | Transport::Wss => 0,
            Transport::Tls => self.peer,
        };
        Flow { transport: self.transport, listener, connection, remote: self.address }
    }
}

/// A transport and whether it is over IPv6: what this node can send by.
pub type Way = (Transport, bool);

/// A lookup to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A and AAAA records of a name.
    Addresses(String),
    /// NAPTR records.
    Naptr(String),
    /// SRV records.
    Srv(String),
}

/// A NAPTR record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Smaller first.
    pub order: u16,
    /// Within an order, smaller first.
    pub preference: u16,
    /// `s`: the replacement has SRV records.
    pub flags: String,
    /// Such as `SIP+D2U`.
    pub service: String,
    /// The name that it leads to.
    pub replacement: String,
}

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Smaller first.
    pub priority: u16,
    /// Within a priority, the share.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// The name that it leads to.
    pub target: String,
}

/// What a lookup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// To [`Ask::Addresses`].
    Addresses(Vec<IpAddr>),
    /// To [`Ask::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Ask::Srv`].
    Srv(Vec<Srv>),
    /// To any: no such record, or no answer.
    Nothing,
}

/// One search. See the head of this file.
#[derive(Debug)]
pub struct Search {
    question: Question,
    ways: Vec<Way>,
    /// What is left to do, in order of preference.
    todo: VecDeque<Todo>,
    hops: Vec<Hop>,
    asks: usize,
    rng: Rng,
}

#[derive(Debug)]
enum Todo {
    Addresses {
        host: String,
        port: u16,
        transport: Transport,
    },
    /// The same for the name that was asked for; dropped when a lookup before it finds a record.
    Itself {
        host: String,
        port: u16,
        transport: Transport,
    },
    Naptr,
    /// `last`: nothing else is known, so without records the name itself is looked up.
    Srv {
        name: String,
        transport: Transport,
        last: bool,
    },
}

/// Host and port of an address in a URI.
pub fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The port of a transport when none is said.
pub const fn default_port(transport: Transport) -> u16 {
    match transport {
        Transport::Udp | Transport::Tcp => 5060,
        Transport::Tls => 5061,
        Transport::Ws => 80,
        Transport::Wss => 443,
    }
}

impl Question {
    /// The transport that is meant when no record says another.
    fn plain_transport(&self) -> Transport {
        match self.transport {
            Some(Transport::Tcp | Transport::Tls) if self.secure => Transport::Tls,
            Some(said) => said,
            None if self.secure => Transport::Tls,
            None => Transport::Udp,
        }
    }

    /// The answer when the host is an address: no lookup is needed.
    pub fn direct(&self) -> Option<Hop> {
        let ip = literal(&self.host)?;
        let transport = self.plain_transport();
        let address = SocketAddr::new(ip, self.port.unwrap_or(default_port(transport)));
        Some(Hop { transport, address, peer: 0 })
    }
}

impl Search {
    /// A search by `ways`, in which `rng` settles what weights leave open.
    pub fn new(question: Question, ways: &[Way], rng: Rng) -> Self {
        let transport = question.plain_transport();
        let host = question.host.clone();
        let mut todo = VecDeque::new();
        match (question.port, question.transport) {
            (Some(port), _) => todo.push_back(Todo::Addresses { host, port, transport }),
            (None, Some(_)) => {
                let name = srv_name(transport, &host);
                todo.push_back(Todo::Srv { name, transport, last: true });
            }
            (None, None) => todo.push_back(Todo::Naptr),
        }
        let mut search =
            Self { question, ways: ways.to_vec(), todo, hops: Vec::new(), asks: 0, rng };
        if let Some(hop) = search.question.direct() {
            search.todo.clear();
            search.keep(hop.address.ip(), hop.address.port(), hop.transport);
        }
        search
    }

    /// The next lookup; `None`: the search is over.
    pub fn ask(&self) -> Option<Ask> {
        if self.asks >= ASKS_MAX || self.hops.len() >= HOPS_MAX {
            return None;
        }
        Some(match self.todo.front()? {
            Todo::Addresses { host, .. } | Todo::Itself { host, .. } => {
                Ask::Addresses(host.clone())
            }
            Todo::Naptr => Ask::Naptr(self.question.host.clone()),
            Todo::Srv { name, .. } => Ask::Srv(name.clone()),
        })
    }

    /// What that lookup found.
    pub fn answer(&mut self, found: Found) {
        self.asks += 1;
        let Some(todo) = self.todo.pop_front() else { return };
        match (todo, found) {
            (
                Todo::Addresses { host: _, port, transport }
                | Todo::Itself { host: _, port, transport },
                Found::Addresses(addresses),
            ) => {
                for address in addresses.into_iter().take(RECORDS_MAX) {
                    self.keep(address, port, transport);
                }
            }
            (Todo::Naptr, Found::Naptr(records)) => self.naptr(records),
            (Todo::Naptr, _) => self.naptr(Vec::new()),
            (Todo::Srv { name: _, transport, last }, Found::Srv(records)) => {
                self.srv(transport, last, records);
            }
            (Todo::Srv { name: _, transport, last }, _) => self.srv(transport, last, Vec::new()),
            (Todo::Addresses { .. } | Todo::Itself { .. }, _) => (),
        }
    }

    /// What was found, best first.
    pub fn hops(self) -> Vec<Hop> {
        self.hops
    }

    fn can(&self, transport: Transport) -> bool {
        let allowed = !self.question.secure || transport == Transport::Tls;
        allowed && self.ways.iter().any(|(way, _)| *way == transport)
    }

    fn keep(&mut self, ip: IpAddr, port: u16, transport: Transport) {
        let ip = ip.to_canonical();
        let hop = Hop { transport, address: SocketAddr::new(ip, port), peer: 0 };
        let reachable = self.ways.contains(&(transport, ip.is_ipv6())) && self.can(transport);
        if port != 0 && reachable && self.hops.len() < HOPS_MAX && !self.hops.contains(&hop) {
            self.hops.push(hop);
        }
    }

    fn naptr(&mut self, mut records: Vec<Naptr>) {
        records.truncate(RECORDS_MAX);
        records.sort_by_key(|record| (record.order, record.preference));
        let usable: Vec<_> = records
            .iter()
            .filter_map(|record| Some((service(record)?, record)))
            .filter(|(transport, _)| self.can(*transport))
            .collect();
        for (transport, record) in usable.iter().rev() {
            let name = record.replacement.clone();
            self.todo.push_front(Todo::Srv { name, transport: *transport, last: false });
        }
        if !usable.is_empty() {
            return;
        }
        let plain = self.question.plain_transport();
        let all = [Transport::Udp, Transport::Tcp, Transport::Tls];
        for transport in all {
            if !self.can(transport) {
                continue;
            }
            let name = srv_name(transport, &self.question.host);
            self.todo.push_back(Todo::Srv { name, transport, last: false });
        }
        let (host, port) = (self.question.host.clone(), default_port(plain));
        self.todo.push_back(Todo::Itself { host, port, transport: plain });
    }

    fn srv(&mut self, transport: Transport, last: bool, mut records: Vec<Srv>) {
        records.truncate(RECORDS_MAX);
        if records.is_empty() {
            if last {
                let (host, port) = (self.question.host.clone(), default_port(transport));
                self.todo.push_front(Todo::Addresses { host, port, transport });
            }
            return;
        }
        self.todo.retain(|todo| !matches!(todo, Todo::Itself { .. }));
        let ordered = by_priority(records, &mut self.rng);
        for record in ordered.into_iter().rev() {
            let Srv { port, target: host, .. } = record;
            // The root: the service is decidedly not there.
            if !matches!(host.as_str(), "" | ".") {
                self.todo.push_front(Todo::Addresses { host, port, transport });
            }
        }
    }
}

fn srv_name(transport: Transport, host: &str) -> String {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
        Transport::Ws => "_sip._ws",
        Transport::Wss => "_sips._ws",
    };
    format!("{service}.{host}")
}

/// Spec: RFC 3263 §4.1
fn service(record: &Naptr) -> Option<Transport> {
    let is = |word: &str| record.service.eq_ignore_ascii_case(word);
    let leads_to_srv = record.flags.eq_ignore_ascii_case("s");
    match () {
        () if !leads_to_srv => None,
        () if is("SIP+D2U") => Some(Transport::Udp),
        () if is("SIP+D2T") => Some(Transport::Tcp),
        () if is("SIPS+D2T") => Some(Transport::Tls),
        () => None,
    }
}

/// The order in which records are tried.
///
/// Spec: RFC 2782, "Weight"
pub fn by_priority(mut records: Vec<Srv>, rng: &mut Rng) -> Vec<Srv> {
    // Those without weight first, so that they have a small chance as well.
    records.sort_by_key(|record| (record.priority, record.weight));
    let mut ordered = Vec::with_capacity(records.len());
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority);
        let sum: u64 = same.map(|record| u64::from(record.weight)).sum();
        let chosen = rng.below(sum + 1);
        let mut running = 0;
        let reached = |record: &Srv| {
            running += u64::from(record.weight);
            running >= chosen
        };
        let place = records.iter().position(reached).unwrap_or(0);
        ordered.push(records.remove(place));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Way; 6] = [
        (Transport::Udp, false),
        (Transport::Tcp, false),
        (Transport::Tls, false),
        (Transport::Udp, true),
        (Transport::Tcp, true),
        (Transport::Tls, true),
    ];

    fn question(uri: &str) -> Question {
        let uri = crate::Uri::decode(uri.as_bytes()).unwrap();
        let transport = uri.params.get("transport").and_then(Transport::parse);
        Question {
            host: String::from_utf8_lossy(uri.host).into_owned(),
            port: uri.port,
            transport,
            secure: uri.scheme == crate::Scheme::Sips,
        }
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
        Srv { priority, weight, port, target: target.into() }
    }

    fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
        let (flags, service) = ("S".into(), service.into());
        Naptr { order, preference, flags, service, replacement: replacement.into() }
    }

    /// A zone as lines of its answers, and the lookups that were made.
    fn search(uri: &str, ways: &[Way], zone: &[(&str, Found)]) -> (Vec<String>, Vec<String>) {
        let mut search = Search::new(question(uri), ways, Rng::from_number(1));
        let mut asked = Vec::new();
        while let Some(ask) = search.ask() {
            let (kind, name) = match ask {
                Ask::Addresses(name) => ("A", name),
                Ask::Naptr(name) => ("NAPTR", name),
                Ask::Srv(name) => ("SRV", name),
            };
            let fits = |found: &Found| match found {
                Found::Addresses(_) => kind == "A",
                Found::Naptr(_) => kind == "NAPTR",
                Found::Srv(_) => kind == "SRV",
                Found::Nothing => false,
            };
            let found = zone.iter().find(|(known, found)| *known == name && fits(found));
            asked.push(format!("{kind} {name}"));
            search.answer(found.map_or(Found::Nothing, |(_, found)| found.clone()));
        }
        let hop = |hop: &Hop| format!("{} {}", hop.transport.param(), hop.address);
        (search.hops().iter().map(hop).collect(), asked)
    }

    fn addresses(list: &[&str]) -> Found {
        Found::Addresses(list.iter().map(|address| address.parse().unwrap()).collect())
    }

    #[test]
    fn an_address_needs_no_lookup() {
        for (uri, hop) in [
            ("sip:192.0.2.7", "udp 192.0.2.7:5060"),
            ("sip:192.0.2.7:5070;transport=tcp", "tcp 192.0.2.7:5070"),
            ("sips:[2001:db8::7]", "tls [2001:db8::7]:5061"),
            ("sips:192.0.2.7:5070;transport=tcp", "tls 192.0.2.7:5070"),
            ("sip:[::ffff:192.0.2.7]", "udp 192.0.2.7:5060"),
        ] {
            let (hops, asked) = search(uri, &ALL, &[]);
            assert_eq!((hops, asked), (vec![hop.to_owned()], vec![]), "{uri}");
        }
        assert_eq!(search("sip:192.0.2.7", &[(Transport::Udp, true)], &[]).0.len(), 0);
    }

    #[test]
    fn a_port_or_a_transport_skips_what_it_settles() {
        let zone = [
            ("a.example", addresses(&["192.0.2.1", "2001:db8::1"])),
            ("_sip._tcp.b.example", Found::Srv(vec![srv(1, 0, 5070, "a.example")])),
        ];
        let (hops, asked) = search("sip:a.example:5080", &ALL, &zone);
        assert_eq!(hops, ["udp 192.0.2.1:5080", "udp [2001:db8::1]:5080"]);
        assert_eq!(asked, ["A a.example"]);
        let (hops, asked) = search("sip:b.example;transport=tcp", &ALL[..3], &zone);
        assert_eq!(hops, ["tcp 192.0.2.1:5070"]);
        assert_eq!(asked, ["SRV _sip._tcp.b.example", "A a.example"]);
        let (hops, asked) = search("sip:a.example;transport=tcp", &ALL[..3], &zone);
        assert_eq!(hops, ["tcp 192.0.2.1:5060"]);
        assert_eq!(asked, ["SRV _sip._tcp.a.example", "A a.example"]);
    }

    #[test]
    fn naptr_leads_to_srv_leads_to_addresses_in_order() {
        let zone = [
            (
                "c.example",
                Found::Naptr(vec![
                    naptr(90, 50, "SIP+D2T", "t.c.example"),
                    naptr(50, 50, "SIPS+D2T", "s.c.example"),
                    naptr(90, 10, "SIP+D2U", "u.c.example"),
                    naptr(1, 1, "E2U+email", "mail.c.example"),
                ]),
            ),
            (
                "s.c.example",
                Found::Srv(vec![
                    srv(2, 0, 5061, "two.c.example"),
                    srv(1, 0, 5061, "one.c.example"),
                ]),
            ),
            ("u.c.example", Found::Srv(vec![srv(1, 0, 5060, "one.c.example")])),
            ("one.c.example", addresses(&["192.0.2.1", "192.0.2.11"])),
            ("two.c.example", addresses(&["192.0.2.2"])),
        ];
        let (hops, _) = search("sip:c.example", &ALL, &zone);
        let tls = ["tls 192.0.2.1:5061", "tls 192.0.2.11:5061", "tls 192.0.2.2:5061"];
        let udp = ["udp 192.0.2.1:5060", "udp 192.0.2.11:5060"];
        assert_eq!(hops, [&tls[..], &udp[..]].concat());
        assert_eq!(search("sips:c.example", &ALL, &zone).0, tls, "never less than TLS");
        assert_eq!(search("sip:c.example", &ALL[..2], &zone).0, udp, "what we cannot is skipped");
    }

    #[test]
    fn without_naptr_every_srv_is_asked_and_then_the_name_itself() {
        let (hops, asked) =
            search("sip:d.example", &ALL, &[("d.example", addresses(&["192.0.2.4"]))]);
        assert_eq!(hops, ["udp 192.0.2.4:5060"]);
        let wanted = ["NAPTR d.example", "SRV _sip._udp.d.example", "SRV _sip._tcp.d.example"];
        assert_eq!(asked[..3], wanted);
        assert_eq!(asked[3..], ["SRV _sips._tcp.d.example", "A d.example"]);
        let zone = [
            ("d.example", addresses(&["192.0.2.4"])),
            ("x.example", addresses(&["192.0.2.5"])),
            ("_sip._tcp.d.example", Found::Srv(vec![srv(1, 1, 5090, "x.example")])),
        ];
        assert_eq!(search("sip:d.example", &ALL, &zone).0, ["tcp 192.0.2.5:5090"]);
        assert_eq!(search("sips:d.example", &ALL, &zone).0, ["tls 192.0.2.4:5061"]);
        let gone = [("_sip._tcp.e.example", Found::Srv(vec![srv(0, 0, 0, ".")]))];
        assert_eq!(search("sip:e.example;transport=tcp", &ALL, &gone).0.len(), 0);
    }

    #[test]
    fn weights_are_shares_and_priorities_are_walls() {
        let mut rng = Rng::from_number(3);
        let records = || {
            let light = srv(1, 10, 1, "light");
            vec![srv(2, 100, 3, "last"), srv(1, 30, 2, "heavy"), light, srv(1, 0, 4, "none")]
        };
        let mut first = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let ordered = by_priority(records(), &mut rng);
            assert_eq!(ordered.len(), 4);
            assert_eq!(ordered[3].target, "last");
            *first.entry(ordered[0].target.clone()).or_insert(0) += 1;
        }
        let share = |name: &str| first.get(name).copied().unwrap_or(0);
        assert!((6_900..7_700).contains(&share("heavy")), "{first:?}");
        assert!((2_200..2_700).contains(&share("light")), "{first:?}");
        assert!((150..350).contains(&share("none")), "{first:?}");
    }

    #[test]
    fn a_zone_without_end_ends() {
        let records: Vec<_> =
            (0..1_000).map(|n| srv(n, 0, 5060, &format!("h{n}.f.example"))).collect();
        let zone = [("_sip._udp.f.example", Found::Srv(records))];
        let (hops, asked) = search("sip:f.example;transport=udp", &ALL, &zone);
        assert_eq!((hops.len(), asked.len()), (0, ASKS_MAX));
        let many: Vec<_> = (0..200u8).map(|n| IpAddr::from([192, 0, 2, n])).collect();
        let zone = [("g.example", Found::Addresses(many))];
        assert_eq!(search("sip:g.example:5060", &ALL, &zone).0.len(), HOPS_MAX);
    }
}
