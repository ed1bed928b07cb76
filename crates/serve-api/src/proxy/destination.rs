//! Whom a proxied request is for: the address behind a Pod's, Service's or Node's name.

use std::net::{IpAddr, SocketAddr};

use engine_store::{ListOptions, Status, Target};
use engine_streams::proxy::{Destination, Scheme};
use serde_json::Value;

use crate::service::Service;
use crate::shell;

/// The port of a kubelet, which a Node without a port means (`k8s.io/kubernetes/pkg/cluster/ports`).
const KUBELET_PORT: u16 = 10_250;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) scheme: Scheme,
    pub(super) address: SocketAddr,
}

/// Looks the destination up.
pub(super) fn find(service: &Service, target: &Target) -> Result<Found, Status> {
    let text = target.name.as_deref().unwrap_or_default();
    let singular = target.resource.trim_end_matches('s');
    let to = Destination::parse(text)
        .ok_or_else(|| Status::bad_request(format!("invalid {singular} request \"{text}\"")))?;
    let object = Target { name: Some(to.name.to_owned()), subresource: None, ..target.clone() };
    let address = match target.resource.as_str() {
        "pods" => of_pod(&*service.shared.store().read(&object)?, to.port)?,
        "nodes" => of_node(&*service.shared.store().read(&object)?, to.port)?,
        _ => {
            let store = service.shared.store();
            let found = store.read(&object)?;
            let slices = Target {
                group: "discovery.k8s.io".to_owned(),
                resource: "endpointslices".to_owned(),
                name: None,
                ..object
            };
            let options = ListOptions {
                label_selector: Some(format!("kubernetes.io/service-name={}", to.name)),
                ..ListOptions::default()
            };
            let slices: Vec<Value> =
                store.list(&slices, &options)?.shown().map(|slice| slice.value()).collect();
            of_service(&found, &slices, to, text, shell::random())?
        }
    };
    if !is_allowed(address.ip()) {
        return Err(Status::bad_request("address not allowed"));
    }
    Ok(Found { scheme: to.scheme, address })
}

/// Loopback and link-local addresses lead to the server itself and not into the cluster (upstream's
/// `IsGlobalUnicast`).
fn is_allowed(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_unspecified())
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified())
        }
    }
}

fn ip(text: &Value) -> Result<IpAddr, Status> {
    let parsed = text.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| Status::bad_request("address not allowed"))
}

fn list<'a>(object: &'a Value, path: &str) -> &'a [Value] {
    object.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A port given as a number.
fn number(port: Option<&str>) -> Option<u16> {
    port.and_then(|text| text.parse().ok()).filter(|port| *port > 0)
}

fn as_port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|port| u16::try_from(port).ok())
}

/// Without a port, the first that a container declares; a name means the container port of that name.
fn of_pod(pod: &Value, port: Option<&str>) -> Result<SocketAddr, Status> {
    let address = ip(&pod["status"]["podIP"])?;
    let mut declared = list(pod, "/spec/containers").iter().flat_map(|container| list(container, "/ports"));
    let found = match port {
        None => Some(declared.next().and_then(|port| as_port(&port["containerPort"])).unwrap_or(80)),
        Some(name) => number(port).or_else(|| {
            let named = declared.find(|port| port["name"] == name)?;
            as_port(&named["containerPort"])
        }),
    };
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    let found = found.ok_or_else(|| {
        Status::bad_request(format!("invalid pod request \"{name}:{}\"", port.unwrap_or_default()))
    })?;
    Ok(SocketAddr::new(address, found))
}

fn of_node(node: &Value, port: Option<&str>) -> Result<SocketAddr, Status> {
    let mut addresses = list(node, "/status/addresses").iter();
    let internal = addresses.find(|address| address["type"] == "InternalIP");
    let address = ip(internal.map_or(&Value::Null, |address| &address["address"]))?;
    let name = node["metadata"]["name"].as_str().unwrap_or_default();
    let port = match port {
        None => KUBELET_PORT,
        given => number(given).ok_or_else(|| {
            Status::bad_request(format!("invalid node request \"{name}:{}\"", given.unwrap_or_default()))
        })?,
    };
    Ok(SocketAddr::new(address, port))
}

/// One of the ready Pods behind a Service's port, chosen by a random number; errors in upstream's words.
fn of_service(
    service: &Value,
    slices: &[Value],
    to: Destination<'_>,
    asked: &str,
    random: u64,
) -> Result<SocketAddr, Status> {
    let unavailable = |text: String| Status::new(503, "ServiceUnavailable", text);
    let name = match number(to.port) {
        None => to.port.unwrap_or_default(),
        Some(number) => {
            let mut ports = list(service, "/spec/ports").iter();
            let port = ports.find(|port| as_port(&port["port"]) == Some(number)).ok_or_else(|| {
                unavailable(format!("no service port {number} found for service \"{}\"", to.name))
            })?;
            port["name"].as_str().unwrap_or_default()
        }
    };
    if slices.iter().all(|slice| list(slice, "/endpoints").is_empty()) {
        return Err(unavailable(format!("no endpoints available for service \"{}\"", to.name)));
    }
    let mut addresses = Vec::new();
    for slice in slices {
        let mut ports = list(slice, "/ports").iter();
        let port = ports.find(|port| port["name"].as_str().unwrap_or_default() == name);
        let Some(port) = port.and_then(|port| as_port(&port["port"])) else { continue };
        for endpoint in list(slice, "/endpoints") {
            // Only what is known to be a Pod: anybody may write an endpoint with any address.
            let is_pod = endpoint["targetRef"]["kind"] == "Pod";
            if is_pod && endpoint["conditions"]["ready"] != false {
                addresses.extend(
                    list(endpoint, "/addresses").iter().flat_map(ip).map(|ip| SocketAddr::new(ip, port)),
                );
            }
        }
    }
    let count = u64::try_from(addresses.len()).unwrap_or(u64::MAX).max(1);
    let chosen = usize::try_from(random % count).ok().and_then(|at| addresses.get(at));
    chosen.copied().ok_or_else(|| unavailable(format!("no endpoints available for service \"{asked}\"")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_and_nodes() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"podIP": "10.0.0.1"}, "spec": {"containers": [
            {"ports": [{"containerPort": 8080}, {"containerPort": 81, "name": "admin"}]}]}});
        let at = |port| of_pod(&pod, port).map(|address| address.port()).map_err(|status| status.message);
        assert_eq!((at(None), at(Some("9")), at(Some("admin"))), (Ok(8080), Ok(9), Ok(81)));
        assert_eq!(at(Some("none")), Err("invalid pod request \"p:none\"".to_owned()));
        assert_eq!(of_pod(&json!({}), None).unwrap_err().message, "address not allowed");
        let node = json!({"status": {"addresses": [{"type": "InternalIP", "address": "172.31.0.11"}]}});
        assert_eq!(of_node(&node, None).unwrap().to_string(), "172.31.0.11:10250");
        assert!(!is_allowed("127.0.0.1".parse().unwrap()) && is_allowed("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn services() {
        let service = json!({"spec": {"ports": [{"port": 80, "name": "http"}]}});
        let slice = |endpoint| json!({"ports": [{"name": "http", "port": 8080}], "endpoints": [endpoint]});
        let pod = slice(
            json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod"}, "conditions": {"ready": true}}),
        );
        let ask = |text, slices: &[Value]| {
            of_service(&service, slices, Destination::parse(text).unwrap(), text, 7)
                .map_err(|status| status.message)
        };
        let expected = Ok("10.0.0.1:8080".parse().unwrap());
        assert_eq!(ask("web:80", std::slice::from_ref(&pod)), expected);
        assert_eq!(ask("http:web:http", std::slice::from_ref(&pod)), expected);
        assert_eq!(ask("web:81", &[pod]), Err("no service port 81 found for service \"web\"".to_owned()));
        assert_eq!(ask("web:http", &[]), Err("no endpoints available for service \"web\"".to_owned()));
        let by_hand = slice(json!({"addresses": ["192.0.2.1"]}));
        let unready = slice(
            json!({"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod"}, "conditions": {"ready": false}}),
        );
        for slice in [by_hand, unready] {
            assert_eq!(
                ask("web:http", &[slice]),
                Err("no endpoints available for service \"web:http\"".to_owned())
            );
        }
    }
}
