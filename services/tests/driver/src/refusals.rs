//! What holds for the refusals of every room.

use std::fmt;

use switchboard::RefusalRow;
use types::Refuse;

/// Each refusal has a row, whose code is the room and the variant's name; their numbers are the room's, without a gap.
#[track_caller]
pub fn check_refusals<R: Refuse + fmt::Debug>(
    room: &str,
    first: u16,
    all: &[R],
    rows: &[RefusalRow],
) {
    check_refusals_but(room, first, &[], all, rows);
}

/// The same, with numbers that were in use once and are nobody's any more.
#[track_caller]
pub fn check_refusals_but<R: Refuse + fmt::Debug>(
    room: &str,
    first: u16,
    gone: &[u16],
    all: &[R],
    rows: &[RefusalRow],
) {
    assert_eq!(all.len(), rows.len());
    for (refusal, row) in all.iter().zip(rows) {
        let word: String = format!("{refusal:?}")
            .chars()
            .flat_map(|c| c.is_uppercase().then_some('_').into_iter().chain(c.to_lowercase()))
            .collect();
        assert_eq!(refusal.verdict().code, format!("{room}.{}", word.trim_start_matches('_')));
        assert_eq!(refusal.verdict(), row.verdict);
        assert!(!refusal.to_string().is_empty() && !row.page.is_empty(), "{refusal:?}");
    }
    let mut numbers: Vec<u16> = rows.iter().map(|row| row.verdict.number).collect();
    numbers.sort_unstable();
    let wanted = (first..).filter(|number| !gone.contains(number)).take(rows.len());
    assert!(numbers.into_iter().eq(wanted), "{room}: a number is missing");
}
