//! Durations and points in time. Time zones are offsets from UTC, or names of the IANA data base, whose copy in the
//! binary decides: what a rule says must not depend on where it is evaluated.

use std::sync::LazyLock;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

use crate::functions::Result;
use crate::value::{Error, Value};

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

const SECOND: i128 = 1_000_000_000;

/// Units of Go's `time.ParseDuration`, in nanoseconds.
const UNITS: &[(&str, i128)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3600 * SECOND),
];

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value]) -> Option<Result> {
    match arguments {
        [Value::Duration(nanoseconds)] => of_duration(name, *nanoseconds),
        [Value::Timestamp(nanoseconds)] => of_timestamp(name, *nanoseconds, &TimeZone::UTC),
        [Value::Timestamp(nanoseconds), Value::String(zone)] => match time_zone(zone) {
            Ok(zone) => of_timestamp(name, *nanoseconds, &zone),
            Err(error) => Some(Err(error)),
        },
        _ => None,
    }
}

/// `1h30m`, `-1.5s`, `0` (Go: `time.ParseDuration`).
pub(crate) fn parse_duration(text: &str) -> Result<i64> {
    let bad = || Error::other(format!("time: invalid duration {text:?}"));
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() && rest != "0" {
        let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|char: char| char.is_ascii_digit() || char == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(bad());
        }
        let fraction: String = fraction.chars().take(18).collect();
        let whole: i128 = format!("0{whole}").parse().map_err(|_| bad())?;
        let part: i128 = format!("0{fraction}").parse().map_err(|_| bad())?;
        let power = 10_i128.pow(u32::try_from(fraction.len()).unwrap_or(0));
        let value = whole.checked_mul(*factor).and_then(|value| value.checked_add(part * factor / power));
        total = value.and_then(|value| total.checked_add(value)).ok_or_else(bad)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| bad())
}

/// RFC 3339.
pub(crate) fn parse_timestamp(text: &str) -> Result {
    let bad = || Error::other(format!("parsing time {text:?}: not a time of RFC 3339"));
    if text.len() < 20 || text.as_bytes().get(10) != Some(&b'T') {
        return Err(bad());
    }
    let time: Timestamp = text.parse().map_err(|_| bad())?;
    Ok(Value::Timestamp(time.as_nanosecond()))
}

/// Seconds with a fraction, as protobuf's JSON writes durations.
pub(crate) fn duration_text(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    let (whole, part) = (size / 1_000_000_000, size % 1_000_000_000);
    let fraction = format!("{part:09}");
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}s"),
        digits => format!("{sign}{whole}.{digits}s"),
    }
}

pub(crate) fn timestamp_text(nanoseconds: i128) -> Result<String> {
    time(nanoseconds).map(|time| time.to_string())
}

fn time(nanoseconds: i128) -> Result<Timestamp> {
    Timestamp::from_nanosecond(nanoseconds).map_err(|_| Error::other("timestamp overflow"))
}

/// `+02:00`, `-08:00`, `UTC` or `Europe/Berlin` (cel-go: `timestamp.go` `timeZone`).
fn time_zone(zone: &str) -> Result<TimeZone> {
    let bad = || Error::other(format!("unknown time zone {zone}"));
    if zone == "UTC" || zone.is_empty() {
        return Ok(TimeZone::UTC);
    }
    let (negative, rest) = match zone.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, zone.strip_prefix('+').unwrap_or(zone)),
    };
    let Some((hours, minutes)) = rest.split_once(':') else { return ZONES.get(zone).map_err(|_| bad()) };
    let hours: i32 = hours.parse().ok().filter(|hours| (0..=23).contains(hours)).ok_or_else(bad)?;
    let minutes: i32 = minutes.parse().ok().filter(|minutes| (0..=59).contains(minutes)).ok_or_else(bad)?;
    let seconds = hours * 3600 + minutes * 60;
    let offset = Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| bad())?;
    Ok(TimeZone::fixed(offset))
}

fn of_duration(name: &str, nanoseconds: i64) -> Option<Result> {
    let nanoseconds = SignedDuration::from_nanos(nanoseconds);
    Some(Ok(Value::Int(match name {
        "getHours" => nanoseconds.as_hours(),
        "getMinutes" => nanoseconds.as_mins(),
        "getSeconds" => nanoseconds.as_secs(),
        "getMilliseconds" => i64::try_from(nanoseconds.as_millis()).unwrap_or(i64::MAX),
        _ => return None,
    })))
}

fn of_timestamp(name: &str, nanoseconds: i128, zone: &TimeZone) -> Option<Result> {
    let known = name.strip_prefix("get")?;
    let local: DateTime = match time(nanoseconds) {
        Ok(time) => zone.to_datetime(time),
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(Value::Int(match known {
        "FullYear" => i64::from(local.year()),
        "Month" => i64::from(local.month()) - 1,
        "Date" => i64::from(local.day()),
        "DayOfMonth" => i64::from(local.day()) - 1,
        "DayOfWeek" => i64::from(local.weekday().to_sunday_zero_offset()),
        "DayOfYear" => i64::from(local.day_of_year()) - 1,
        "Hours" => i64::from(local.hour()),
        "Minutes" => i64::from(local.minute()),
        "Seconds" => i64::from(local.second()),
        "Milliseconds" => i64::from(local.millisecond()),
        _ => return None,
    })))
}
