//! The objects every lab begins with: Nodes, the cluster's own Services, IngressClasses.

use anyhow::Context as _;
use engine_store::{PatchKind, Status, Target, Write, WriteOptions};
use serde_json::{Value, json};
use serve_api::ApiHandle;
use types::{IpFamily, NETWORK_ANNOTATION, NodeName, Prefix};

use crate::address::{API_PORT, LabFamilies, LabNode};
use crate::rights;

/// Version that Nodes report; the API's level with our name.
const KUBELET_VERSION: &str = "v1.34.0+sealane";

/// Writes what is missing, as the API server itself does with what every cluster has. What a data directory kept stays
/// as it is, except for what is so anew with each start: statuses of Nodes, what their agents tell, our own rights.
pub(crate) async fn write(api: &ApiHandle, nodes: &[LabNode], families: LabFamilies) -> anyhow::Result<()> {
    let begin = Beginning { api, options: options() };
    for object in objects(nodes, families) {
        begin.create(object).await?;
    }
    for node in nodes {
        let annotations = json!({ NETWORK_ANNOTATION: null });
        let target = begin
            .target(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node.name } }))?;
        check_families(&api.read(&target).unwrap_or_default(), families)?;
        begin.merge(target.clone(), json!({ "metadata": { "annotations": annotations } })).await?;
        let status = Target { subresource: Some("status".to_owned()), ..target };
        begin.patch(status, PatchKind::StrategicMerge, json!({ "status": node_status(node) })).await?;
    }
    Ok(())
}

/// A data directory holds a cluster of the families it was made with: Nodes keep their Pod ranges, and Services their
/// addresses.
fn check_families(node: &Value, families: LabFamilies) -> anyhow::Result<()> {
    let ranges = node["spec"]["podCIDRs"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let held: Vec<IpFamily> =
        ranges.filter_map(|range| range.parse::<Prefix>().ok()).map(Prefix::family).collect();
    if held == families.families() {
        return Ok(());
    }
    let flag = match held[..] {
        [IpFamily::V4] => "ipv4",
        [IpFamily::V6] => "ipv6",
        _ => "dual",
    };
    anyhow::bail!("the data directory has a cluster with other addresses: start it with --ip-family {flag}")
}

/// Whether a Node's agent has told what the node is: until then, plans made from the API's objects alone would guess.
pub(crate) fn has_told(api: &ApiHandle, node: &NodeName) -> bool {
    let target = Target {
        version: "v1".to_owned(),
        resource: "nodes".to_owned(),
        name: Some(node.to_string()),
        ..Target::default()
    };
    let told = |node: &Value| node["metadata"]["annotations"][NETWORK_ANNOTATION].is_string();
    api.read(&target).is_ok_and(|node| told(&node))
}

fn options() -> WriteOptions {
    WriteOptions { field_manager: apply_kube::FIELD_MANAGER.to_owned(), ..WriteOptions::default() }
}

/// Writes in this process: the components' own clients come later.
struct Beginning<'a> {
    api: &'a ApiHandle,
    options: WriteOptions,
}

impl Beginning<'_> {
    async fn create(&self, mut object: Value) -> anyhow::Result<()> {
        let labels = &mut object["metadata"]["labels"];
        if labels.is_null() {
            *labels = json!({});
        }
        labels[apply_kube::MANAGED_BY_LABEL] = apply_kube::FIELD_MANAGER.into();
        let target = self.target(&object)?;
        let rules = object.get("rules").cloned();
        let collection = Target { name: None, ..target.clone() };
        match self.api.write(&collection, Write::Create(object), &self.options).await {
            Err(status) if status.reason == "AlreadyExists" => match rules {
                Some(rules) => self.merge(target, json!({ "rules": rules })).await,
                None => Ok(()),
            },
            outcome => told(&target, outcome.map(drop)),
        }
    }

    async fn merge(&self, target: Target, patch: Value) -> anyhow::Result<()> {
        self.patch(target, PatchKind::Merge, patch).await
    }

    async fn patch(&self, target: Target, kind: PatchKind, patch: Value) -> anyhow::Result<()> {
        let outcome = self.api.write(&target, Write::Patch(kind, patch), &self.options).await;
        told(&target, outcome.map(drop))
    }

    /// Where an object lives.
    fn target(&self, object: &Value) -> anyhow::Result<Target> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let kinds = self.api.kinds();
        let served = kinds.iter().find(|served| served.api_version() == version && served.kind == kind);
        let served = served.with_context(|| format!("the API has no {kind} of {version}"))?;
        Ok(Target {
            group: served.group.to_string(),
            version: served.version.to_string(),
            resource: served.plural.to_string(),
            namespace: served.namespaced.then(|| text(&object["metadata"]["namespace"])),
            name: Some(text(&object["metadata"]["name"])),
            subresource: None,
        })
    }
}

fn told(target: &Target, outcome: Result<(), Status>) -> anyhow::Result<()> {
    outcome.map_err(|status| {
        let name = target.name.as_deref().unwrap_or_default();
        anyhow::anyhow!("cannot write {} {name}: {}", target.resource, status.message)
    })
}

fn objects(nodes: &[LabNode], families: LabFamilies) -> Vec<Value> {
    let mut objects: Vec<Value> = ["default", "kube-system", "kube-public", "kube-node-lease"]
        .map(|name| json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
        .into();
    objects.extend(rights::objects());
    objects.extend(nodes.iter().map(node));
    objects.extend(kubernetes_service(families));
    objects.push(dns_service(families));
    objects.extend([
        ingress_class("sealane", "sealane.dev/ingress", true),
        ingress_class("nginx", "k8s.io/ingress-nginx", false),
    ]);
    objects
}

fn node(node: &LabNode) -> Value {
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
        "spec": { "podCIDR": node.pod_cidrs[0], "podCIDRs": node.pod_cidrs },
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
    let mut addresses: Vec<Value> =
        node.addresses.iter().map(|address| json!({ "type": "InternalIP", "address": address })).collect();
    addresses.push(json!({ "type": "Hostname", "address": node.name }));
    json!({
        "addresses": addresses,
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

/// `default/kubernetes` and its one endpoint (SA15); of the primary family alone, as everywhere.
fn kubernetes_service(families: LabFamilies) -> [Value; 3] {
    let at = families.primary();
    let labels = json!({ "component": "apiserver", "provider": "kubernetes" });
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": "kubernetes", "namespace": "default", "labels": labels },
            "spec": {
                "clusterIP": at.kubernetes_service,
                "clusterIPs": [at.kubernetes_service],
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
            "addressType": at.family,
            "endpoints": [{ "addresses": [at.outside], "conditions": { "ready": true } }],
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
                "addresses": [{ "ip": at.outside }],
                "ports": [{ "name": "https", "port": API_PORT, "protocol": "TCP" }],
            }],
        }),
    ]
}

/// The name of the cluster's DNS; every node answers at its address itself, so it has no endpoints.
fn dns_service(families: LabFamilies) -> Value {
    let addresses: Vec<_> = families.addresses().map(|at| at.cluster_dns).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": { "k8s-app": "kube-dns", "kubernetes.io/name": "sealane" },
        },
        "spec": {
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilyPolicy": if addresses.len() > 1 { "RequireDualStack" } else { "SingleStack" },
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
        let objects = objects(&crate::address::nodes(2, LabFamilies::Dual), LabFamilies::Dual);
        for object in &objects {
            let is_named = |pointer: &str| object.pointer(pointer).is_some_and(Value::is_string);
            assert!(["/apiVersion", "/kind", "/metadata/name"].into_iter().all(is_named), "{object}");
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
