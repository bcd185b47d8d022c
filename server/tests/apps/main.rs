//! Apps as users write them, on the real server, with foreign phones and pages as callers.
//!
//! Picture     baresip, pages, legs --> carillon serve --> shop.py (Flask) | desk.js (Express) | plain files
//!             on the phones' host                     <-- their official packages, by REST
//! Rules       The apps know the server by its address and its keys, as any of that cloud's. Each says what it was asked, with a
//!             signature that its own package took; what callers hear is told by the pitch of it.
//! Limits      STEP for each thing that is waited for.
//! Not here    Single verbs (services/voice), the API in full (sdk.rs).
//! Spec        none

#[allow(dead_code, reason = "each test program uses a part of what they share")]
#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code, reason = "each test program uses a part of what they share")]
#[path = "../legs/mod.rs"]
mod legs;

mod desk;
mod house;
mod newcomer;
mod shelf;
mod shop;

use std::thread;

use house::House;
use support::turn;

/// What callers of one app live through.
type Story = fn(&House);

/// All of them; they run at once.
const STORIES: [(&str, Story); 8] = [
    ("a menu", shop::a_menu),
    ("a letter", shop::a_letter),
    ("a call back", shop::a_call_back),
    ("words", shop::words),
    ("a meeting", desk::a_meeting),
    ("a queue", desk::a_queue),
    ("a bot", desk::a_bot),
    ("plain files", shelf::plain_files),
];

#[test]
fn apps_of_users_serve_their_callers() {
    let _turn = turn();
    let house = &House::open();
    thread::scope(|scope| {
        for (name, story) in STORIES {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn_scoped(scope, move || story(house)).expect("a thread");
        }
    });
}
