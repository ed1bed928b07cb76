//! Zones as people write them: with transport and port, in any case, or as a range of addresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use types::Prefix;

use crate::parse::{ServerBlock, Statement, variable};
use crate::report::{Report, Verdict};

/// The port that clients ask.
const DNS_PORT: &str = "53";
/// Longest name as text, and longest label (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

/// The zones of a server block that this server can answer for: on port 53, over plain DNS, each in one block.
pub(crate) fn of_keys(
    block: &ServerBlock,
    taken: &mut BTreeSet<String>,
    report: &mut Report,
) -> BTreeSet<String> {
    let mut zones = BTreeSet::new();
    for key in &block.keys {
        let statement = Statement { at: key.at.clone(), words: vec![key.text.clone()] };
        let outcome = of_key(&key.text).and_then(|names| {
            match names.iter().find(|name| !taken.insert((*name).clone())) {
                None => {
                    zones.extend(names);
                    Ok(())
                }
                Some(name) => {
                    let name = if name.is_empty() { "." } else { name };
                    Err(Verdict::broken(format!("another server block has zone {name}")))
                }
            }
        });
        report.settle(&statement, outcome);
    }
    zones
}

fn of_key(key: &str) -> Result<Vec<String>, Verdict> {
    if let Some(name) = variable(key) {
        return Err(unknown_variable(name));
    }
    let (transport, rest) = key.split_once("://").unwrap_or(("dns", key));
    if transport != "dns" {
        let why = format!("clients are served over plain DNS, not over {transport}");
        return Err(Verdict::not_taken(why, ""));
    }
    let (zone, port) = split_port(rest);
    if let Some(port) = port.filter(|port| *port != DNS_PORT) {
        let why = format!("clients are served on port {DNS_PORT} alone, not on port {port}");
        return Err(Verdict::not_taken(why, ""));
    }
    parse(if zone.is_empty() { "." } else { zone }).map_err(Verdict::broken)
}

/// What to tell of a variable.
pub(crate) fn unknown_variable(name: &str) -> Verdict {
    let why = format!("the environment variable {name} of CoreDNS's Pods is not known here");
    Verdict::not_taken(why, "write its value instead")
}

/// A port after the last colon, if it is one.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((zone, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (zone, Some(port))
        }
        _ => (text, None),
    }
}

/// The zones that a text names: itself, or the reverse zones of a range.
pub(crate) fn parse(text: &str) -> Result<Vec<String>, String> {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = split_port(text).0;
    match text.parse::<Prefix>() {
        Ok(range) if text.contains('/') => Ok(reverse(range)),
        _ => name(text).map(|name| vec![name]),
    }
}

/// The arguments, or the block's zones where there are none.
pub(crate) fn of_arguments(
    arguments: &[String],
    block: &BTreeSet<String>,
) -> Result<BTreeSet<String>, Verdict> {
    if arguments.is_empty() {
        return Ok(block.clone());
    }
    let mut zones = BTreeSet::new();
    for argument in arguments {
        zones.extend(parse(argument).map_err(Verdict::broken)?);
    }
    Ok(zones)
}

/// A name in lower case and without final dot; the root is empty.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= MAX_LABEL
            && label.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    let is_name = name.is_empty() && text == "."
        || !name.is_empty() && name.len() <= MAX_NAME && name.split('.').all(is_label);
    if is_name { Ok(name) } else { Err(format!("`{text}` is no domain name")) }
}

/// Whether a name is in one of the zones.
pub(crate) fn is_within(name: &str, zone: &str) -> bool {
    zone.is_empty() || name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// The reverse zones that together are a range: one, or as many as its last label has values in it.
fn reverse(range: Prefix) -> Vec<String> {
    let (bits, suffix) = match range.first() {
        IpAddr::V4(address) => (address.octets().map(|octet| octet.to_string()).to_vec(), "in-addr.arpa"),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            (nibbles.map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    };
    let (per_label, radix) = if suffix == "in-addr.arpa" { (8, 10) } else { (4, 16) };
    let length = usize::from(range.len());
    let whole = length / per_label;
    let spare = length % per_label;
    let upper = |labels: &[String]| {
        let labels = labels.iter().rev().map(|label| format!("{label}."));
        labels.collect::<String>() + suffix
    };
    if spare == 0 {
        return vec![upper(&bits[..whole])];
    }
    let first = u32::from_str_radix(&bits[whole], radix).unwrap_or_default();
    let number = 1_u32 << (per_label - spare);
    let label = |value: u32| if radix == 10 { value.to_string() } else { format!("{value:x}") };
    (first..first + number).map(|value| format!("{}.{}", label(value), upper(&bits[..whole]))).collect()
}
