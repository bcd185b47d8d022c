//! What stands out by its size. Only a file beyond the hard limit fails.

use crate::finding::Finding;
use crate::tidy::{Report, Source};

const FILE_LINES: usize = 500;
const FILE_LINES_HARD: usize = 800;
const FUNCTION_LINES: usize = 70;
const LIB_LINES_AFTER_HEAD: usize = 120;
const MAIN_LINES: usize = 60;

pub(super) fn check(source: &Source<'_>, report: &mut Report) {
    let lines = source.text.lines().count();
    let after_head = source.text.lines().skip_while(|line| line.starts_with("//!")).count();
    if lines > FILE_LINES_HARD {
        let what = format!("{lines} lines: above {FILE_LINES_HARD} it must become two files");
        report.findings.push(Finding::new(source.path, 0, what));
    }
    let mut note = |line, what| report.notes.push(Finding::new(source.path, line, what));
    if (FILE_LINES + 1..=FILE_LINES_HARD).contains(&lines) {
        note(0, format!("{lines} lines; one sitting is {FILE_LINES}"));
    }
    if source.path.ends_with("src/lib.rs") && after_head > LIB_LINES_AFTER_HEAD {
        note(0, format!("{after_head} lines after its head; a lib.rs has {LIB_LINES_AFTER_HEAD}"));
    }
    if source.path.ends_with("src/main.rs") && lines > MAIN_LINES {
        note(0, format!("{lines} lines; a main.rs has {MAIN_LINES}"));
    }
    for function in source.file.functions.iter().filter(|function| function.lines > FUNCTION_LINES)
    {
        note(
            function.line,
            format!("{} has {} lines; a screen is {FUNCTION_LINES}", function.name, function.lines),
        );
    }
}
