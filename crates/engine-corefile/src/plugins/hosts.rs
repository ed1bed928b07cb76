//! `hosts`: names and addresses as in a hosts file (CoreDNS, `plugin/hosts`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use plan::{DnsHosts, Fallthrough};

use super::{Context, fallthrough, number, only_argument, read_body};
use crate::parse::{Directive, Statement};
use crate::report::{Report, Verdict};
use crate::zones;

/// CoreDNS's time to live where none is said, and the longest there is, in seconds.
const DEFAULT_TTL: u32 = 3600;
const LONGEST_TTL: u32 = 65_535;

struct Reading {
    hosts: DnsHosts,
    has_reverse: bool,
    /// Address and names, in order.
    entries: Vec<(IpAddr, Vec<String>)>,
}

pub(super) fn lower(directive: &Directive, context: &Context<'_>, report: &mut Report) -> Option<DnsHosts> {
    let hosts = DnsHosts {
        at: directive.head.at.to_string(),
        zones: context.zones.clone(),
        names: BTreeMap::new(),
        addresses: BTreeMap::new(),
        ttl_seconds: DEFAULT_TTL,
        fallthrough: Fallthrough::Never,
    };
    let mut reading = Reading { hosts, has_reverse: true, entries: Vec::new() };
    let outcome = read_head(&directive.head, context, &mut reading);
    // Without the file, every name in it would be denied or asked elsewhere; the entries written here still count.
    report.settle(&directive.head, outcome);
    read_body(&directive.body, report, |line| read_line(line, &mut reading));
    Some(reading.finish())
}

fn read_head(head: &Statement, context: &Context<'_>, reading: &mut Reading) -> Result<(), Verdict> {
    let [file, zones @ ..] = head.arguments() else { return Ok(()) };
    reading.hosts.zones = zones::of_arguments(zones, context.zones)?;
    let name = file.rsplit('/').next().unwrap_or(file);
    let Some(text) = context.sources.files.get(name) else {
        return Err(Verdict::not_taken(
            format!("the file {file} is in no ConfigMap"),
            format!("write its entries here, or as key {name} of ConfigMap coredns"),
        ));
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        // As everywhere, a line of a hosts file that makes no sense is passed over.
        if let Ok(entry) = entry(&words) {
            reading.entries.push(entry);
        }
    }
    Ok(())
}

fn read_line(line: &Statement, reading: &mut Reading) -> Result<(), Verdict> {
    match line.name() {
        "fallthrough" => reading.hosts.fallthrough = fallthrough(line)?,
        "no_reverse" => reading.has_reverse = false,
        "ttl" => {
            let seconds = number(only_argument(line)?)?;
            if seconds == 0 || seconds > LONGEST_TTL {
                return Err(Verdict::broken(format!("ttl must be in range [1, {LONGEST_TTL}]")));
            }
            reading.hosts.ttl_seconds = seconds;
        }
        "reload" => return Err(Verdict::Needless { why: "changes are seen at once".to_owned() }),
        _ => reading.entries.push(entry(&line.words)?),
    }
    Ok(())
}

fn entry(words: &[String]) -> Result<(IpAddr, Vec<String>), Verdict> {
    let [address, names @ ..] = words else { return Err(Verdict::broken("an empty entry")) };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(Verdict::broken(format!("`{address}` is no IP address")));
    };
    if names.is_empty() {
        return Err(Verdict::broken("the address has no name"));
    }
    let names = names.iter().map(|name| zones::name(name)).collect::<Result<Vec<_>, _>>();
    Ok((address.to_canonical(), names.map_err(Verdict::broken)?))
}

impl Reading {
    fn finish(self) -> DnsHosts {
        let Self { mut hosts, has_reverse, entries } = self;
        let is_ours =
            |zones: &BTreeSet<String>, name: &str| zones.iter().any(|zone| zones::is_within(name, zone));
        for (address, names) in entries {
            for name in names.into_iter().filter(|name| is_ours(&hosts.zones, name)) {
                if has_reverse {
                    push_new(hosts.addresses.entry(address).or_default(), name.clone());
                }
                push_new(hosts.names.entry(name).or_default(), address);
            }
        }
        hosts
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
