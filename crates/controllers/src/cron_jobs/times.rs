//! When a schedule was last due, in UTC.

use engine_kinds::CronSchedule;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

/// Days that are looked back for a time that was missed; a schedule without any, such as February 30, ends there.
const LOOK_BACK_DAYS: i32 = 366 * 5;

/// The last time of the schedule after `since` and not after `now`.
pub(super) fn last_between(schedule: &CronSchedule, since: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let utc = |time: Timestamp| TimeZone::UTC.to_datetime(time);
    let (since, now) = (utc(since), utc(now));
    let mut date = now.date();
    for _ in 0..LOOK_BACK_DAYS {
        if date < since.date() {
            return None;
        }
        let weekday = date.weekday().to_sunday_zero_offset();
        if schedule.has_day(date.month(), date.day(), weekday)
            && let Some(found) = last_on(schedule, date, now)
        {
            return if found > since { TimeZone::UTC.to_timestamp(found).ok() } else { None };
        }
        date = date.checked_sub(1.day()).ok()?;
    }
    None
}

fn last_on(schedule: &CronSchedule, date: Date, limit: DateTime) -> Option<DateTime> {
    let all = (0..24_i8).rev().flat_map(|hour| (0..60_i8).rev().map(move |minute| (hour, minute)));
    let due = all.filter(|(hour, minute)| schedule.has_time(*hour, *minute));
    let mut times = due.filter_map(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
    times.find_map(|time| Some(date.to_datetime(time)).filter(|time| *time <= limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn last(schedule: &str, now: &str) -> Option<String> {
        let schedule = CronSchedule::parse(schedule).unwrap();
        last_between(&schedule, time("2020-01-01T00:00:00Z"), time(now)).map(|time| time.to_string())
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
        assert_eq!(last_between(&schedule, time("2024-03-15T09:30:00Z"), now), Some(due));
        assert_eq!(last_between(&schedule, due, now), None);
    }
}
