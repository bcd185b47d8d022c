//! The SQL of this room.

use pns::{Provider, Target};
use switchboard::directory::{Device, User, Verifier};
use switchboard::input::Picture;
use switchboard::route::CallSettings;
use switchboard::store::{Batch, Migration, Query, Row, Statement, Value};
use types::UnixTime;

/// The schema.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        name: "0001_people",
        sqlite: include_str!("../migrations/0001_people.sqlite.sql"),
        postgres: include_str!("../migrations/0001_people.postgres.sql"),
    },
    Migration {
        name: "0002_calls",
        sqlite: include_str!("../migrations/0002_calls.sqlite.sql"),
        postgres: include_str!("../migrations/0002_calls.postgres.sql"),
    },
];

/// Tables and views of the schema.
pub const TABLES: &[&str] = &["people_users", "people_devices", "v_users", "v_devices"];

/// Rows of one page while everything is read.
pub const PAGE: usize = 2_000;

/// Users behind `after`, by name.
pub fn users(after: &str) -> Query {
    Query {
        sql: "select name, display_name, digest, verifiers, picture_thumbnail, picture_tiny, calls \
              from people_users where name > ?1 order by name limit ?2",
        values: vec![after.into(), (PAGE as i64).into()],
    }
}

/// Devices behind this one, by user and name.
pub fn devices(user: &str, name: &str) -> Query {
    Query {
        sql: "select user_name, name, kind, provider, prid, prid_alert, param, p256dh, auth, seen_at \
              from people_devices where user_name > ?1 or (user_name = ?1 and name > ?2) \
              order by user_name, name limit ?3",
        values: vec![user.into(), name.into(), (PAGE as i64).into()],
    }
}

/// Whose a token is.
pub fn owner(target: &Target) -> Query {
    Query {
        sql: "select user_name from people_devices where provider = ?1 and prid = ?2",
        values: vec![target.provider.name().into(), target.prid.as_str().into()],
    }
}

/// Makes or changes a user; pictures stay.
pub fn put_user(user: &User, unix: UnixTime) -> Batch {
    let verifiers = serde_json::to_string(&user.verifiers).unwrap_or_default();
    one(
        "insert into people_users (name, display_name, digest, verifiers, created_at, updated_at) \
         values (?1, ?2, ?3, ?4, ?5, ?5) on conflict (name) do update set \
         display_name = excluded.display_name, digest = excluded.digest, \
         verifiers = excluded.verifiers, updated_at = excluded.updated_at",
        vec![
            user.name.as_str().into(),
            user.display_name.as_str().into(),
            user.digest.join(",").into(),
            verifiers.into(),
            unix.into(),
        ],
        Some(1),
    )
}

/// A user and all his devices go.
pub fn drop_user(name: &str) -> Batch {
    let statement = |sql, expect| Statement { sql, values: vec![name.into()], expect };
    Batch {
        statements: vec![
            statement("delete from people_devices where user_name = ?1", None),
            statement("delete from people_users where name = ?1", Some(1)),
        ],
    }
}

/// Sets or takes away the picture of a user.
pub fn put_picture(name: &str, picture: Option<&Picture>, unix: UnixTime) -> Batch {
    let [full, thumbnail, kind] = match picture {
        Some(picture) => [&picture.full, &picture.thumbnail, &picture.content_type]
            .map(|text| text.clone().into()),
        None => [Value::Null, Value::Null, Value::Null],
    };
    let tiny = picture.map_or(Value::Null, |picture| picture.tiny.clone().into());
    one(
        "update people_users set picture_full = ?2, picture_thumbnail = ?3, picture_type = ?4, \
         picture_tiny = ?5, updated_at = ?6 where name = ?1",
        vec![name.into(), full, thumbnail, kind, tiny, unix.into()],
        Some(1),
    )
}

/// Sets what a user wants done with calls; `None`: they just ring.
pub fn put_calls(name: &str, calls: Option<&CallSettings>, unix: UnixTime) -> Batch {
    let calls = calls.map(|calls| serde_json::to_string(calls).unwrap_or_default());
    one(
        "update people_users set calls = ?2, updated_at = ?3 where name = ?1",
        vec![name.into(), calls.map_or(Value::Null, Value::Text), unix.into()],
        Some(1),
    )
}

/// Makes or changes a device. Its token is taken away from whoever had it; `evicted` gives way.
pub fn put_device(user: &str, device: &Device, evicted: Option<&str>, unix: UnixTime) -> Batch {
    let target = &device.target;
    let mut statements = vec![Statement {
        sql: "delete from people_devices where provider = ?1 and prid = ?2 \
              and not (user_name = ?3 and name = ?4)",
        values: vec![
            target.provider.name().into(),
            target.prid.as_str().into(),
            user.into(),
            device.name.as_str().into(),
        ],
        expect: None,
    }];
    if let Some(evicted) = evicted {
        statements.push(Statement {
            sql: DROP_DEVICE,
            values: vec![user.into(), evicted.into()],
            expect: None,
        });
    }
    let optional = |octets: &Option<Vec<u8>>| octets.clone().map_or(Value::Null, Value::Blob);
    statements.push(Statement {
        sql: "insert into people_devices \
              (user_name, name, kind, provider, prid, prid_alert, param, p256dh, auth, seen_at) \
              values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
              on conflict (user_name, name) do update set kind = excluded.kind, \
              provider = excluded.provider, prid = excluded.prid, prid_alert = excluded.prid_alert, \
              param = excluded.param, p256dh = excluded.p256dh, auth = excluded.auth, \
              seen_at = excluded.seen_at",
        values: vec![
            user.into(),
            device.name.as_str().into(),
            device.kind.as_str().into(),
            target.provider.name().into(),
            target.prid.as_str().into(),
            target.prid_alert.clone().map_or(Value::Null, Value::Text),
            target.param.as_str().into(),
            optional(&target.p256dh),
            optional(&target.auth),
            unix.into(),
        ],
        expect: Some(1),
    });
    Batch { statements }
}

const DROP_DEVICE: &str = "delete from people_devices where user_name = ?1 and name = ?2";

/// A device goes.
pub fn drop_device(user: &str, name: &str) -> Batch {
    one(DROP_DEVICE, vec![user.into(), name.into()], None)
}

/// A token goes, whatever its device is called.
pub fn drop_token(user: &str, provider: &str, prid: &str) -> Batch {
    one(
        "delete from people_devices where user_name = ?1 and provider = ?2 and prid = ?3",
        vec![user.into(), provider.into(), prid.into()],
        None,
    )
}

fn one(sql: &'static str, values: Vec<Value>, expect: Option<u64>) -> Batch {
    Batch { statements: vec![Statement { sql, values, expect }] }
}

/// A row of [`users`].
pub fn user_of(row: &Row) -> Option<User> {
    let [name, display_name, digest, verifiers, picture, tiny, more @ ..] = row.as_slice() else {
        return None;
    };
    let digest = digest.text()?.split(',').filter(|word| !word.is_empty());
    let verifiers: Vec<Verifier> = serde_json::from_str(verifiers.text()?).ok()?;
    Some(User {
        name: name.text()?.to_owned(),
        display_name: display_name.text()?.to_owned(),
        verifiers,
        digest: digest.map(str::to_owned).collect(),
        picture: picture.text().map(str::to_owned),
        picture_tiny: tiny.blob().map(<[u8]>::to_vec),
        calls: more.first().and_then(Value::text).and_then(|text| serde_json::from_str(text).ok()),
    })
}

/// A row of [`devices`]: whose, the device, when it was seen.
pub fn device_of(row: &Row) -> Option<(String, Device, i64)> {
    let [user, name, kind, provider, prid, alert, param, p256dh, auth, seen] = row.as_slice()
    else {
        return None;
    };
    let target = Target {
        provider: Provider::parse(provider.text()?)?,
        prid: prid.text()?.to_owned(),
        prid_alert: alert.text().map(str::to_owned),
        param: param.text()?.to_owned(),
        p256dh: p256dh.blob().map(<[u8]>::to_vec),
        auth: auth.blob().map(<[u8]>::to_vec),
    };
    let (name, kind) = (name.text()?.to_owned(), kind.text()?.to_owned());
    Some((user.text()?.to_owned(), Device { name, kind, target }, seen.int()?))
}
