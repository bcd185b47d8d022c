//! Where the server of a test keeps its rows: in its folder, or all test programs again on PostgreSQL.

use std::env;
use std::sync::OnceLock;

use crate::Cluster;

/// Says `postgres` when the tests shall run on PostgreSQL.
const VARIABLE: &str = "CARILLON_TEST_STORE";

/// The cluster of this test program. It ends with the program: something watches over both.
static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The section of the file: empty, or with a fresh database.
pub fn section() -> String {
    match env::var(VARIABLE).as_deref() {
        Ok("postgres") => of(&CLUSTER.get_or_init(Cluster::start).database()),
        Ok(other) => panic!("{VARIABLE}: there is no store {other}"),
        Err(_) => String::new(),
    }
}

/// The section of the file with this address.
pub fn of(address: &str) -> String {
    format!("[store]\nurl = {address:?}\n")
}

/// What PostgreSQL answers to a question about the rows of the server with this file; `None`: they are not there.
pub fn ask(file: &str, question: &str) -> Option<String> {
    let url = file.lines().find_map(|line| line.strip_prefix("url = \"postgres"))?;
    let name = url.trim_end_matches('"').rsplit('/').next()?;
    Some(CLUSTER.get()?.run(name, question))
}
