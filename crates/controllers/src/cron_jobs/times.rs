//! When a schedule was last due, by the clock of a time zone.

use engine_kinds::CronSchedule;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// Days that are looked back for a time that was missed; a schedule without any, such as February 30, ends there.
const LOOK_BACK_DAYS: i32 = 366 * 5;

/// The last time of the schedule after `since` and not after `now`.
pub(super) fn last_between(
    schedule: &CronSchedule,
    zone: &TimeZone,
    since: Timestamp,
    now: Timestamp,
) -> Option<Timestamp> {
    let first = zone.to_datetime(since).date();
    let mut date = zone.to_datetime(now).date();
    for _ in 0..LOOK_BACK_DAYS {
        if date < first {
            return None;
        }
        let weekday = date.weekday().to_sunday_zero_offset();
        if schedule.has_day(date.month(), date.day(), weekday)
            && let Some(found) = last_on(schedule, zone, date, now)
        {
            return Some(found).filter(|found| *found > since);
        }
        date = date.checked_sub(1.day()).ok()?;
    }
    None
}

/// Not the last on the clock, as an hour may come twice.
fn last_on(schedule: &CronSchedule, zone: &TimeZone, date: Date, limit: Timestamp) -> Option<Timestamp> {
    let all = (0..24_i8).flat_map(|hour| (0..60_i8).map(move |minute| (hour, minute)));
    let due = all.filter(|(hour, minute)| schedule.has_time(*hour, *minute));
    let times = due.filter_map(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
    times.flat_map(|time| moments(zone, date, time)).flatten().filter(|moment| *moment <= limit).max()
}

/// When a clock shows this time: twice where it is put back, never where it is put forward (as `robfig/cron` has it).
fn moments(zone: &TimeZone, date: Date, time: Time) -> [Option<Timestamp>; 2] {
    let shown = zone.to_ambiguous_timestamp(date.to_datetime(time));
    let (first, second) = match shown.offset() {
        AmbiguousOffset::Unambiguous { offset } => (Some(offset), None),
        AmbiguousOffset::Fold { before, after } => (Some(before), Some(after)),
        AmbiguousOffset::Gap { .. } => (None, None),
    };
    [first, second].map(|offset| offset?.to_timestamp(shown.datetime()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn last(schedule: &str, now: &str) -> Option<String> {
        let schedule = CronSchedule::parse(schedule).unwrap();
        last_between(&schedule, &TimeZone::UTC, time("2020-01-01T00:00:00Z"), time(now))
            .map(|time| time.to_string())
    }

    #[test]
    fn the_last_time_of_a_schedule() {
        let now = "2024-03-15T10:07:30Z";
        for (schedule, wanted) in [
            ("* * * * *", "2024-03-15T10:07:00Z"),
            ("*/5 * * * *", "2024-03-15T10:05:00Z"),
            ("30 4 * * *", "2024-03-15T04:30:00Z"),
            ("0 12 * * *", "2024-03-14T12:00:00Z"),
            ("0 0 1 * *", "2024-03-01T00:00:00Z"),
            ("0 0 * * MON", "2024-03-11T00:00:00Z"),
            ("0 0 * * 7", "2024-03-10T00:00:00Z"),
            ("0 0 1 * 1", "2024-03-11T00:00:00Z"),
            ("0 9-17/4 * * 1-5", "2024-03-15T09:00:00Z"),
            ("0 0 29 feb *", "2024-02-29T00:00:00Z"),
            ("@hourly", "2024-03-15T10:00:00Z"),
            ("@yearly", "2024-01-01T00:00:00Z"),
        ] {
            assert_eq!(last(schedule, now).as_deref(), Some(wanted), "{schedule}");
        }
        assert_eq!(last("0 0 30 2 *", now), None);
    }

    #[test]
    fn a_time_is_due_once() {
        let schedule = CronSchedule::parse("0 * * * *").unwrap();
        let due = time("2024-03-15T10:00:00Z");
        let now = time("2024-03-15T10:20:00Z");
        assert_eq!(last_between(&schedule, &TimeZone::UTC, time("2024-03-15T09:30:00Z"), now), Some(due));
        assert_eq!(last_between(&schedule, &TimeZone::UTC, due, now), None);
    }

    #[test]
    fn clocks_that_are_put_forward_skip_and_those_put_back_repeat() {
        let berlin = engine_kinds::time_zone_named("Europe/Berlin").unwrap();
        let schedule = CronSchedule::parse("30 2 * * *").unwrap();
        let last =
            |now: &str| last_between(&schedule, &berlin, time("2026-01-01T00:00:00Z"), time(now)).unwrap();
        // On March 29 half past two does not come; on October 25 it comes twice.
        assert_eq!(last("2026-03-29T12:00:00Z"), time("2026-03-28T01:30:00Z"));
        assert_eq!(last("2026-10-25T01:00:00Z"), time("2026-10-25T00:30:00Z"));
        assert_eq!(last("2026-10-25T12:00:00Z"), time("2026-10-25T01:30:00Z"));
    }
}
