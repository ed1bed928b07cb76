//! `sealane services`: the Services that a node's kernel has loaded, with live connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ::agent::loaded::{LoadedFrontend, LoadedWay, loaded_services};
use anyhow::{Context as _, Result};
use clap::Args;

use crate::output::{Output, Style, print_json, print_line};

/// What `sealane services` takes.
#[derive(Debug, Args)]
pub(crate) struct ServicesArgs {
    /// Only these: NAME, or NAMESPACE/NAME.
    #[arg(value_name = "SERVICE")]
    pub(crate) services: Vec<String>,
    /// Network namespace to look at [default: this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) netns: Option<PathBuf>,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

/// Reads and prints.
pub(crate) fn run(args: &ServicesArgs) -> Result<i32> {
    let loaded = loaded_services(args.netns.as_deref()).context(
        "cannot read the rules of this node; it takes root, or CAP_NET_ADMIN in its network namespace",
    )?;
    let is_wanted = |found: &&LoadedFrontend| {
        args.services.is_empty() || args.services.iter().any(|wanted| names(&found.owner, wanted))
    };
    let wanted: Vec<&LoadedFrontend> = loaded.iter().filter(is_wanted).collect();
    match args.output {
        Output::Json => print_json(&wanted)?,
        Output::Text => print_line(&text(&wanted, Style::of_stdout())),
    }
    Ok(0)
}

/// Whether the owner, `NAMESPACE/NAME:PORT` with a word behind it, is the one that is asked for.
fn names(owner: &str, wanted: &str) -> bool {
    let owner = owner.split([':', ' ']).next().unwrap_or_default();
    owner == wanted || owner.split_once('/').is_some_and(|(_, name)| name == wanted)
}

fn text(loaded: &[&LoadedFrontend], style: Style) -> String {
    if loaded.is_empty() {
        return "nothing is loaded".to_owned();
    }
    let width = |column: fn(&LoadedFrontend) -> &str| {
        loaded.iter().map(|found| column(found).chars().count()).max().unwrap_or_default()
    };
    let (owners, frontends) = (width(|found| &found.owner), width(|found| &found.frontend));
    let mut lines = Vec::new();
    for found in loaded {
        let head = format!("{:<owners$}  {:<frontends$}", found.owner, found.frontend);
        lines.push(format!("{}  {}", style.bold(&head), ways(found)));
        for (backend, count) in &found.backends {
            let mut line = format!("  {backend}  {} open", count.open);
            if count.ending > 0 {
                line += &format!(", {} opening or closing", count.ending);
            }
            line += &share(found, *backend);
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// What becomes of new connections, in one line.
fn ways(found: &LoadedFrontend) -> String {
    let mut words = if found.internal == found.external {
        way(&found.internal)
    } else {
        format!("from here {}, else {}", way(&found.internal), way(&found.external))
    };
    if found.affinity {
        words += ", session affinity";
    }
    if found.guarded {
        words += ", source ranges";
    }
    words
}

fn way(way: &LoadedWay) -> String {
    match way {
        LoadedWay::Forwarded(slots) if slots.len() == 1 => "1 endpoint".to_owned(),
        LoadedWay::Forwarded(slots) => format!("{} endpoints", slots.len()),
        LoadedWay::Dropped => "dropped".to_owned(),
        LoadedWay::Refused => "refused".to_owned(),
    }
}

/// The part of new connections that a backend gets, where it is not that of the others; nothing new, where it gets none.
fn share(found: &LoadedFrontend, backend: SocketAddr) -> String {
    let slots = |way: &LoadedWay| match way {
        LoadedWay::Forwarded(slots) => slots.clone(),
        LoadedWay::Dropped | LoadedWay::Refused => BTreeMap::new(),
    };
    let sides = [slots(&found.internal), slots(&found.external)];
    if sides.iter().all(|slots| !slots.contains_key(&backend)) {
        return ", nothing new".to_owned();
    }
    let Some(slots) = sides.iter().find(|slots| slots.contains_key(&backend)) else { return String::new() };
    let (own, total) = (slots[&backend], slots.values().sum::<usize>());
    let is_even = slots.values().all(|other| other.abs_diff(own) * 20 <= own.max(20));
    if is_even { String::new() } else { format!(", {} % of new ones", (own * 100 + total / 2) / total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_with_or_without_its_namespace() {
        assert!(names("shop/web:http nodePort", "web") && names("shop/web:http", "shop/web"));
        assert!(names("shop/web", "web") && !names("shop/web:http", "we") && !names("shop/web:http", "http"));
    }

    #[test]
    fn uneven_shares_are_told() {
        let [one, two] = ["10.244.1.2:80", "10.244.1.3:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        let mut found = LoadedFrontend {
            owner: "shop/web".to_owned(),
            frontend: "10.96.0.9:80/TCP".to_owned(),
            internal: LoadedWay::Forwarded(BTreeMap::from([(one, 9), (two, 1)])),
            external: LoadedWay::Dropped,
            guarded: false,
            affinity: true,
            backends: BTreeMap::new(),
        };
        assert_eq!(share(&found, two), ", 10 % of new ones");
        assert_eq!(ways(&found), "from here 2 endpoints, else dropped, session affinity");
        found.internal = LoadedWay::Forwarded(BTreeMap::from([(one, 1)]));
        assert_eq!((share(&found, one).as_str(), share(&found, two).as_str()), ("", ", nothing new"));
    }
}
