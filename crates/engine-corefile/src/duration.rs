//! Durations as Go writes them (package time, `ParseDuration`).

/// Milliseconds of a text such as `1m30s` or `500ms`; `None` when it is none, or negative.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest.is_empty() {
        return None;
    }
    let mut millis = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, tail) = rest.split_at(number_end);
        let unit_end = tail.find(|character: char| character.is_ascii_digit() || character == '.');
        let (unit, tail) = tail.split_at(unit_end.unwrap_or(tail.len()));
        let factor = match unit {
            "ns" => 1e-6,
            "us" | "µs" | "μs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 6e4,
            "h" => 3.6e6,
            _ => return None,
        };
        millis += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    // Go's longest duration is 2^63 nanoseconds.
    (millis < 9.2e12).then_some(millis.round() as u64)
}

/// Whole seconds, rounded up.
pub(crate) fn parse_seconds(text: &str) -> Option<u32> {
    u32::try_from(parse_millis(text)?.div_ceil(1000)).ok()
}
