//! Resource quantities: their syntax and canonical form (upstream: apimachinery `pkg/api/resource`).

/// Binary suffixes and their power of 1024.
const BINARY: &[(&str, u32)] = &[("Ki", 1), ("Mi", 2), ("Gi", 3), ("Ti", 4), ("Pi", 5), ("Ei", 6)];
/// Decimal suffixes and their power of ten.
const DECIMAL: &[(&str, i64)] = &[
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
/// Powers of ten one quantity keeps: nano is the finest step.
const FINEST: i64 = -9;

/// The canonical form of a quantity; `None` when `text` is not one.
pub fn canonical(text: &str) -> Option<String> {
    let (number, suffix) = split(text)?;
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        let nano = scaled(number, 0)?.checked_mul(1024_i128.checked_pow(*power)?)?;
        return Some(binary_text(nano));
    }
    let (exponent, exponent_form) = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => (*exponent, false),
        None => (suffix.strip_prefix(['e', 'E'])?.parse().ok()?, true),
    };
    let nano = scaled(number, exponent)?;
    Some(decimal_text(nano, exponent_form))
}

/// The quantity in billionths, rounded up; `None` when `text` is not a quantity.
pub fn nanos(text: &str) -> Option<i128> {
    let (number, suffix) = split(text)?;
    if let Some((_, power)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return scaled(number, 0)?.checked_mul(1024_i128.checked_pow(*power)?);
    }
    let exponent = match DECIMAL.iter().find(|(name, _)| *name == suffix) {
        Some((_, exponent)) => *exponent,
        None => suffix.strip_prefix(['e', 'E'])?.parse().ok()?,
    };
    scaled(number, exponent)
}

fn split(text: &str) -> Option<(&str, &str)> {
    let end = text
        .char_indices()
        .find(|(index, c)| !(c.is_ascii_digit() || *c == '.' || (*index == 0 && (*c == '+' || *c == '-'))))
        .map_or(text.len(), |(index, _)| index);
    let (number, suffix) = text.split_at(end);
    let digits = number.trim_start_matches(['+', '-']);
    (digits.bytes().any(|b| b.is_ascii_digit()) && digits.matches('.').count() <= 1)
        .then_some((number, suffix))
}

/// `number` × 10^`exponent` in billionths, rounded up.
fn scaled(number: &str, exponent: i64) -> Option<i128> {
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.trim_start_matches('+')),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let shift = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_sub(FINEST)?;
    let power = u32::try_from(shift.unsigned_abs()).ok()?;
    let nano = if shift >= 0 {
        mantissa.checked_mul(10_i128.checked_pow(power)?)?
    } else {
        let unit = 10_i128.checked_pow(power)?;
        mantissa / unit + i128::from(mantissa % unit != 0)
    };
    Some(if negative { -nano } else { nano })
}

fn binary_text(nano: i128) -> String {
    let one = 10_i128.pow(9);
    // Binary form is kept only for whole numbers of at least 1024 (upstream: `CanonicalizeBytes`).
    if nano % one != 0 || (nano / one).abs() < 1024 {
        return decimal_text(nano, false);
    }
    let mut whole = nano / one;
    let mut suffix = "";
    for (name, _) in BINARY {
        if whole % 1024 != 0 || whole == 0 {
            break;
        }
        whole /= 1024;
        suffix = name;
    }
    format!("{whole}{suffix}")
}

fn decimal_text(nano: i128, exponent_form: bool) -> String {
    if nano == 0 {
        return "0".to_owned();
    }
    let mut value = nano;
    let mut exponent = FINEST;
    while value % 1000 == 0 && exponent < 18 {
        value /= 1000;
        exponent += 3;
    }
    if exponent_form && exponent != 0 {
        return format!("{value}e{exponent}");
    }
    let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(name, _)| name);
    format!("{value}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, wanted) in [
            ("1", "1"),
            ("0.5", "500m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("64Mi", "64Mi"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("0", "0"),
            ("-1", "-1"),
            ("512Ki", "512Ki"),
            ("1000Ki", "1000Ki"),
            ("0.1m", "100u"),
            ("123456789", "123456789"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(wanted), "{text}");
        }
        for bad in [
            "1e9223372036854775807",
            "1e-9223372036854775808",
            "1e99",
            "",
            "x",
            "1x",
            "1 Mi",
            "--1",
            "1.2.3",
            "Mi",
        ] {
            assert_eq!(canonical(bad), None, "{bad}");
        }
    }
}
