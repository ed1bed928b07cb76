//! Addresses and ranges (apiserver: `pkg/cel/library/ip.go`, `cidr.go`).

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use crate::eval::Budget;
use crate::functions::Result;
use crate::value::{Error, Value};

/// `None` when the library has no such function for such arguments.
pub(crate) fn call(name: &str, arguments: &[Value], budget: &mut Budget) -> Option<Result> {
    if let [Value::String(text), ..] = arguments
        && let Err(error) = budget.walk(text.len() as u64)
    {
        return Some(Err(error));
    }
    match arguments {
        [Value::String(text)] => of_text(name, text),
        [Value::Ip(address)] => of_address(name, *address),
        [Value::Cidr(range)] => of_range(name, *range),
        [Value::Cidr(range), other] => compare(name, *range, other),
        _ => None,
    }
}

/// An address in the form Kubernetes takes: no zone, no IPv4 inside IPv6, no leading zeros.
fn parse_ip(text: &str) -> Result<IpAddr> {
    let address: IpAddr = text.parse().map_err(|_| {
        Error::other(format!("IP Address {text:?} parse error during conversion from string"))
    })?;
    if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err(Error::other(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(address)
}

fn parse_cidr(text: &str) -> Result<IpNet> {
    let bad = || Error::other(format!("network address parse error during conversion from string: {text:?}"));
    let range: IpNet = text.parse().map_err(|_| bad())?;
    let prefix = text.rsplit_once('/').map_or("", |(_, prefix)| prefix);
    if matches!(range.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some())
        || (prefix.len() > 1 && prefix.starts_with('0'))
    {
        return Err(bad());
    }
    Ok(range)
}

fn of_text(name: &str, text: &str) -> Option<Result> {
    Some(match name {
        "ip" => parse_ip(text).map(Value::Ip),
        "isIP" => Ok(Value::Bool(parse_ip(text).is_ok())),
        "ip.isCanonical" => parse_ip(text).map(|address| Value::Bool(address.to_string() == text)),
        "cidr" => parse_cidr(text).map(Value::Cidr),
        "isCIDR" => Ok(Value::Bool(parse_cidr(text).is_ok())),
        _ => return None,
    })
}

fn of_address(name: &str, address: IpAddr) -> Option<Result> {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let is_link_local_multicast = match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => is_scoped_multicast(address),
    };
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    Some(Ok(match name {
        "family" => Value::Int(if address.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Value::Bool(address.is_unspecified()),
        "isLoopback" => Value::Bool(address.is_loopback()),
        "isLinkLocalMulticast" => Value::Bool(is_link_local_multicast),
        "isLinkLocalUnicast" => Value::Bool(is_link_local),
        "isGlobalUnicast" => Value::Bool(
            !address.is_unspecified()
                && !address.is_loopback()
                && !address.is_multicast()
                && !is_link_local
                && !is_broadcast,
        ),
        _ => return None,
    }))
}

/// Multicast of the link's scope (RFC 4291, 2.7).
fn is_scoped_multicast(address: Ipv6Addr) -> bool {
    address.octets()[0] == 0xff && address.octets()[1] & 0x0f == 2
}

fn of_range(name: &str, range: IpNet) -> Option<Result> {
    Some(Ok(match name {
        "ip" => Value::Ip(range.addr()),
        "masked" => Value::Cidr(range.trunc()),
        "prefixLength" => Value::Int(i64::from(range.prefix_len())),
        _ => return None,
    }))
}

fn compare(name: &str, range: IpNet, other: &Value) -> Option<Result> {
    Some(match (name, other) {
        ("containsIP", Value::Ip(address)) => Ok(Value::Bool(range.contains(address))),
        ("containsIP", Value::String(text)) => {
            parse_ip(text).map(|address| Value::Bool(range.contains(&address)))
        }
        ("containsCIDR", Value::Cidr(inner)) => Ok(Value::Bool(range.contains(inner))),
        ("containsCIDR", Value::String(text)) => {
            parse_cidr(text).map(|inner| Value::Bool(range.contains(&inner)))
        }
        _ => return None,
    })
}
