//! Time zones by name, from the copy of the IANA database that the binary carries.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The machine's own database is left alone: what an object means must not depend on where it is read.
static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone with an IANA name such as `Europe/Berlin`; none when there is no such zone.
#[must_use]
pub fn time_zone_named(name: &str) -> Option<TimeZone> {
    DATABASE.get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_found_without_the_machine() {
        let zone = time_zone_named("Europe/Berlin").unwrap();
        let summer: jiff::Timestamp = "2026-07-01T10:00:00Z".parse().unwrap();
        assert_eq!(zone.to_datetime(summer).hour(), 12);
        assert!(time_zone_named("Mars/Olympus").is_none() && time_zone_named("../etc/passwd").is_none());
    }
}
