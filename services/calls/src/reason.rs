//! Why a call was not answered, in the numbers of the telephone network.
//!
//! Rules       What a phone gives as its reason crosses us as it is. Where it gives none, its status says it.
//! Spec        RFC 3326, RFC 3398 §8.2.6.1

/// The value of a Reason header for a failure with this status; `None` where the network has no better word.
pub(crate) fn of_status(status: u16) -> Option<String> {
    let (cause, text) = match status {
        404 | 604 => (1, "Unallocated number"),
        408 | 480 => (18, "No user responding"),
        410 => (22, "Number changed"),
        484 => (28, "Invalid number format"),
        486 | 600 => (17, "User busy"),
        488 | 606 => (65, "Bearer capability not implemented"),
        502 => (38, "Network out of order"),
        503 => (41, "Temporary failure"),
        504 => (102, "Recovery on timer expiry"),
        603 => (21, "Call rejected"),
        _ => return None,
    };
    Some(format!("Q.850;cause={cause};text=\"{text}\""))
}

#[cfg(test)]
mod tests {
    use super::of_status;

    #[test]
    fn busy_is_seventeen_and_a_cancelled_call_has_no_cause() {
        assert_eq!(of_status(486).as_deref(), Some("Q.850;cause=17;text=\"User busy\""));
        assert_eq!(of_status(603).as_deref(), Some("Q.850;cause=21;text=\"Call rejected\""));
        assert_eq!(of_status(487), None);
    }
}
