//! `rewrite edns0`: EDNS options of what upstream servers are asked (CoreDNS, `plugin/rewrite/edns0.go`).

use plan::{OptionChange, OptionData, RewriteRule};

use crate::report::Verdict;

/// Option codes (IANA, "DNS EDNS0 Option Codes").
const NSID: u16 = 3;
const CLIENT_SUBNET: u16 = 8;
/// Longest data of an option, in bytes: a query is a small datagram.
const LONGEST_DATA: usize = 512;

/// What is done with an option.
#[derive(Clone, Copy)]
enum Action {
    Set,
    Append,
    Unset,
}

/// `local|nsid|subnet set|append|replace|unset ... [revert]`. Of a reply's options clients see errors alone, so that `revert` has
/// nothing left to do.
pub(super) fn rule(words: &[&str]) -> Result<RewriteRule, Verdict> {
    let [kind, action, arguments @ ..] = words else {
        return Err(Verdict::broken("too few arguments for an EDNS0 rule"));
    };
    let action = match action.to_ascii_lowercase().as_str() {
        "set" => Action::Set,
        "append" => Action::Append,
        "unset" => Action::Unset,
        "replace" => {
            let why = "EDNS options of clients go no further, so there is none to be replaced";
            return Err(Verdict::not_taken(why, "write `set`"));
        }
        other => return Err(Verdict::broken(format!("invalid action: \"{other}\""))),
    };
    let arguments = match (action, arguments) {
        (Action::Set | Action::Append, [arguments @ .., "revert"]) => arguments,
        _ => arguments,
    };
    match (kind.to_ascii_lowercase().as_str(), action, arguments) {
        ("local", Action::Unset, [code]) => Ok(unset(option_code(code)?)),
        ("local", _, [code, data]) => change(option_code(code)?, action, data_of(data)?),
        ("local", ..) => Err(Verdict::broken("EDNS0 local rules have a code and, but for `unset`, data")),
        ("nsid", Action::Unset, []) => Ok(unset(NSID)),
        ("nsid", _, []) => {
            Err(Verdict::not_taken("clients do not see upstream servers' names for themselves", ""))
        }
        ("nsid", ..) => Err(Verdict::broken("EDNS0 NSID rules can accept no more than one arg")),
        ("subnet", Action::Unset, []) => Ok(unset(CLIENT_SUBNET)),
        ("subnet", _, [ipv4, ipv6]) => {
            let data = OptionData::Subnet { ipv4: bits(ipv4, 32)?, ipv6: bits(ipv6, 128)? };
            change(CLIENT_SUBNET, action, data)
        }
        ("subnet", ..) => Err(Verdict::broken("EDNS0 subnet rules have two lengths, but for `unset`")),
        (other, ..) => Err(Verdict::broken(format!("invalid rule type \"{other}\""))),
    }
}

fn unset(code: u16) -> RewriteRule {
    RewriteRule::Option { code, change: OptionChange::Unset }
}

fn change(code: u16, action: Action, data: OptionData) -> Result<RewriteRule, Verdict> {
    let change = match action {
        Action::Set => OptionChange::Set(data),
        Action::Append => OptionChange::Append(data),
        Action::Unset => OptionChange::Unset,
    };
    Ok(RewriteRule::Option { code, change })
}

/// A number as Go reads it without being told a base, but for octal ones.
fn number(text: &str) -> Option<u16> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u16::from_str_radix(digits, 16).ok(),
        None if text.len() > 1 && text.starts_with('0') => None,
        None => text.parse().ok(),
    }
}

fn option_code(text: &str) -> Result<u16, Verdict> {
    number(text).ok_or_else(|| Verdict::broken(format!("`{text}` is no code of an option")))
}

fn bits(text: &str, most: u16) -> Result<u8, Verdict> {
    let length = number(text).filter(|length| *length <= most).and_then(|length| length.try_into().ok());
    length.ok_or_else(|| Verdict::broken(format!("invalid bit mask length {text}")))
}

/// Text, bytes as `0x...`, or something of the question in braces.
fn data_of(text: &str) -> Result<OptionData, Verdict> {
    if text.starts_with('{') && text.ends_with('}') {
        return variable(text);
    }
    let bytes = match text.strip_prefix("0x") {
        None => text.as_bytes().to_vec(),
        Some(digits) => {
            hex(digits).ok_or_else(|| Verdict::broken(format!("`{text}` are no hexadecimal digits")))?
        }
    };
    if bytes.len() > LONGEST_DATA {
        let why = format!("an option of more than {LONGEST_DATA} bytes makes a datagram too large");
        return Err(Verdict::not_taken(why, ""));
    }
    Ok(OptionData::Bytes(bytes))
}

fn variable(text: &str) -> Result<OptionData, Verdict> {
    Ok(match text {
        "{qname}" => OptionData::Name,
        "{qtype}" => OptionData::Type,
        "{client_ip}" => OptionData::Client,
        "{protocol}" => OptionData::Protocol,
        other => {
            let why = format!("{other} is not known when a question is looked up");
            return Err(Verdict::not_taken(why, "{qname}, {qtype}, {client_ip} and {protocol} are"));
        }
    })
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let pairs = digits.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(value(*high)? << 4 | value(*low)?),
            _ => None,
        })
        .collect()
}
