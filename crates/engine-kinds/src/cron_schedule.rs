//! Cron schedules: five fields, or a name such as `@hourly` (upstream: `robfig/cron`).

/// Names for whole schedules.
const NAMED: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];
const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// One field: the numbers it allows, as bits, and whether it allows all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    bits: u64,
    is_any: bool,
}

/// When something is due: which minutes, hours, days, months and days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CronSchedule {
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Field {
    fn parse(text: &str, (first, last): (u32, u32), names: &[&str], base: u32) -> Option<Self> {
        let mut field = Self { bits: 0, is_any: false };
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|step| *step > 0)?)),
                None => (part, None),
            };
            let number = |text: &str| {
                let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
                let number = named.and_then(|index| u32::try_from(index).ok()).map(|index| index + base);
                number.or_else(|| text.parse().ok()).filter(|number| (first..=last).contains(number))
            };
            let (low, high) = match range.split_once('-') {
                _ if matches!(range, "*" | "?") => (first, last),
                Some((low, high)) => (number(low)?, number(high)?),
                // `3/10` means from 3 on.
                None => (number(range)?, if step.is_some() { last } else { number(range)? }),
            };
            field.is_any |= matches!(range, "*" | "?") && step.is_none();
            if low > high {
                return None;
            }
            for number in (low..=high).step_by(usize::try_from(step.unwrap_or(1)).ok()?) {
                field.bits |= 1 << number;
            }
        }
        Some(field)
    }

    fn has(self, number: i8) -> bool {
        u32::try_from(number).is_ok_and(|number| self.bits >> number & 1 == 1)
    }
}

impl CronSchedule {
    /// The schedule that a text is; none when it is no schedule.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let named = NAMED.iter().find(|(name, _)| *name == text).map(|(_, fields)| *fields);
        let fields: Vec<&str> = named.unwrap_or(text).split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields.as_slice() else { return None };
        let mut weekday = Field::parse(weekday, (0, 7), DAYS, 0)?;
        // Sunday is 0 and 7.
        weekday.bits |= weekday.bits >> 7 & 1;
        Some(Self {
            minute: Field::parse(minute, (0, 59), &[], 0)?,
            hour: Field::parse(hour, (0, 23), &[], 0)?,
            day: Field::parse(day, (1, 31), &[], 0)?,
            month: Field::parse(month, (1, 12), MONTHS, 1)?,
            weekday,
        })
    }

    /// Of day of month and day of week, both restricted, either is enough, as in cron. Sunday is 0.
    #[must_use]
    pub fn has_day(&self, month: i8, day: i8, weekday: i8) -> bool {
        let (by_day, by_weekday) = (self.day.has(day), self.weekday.has(weekday));
        let either =
            if self.day.is_any || self.weekday.is_any { by_day && by_weekday } else { by_day || by_weekday };
        self.month.has(month) && either
    }

    /// Whether this time of a day is one of the schedule's.
    #[must_use]
    pub fn has_time(&self, hour: i8, minute: i8) -> bool {
        self.hour.has(hour) && self.minute.has(minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lists_ranges_steps_and_names() {
        let schedule = CronSchedule::parse("*/20,5 9-17/4 * jan-mar 1-5,7").unwrap();
        let minutes: Vec<i8> = (0..60).filter(|minute| schedule.has_time(9, *minute)).collect();
        assert_eq!(minutes, [0, 5, 20, 40]);
        assert!(schedule.has_time(13, 0) && !schedule.has_time(14, 0));
        assert!(schedule.has_day(2, 10, 0) && !schedule.has_day(2, 10, 6) && !schedule.has_day(4, 10, 1));
    }

    #[test]
    fn what_is_no_schedule_is_none() {
        for text in
            ["", "* * * *", "60 * * * *", "* * 0 * *", "5-1 * * * *", "*/0 * * * *", "@often", "a * * * *"]
        {
            assert_eq!(CronSchedule::parse(text), None, "{text}");
        }
    }
}
