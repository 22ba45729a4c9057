//! Time zones of templates: `toDateInZone`, and what texts of times say of zones.
//!
//! The rules are those of Go's `time.ParseInLocation`; the zones come with the binary, so that an
//! answer does not depend on the machine.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where a time is shown.
#[derive(Clone, Debug)]
pub(super) enum Zone {
    Utc,
    /// Seconds east of UTC, and a name if one was written.
    Fixed(i32, Arc<str>),
    /// One of the IANA database.
    Named(TimeZone),
}

impl Zone {
    /// As `time.LoadLocation`: names are those of the database, letter by letter.
    pub(super) fn named(name: &str) -> Option<Zone> {
        if matches!(name, "" | "UTC" | "Local") {
            return Some(Zone::Utc); // a server's own zone is UTC
        }
        let zone = jiff::tz::db().get(name).ok()?;
        (zone.iana_name() == Some(name)).then_some(Zone::Named(zone))
    }

    /// Seconds east of UTC at an instant (seconds since 1970), and the name that the zone has then.
    pub(super) fn at(&self, seconds: i128) -> (i32, String) {
        match self {
            Zone::Utc => (0, "UTC".to_owned()),
            Zone::Fixed(east, name) => (*east, name.to_string()),
            Zone::Named(zone) => match instant(seconds) {
                Some(at) => {
                    let there = zone.to_offset_info(at);
                    (there.offset().seconds(), there.abbreviation().to_owned())
                }
                None => (0, "UTC".to_owned()),
            },
        }
    }

    /// The zone and offset of a time that was read in this zone: `clock` is what its clock showed, in
    /// seconds; `written` and `name` are what the text said of its zone.
    pub(super) fn of_written(&self, clock: i128, written: Option<i32>, name: &str) -> (Zone, i32) {
        if let Some(east) = written {
            let (here, known) = self.at(clock - i128::from(east));
            let same = here == east && (name.is_empty() || known == name);
            let zone = match east {
                _ if same => self.clone(),
                0 if name.is_empty() => Zone::Utc,
                _ => Zone::Fixed(east, name.into()),
            };
            return (zone, east);
        }
        if name.is_empty() {
            // Near a change of clocks, the offset that the first guess leads to counts.
            let guess = self.at(clock).0;
            let east = if guess == 0 { 0 } else { self.at(clock - i128::from(guess)).0 };
            return (self.clone(), east);
        }
        if let Some(east) = self.offset_of(name, clock) {
            return (self.clone(), east);
        }
        let hours: i32 = name.strip_prefix("GMT").and_then(|n| n.parse().ok()).unwrap_or(0);
        let east = hours * 3_600;
        (Zone::Fixed(east, name.into()), east)
    }

    /// The offset that the zone calls `name` around the time that its clock shows.
    fn offset_of(&self, name: &str, clock: i128) -> Option<i32> {
        let zone = match self {
            Zone::Utc => return (name == "UTC").then_some(0),
            Zone::Fixed(east, known) => return (**known == *name).then_some(*east),
            Zone::Named(zone) => zone,
        };
        let at = instant(clock)?;
        let here = zone.to_offset_info(at);
        let mut known = vec![(here.abbreviation().to_owned(), here.offset().seconds())];
        let near = zone.preceding(at).take(4).chain(zone.following(at).take(4));
        known.extend(near.map(|t| (t.abbreviation().to_owned(), t.offset().seconds())));
        known.retain(|(known, _)| known == name);
        let in_effect = |east: i32| self.at(clock - i128::from(east)).1 == name;
        let best = known.iter().find(|(_, east)| in_effect(*east)).or(known.first());
        best.map(|(_, east)| *east)
    }
}

fn instant(seconds: i128) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(seconds).ok()?).ok()
}

/// The length of the name of a zone at the beginning of `text`, as Go recognises names.
pub(super) fn name_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if ["ChST", "MeST"].iter().any(|name| text.starts_with(name)) {
        return Some(4);
    }
    if let Some(rest) = text.strip_prefix("GMT") {
        return Some(3 + signed_hours(rest).unwrap_or(0));
    }
    if matches!(bytes.first()?, b'+' | b'-') {
        return signed_hours(text);
    }
    let capitals = bytes.iter().take(6).take_while(|byte| byte.is_ascii_uppercase()).count();
    match capitals {
        3 => Some(3),
        4 if bytes[3] == b'T' || text.starts_with("WITA") => Some(4),
        5 if bytes[4] == b'T' => Some(5),
        _ => None,
    }
}

/// The length of a sign and at most 23 hours.
fn signed_hours(text: &str) -> Option<usize> {
    let digits = text.strip_prefix(['+', '-'])?;
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let hours: u32 = digits[..length].parse().ok()?;
    (hours < 24).then_some(1 + length)
}
