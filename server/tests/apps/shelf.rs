//! Documents that are files: whatever serves files is an app.

use crate::house::{House, hears_sound};
use crate::support::STEP;

/// Addresses within the files are relative to them, and no file is asked for by POST.
pub fn plain_files(house: &House) {
    const NUMBER: &str = "+15550209";
    house.number(NUMBER, &format!("{}voice.xml", house.shelf.url), "GET");
    let mut caller = house.baresip("1011", 1_370.0);
    caller.dial(&house.uri(NUMBER));
    hears_sound(&caller, "menu");
    caller.press("5");
    hears_sound(&caller, "hours");
    hears_sound(&caller, "goodbye");
    caller.event(STEP, "CALL_CLOSED");
    // What it says of a request: "GET /voice.xml?CallSid=… HTTP/1.1" 200 -
    let said = house.shelf.said();
    let asked = said.iter().filter_map(|line| {
        let (path, rest) = line.split_once("\"GET ")?.1.split_once(" HTTP/")?;
        rest.contains("\" 200 ").then(|| path.split('?').next().unwrap_or(path))
    });
    let files: Vec<&str> = asked.collect();
    let wanted = [
        "/voice.xml",
        "/sounds/menu.wav",
        "/more/pressed.xml",
        "/sounds/hours.wav",
        "/more/bye.xml",
        "/sounds/goodbye.wav",
    ];
    assert_eq!(files, wanted);
    let pressed = said.iter().find(|line| line.contains("/more/pressed.xml?"));
    assert!(pressed.is_some_and(|line| line.contains("Digits=5")), "{said:?}");
}
