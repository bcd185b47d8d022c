//! What a group may be.

use std::collections::BTreeSet;

use serde_json::json;
use switchboard::directory::Directory;
use switchboard::group::{
    ADDRESSES_MAX, EACH_MAX, Group, MEMBERS_MAX, Member, SKILL_MARK, SKILLS_MAX,
};

use crate::{Refusal, Refused};

/// Longest name, address or skill. Units: octets.
pub const NAME_MAX: usize = 64;
/// Longest display name. Units: characters.
pub const DISPLAY_NAME_MAX: usize = 300;

/// Reads a group and judges it against the people and groups that there are.
pub fn decode(name: &str, bytes: &[u8], directory: &Directory) -> Result<Group, Refused> {
    if !is_name(name) {
        let wants = "1 to 64 letters, digits and -_.+, a letter or digit first";
        return Err(Refused::malformed("name", wants));
    }
    // A list of values would be read as well.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Refused::malformed("body", "a group as a JSON object"));
    }
    let group: Group = serde_json::from_slice(bytes)
        .map_err(|why| Refused::malformed("body", &format!("a group ({why})")))?;
    let group = Group { name: name.to_owned(), ..group };
    shape(&group)?;
    if directory.user(name).is_some() {
        return Err(Refused::with(Refusal::AddressTaken, json!({"name": name})));
    }
    for member in &group.members {
        if directory.user(&member.user).is_none() {
            return Err(Refused::with(Refusal::NoSuchUser, json!({"user": &member.user})));
        }
    }
    for address in addresses(&group) {
        let other = directory.groups().at(address).is_some_and(|(known, _)| known.name != name);
        if other || directory.user(address).is_some() {
            return Err(Refused::with(Refusal::AddressTaken, json!({"address": address})));
        }
    }
    Ok(group)
}

/// What can be said without knowing anybody.
fn shape(group: &Group) -> Result<(), Refused> {
    let plain = |text: &str| !text.contains(char::is_control);
    if group.display_name.chars().count() > DISPLAY_NAME_MAX || !plain(&group.display_name) {
        return Err(Refused::malformed("display_name", "at most 300 characters of text"));
    }
    if !group.number.is_empty() && !is_number(&group.number) {
        return Err(Refused::malformed("number", "E.164 with its +, such as +15550111"));
    }
    if group.members.len() > MEMBERS_MAX {
        return Err(Refused::malformed("members", "at most 100"));
    }
    if group.addresses.len() > ADDRESSES_MAX {
        return Err(Refused::malformed("addresses", "at most 32"));
    }
    if !(1..=EACH_MAX).contains(&group.ring.each) {
        return Err(Refused::malformed("ring.each", "1 to 300 seconds"));
    }
    let mut seen = BTreeSet::new();
    for member in &group.members {
        if !seen.insert(&member.user) {
            return Err(Refused::malformed("members", "each user once"));
        }
        skills(member)?;
    }
    let mut seen = BTreeSet::from([group.name.as_str()]);
    for address in addresses(group) {
        if !is_name(address) || !seen.insert(address) {
            return Err(Refused::malformed("addresses", "names or numbers, each once"));
        }
    }
    let unskilled = |skill: &str| skill.is_empty() || is_name(skill);
    if !group.addresses.iter().all(|address| unskilled(&address.skill)) {
        return Err(Refused::malformed("addresses.skill", "letters, digits and -_.+"));
    }
    Ok(())
}

fn skills(member: &Member) -> Result<(), Refused> {
    if member.skills.len() > SKILLS_MAX || !member.skills.iter().all(|skill| is_name(skill)) {
        return Err(Refused::malformed("skills", "at most 16 of letters, digits and -_.+"));
    }
    Ok(())
}

/// Where the group is called, beside its name.
fn addresses(group: &Group) -> impl Iterator<Item = &str> {
    let number = Some(group.number.as_str()).filter(|number| !number.is_empty());
    number.into_iter().chain(group.addresses.iter().map(|known| known.address.as_str()))
}

fn is_name(text: &str) -> bool {
    let letter =
        |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.' | b'+');
    let first = text.bytes().next();
    text.len() <= NAME_MAX
        && first.is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'+')
        && text.bytes().all(letter)
        && !text.contains(SKILL_MARK)
}

/// E.164: `+` and 3 to 15 digits.
fn is_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|digits| {
        (3..=15).contains(&digits.len()) && digits.bytes().all(|octet| octet.is_ascii_digit())
    })
}
