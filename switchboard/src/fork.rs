//! In which order the bindings of one user are tried.
//!
//! Devices of one preference ring together; lower ones come when the higher ones have failed or had their time. A
//! device with several flows rings by one of them, and the others stand by.
//!
//! Spec: RFC 3261 §16.6 (order by q), RFC 5626 §7 (one flow of an instance at a time)

use crate::directory::{Binding, Known};

/// The ways to one device, best first; never empty.
pub(crate) type Ways = Vec<Known>;

/// Puts bindings in order: levels that ring one after the other, in each the devices that ring together. `bindings`
/// come best first; `by_q`: else all ring at once.
pub(crate) fn levels(bindings: Vec<Known>, by_q: bool) -> Vec<Vec<Ways>> {
    let mut devices: Vec<Ways> = Vec::new();
    for binding in bindings {
        // Without its connection it can only be woken.
        if binding.is_cut() && binding.push.is_none() {
            continue;
        }
        let known = devices.iter_mut().find(|ways| ways.iter().any(|way| is_one(way, &binding)));
        match known {
            Some(ways) => ways.push(binding),
            None => devices.push(vec![binding]),
        }
    }
    let mut levels: Vec<Vec<Ways>> = Vec::new();
    for ways in devices {
        let q = |ways: &Ways| ways.first().map_or(0, |way| way.q);
        match levels.last_mut() {
            Some(level) if !by_q || level.first().map(q) == Some(q(&ways)) => level.push(ways),
            Some(_) | None => levels.push(vec![ways]),
        }
    }
    levels
}

/// Whether two bindings lead to one device: flows of one instance, or the same push token.
fn is_one(a: &Binding, b: &Binding) -> bool {
    if a.is_outbound() && b.is_outbound() && a.instance == b.instance {
        return true;
    }
    match (&a.push, &b.push) {
        (Some(a), Some(b)) => a.provider == b.provider && a.prid == b.prid,
        (Some(_) | None, _) => false,
    }
}

/// Whether a failure speaks of the way and not of the device: the next way is tried. `rang`: the device was heard.
///
/// Spec: RFC 5626 §7 (430, time-outs), RFC 3261 §16.9 (503)
pub(crate) fn is_of_the_way(status: u16, rang: bool) -> bool {
    !rang && matches!(status, 408 | 430 | 503)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::RegId;
    use types::{Flow, Transport};

    fn plain(name: &str, q: u16) -> Binding {
        Binding { contact: name.into(), q, ..Binding::default() }
    }

    fn flow(name: &str, instance: &str, number: u32, q: u16) -> Binding {
        Binding { instance: instance.into(), reg_id: RegId(number), ..plain(name, q) }
    }

    /// Bindings go in best first, as the directory gives them; names come out, levels behind `|`, ways behind `/`.
    #[track_caller]
    fn check(bindings: &[Binding], by_q: bool, expected: &str) {
        let names =
            |ways: &Ways| ways.iter().map(|way| way.contact.as_str()).collect::<Vec<_>>().join("/");
        let level = |level: &Vec<Ways>| level.iter().map(names).collect::<Vec<_>>().join(" ");
        let bindings = bindings.iter().cloned().map(Known::from).collect();
        let levels = levels(bindings, by_q);
        assert_eq!(levels.iter().map(level).collect::<Vec<_>>().join(" | "), expected);
    }

    #[test]
    fn equal_ones_together_and_lower_ones_later() {
        let all = [plain("a", 1_000), plain("b", 1_000), plain("c", 500), plain("d", 0)];
        check(&all, true, "a b | c | d");
        check(&all, false, "a b c d");
        check(&[], true, "");
    }

    #[test]
    fn flows_of_a_device_stand_by() {
        let all = [
            flow("a1", "<i>", 1, 1_000),
            plain("b", 1_000),
            flow("c", "<j>", 1, 500),
            flow("a2", "<i>", 2, 500),
        ];
        check(&all, true, "a1/a2 b | c");
        // An instance alone, without flows, is no outbound: all its contacts ring.
        check(&[flow("a", "<i>", 0, 1_000), flow("b", "<i>", 0, 1_000)], true, "a b");
    }

    #[test]
    fn a_token_is_a_device_and_a_cut_flow_is_none() {
        let target = |prid: &str| {
            Box::new(pns::Target {
                provider: pns::Provider::Fcm,
                prid: prid.into(),
                prid_alert: None,
                param: String::new(),
                p256dh: None,
                auth: None,
            })
        };
        let pushed = |name, prid| Binding { push: Some(target(prid)), ..plain(name, 1_000) };
        check(&[pushed("a", "x"), pushed("b", "y"), pushed("c", "x")], true, "a/c b");
        let cut = |binding: Binding| Binding {
            flow: Flow { transport: Transport::Tcp, ..Flow::NONE },
            ..binding
        };
        check(&[cut(flow("a", "<i>", 1, 1_000)), flow("b", "<i>", 2, 1_000)], true, "b");
        check(&[cut(plain("a", 1_000))], true, "a");
        let sleeping = Binding { instance: "<i>".into(), reg_id: RegId(1), ..pushed("a", "x") };
        check(&[cut(sleeping)], true, "a");
    }

    #[test]
    fn only_silence_and_a_dead_flow_lead_to_the_next_way() {
        for (status, rang, next) in [
            (430, false, true),
            (408, false, true),
            (503, false, true),
            (408, true, false),
            (486, false, false),
            (603, false, false),
        ] {
            assert_eq!(is_of_the_way(status, rang), next, "{status} {rang}");
        }
    }
}
