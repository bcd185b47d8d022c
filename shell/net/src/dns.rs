//! Names to places: lookups for the search of `sip::locate`.
//!
//! Picture     Question --Search--> Ask --hickory (cache, system's or given servers)--> Found … --> hops
//! Rules       A lookup that fails is an empty one, and its fault is told when nothing was found at all. Names are whole:
//!             no search list is put behind them.
//! Limits      RESOLVE_MAX for one question, LOOKUP_MAX and LOOKUP_TRIES for one lookup, CACHE_MAX, TTL_MAX,
//!             TTL_NEGATIVE_MAX.
//! Not here    The order of lookups and hops (sip::locate), how many may ask (host).
//! Spec        RFC 3263, RFC 1035, RFC 2308

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use sip::locate::{Ask, Found, Hop, Naptr, Question, Search, Srv, Way};
use types::Rng;

/// How long the answer to one question may take.
pub const RESOLVE_MAX: Duration = Duration::from_secs(10);
/// How long one server may take to one lookup.
pub const LOOKUP_MAX: Duration = Duration::from_secs(2);
/// How often a lookup is tried.
pub const LOOKUP_TRIES: usize = 2;
/// Lookups that are remembered.
pub const CACHE_MAX: u64 = 16_384;
/// An answer is remembered at most so long, whatever its TTL: a carrier that moved is found again.
pub const TTL_MAX: Duration = Duration::from_secs(3_600);
/// That there is no answer is remembered at most so long.
pub const TTL_NEGATIVE_MAX: Duration = Duration::from_secs(60);

/// Asks the name servers. Clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    lookups: TokioResolver,
    ways: Vec<Way>,
}

impl Resolver {
    /// `servers`: empty for the system's. `ways`: what this node can send by. To be called on a tokio runtime.
    /// Errors: the system's settings cannot be read.
    pub fn start(servers: &[SocketAddr], ways: Vec<Way>) -> io::Result<Self> {
        let mut builder: ResolverBuilder<TokioRuntimeProvider> = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(io::Error::other)?
        } else {
            let named = servers.iter().map(|address| server(*address)).collect();
            let config = ResolverConfig::from_name_servers(named);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        limit(builder.options_mut());
        Ok(Self { lookups: builder.build().map_err(io::Error::other)?, ways })
    }

    /// Where a question leads, best first. `rng` settles what weights leave open. Errors: nowhere, and why.
    pub async fn resolve(&self, question: Question, rng: Rng) -> Result<Vec<Hop>, String> {
        let host = question.host.clone();
        let mut search = Search::new(question, &self.ways, rng);
        let mut fault = None;
        let searching = async {
            while let Some(ask) = search.ask() {
                let found = self.look_up(ask, &mut fault).await;
                search.answer(found);
            }
        };
        let in_time = tokio::time::timeout(RESOLVE_MAX, searching).await.is_ok();
        let hops = search.hops();
        if !hops.is_empty() {
            return Ok(hops);
        }
        let why = match fault {
            _ if !in_time => "the name servers are too slow".to_owned(),
            Some(fault) => fault,
            None => "no record that this node can use".to_owned(),
        };
        Err(format!("{host}: {why}"))
    }

    async fn look_up(&self, ask: Ask, fault: &mut Option<String>) -> Found {
        match ask {
            Ask::Addresses(name) => {
                let (a, aaaa) = tokio::join!(
                    self.records(&name, RecordType::A),
                    self.records(&name, RecordType::AAAA)
                );
                let both = [a, aaaa].map(|records| kept(records, fault));
                let address = |data| match data {
                    RData::A(a) => Some(IpAddr::V4(a.0)),
                    RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                    _ => None,
                };
                Found::Addresses(both.into_iter().flatten().filter_map(address).collect())
            }
            Ask::Naptr(name) => {
                let records = kept(self.records(&name, RecordType::NAPTR).await, fault);
                Found::Naptr(records.into_iter().filter_map(naptr).collect())
            }
            Ask::Srv(name) => {
                let records = kept(self.records(&name, RecordType::SRV).await, fault);
                Found::Srv(records.into_iter().filter_map(srv).collect())
            }
        }
    }

    async fn records(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, String> {
        let whole = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
        match self.lookups.lookup(whole, kind).await {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(why) if why.is_no_records_found() => Ok(Vec::new()),
            Err(why) => Err(why.to_string()),
        }
    }
}

fn kept(records: Result<Vec<RData>, String>, fault: &mut Option<String>) -> Vec<RData> {
    records.unwrap_or_else(|why| {
        *fault = Some(why);
        Vec::new()
    })
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn naptr(data: RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else { return None };
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        service: text(&record.services),
        replacement: record.replacement.to_utf8(),
    })
}

fn srv(data: RData) -> Option<Srv> {
    let RData::SRV(record) = data else { return None };
    let (priority, weight, port) = (record.priority, record.weight, record.port);
    Some(Srv { priority, weight, port, target: record.target.to_utf8() })
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connection = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let both = vec![connection(ConnectionConfig::udp()), connection(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, both)
}

fn limit(options: &mut ResolverOpts) {
    options.timeout = LOOKUP_MAX;
    options.attempts = LOOKUP_TRIES;
    options.cache_size = CACHE_MAX;
    options.positive_max_ttl = Some(TTL_MAX);
    options.negative_max_ttl = Some(TTL_NEGATIVE_MAX);
}

#[cfg(test)]
mod tests;
