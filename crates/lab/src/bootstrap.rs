//! The objects every lab begins with: Nodes, the cluster's own Services, IngressClasses.

use apply_kube::{Error, Target, Writer};
use serde_json::{Value, json};

use crate::address::{API_PORT, CLUSTER_DNS, KUBERNETES_SERVICE, LabNode, OUTSIDE};
use crate::rights;
use crate::settings::NodePath;

/// Version that Nodes report; the API's level with our name.
const KUBELET_VERSION: &str = "v1.34.0+sealane";

/// Tells how a Node reaches the others, for those who compile plans from the API's objects alone.
const TUNNEL_ANNOTATION: &str = "sealane.dev/tunnel";

/// Writes what is missing; what a data directory kept stays as it is, except for what is so anew with each start:
/// statuses of Nodes, and how they reach each other.
pub(crate) async fn write(writer: &Writer, nodes: &[LabNode], path: NodePath) -> anyhow::Result<()> {
    for object in objects(nodes) {
        match writer.create_ours(&object).await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => {
                let kind = object["kind"].as_str().unwrap_or_default();
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                return Err(anyhow::Error::new(error).context(format!("cannot create {kind} {name}")));
            }
        }
    }
    for node in nodes {
        let target = Target::cluster("v1", "Node", node.name.as_str());
        let annotations = json!({ TUNNEL_ANNOTATION: path.as_str() });
        writer.merge_patch(&target, &json!({ "metadata": { "annotations": annotations } })).await?;
        writer.patch_status(&target, &node_status(node)).await?;
    }
    Ok(())
}

fn objects(nodes: &[LabNode]) -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
        .into();
    objects.extend(rights::objects());
    objects.extend(nodes.iter().map(node));
    objects.extend(kubernetes_service());
    objects.push(dns_service());
    objects.extend([
        ingress_class("sealane", "sealane.dev/ingress", true),
        ingress_class("nginx", "k8s.io/ingress-nginx", false),
    ]);
    objects
}

fn node(node: &LabNode) -> Value {
    let cidr = node.pod_cidr.to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {
                "kubernetes.io/hostname": node.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture(),
                "topology.kubernetes.io/zone": node.zone,
                "topology.kubernetes.io/region": "lab",
            },
        },
        "spec": { "podCIDR": cidr, "podCIDRs": [cidr] },
    })
}

/// The architecture's name in Go's words, as `kubernetes.io/arch` has it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn node_status(node: &LabNode) -> Value {
    let room = json!({ "cpu": "64", "memory": "256Gi", "ephemeral-storage": "100Gi", "pods": "250" });
    json!({
        "addresses": [
            { "type": "InternalIP", "address": node.address },
            { "type": "Hostname", "address": node.name },
        ],
        "capacity": room,
        "allocatable": room,
        "nodeInfo": {
            "architecture": architecture(),
            "operatingSystem": "linux",
            "osImage": "sealane lab",
            "kernelVersion": kernel_version(),
            "kubeletVersion": KUBELET_VERSION,
            "kubeProxyVersion": "",
            "containerRuntimeVersion": concat!("sealane://", env!("CARGO_PKG_VERSION")),
            "bootID": "",
            "machineID": "",
            "systemUUID": "",
        },
    })
}

fn kernel_version() -> String {
    let name = nix::sys::utsname::uname();
    name.map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default()
}

/// `default/kubernetes` and its one endpoint (SA15).
fn kubernetes_service() -> [Value; 3] {
    let labels = json!({ "component": "apiserver", "provider": "kubernetes" });
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "kubernetes", "namespace": "default", "labels": labels },
            "spec": {
                "clusterIP": KUBERNETES_SERVICE,
                "clusterIPs": [KUBERNETES_SERVICE],
                "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT }],
            },
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": { "kubernetes.io/service-name": "kubernetes" },
            },
            "addressType": "IPv4",
            "endpoints": [{ "addresses": [OUTSIDE], "conditions": { "ready": true } }],
            "ports": [{ "name": "https", "port": API_PORT, "protocol": "TCP" }],
        }),
        json!({
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": { "endpointslice.kubernetes.io/skip-mirror": "true" },
            },
            "subsets": [{
                "addresses": [{ "ip": OUTSIDE }],
                "ports": [{ "name": "https", "port": API_PORT, "protocol": "TCP" }],
            }],
        }),
    ]
}

/// The name of the cluster's DNS; every node answers at its address itself, so it has no endpoints.
fn dns_service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": { "k8s-app": "kube-dns", "kubernetes.io/name": "sealane" },
        },
        "spec": {
            "clusterIP": CLUSTER_DNS,
            "clusterIPs": [CLUSTER_DNS],
            "ports": [
                { "name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53 },
                { "name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53 },
            ],
        },
    })
}

fn ingress_class(name: &str, controller: &str, is_default: bool) -> Value {
    let annotations =
        if is_default { json!({ "ingressclass.kubernetes.io/is-default-class": "true" }) } else { json!({}) };
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": { "name": name, "annotations": annotations },
        "spec": { "controller": controller },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_says_what_it_is_and_only_one_class_is_the_default() {
        let objects = objects(&crate::address::nodes(2));
        for object in &objects {
            assert!(Target::of(object).is_ok(), "{object}");
        }
        let names: Vec<&str> =
            objects.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect();
        assert!(names.contains(&"node-b") && names.contains(&"kube-dns"), "{names:?}");
        let defaults = objects.iter().filter(|object| {
            object["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"] == "true"
        });
        assert_eq!(defaults.count(), 1);
    }
}
