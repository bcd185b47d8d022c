//! A binding as the keeper has it.

use types::{UnixTime, tagged};

use crate::core::Keys;
use crate::directory::{Binding, RegId};

/// What names a binding of a user in the keeper.
pub(crate) fn binding_key(keys: &Keys, user: &str, binding: &Binding) -> u128 {
    let mut text = format!("{user}\n{}", binding.contact);
    if binding.is_outbound() {
        text.push_str(&format!("\n{};{}", binding.instance, binding.reg_id.0));
    }
    let (high, low) =
        (keys.slots.hash_bytes(user.as_bytes()), keys.slots.hash_bytes(text.as_bytes()));
    u128::from(high) << 64 | u128::from(low)
}

/// A binding as tagged fields.
pub(crate) fn encode_binding(user: &str, binding: &Binding) -> Vec<u8> {
    let mut writer = tagged::Writer::onto(Vec::with_capacity(256));
    writer.text(1, user).text(2, &binding.contact);
    writer.nested(3, |writer| crate::leg::encode_flow(binding.flow, writer));
    writer.time(4, binding.until).time(5, binding.seen);
    writer.number(6, binding.q.into()).text(7, &binding.call_id).number(8, binding.cseq.into());
    // An older version knows the instance only together with its flow.
    let (flow, instance) = if binding.is_outbound() {
        (format!("{};{}", binding.instance, binding.reg_id.0), "")
    } else {
        (String::new(), binding.instance.as_str())
    };
    let texts =
        [(9, binding.path.as_str()), (10, &flow), (11, &binding.user_agent), (13, instance)];
    for (tag, text) in texts {
        if !text.is_empty() {
            writer.text(tag, text);
        }
    }
    if let Some(push) = &binding.push {
        let mut inner = tagged::Writer::new();
        inner.text(1, push.provider.name()).text(2, &push.prid).text(3, &push.param);
        if let Some(alert) = &push.prid_alert {
            inner.text(4, alert);
        }
        for (tag, octets) in [(5, &push.p256dh), (6, &push.auth)] {
            if let Some(octets) = octets {
                inner.bytes(tag, octets);
            }
        }
        writer.bytes(12, &inner.finish());
    }
    writer.finish()
}

/// A binding and its user, as the keeper had them.
pub(crate) fn decode_binding(bytes: &[u8]) -> Option<(String, Binding)> {
    let mut user = String::new();
    let mut binding = Binding::default();
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => user = field.string()?,
            2 => binding.contact = field.string()?,
            3 => binding.flow = crate::leg::decode_flow(field.0)?,
            4 => binding.until = UnixTime(field.number()? as u64),
            5 => binding.seen = UnixTime(field.number()? as u64),
            6 => binding.q = field.number()? as u16,
            7 => binding.call_id = field.string()?,
            8 => binding.cseq = field.number()? as u32,
            9 => binding.path = field.string()?,
            10 => {
                let (instance, reg_id) = field.text()?.rsplit_once(';')?;
                (binding.instance, binding.reg_id) =
                    (instance.to_owned(), RegId(reg_id.parse().ok()?));
            }
            11 => binding.user_agent = field.string()?,
            12 => binding.push = decode_target(field.0).map(Box::new),
            13 => binding.instance = field.string()?,
            _ => (), // A field of a newer version.
        }
    }
    (!user.is_empty() && !binding.contact.is_empty()).then_some((user, binding))
}

fn decode_target(bytes: &[u8]) -> Option<pns::Target> {
    let mut provider = None;
    let mut target = pns::Target {
        provider: pns::Provider::Fcm,
        prid: String::new(),
        prid_alert: None,
        param: String::new(),
        p256dh: None,
        auth: None,
    };
    for (tag, field) in tagged::Reader::new(bytes) {
        match tag {
            1 => provider = pns::Provider::parse(field.text()?),
            2 => target.prid = field.text()?.to_owned(),
            3 => target.param = field.text()?.to_owned(),
            4 => target.prid_alert = field.string(),
            5 => target.p256dh = Some(field.0.to_vec()),
            6 => target.auth = Some(field.0.to_vec()),
            _ => (),
        }
    }
    target.provider = provider?;
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::{Flow, Rng};

    fn full() -> Binding {
        Binding {
            contact: "sip:1001@192.0.2.7:5070;ob".into(),
            flow: Flow::udp(([192, 0, 2, 7], 5070).into()),
            path: "<sip:edge;lr;ob>".into(),
            until: UnixTime::seconds(7),
            seen: UnixTime::seconds(3),
            q: 500,
            call_id: "c".into(),
            cseq: 4,
            instance: "<urn:uuid:1;x>".into(),
            reg_id: RegId(2),
            user_agent: "phone/1".into(),
            push: None,
        }
    }

    #[test]
    fn a_binding_comes_back_and_flows_have_keys_of_their_own() {
        let plain = Binding { reg_id: RegId::NONE, ..full() };
        let bare = Binding { instance: String::new(), ..plain.clone() };
        for binding in [full(), plain.clone(), bare.clone()] {
            let read = decode_binding(&encode_binding("1001", &binding));
            assert_eq!(read, Some(("1001".to_owned(), binding)));
        }
        let keys = Keys::new([1; 32]);
        let key = |binding: &Binding| binding_key(&keys, "1001", binding);
        assert_eq!(key(&plain), key(&bare));
        assert_ne!(key(&full()), key(&plain));
        assert_ne!(key(&full()), key(&Binding { reg_id: RegId(1), ..full() }));
        assert_ne!(key(&bare), binding_key(&keys, "1002", &bare));
    }

    #[test]
    fn hostile_octets_never_panic() {
        let good = encode_binding("1001", &full());
        let mut rng = Rng::from_number(3261);
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = decode_binding(&bytes);
        }
    }
}
