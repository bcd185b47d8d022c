//! Which push services the node speaks to, and as whom.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use push_io::stand_in::StandIns;
use push_io::{Apns, Config, Fcm, Vapid};
use types::Secret;

use super::Fault;
use crate::config::{Base, Tree};

/// How `dev` shows itself to push services.
const DEV_SUBJECT: &str = "mailto:dev@localhost";

/// The sender's settings; in `dev` those of stand-ins where the file says nothing.
pub async fn config(
    tree: &Tree,
    base: Base,
    vapid: &Secret<String>,
) -> Result<(Config, Option<Arc<StandIns>>), Fault> {
    let subject = match (tree.webpush.subject.as_str(), base) {
        ("", Base::Dev) => DEV_SUBJECT,
        (subject, _) => subject,
    };
    let apns = (!tree.apns.key_file.is_empty()).then(|| apns(tree)).transpose()?;
    let fcm = (!tree.fcm.service_account_file.is_empty()).then(|| fcm(tree)).transpose()?;
    let webpush = match subject {
        "" => None,
        subject => {
            let broken = || Fault::Key { key: "node.data", path: "vapid".into() };
            Some(Vapid::from_text(subject, vapid.reveal()).ok_or_else(broken)?)
        }
    };
    let allow_private = tree.guard.http_targets == "any";
    let mut config = Config { apns, fcm, webpush, allow_private, ..Config::default() };
    if base != Base::Dev {
        return Ok((config, None));
    }
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let stand_ins = Arc::new(StandIns::start(listen).await.map_err(Fault::Push)?);
    config.apns.get_or_insert_with(|| stand_ins.apns());
    config.fcm.get_or_insert_with(|| stand_ins.fcm());
    Ok((config, Some(stand_ins)))
}

fn apns(tree: &Tree) -> Result<Apns, Fault> {
    let section = &tree.apns;
    Ok(Apns {
        key_pem: file("push.apns.key_file", &section.key_file)?,
        key_id: section.key_id.clone(),
        team_id: section.team_id.clone(),
        topic: section.topic.clone(),
        endpoint: section.endpoint.clone(),
    })
}

fn fcm(tree: &Tree) -> Result<Fcm, Fault> {
    let section = &tree.fcm;
    Ok(Fcm {
        service_account_json: file("push.fcm.service_account_file", &section.service_account_file)?,
        endpoint: section.endpoint.clone(),
        token_endpoint: Some(section.token_endpoint.clone()).filter(|text| !text.is_empty()),
    })
}

fn file(key: &'static str, path: &str) -> Result<Secret<String>, Fault> {
    let read = std::fs::read_to_string(Path::new(path));
    let fault = |source| Fault::File { key, path: path.into(), source };
    read.map(Secret::new).map_err(fault)
}
