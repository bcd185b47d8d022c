//! What somebody dialled, as one number that the whole world would understand.

use serde::{Deserialize, Serialize};

use super::facts::{Format, Pattern};

/// Digits of the longest number that there is (ITU-T E.164 §6).
pub const DIGITS_MAX: usize = 15;
/// Digits of the shortest that is taken for international.
pub const DIGITS_MIN: usize = 5;

/// How people here dial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DialPlan {
    /// Country code without `+`; empty: only international numbers are understood.
    pub country: String,
    /// Stands before national numbers; may be empty where there is none.
    pub national_prefix: String,
    /// Stand before international numbers.
    pub international_prefixes: Vec<String>,
    /// Never rewritten, always let out.
    pub emergency: Vec<String>,
    /// Rewrites before everything else, in order; the first that fits counts.
    pub rules: Vec<Rule>,
}

/// A rewrite of what was dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is for.
    pub dialled: Pattern,
    /// Letters to take from the front.
    #[serde(default)]
    pub strip: u8,
    /// What to put there then.
    #[serde(default)]
    pub prefix: String,
}

impl Default for DialPlan {
    fn default() -> Self {
        Self {
            country: String::new(),
            national_prefix: String::new(),
            international_prefixes: vec!["00".to_owned()],
            emergency: vec!["112".to_owned(), "911".to_owned()],
            rules: Vec::new(),
        }
    }
}

/// What was dialled, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialled {
    /// As it is matched: E.164 with `+`, a short code, or a name.
    pub text: String,
    /// It is an international number.
    pub international: bool,
    /// It calls for help.
    pub emergency: bool,
    /// What was done to it, for people; empty: nothing.
    pub how: String,
}

impl DialPlan {
    /// Understands what a user dialled.
    ///
    /// Spec: RFC 3966 §5.1.1 for visual separators, ITU-T E.164
    pub fn understand(&self, dialled: &str) -> Dialled {
        let Some(bare) = bare(dialled) else { return as_it_is(dialled) };
        if self.emergency.contains(&bare) {
            // Whoever calls for help gets exactly what he dialled.
            return Dialled { emergency: true, ..as_it_is(&bare) };
        }
        let rule = self.rules.iter().find(|rule| rule.dialled.fits(&bare));
        let ruled = rule.map(|rule| rewrite(&bare, rule.strip, &rule.prefix));
        let number = ruled.as_deref().unwrap_or(&bare);
        let mut how = match (rule, &ruled) {
            (Some(rule), Some(to)) => format!("rule {} made {to} of {bare}", rule.dialled.0),
            (_, _) if bare != dialled => format!("{dialled} read as {bare}"),
            (_, _) => String::new(),
        };
        if self.emergency.iter().any(|known| known == number) {
            return Dialled { emergency: true, how, ..as_it_is(number) };
        }
        let Some(text) = self.international(number) else {
            return Dialled { how, ..as_it_is(number) };
        };
        if text != number {
            how = format!("{dialled} is {text}");
        }
        Dialled { text, international: true, emergency: false, how }
    }

    /// Understands a number that a trunk sent.
    pub fn understand_from(&self, format: Format, dialled: &str) -> Dialled {
        let Some(bare) = bare(dialled) else { return as_it_is(dialled) };
        if self.emergency.contains(&bare) {
            return Dialled { emergency: true, ..as_it_is(&bare) };
        }
        let digits = bare.strip_prefix('+').unwrap_or(&bare);
        let plus = |how| Dialled {
            text: format!("+{digits}"),
            international: true,
            emergency: false,
            how,
        };
        match format {
            Format::National => self.understand(dialled),
            _ if !is_full(digits) => as_it_is(&bare),
            Format::Digits | Format::E164 if !bare.starts_with('+') => {
                plus(format!("{bare} is +{digits} ({} format)", format.name()))
            }
            Format::Digits | Format::E164 | Format::Plus if bare.starts_with('+') => {
                plus(String::new())
            }
            Format::Digits | Format::E164 | Format::Plus => as_it_is(&bare),
        }
    }

    /// Writes a number as a trunk wants it. What is not international goes out as it stands.
    pub fn write(&self, format: Format, number: &str) -> String {
        let Some(digits) = number.strip_prefix('+') else { return number.to_owned() };
        match format {
            Format::Digits => digits.to_owned(),
            Format::E164 | Format::Plus => number.to_owned(),
            Format::National => {
                let own = digits.strip_prefix(self.country.as_str());
                let abroad = self.international_prefixes.first();
                match (own.filter(|_| !self.country.is_empty()), abroad) {
                    (Some(rest), _) => format!("{}{rest}", self.national_prefix),
                    (None, Some(prefix)) => format!("{prefix}{digits}"),
                    (None, None) => number.to_owned(),
                }
            }
        }
    }

    /// The E.164 form of bare digits, when they have one.
    fn international(&self, bare: &str) -> Option<String> {
        if let Some(digits) = bare.strip_prefix('+') {
            return is_full(digits).then(|| bare.to_owned());
        }
        let abroad = self.international_prefixes.iter().filter(|prefix| !prefix.is_empty());
        if let Some(digits) = abroad.filter_map(|prefix| bare.strip_prefix(prefix.as_str())).next()
        {
            return is_full(digits).then(|| format!("+{digits}"));
        }
        if self.country.is_empty() {
            return None;
        }
        // Without a trunk prefix a short number is an extension of ours and a long one is national.
        let national = match self.national_prefix.as_str() {
            "" => bare,
            prefix => bare.strip_prefix(prefix)?,
        };
        let digits = format!("{}{national}", self.country);
        let long = national.len() >= NATIONAL_MIN || !self.national_prefix.is_empty();
        (long && is_full(&digits)).then(|| format!("+{digits}"))
    }
}

/// Where no prefix tells, fewer digits than these are no national number but a short one.
const NATIONAL_MIN: usize = 7;

fn as_it_is(text: &str) -> Dialled {
    Dialled { text: text.to_owned(), ..Dialled::default() }
}

fn is_full(digits: &str) -> bool {
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len())
        && !digits.starts_with('0')
        && digits.bytes().all(|octet| octet.is_ascii_digit())
}

/// A number without its visual separators; `None`: it is no number but a name.
fn bare(dialled: &str) -> Option<String> {
    let dialled = dialled.strip_prefix("tel:").unwrap_or(dialled);
    let dialled = dialled.split(';').next().unwrap_or_default();
    // `+49 (0)30` is how people write the prefix that only locals dial.
    let plain =
        if dialled.starts_with('+') { dialled.replacen("(0)", "", 1) } else { dialled.to_owned() };
    let kept: String =
        plain.chars().filter(|letter| !matches!(letter, '-' | '.' | '(' | ')' | ' ')).collect();
    let digits = kept.strip_prefix('+').unwrap_or(&kept);
    let dialable = |octet: u8| octet.is_ascii_digit() || matches!(octet, b'*' | b'#');
    (!digits.is_empty() && digits.bytes().all(dialable)).then_some(kept)
}

/// Takes `strip` letters from the front and puts `prefix` there.
pub(super) fn rewrite(text: &str, strip: u8, prefix: &str) -> String {
    format!("{prefix}{}", text.get(usize::from(strip)..).unwrap_or_default())
}

/// Whether two numbers are the same but for a `+`.
pub(super) fn differ_by_plus(a: &str, b: &str) -> bool {
    a != b && a.trim_start_matches('+') == b.trim_start_matches('+')
}

/// Whether this is dialled, not named.
pub fn is_number(text: &str) -> bool {
    bare(text).is_some()
}
