//! The corridor as the roof needs it.

use switchboard::store::{Entry, Migration, Statement};
use switchboard::{Endpoint, Manifest, RefusalRow};

/// The manifests of all rooms, in corridor order.
pub fn manifests() -> Vec<&'static Manifest> {
    services::manifests()
}

/// Names of the rooms, which are their sections.
pub fn names() -> Vec<&'static str> {
    services::SECTIONS.to_vec()
}

/// Every step of every schema, the projector's own first.
pub fn migrations() -> Vec<(&'static str, &'static [Migration])> {
    let rooms = manifests().into_iter().map(|room| (room.name, room.migrations));
    std::iter::once((store::projector::ROOM, store::projector::MIGRATIONS)).chain(rooms).collect()
}

/// The rows that one finished entry becomes, whosever it is.
pub fn project(entry: &Entry) -> Vec<Statement> {
    let projects = manifests().into_iter().filter_map(|room| room.project);
    projects.flat_map(|project| project(entry)).collect()
}

/// Every refusal that has a help page, by number.
pub fn refusals() -> Vec<&'static RefusalRow> {
    let rooms = manifests().into_iter().flat_map(|room| room.refusals);
    let mut all: Vec<_> = [
        switchboard::clip::ROWS,
        switchboard::pair::ROWS,
        switchboard::refusal::ROWS,
        switchboard::route::ROWS,
        web::refusal::ROWS,
    ]
    .into_iter()
    .flatten()
    .chain(rooms)
    .collect();
    all.sort_by_key(|row| row.verdict.number);
    all
}

/// An endpoint by method and path: its room and its place in the room's table.
pub fn endpoint(method: &str, path: &str) -> Option<(&'static str, u16, &'static Endpoint)> {
    manifests().into_iter().find_map(|room| {
        let fits = |row: &Endpoint| row.method == method && row.path == path;
        let place = room.endpoints.iter().position(fits)?;
        Some((room.name, u16::try_from(place).ok()?, room.endpoints.get(place)?))
    })
}
