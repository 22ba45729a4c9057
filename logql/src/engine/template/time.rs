//! Functions on time. Times are in UTC.

use super::functions::{Call, Kind};
use super::numbers::whole;
use super::value::Value;
use super::zone::{self, Zone};
use Kind::{Any, Text, Time};

type Row = (&'static str, &'static [Kind], Option<Kind>, Call);

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400;
/// Year 1, where Go's zero time stands, in seconds.
const ZERO: i128 = -62_135_596_800;

/// `time.Time`: an instant, and where it is shown.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// Nanoseconds since 1970.
    pub at: i128,
    /// Whose clocks and calendar show it.
    pub zone: Zone,
}

impl Moment {
    /// An instant in UTC.
    pub(super) fn utc(at: impl Into<i128>) -> Moment {
        Moment { at: at.into(), zone: Zone::Utc }
    }
}

pub(super) const FUNCTIONS: &[Row] = &[
    ("now", &[], None, |data, _| Ok(Value::Time(Moment::utc(data.now_ns())))),
    ("date", &[Text, Any], None, |data, given| {
        let at = match &given[1] {
            Value::Time(moment) => moment.at,
            Value::Int(_) | Value::Long(_) => i128::from(whole(&given[1])) * SECOND,
            _ => data.now_ns().into(),
        };
        Ok(Value::text(format(&text(given, 0), &Moment::utc(at)).as_bytes()))
    }),
    ("toDate", &[Text, Text], None, |_, given| {
        Ok(parsed(&text(given, 0), &text(given, 1), &Zone::Utc))
    }),
    ("toDateInZone", &[Text, Text, Text], None, |_, given| {
        let zone = Zone::named(&text(given, 1)).unwrap_or(Zone::Utc);
        Ok(parsed(&text(given, 0), &text(given, 2), &zone))
    }),
    ("unixEpoch", &[Time], None, |_, given| number(given, SECOND)),
    ("unixEpochMillis", &[Time], None, |_, given| number(given, 1_000_000)),
    ("unixEpochNanos", &[Time], None, |_, given| number(given, 1)),
    ("unixToTime", &[Text], None, |_, given| from_epoch(&text(given, 0))),
];

fn text(given: &[Value], at: usize) -> String {
    match &given[at] {
        Value::Str(text) => String::from_utf8_lossy(text).into_owned(),
        _ => String::new(), // arguments are checked
    }
}

fn number(given: &[Value], unit: i128) -> Result<Value, String> {
    let Value::Time(moment) = &given[0] else { return Ok(Value::None) };
    Ok(Value::text(moment.at.div_euclid(unit).to_string().as_bytes()))
}

fn from_epoch(text: &str) -> Result<Value, String> {
    let Ok(number) = text.parse::<i64>() else {
        let quoted = base::quote::quote(text);
        return Err(format!(
            "unable to parse time '{text}': strconv.ParseInt: parsing {quoted}: invalid syntax"
        ));
    };
    let unit = match text.len() {
        5 => DAY * SECOND,
        10 => SECOND,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return Err(format!("unable to parse time '{text}': %!w(<nil>)")),
    };
    Ok(Value::Time(Moment::utc(i128::from(number) * unit)))
}

/// A time as `Time.String` prints it.
pub(super) fn shown(moment: &Moment) -> String {
    format("2006-01-02 15:04:05.999999999 -0700 MST", moment)
}

/// What a method of `time.Time` that takes no arguments gives.
pub(super) fn part(moment: &Moment, method: &str) -> Option<Value> {
    let (east, _) = moment.zone.at(moment.at.div_euclid(SECOND));
    let parts = Parts::of(moment.at + i128::from(east) * SECOND);
    let since = |unit: i128| Value::Long(moment.at.div_euclid(unit) as i64);
    let int = |value: u32| Value::Int(value.into());
    Some(match method {
        "Unix" => since(SECOND),
        "UnixMilli" => since(1_000_000),
        "UnixMicro" => since(1_000),
        "UnixNano" => since(1),
        "Year" => Value::Int(parts.year as i64),
        "Month" => Value::text(MONTHS[parts.month as usize - 1].as_bytes()),
        "Day" => int(parts.day),
        "Weekday" => Value::text(WEEKDAYS[parts.weekday].as_bytes()),
        "YearDay" => int(parts.year_day),
        "Hour" => int(parts.hour),
        "Minute" => int(parts.minute),
        "Second" => int(parts.second),
        "Nanosecond" => int(parts.nanos),
        "UTC" | "Local" => Value::Time(Moment::utc(moment.at)),
        "String" => Value::text(shown(moment).as_bytes()),
        "IsZero" => Value::Bool(moment.at == ZERO * SECOND),
        _ => return None,
    })
}

/// A time in parts.
struct Parts {
    year: i128,
    month: u32,
    day: u32,
    /// 0 = Sunday.
    weekday: usize,
    year_day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
}

impl Parts {
    fn of(at: i128) -> Parts {
        let (seconds, nanos) = (at.div_euclid(SECOND), at.rem_euclid(SECOND) as u32);
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY) as u32);
        // Days since 0000-03-01, in eras of 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
        let year = year + era * 400 + i128::from(month <= 2);
        Parts {
            year,
            month,
            day,
            weekday: (days + 4).rem_euclid(7) as usize,
            year_day: (days - days_before(year, 1, 1) + 1) as u32,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            nanos,
        }
    }
}

/// Days from 1970-01-01 to a date.
fn days_before(year: i128, month: u32, day: u32) -> i128 {
    let shifted = year - i128::from(month <= 2);
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let month = i128::from(if month > 2 { month - 3 } else { month + 9 });
    let of_year = (153 * month + 2) / 5 + i128::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Elements of Go's reference layout, longer ones before those they begin with.
const ELEMENTS: &[&str] = &[
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "Z07:00:00",
    "Z070000",
    "Z07:00",
    "Z0700",
    "Z07",
    "-07:00:00",
    "-070000",
    "-07:00",
    "-0700",
    "-07",
    "__2",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "_2",
    "15",
    "PM",
    "pm",
    "1",
    "2",
    "3",
    "4",
    "5",
];

/// The next element of a layout: text before it, the element, what follows.
fn next_element(layout: &str) -> Option<(&str, &str, &str)> {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        if matches!(c, '.' | ',') {
            let body = &rest[1..];
            let digit = body.chars().next().filter(|c| matches!(c, '0' | '9'));
            let length = digit.map_or(0, |digit| body.chars().take_while(|c| *c == digit).count());
            let ends = !body[length..].starts_with(|c: char| c.is_ascii_digit());
            if length > 0 && ends {
                return Some((&layout[..at], &rest[..=length], &rest[length + 1..]));
            }
        }
        let Some(element) = ELEMENTS.iter().find(|element| rest.starts_with(**element)) else {
            continue;
        };
        // "Janet" is no month, and "_2006" is a year after an underscore.
        let longer = rest[element.len()..].starts_with(|c: char| c.is_ascii_lowercase());
        if (matches!(*element, "Jan" | "Mon") && longer) || rest.starts_with("_2006") {
            continue;
        }
        return Some((&layout[..at], &rest[..element.len()], &rest[element.len()..]));
    }
    None
}

/// `Time.Format`.
pub(super) fn format(layout: &str, moment: &Moment) -> String {
    let (east, zone) = moment.zone.at(moment.at.div_euclid(SECOND));
    let parts = Parts::of(moment.at + i128::from(east) * SECOND);
    let mut out = String::new();
    let mut rest = layout;
    while let Some((before, element, after)) = next_element(rest) {
        out.push_str(before);
        rest = after;
        let hour = if parts.hour.is_multiple_of(12) { 12 } else { parts.hour % 12 };
        let month = MONTHS[parts.month as usize - 1];
        let weekday = WEEKDAYS[parts.weekday];
        out.push_str(&match element {
            "January" => month.to_owned(),
            "Jan" => month[..3].to_owned(),
            "Monday" => weekday.to_owned(),
            "Mon" => weekday[..3].to_owned(),
            "MST" if zone.is_empty() => offset_text("-0700", east),
            "MST" => zone.clone(),
            "2006" => format!("{:04}", parts.year),
            "06" => format!("{:02}", parts.year.rem_euclid(100)),
            "01" => format!("{:02}", parts.month),
            "1" => parts.month.to_string(),
            "02" => format!("{:02}", parts.day),
            "_2" => format!("{:2}", parts.day),
            "2" => parts.day.to_string(),
            "002" => format!("{:03}", parts.year_day),
            "__2" => format!("{:3}", parts.year_day),
            "15" => format!("{:02}", parts.hour),
            "03" => format!("{hour:02}"),
            "3" => hour.to_string(),
            "04" => format!("{:02}", parts.minute),
            "4" => parts.minute.to_string(),
            "05" => format!("{:02}", parts.second),
            "5" => parts.second.to_string(),
            "PM" => if parts.hour < 12 { "AM" } else { "PM" }.to_owned(),
            "pm" => if parts.hour < 12 { "am" } else { "pm" }.to_owned(),
            offset if offset.starts_with(['Z', '-']) => offset_text(offset, east),
            fraction => fraction_text(fraction, parts.nanos),
        });
    }
    out.push_str(rest);
    out
}

/// An offset as `Z07:00` or `-0700` and their kin ask for it.
fn offset_text(element: &str, east: i32) -> String {
    if east == 0 && element.starts_with('Z') {
        return "Z".to_owned();
    }
    let sign = if east < 0 { '-' } else { '+' };
    let (hours, minutes) = (east.unsigned_abs() / 3_600, east.unsigned_abs() / 60 % 60);
    let colon = if element.contains(':') { ":" } else { "" };
    let mut out = format!("{sign}{hours:02}");
    if element.len() > 3 {
        out.push_str(&format!("{colon}{minutes:02}"));
    }
    if element.bytes().filter(|byte| *byte == b'0').count() > 3 {
        out.push_str(&format!("{colon}{:02}", east.unsigned_abs() % 60));
    }
    out
}

/// `.000` keeps zeros, `.999` leaves them out.
fn fraction_text(element: &str, nanos: u32) -> String {
    let digits = format!("{nanos:09}");
    let kept = &digits[..(element.len() - 1).min(9)];
    if element.as_bytes()[1] == b'0' {
        return format!("{}{kept}", &element[..1]);
    }
    match kept.trim_end_matches('0') {
        "" => String::new(),
        kept => format!("{}{kept}", &element[..1]),
    }
}

/// `time.ParseInLocation`; what cannot be read gives the zero time.
fn parsed(layout: &str, text: &str, zone: &Zone) -> Value {
    Value::Time(parse(layout, text, zone).unwrap_or(Moment::utc(ZERO * SECOND)))
}

/// What was read of a time.
struct Read {
    year: i128,
    month: u32,
    day: u32,
    year_day: Option<u32>,
    hour: u32,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    nanos: u32,
    /// Seconds east of UTC, as written.
    offset: Option<i32>,
    /// The name of a zone, as written; `UTC` and `Z` are offsets.
    zone: String,
}

fn parse(layout: &str, text: &str, zone: &Zone) -> Option<Moment> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        afternoon: None,
        minute: 0,
        second: 0,
        nanos: 0,
        offset: None,
        zone: String::new(),
    };
    let (mut rest, mut left) = (layout, text);
    while let Some((before, element, after)) = next_element(rest) {
        left = left.strip_prefix(before)?;
        rest = after;
        left = read.element(element, left, rest)?;
    }
    if left != rest {
        return None;
    }
    if let Some(afternoon) = read.afternoon {
        match (afternoon, read.hour) {
            (true, 0..12) => read.hour += 12,
            (false, 12) => read.hour = 0,
            _ => {}
        }
    }
    let length = days_before(read.year + i128::from(read.month == 12), read.month % 12 + 1, 1)
        - days_before(read.year, read.month, 1);
    let bad_day = read.day < 1 || i128::from(read.day) > length;
    if bad_day || read.hour > 23 || read.minute > 59 || read.second > 59 {
        return None;
    }
    let days = match read.year_day {
        Some(day) => days_before(read.year, 1, 1) + i128::from(day) - 1,
        None => days_before(read.year, read.month, read.day),
    };
    let clock = i128::from(read.hour * 3_600 + read.minute * 60 + read.second);
    let (zone, east) = zone.of_written(days * DAY + clock, read.offset, &read.zone);
    let at = (days * DAY + clock - i128::from(east)) * SECOND + i128::from(read.nanos);
    Some(Moment { at, zone })
}

/// A number of `least` to `most` digits, and what follows.
fn digits(text: &str, least: usize, most: usize) -> Option<(u32, &str)> {
    let length = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (length >= least).then(|| Some((text[..length].parse().ok()?, &text[length..])))?
}

fn named<'t>(names: &[&str], short: bool, text: &'t str) -> Option<(u32, &'t str)> {
    let found = names.iter().position(|name| {
        let name = if short { &name[..3] } else { name };
        text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    })?;
    let length = if short { 3 } else { names[found].len() };
    Some((found as u32 + 1, &text[length..]))
}

impl Read {
    fn element<'t>(&mut self, element: &str, text: &'t str, rest: &str) -> Option<&'t str> {
        let (value, left) = match element {
            "January" | "Jan" => named(&MONTHS, element == "Jan", text)?,
            "Monday" | "Mon" => named(&WEEKDAYS, element == "Mon", text)?,
            "2006" => digits(text, 4, 4)?,
            "01" | "02" | "15" | "03" | "04" | "05" | "06" => {
                digits(text, if element == "15" { 1 } else { 2 }, 2)?
            }
            "1" | "2" | "3" | "4" | "5" => digits(text, 1, 2)?,
            "_2" => digits(text.strip_prefix(' ').unwrap_or(text), 1, 2)?,
            "002" => digits(text, 3, 3)?,
            "__2" => digits(text.trim_start_matches(' '), 1, 3)?,
            "PM" | "pm" => {
                self.afternoon = Some(text.get(..2)?.eq_ignore_ascii_case("pm"));
                (0, text.get(2..)?)
            }
            "MST" if text.starts_with("UTC") => {
                self.offset = Some(0);
                (0, &text[3..])
            }
            "MST" => {
                let length = zone::name_length(text)?;
                self.zone = text[..length].to_owned();
                (0, &text[length..])
            }
            zone if zone.starts_with(['Z', '-']) => {
                let (offset, left) = zone_offset(zone, text)?;
                self.offset = Some(offset);
                (0, left)
            }
            fraction => {
                let body = text.strip_prefix(['.', ','])?;
                let length = body.bytes().take_while(u8::is_ascii_digit).count();
                if length == 0 || (fraction.as_bytes()[1] == b'0' && length != fraction.len() - 1) {
                    return None;
                }
                self.nanos = format!("{:0<9}", &body[..length]).get(..9)?.parse().ok()?;
                (0, &body[length..])
            }
        };
        match element {
            "2006" => self.year = i128::from(value),
            "06" => self.year = i128::from(value) + if value >= 69 { 1_900 } else { 2_000 },
            "January" | "Jan" | "01" | "1" => {
                self.month = (1..=12).contains(&value).then_some(value)?
            }
            "02" | "_2" | "2" => self.day = value,
            "002" | "__2" => self.year_day = Some(value),
            "15" | "03" | "3" => self.hour = value,
            "04" | "4" => self.minute = value,
            "05" | "5" => {
                self.second = value;
                // A fraction is read after seconds even if the layout has none.
                if left.starts_with(['.', ',']) && !rest.starts_with(['.', ',']) {
                    let body = &left[1..];
                    let length = body.bytes().take_while(u8::is_ascii_digit).count();
                    if length > 0 {
                        self.nanos = format!("{:0<9}", &body[..length]).get(..9)?.parse().ok()?;
                        return Some(&body[length..]);
                    }
                }
            }
            _ => {}
        }
        Some(left)
    }
}

/// Seconds east of UTC.
fn zone_offset<'t>(element: &str, text: &'t str) -> Option<(i32, &'t str)> {
    if element.starts_with('Z')
        && let Some(left) = text.strip_prefix('Z')
    {
        return Some((0, left));
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let parts = element.bytes().filter(|byte| *byte == b'0').count().min(5) / 2 + 1;
    let (mut offset, mut left) = (0, &text[1..]);
    for (index, unit) in [3_600, 60, 1].into_iter().take(parts).enumerate() {
        if index > 0 && element.contains(':') {
            left = left.strip_prefix(':')?;
        }
        let (value, after) = digits(left, 2, 2)?;
        offset += value as i32 * unit;
        left = after;
    }
    Some((sign * offset, left))
}
