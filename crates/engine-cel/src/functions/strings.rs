//! Text: the extended strings library (version 2) and the regex library.
//!
//! Sources: cel-go `ext/strings.go`, apiserver `pkg/cel/library/regex.go`. Places count code points.

use crate::eval::Budget;
use crate::functions::{Result, number, spend_match, to_text};
use crate::value::{Error, Value};

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    if let ("join", [Value::List(list), rest @ ..]) = (name, arguments) {
        let separator = match rest {
            [] => "",
            [Value::String(separator)] => separator,
            _ => return None,
        };
        return Some(join(&list.items, separator, budget));
    }
    if let ("strings.quote", [Value::String(text)]) = (name, arguments) {
        return Some(budget.walk(text.len() as u64 * 2).map(|()| Value::string(quote(text))));
    }
    let Some((Value::String(text), rest)) = arguments.split_first() else { return None };
    let result = transform(name, text, rest, budget)
        .or_else(|| search(name, text, rest, budget))
        .or_else(|| regex(name, text, rest, budget));
    let cost = budget.walk(text.len() as u64 * 2);
    result.map(|result| cost.and(result))
}

fn transform(name: &str, text: &str, rest: &[Value], budget: &mut Budget) -> Option<Result> {
    Some(match (name, rest) {
        ("lowerAscii", []) => Ok(Value::string(text.to_ascii_lowercase())),
        ("upperAscii", []) => Ok(Value::string(text.to_ascii_uppercase())),
        ("trim", []) => Ok(Value::string(text.trim())),
        ("charAt", [Value::Int(place)]) => char_at(text, *place),
        ("substring", [Value::Int(begin)]) => substring(text, *begin, None),
        ("substring", [Value::Int(begin), Value::Int(end)]) => substring(text, *begin, Some(*end)),
        ("split", [Value::String(separator)]) => Ok(split(text, separator, -1)),
        ("split", [Value::String(separator), Value::Int(limit)]) => Ok(split(text, separator, *limit)),
        ("replace", [Value::String(from), Value::String(to)]) => replace(text, from, to, -1, budget),
        ("replace", [Value::String(from), Value::String(to), Value::Int(limit)]) => {
            replace(text, from, to, *limit, budget)
        }
        ("format", [Value::List(list)]) => format(text, &list.items, budget),
        _ => return None,
    })
}

fn search(name: &str, text: &str, rest: &[Value], budget: &mut Budget) -> Option<Result> {
    let (part, offset) = match rest {
        [Value::String(part)] => (part, None),
        [Value::String(part), Value::Int(offset)] => (part, Some(*offset)),
        _ => return None,
    };
    let cost = (text.len() as u64).saturating_mul(part.len() as u64 + 1);
    match name {
        "indexOf" => Some(budget.walk(cost).and_then(|()| index_of(text, part, offset))),
        "lastIndexOf" => Some(budget.walk(cost).and_then(|()| last_index_of(text, part, offset))),
        _ => None,
    }
}

fn regex(name: &str, text: &str, rest: &[Value], budget: &mut Budget) -> Option<Result> {
    let (pattern, limit) = match (name, rest) {
        ("find" | "findAll", [Value::String(pattern)]) => (pattern, -1),
        ("findAll", [Value::String(pattern), Value::Int(limit)]) => (pattern, *limit),
        _ => return None,
    };
    Some(spend_match(text, pattern, budget).and_then(|()| {
        let regex = budget.regex(pattern)?;
        if name == "find" {
            return Ok(Value::string(regex.find(text).map_or("", |found| found.as_str())));
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Value::list(
            regex.find_iter(text).take(limit).map(|found| Value::string(found.as_str())).collect(),
        ))
    }))
}

fn join(items: &[Value], separator: &str, budget: &mut Budget) -> Result {
    let mut size = 0;
    let mut texts = Vec::new();
    for item in items {
        let Value::String(text) = item else { return Err(Error::NoSuchOverload) };
        size += text.len() + separator.len();
        texts.push(&**text);
    }
    budget.walk(size as u64 * 2)?;
    Ok(Value::string(texts.join(separator)))
}

/// Where each code point begins, and the end.
fn places(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

fn out_of_range(place: i64) -> Error {
    Error::other(format!("index out of range: {place}"))
}

fn place(places: &[usize], wanted: i64) -> Result<usize> {
    usize::try_from(wanted)
        .ok()
        .and_then(|wanted| places.get(wanted).copied())
        .ok_or_else(|| out_of_range(wanted))
}

fn char_at(text: &str, wanted: i64) -> Result {
    let places = places(text);
    let begin = place(&places, wanted)?;
    Ok(Value::string(text[begin..].chars().next().map_or(String::new(), String::from)))
}

fn substring(text: &str, begin: i64, end: Option<i64>) -> Result {
    let places = places(text);
    let from = place(&places, begin)?;
    let to = end.map_or(Ok(text.len()), |end| place(&places, end))?;
    if from > to {
        return Err(Error::other(format!(
            "invalid substring range. start: {begin}, end: {}",
            end.unwrap_or_default()
        )));
    }
    Ok(Value::string(&text[from..to]))
}

fn split(text: &str, separator: &str, limit: i64) -> Value {
    let pieces = |limit: usize| -> Vec<String> {
        if !separator.is_empty() {
            return text.splitn(limit, separator).map(str::to_owned).collect();
        }
        let chars: Vec<String> = text.chars().map(String::from).collect();
        if chars.len() <= limit {
            return chars;
        }
        let mut pieces = chars[..limit - 1].to_vec();
        pieces.push(chars[limit - 1..].concat());
        pieces
    };
    let pieces = match limit {
        0 => Vec::new(),
        limit => pieces(usize::try_from(limit).unwrap_or(usize::MAX)),
    };
    Value::list(pieces.into_iter().map(Value::string).collect())
}

fn replace(text: &str, from: &str, to: &str, limit: i64, budget: &mut Budget) -> Result {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let count = text.matches(from).take(limit).count() as u64;
    budget
        .walk((text.len() as u64).saturating_add(count.saturating_mul(to.len() as u64)).saturating_mul(2))?;
    Ok(Value::string(text.replacen(from, to, limit)))
}

fn index_of(text: &str, part: &str, offset: Option<i64>) -> Result {
    let places = places(text);
    let from = match offset {
        Some(offset) => place(&places, offset)?,
        None => 0,
    };
    Ok(Value::Int(text[from..].find(part).map_or(-1, |at| code_points(&text[..from + at]))))
}

fn last_index_of(text: &str, part: &str, offset: Option<i64>) -> Result {
    let places = places(text);
    let last = match offset {
        Some(offset) => place(&places, offset)?,
        None => text.len(),
    };
    let end = (last + part.len()).min(text.len());
    let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
    Ok(Value::Int(text[..end].rfind(part).map_or(-1, |at| code_points(&text[..at]))))
}

fn code_points(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

/// `"%s and %d".format([..])`.
fn format(pattern: &str, items: &[Value], budget: &mut Budget) -> Result {
    let mut out = String::new();
    let mut items = items.iter();
    let mut chars = pattern.chars().peekable();
    while let Some(next) = chars.next() {
        if next != '%' {
            out.push(next);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let value: usize = digits.parse().map_err(|_| Error::other("could not parse precision"))?;
            precision = Some(value.min(1000));
        }
        let verb = chars.next().ok_or_else(|| Error::other("unexpected end of string"))?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let item = items.next().ok_or_else(|| Error::other("index out of range"))?;
        budget.walk(budget.measure(item).saturating_mul(4))?;
        out.push_str(&formatted(verb, precision, item)?);
    }
    budget.walk(out.len() as u64)?;
    Ok(Value::string(out))
}

fn formatted(verb: char, precision: Option<usize>, item: &Value) -> Result<String> {
    let unfit = || Error::other(format!("could not format {} as %{verb}", item.type_name()));
    Ok(match (verb, item) {
        ('s', item) => text_of(item)?,
        ('d', Value::Int(value)) => value.to_string(),
        ('d', Value::Uint(value)) => value.to_string(),
        ('d', Value::Double(value)) if !value.is_finite() => number::double_text(*value),
        ('f', Value::Double(value)) => format!("{value:.*}", precision.unwrap_or(6)),
        #[expect(clippy::cast_precision_loss, reason = "as cel-go")]
        ('f', Value::Int(value)) => format!("{:.*}", precision.unwrap_or(6), *value as f64),
        ('e', Value::Double(value)) => scientific(*value, precision.unwrap_or(6)),
        ('b', Value::Int(value)) => signed(*value, |value| format!("{value:b}")),
        ('b', Value::Uint(value)) => format!("{value:b}"),
        ('b', Value::Bool(value)) => if *value { "1" } else { "0" }.to_owned(),
        ('o', Value::Int(value)) => signed(*value, |value| format!("{value:o}")),
        ('o', Value::Uint(value)) => format!("{value:o}"),
        ('x', Value::Int(value)) => signed(*value, |value| format!("{value:x}")),
        ('X', Value::Int(value)) => signed(*value, |value| format!("{value:X}")),
        ('x', Value::Uint(value)) => format!("{value:x}"),
        ('X', Value::Uint(value)) => format!("{value:X}"),
        ('x' | 'X', Value::String(text)) => hex(text.as_bytes(), verb),
        ('x' | 'X', Value::Bytes(bytes)) => hex(bytes, verb),
        ('d' | 'f' | 'e' | 'b' | 'o' | 'x' | 'X', _) => return Err(unfit()),
        _ => return Err(Error::other(format!("unrecognized formatting clause {verb:?}"))),
    })
}

fn signed(value: i64, digits: impl Fn(u64) -> String) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", digits(value.unsigned_abs()))
}

fn hex(bytes: &[u8], verb: char) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if verb == 'X' { digits.to_uppercase() } else { digits }
}

/// Go's `%e`: two digits of exponent at least.
fn scientific(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%s` of any value.
fn text_of(value: &Value) -> Result<String> {
    Ok(match value {
        Value::Null => "null".to_owned(),
        Value::Type(name) => name.to_string(),
        Value::List(list) => {
            let items = list.items.iter().map(text_of).collect::<Result<Vec<_>>>()?;
            format!("[{}]", items.join(", "))
        }
        Value::Map(map) => {
            let entries =
                map.entries.iter().map(|(key, value)| Ok(format!("{}: {}", key.text(), text_of(value)?)));
            format!("{{{}}}", entries.collect::<Result<Vec<_>>>()?.join(", "))
        }
        value => to_text(value)?,
    })
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
