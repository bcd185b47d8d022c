//! `carillon help CODE`.

use std::process::ExitCode;

use super::FAILED;
use crate::rooms;

/// Prints the page of a refusal; without one, the codes that look like it.
pub fn main(asked: &str) -> ExitCode {
    let number = number(asked);
    let rows = rooms::refusals();
    let found = rows.iter().find(|row| {
        row.verdict.code.eq_ignore_ascii_case(asked) || Some(row.verdict.number) == number
    });
    if let Some(row) = found {
        let verdict = row.verdict;
        println!(
            "CAR-{:04}  {}\n\n{}\n\n{}\n\nTo do      {}\nAnswers    SIP {}, HTTP {}",
            verdict.number,
            verdict.code,
            row.sentence,
            row.page,
            verdict.fix,
            verdict.sip,
            verdict.http
        );
        return ExitCode::SUCCESS;
    }
    eprintln!("no page for `{asked}`");
    let room = asked.split('.').next().unwrap_or(asked);
    for row in rows.iter().filter(|row| row.verdict.code.split('.').next() == Some(room)) {
        eprintln!("  CAR-{:04}  {}", row.verdict.number, row.verdict.code);
    }
    ExitCode::from(FAILED)
}

/// The number in `CAR-2104` or `2104`.
fn number(asked: &str) -> Option<u16> {
    let digits = match asked.split_at_checked(4) {
        Some((head, rest)) if head.eq_ignore_ascii_case("car-") => rest,
        _ => asked,
    };
    digits.parse().ok()
}
