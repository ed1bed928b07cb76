//! The plugin `loopback`: brings `lo` of a Pod up.
//!
//! containerd and CRI-O call a plugin of this name for every Pod, besides the ones that are configured, and start no Pod
//! where there is none (containerd's `getDefaultCNIConfig`, CRI-O's `getLoNetwork`). It needs no agent and keeps nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use netns::{Netns, bring_up_loopback, run_in};
use serde_json::{Value, json};

use super::open;
use crate::CniError;
use crate::config::NetworkConfig;
use crate::invocation::{Command, Invocation};

/// Any port would do (RFC 863).
const DISCARD_PORT: u16 = 9;

/// Serves every command but VERSION; only ADD has an answer.
pub(super) fn serve(call: &Invocation, config: &NetworkConfig) -> Result<Option<Value>, CniError> {
    match call.command {
        Command::Add => add(call, config).map(Some),
        Command::Check => check(call).map(|()| None),
        // What DEL could undo goes with the namespace.
        Command::Del | Command::Gc | Command::Status | Command::Version => Ok(None),
    }
}

fn add(call: &Invocation, config: &NetworkConfig) -> Result<Value, CniError> {
    let netns = open(&call.netns)?;
    let unknown = |source| CniError::UnknownContainer { netns: call.netns.clone(), source };
    run_in(&netns, bring_up_loopback).map_err(unknown)?.map_err(unknown)?;
    if let Some(previous) = config.previous()? {
        return Ok(previous.in_version(&config.cni_version));
    }
    let ips: Vec<Value> = held(&netns).into_iter().map(|held| ip(held, &config.cni_version)).collect();
    Ok(json!({
        "cniVersion": config.cni_version,
        "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": call.netns }],
        "ips": ips,
        "dns": {},
    }))
}

fn check(call: &Invocation) -> Result<(), CniError> {
    let netns = open(&call.netns)?;
    if held(&netns).is_empty() {
        return Err(CniError::Damaged { missing: vec!["lo is not up".into()] });
    }
    Ok(())
}

/// Those addresses of a loopback that lead to itself, as they do while it is up.
fn held(netns: &Netns) -> Vec<IpAddr> {
    let wanted: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()),
        (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()),
    ];
    let is_held = |(address, unspecified): &(IpAddr, IpAddr)| {
        // A UDP socket that is connected has sent nothing, but chosen its route.
        let chosen = UdpSocket::bind((*unspecified, 0)).and_then(|socket| {
            socket.connect((*address, DISCARD_PORT))?;
            socket.local_addr()
        });
        chosen.is_ok_and(|chosen| chosen.ip() == *address)
    };
    let held = || wanted.into_iter().filter(is_held).map(|(address, _)| address).collect();
    run_in(netns, held).unwrap_or_default()
}

/// An entry of the result; `version` is gone since 1.0.0.
fn ip(address: IpAddr, version: &str) -> Value {
    let (family, len) = if address.is_ipv4() { ("4", 8) } else { ("6", 128) };
    let mut entry = json!({ "address": format!("{address}/{len}"), "interface": 0 });
    if version < "1.0.0" {
        entry["version"] = family.into();
    }
    entry
}
