//! Cluster addresses, IP families and node ports of Services: kept, dropped and allocated inside the write.

mod families;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};
use types::IpFamily;

use crate::alloc::{Allocations, cluster_ips};
use crate::request::Env;
use engine_kinds::object::{self, integer, list, map_mut, text};
use engine_kinds::{Findings, Kind, Status};

/// Whether Services of this type have something in `clusterIP`, if only `None`.
fn has_address(service: &Value) -> bool {
    text(service, "/spec/type") != "ExternalName"
}

/// Whether Services of this type have node ports.
fn needs_node_ports(service: &Value) -> bool {
    matches!(text(service, "/spec/type"), "NodePort" | "LoadBalancer")
}

/// Whether the Service has a health check port of its own.
fn needs_health_port(service: &Value) -> bool {
    text(service, "/spec/type") == "LoadBalancer" && text(service, "/spec/externalTrafficPolicy") == "Local"
}

/// Takes over what was allocated before, drops what the type no longer has, and settles the address families.
///
/// Upstream: `patchAllocatedValues`, `initIPFamilyFields` and `dropTypeDependentFields` in `pkg/registry/core/service`.
pub(crate) fn prepare(
    allocations: &Allocations,
    kind: &Kind,
    service: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if !kind.is_core("services") {
        return Ok(());
    }
    if let Some(old) = old {
        take_over(service, old);
    }
    families::normalize(service, old);
    let configured: Vec<IpFamily> = allocations.families().collect();
    families::settle(&configured, service, old).into_result(kind, object::name(service))
}

fn take_over(service: &mut Value, old: &Value) {
    drop_by_type(service, old);
    if has_address(old) && has_address(service) {
        for field in ["clusterIP", "clusterIPs"] {
            let is_empty = |value: &Value| value.is_null() || *value == "" || *value == json!([]);
            if service.pointer(&format!("/spec/{field}")).is_none_or(is_empty) {
                keep(service, old, field);
            }
        }
    }
    if needs_node_ports(old) && needs_node_ports(service) {
        keep_node_ports(service, old);
    }
    if needs_health_port(old)
        && needs_health_port(service)
        && integer(service, "/spec/healthCheckNodePort").is_none()
    {
        keep(service, old, "healthCheckNodePort");
    }
}

/// Copies a spec field from `old`, if it is there.
fn keep(service: &mut Value, old: &Value, field: &str) {
    if let Some(value) = old.pointer(&format!("/spec/{field}")) {
        map_mut(service, "spec").insert(field.to_owned(), value.clone());
    }
}

/// Ports without a node port take the one their name had, unless another port uses it.
fn keep_node_ports(service: &mut Value, old: &Value) {
    let mut used: BTreeSet<i64> =
        list(service, "/spec/ports").iter().filter_map(|p| integer(p, "/nodePort")).collect();
    let by_name: BTreeMap<String, i64> = list(old, "/spec/ports")
        .iter()
        .filter_map(|port| Some((text(port, "/name").to_owned(), integer(port, "/nodePort")?)))
        .collect();
    let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if integer(port, "/nodePort").unwrap_or(0) != 0 {
            continue;
        }
        if let Some(number) = by_name.get(text(port, "/name"))
            && used.insert(*number)
        {
            port["nodePort"] = (*number).into();
        }
    }
}

/// Fields that come with a type go with it, unless the client set them anew.
fn drop_by_type(service: &mut Value, old: &Value) {
    let same = |service: &Value, field: &str| {
        let pointer = format!("/spec/{field}");
        service.pointer(&pointer) == old.pointer(&pointer)
    };
    if has_address(old) && !has_address(service) {
        let keeps_addresses = !(same(service, "clusterIP") && same(service, "clusterIPs"));
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let goes = if field.starts_with("clusterIP") { !keeps_addresses } else { same(service, field) };
            if goes {
                map_mut(service, "spec").remove(field);
            }
        }
    }
    if needs_node_ports(old) && !needs_node_ports(service) {
        let numbers = |service: &Value| -> BTreeSet<i64> {
            list(service, "/spec/ports").iter().filter_map(|port| integer(port, "/nodePort")).collect()
        };
        if numbers(service).is_subset(&numbers(old)) {
            let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
            for port in ports.into_iter().flatten().filter_map(Value::as_object_mut) {
                port.remove("nodePort");
            }
        }
    }
    if needs_health_port(old) && !needs_health_port(service) && same(service, "healthCheckNodePort") {
        map_mut(service, "spec").remove("healthCheckNodePort");
    }
    let (was, is) = (text(old, "/spec/type"), text(service, "/spec/type").to_owned());
    if was == "LoadBalancer" && is != "LoadBalancer" {
        for field in ["allocateLoadBalancerNodePorts", "loadBalancerClass"] {
            if same(service, field) {
                map_mut(service, "spec").remove(field);
            }
        }
        service["status"] = json!({"loadBalancer": {}});
    }
    let external =
        needs_node_ports(service) || (is == "ClusterIP" && !list(service, "/spec/externalIPs").is_empty());
    if !external && same(service, "externalTrafficPolicy") {
        map_mut(service, "spec").remove("externalTrafficPolicy");
    }
    if is == "ExternalName" && was != "ExternalName" && same(service, "internalTrafficPolicy") {
        map_mut(service, "spec").remove("internalTrafficPolicy");
    }
}

/// Gives a Service the addresses and ports it needs, or says which of those it asks for cannot be had.
pub(crate) fn allocate(
    allocations: &Allocations,
    env: &mut Env<'_>,
    kind: &Kind,
    service: &mut Value,
    old: Option<&Value>,
) -> Result<(), Status> {
    if !kind.is_core("services") {
        return Ok(());
    }
    let mut findings = Findings::default();
    if has_address(service) {
        allocate_addresses(allocations, env, service, old, &mut findings);
    }
    let held: BTreeSet<i64> = old
        .map(|old| {
            let ports = list(old, "/spec/ports").iter().filter_map(|port| integer(port, "/nodePort"));
            ports.chain(integer(old, "/spec/healthCheckNodePort")).collect()
        })
        .unwrap_or_default();
    if needs_node_ports(service) {
        allocate_node_ports(allocations, env, service, &held, &mut findings);
    }
    if needs_health_port(service) {
        allocate_health_port(allocations, env, service, &held, &mut findings);
    }
    let name = object::name(service).to_owned();
    findings.into_result(kind, &name)
}

/// One address of each of the Service's families; those it has stay.
fn allocate_addresses(
    allocations: &Allocations,
    env: &mut Env<'_>,
    service: &mut Value,
    old: Option<&Value>,
    findings: &mut Findings,
) {
    if text(service, "/spec/clusterIP") == "None" {
        return;
    }
    let asked = list(service, "/spec/clusterIPs");
    let wanted = |index: usize| asked.get(index).and_then(Value::as_str).unwrap_or_default();
    let families = list(service, "/spec/ipFamilies");
    let shown: Vec<&str> = (0..families.len()).map(wanted).collect();
    let mut addresses: Vec<IpAddr> = Vec::new();
    for (index, family) in families.iter().enumerate() {
        let family = if *family == "IPv6" { IpFamily::V6 } else { IpFamily::V4 };
        if wanted(index).is_empty() {
            match allocations.free_address(family, (env.random)()) {
                Some(address) => addresses.push(address),
                None => findings.internal("spec.clusterIPs", "failed to allocate a serviceIP: range is full"),
            }
            continue;
        }
        let Ok(address) = wanted(index).parse::<IpAddr>() else { return };
        let is_held = old.is_some_and(|old| cluster_ips(old).any(|held| held == address));
        let refusal = if is_held { None } else { allocations.address_refusal(address) };
        if let Some(why) = refusal {
            let text = format!("failed to allocate IP {address}: {why}");
            findings.invalid("spec.clusterIPs", &json!(shown), &text);
        }
        addresses.push(address);
    }
    let Some(first) = addresses.first().map(ToString::to_string) else { return };
    let spec = map_mut(service, "spec");
    spec.insert("clusterIP".to_owned(), first.into());
    spec.insert("clusterIPs".to_owned(), addresses.iter().map(ToString::to_string).collect());
}

fn allocate_node_ports(
    allocations: &Allocations,
    env: &mut Env<'_>,
    service: &mut Value,
    held: &BTreeSet<i64>,
    findings: &mut Findings,
) {
    let automatic = text(service, "/spec/type") == "NodePort"
        || service.pointer("/spec/allocateLoadBalancerNodePorts").is_none_or(|on| *on != false);
    let ports = list(service, "/spec/ports").to_vec();
    let mut taken: BTreeSet<i64> = ports.iter().filter_map(|port| integer(port, "/nodePort")).collect();
    // TCP and UDP on one port get one number (upstream: `initNodePorts`).
    let mut by_port: BTreeMap<i64, BTreeMap<String, i64>> = BTreeMap::new();
    let mut chosen = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let (number, protocol) = (integer(port, "/port").unwrap_or(0), text(port, "/protocol").to_owned());
        let asked = integer(port, "/nodePort").filter(|number| *number != 0);
        let node_port = match asked {
            Some(asked) => {
                let refusal = if held.contains(&asked) { None } else { allocations.port_refusal(asked) };
                if let Some(why) = refusal {
                    findings.invalid(&format!("spec.ports[{index}].nodePort"), &asked.into(), &why);
                }
                Some(asked)
            }
            None if automatic => {
                let twin = by_port.get(&number).and_then(|used| {
                    used.values()
                        .find(|twin| !used.contains_key(&protocol) && !used.is_empty() && **twin != 0)
                        .copied()
                });
                twin.or_else(|| allocations.free_port(&taken, (env.random)()).map(i64::from))
            }
            None => None,
        };
        match node_port {
            Some(node_port) => {
                taken.insert(node_port);
                by_port.entry(number).or_default().insert(protocol, node_port);
            }
            None if automatic => {
                findings.internal(
                    &format!("spec.ports[{index}].nodePort"),
                    "failed to allocate a nodePort: range is full",
                );
            }
            None => {}
        }
        chosen.push(node_port);
    }
    let ports = service.pointer_mut("/spec/ports").and_then(Value::as_array_mut);
    for (port, node_port) in ports.into_iter().flatten().zip(chosen) {
        if let Some(node_port) = node_port {
            port["nodePort"] = node_port.into();
        }
    }
}

fn allocate_health_port(
    allocations: &Allocations,
    env: &mut Env<'_>,
    service: &mut Value,
    held: &BTreeSet<i64>,
    findings: &mut Findings,
) {
    const FIELD: &str = "spec.healthCheckNodePort";
    let taken: BTreeSet<i64> =
        list(service, "/spec/ports").iter().filter_map(|port| integer(port, "/nodePort")).collect();
    match integer(service, "/spec/healthCheckNodePort").filter(|port| *port != 0) {
        Some(asked) => {
            let refusal = if held.contains(&asked) { None } else { allocations.port_refusal(asked) };
            if let Some(why) = refusal {
                findings.invalid(FIELD, &asked.into(), &why);
            }
        }
        None => match allocations.free_port(&taken, (env.random)()) {
            Some(port) => service["spec"]["healthCheckNodePort"] = port.into(),
            None => findings.internal(FIELD, "failed to allocate a HealthCheck NodePort: range is full"),
        },
    }
}
