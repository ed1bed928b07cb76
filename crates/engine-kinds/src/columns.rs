//! Columns of each kind (upstream: `pkg/printers/internalversion/printers.go`).

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age::age_of;
use crate::object::{integer, list, map, name, text};
use crate::row::Column;
use crate::selector_text::selector_text;

mod certificates;
mod network;
mod pods;
mod storage;
mod workloads;

pub(crate) use certificates::SIGNING_REQUEST;
pub(crate) use storage::{VOLUME, VOLUME_CLAIM};
pub(crate) use workloads::{
    CONTROLLER_REVISION, CRON_JOB, DAEMON_SET, DISRUPTION_BUDGET, JOB, POD_AUTOSCALER, POD_AUTOSCALER_V1,
    STATEFUL_SET,
};

const NAME: Column = Column {
    name: "Name",
    kind: "string",
    format: "name",
    priority: 0,
    cell: |object, _| json!(name(object)),
};
const AGE: Column =
    Column { name: "Age", kind: "string", format: "", priority: 0, cell: |object, now| age(object, now) };

fn age(object: &Value, now: Timestamp) -> Value {
    age_of(object, "/metadata/creationTimestamp", now).into()
}

/// A column that always shows.
pub(super) const fn column(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "string", format: "", priority: 0, cell }
}

/// A column that shows when wide.
pub(super) const fn wide(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "string", format: "", priority: 1, cell }
}

/// A column of numbers.
const fn number(name: &'static str, cell: fn(&Value, Timestamp) -> Value) -> Column {
    Column { name, kind: "integer", format: "", priority: 0, cell }
}

/// The text at a pointer, or `absent`.
pub(super) fn text_or(object: &Value, pointer: &str, absent: &str) -> Value {
    match text(object, pointer) {
        "" => json!(absent),
        found => json!(found),
    }
}

fn integer_or_zero(object: &Value, pointer: &str) -> Value {
    integer(object, pointer).unwrap_or(0).into()
}

pub(crate) const PLAIN: &[Column] = &[NAME, AGE];

pub(crate) const SERVICE_CIDR: &[Column] =
    &[NAME, column("CIDRs", |object, _| json!(network::ranges(object))), AGE];

pub(crate) const IP_ADDRESS: &[Column] =
    &[NAME, column("ParentRef", |object, _| json!(network::parent(object))), AGE];

pub(crate) const NAMESPACE: &[Column] =
    &[NAME, column("Status", |object, _| json!(text(object, "/status/phase"))), AGE];

pub(crate) const NODE: &[Column] = &[
    NAME,
    column("Status", |node, _| node_status(node)),
    column("Roles", |node, _| node_roles(node)),
    AGE,
    column("Version", |node, _| json!(text(node, "/status/nodeInfo/kubeletVersion"))),
    wide("Internal-IP", |node, _| node_address(node, "InternalIP")),
    wide("External-IP", |node, _| node_address(node, "ExternalIP")),
    wide("OS-Image", |node, _| text_or(node, "/status/nodeInfo/osImage", "<unknown>")),
    wide("Kernel-Version", |node, _| text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>")),
    wide("Container-Runtime", |node, _| {
        text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>")
    }),
];

pub(crate) const POD: &[Column] = &[
    NAME,
    column("Ready", |pod, _| pods::ready(pod)),
    column("Status", |pod, _| json!(pods::status(pod))),
    column("Restarts", pods::restarts),
    AGE,
    wide("IP", |pod, _| text_or(pod, "/status/podIP", "<none>")),
    wide("Node", |pod, _| text_or(pod, "/spec/nodeName", "<none>")),
    wide("Nominated Node", |pod, _| text_or(pod, "/status/nominatedNodeName", "<none>")),
    wide("Readiness Gates", |pod, _| pods::readiness_gates(pod)),
];

pub(crate) const CONFIG_MAP: &[Column] = &[
    NAME,
    number("Data", |object, _| {
        let count = |pointer: &str| map(object, pointer).map_or(0, serde_json::Map::len);
        (count("/data") + count("/binaryData")).into()
    }),
    AGE,
];

pub(crate) const SECRET: &[Column] = &[
    NAME,
    column("Type", |secret, _| json!(text(secret, "/type"))),
    number("Data", |secret, _| map(secret, "/data").map_or(0, serde_json::Map::len).into()),
    AGE,
];

pub(crate) const SERVICE_ACCOUNT: &[Column] =
    &[NAME, number("Secrets", |account, _| list(account, "/secrets").len().into()), AGE];

pub(crate) const ROLE: &[Column] =
    &[NAME, column("Created At", |role, _| json!(text(role, "/metadata/creationTimestamp")))];

pub(crate) const ROLE_BINDING: &[Column] = &[
    NAME,
    column("Role", |binding, _| {
        json!(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")))
    }),
    AGE,
    wide("Users", |binding, _| subjects(binding, "User")),
    wide("Groups", |binding, _| subjects(binding, "Group")),
    wide("ServiceAccounts", |binding, _| subjects(binding, "ServiceAccount")),
];

/// Subjects of one kind, as a cell.
fn subjects(binding: &Value, kind: &str) -> Value {
    let names = list(binding, "/subjects").iter().filter(|subject| text(subject, "/kind") == kind);
    let names = names.map(|subject| match text(subject, "/namespace") {
        "" => text(subject, "/name").to_owned(),
        namespace => format!("{namespace}/{}", text(subject, "/name")),
    });
    names.collect::<Vec<_>>().join(", ").into()
}

pub(crate) const LEASE: &[Column] =
    &[NAME, column("Holder", |lease, _| json!(text(lease, "/spec/holderIdentity"))), AGE];

pub(crate) const EVENT: &[Column] = &[
    column("Last Seen", event_last_seen),
    column("Type", |event, _| json!(text(event, "/type"))),
    column("Reason", |event, _| json!(text(event, "/reason"))),
    column("Object", |event, _| {
        let (kind, name) =
            (event_text(event, "involvedObject", "kind"), event_text(event, "involvedObject", "name"));
        format!("{}/{name}", kind.to_lowercase()).into()
    }),
    wide("Subobject", |event, _| json!(event_text(event, "involvedObject", "fieldPath"))),
    wide("Source", |event, _| event_source(event)),
    column("Message", |event, _| {
        let message = text(event, "/message");
        json!((if message.is_empty() { text(event, "/note") } else { message }).trim())
    }),
    wide("First Seen", event_first_seen),
    wide("Count", |event, _| {
        let count = integer(event, "/series/count").or_else(|| integer(event, "/count"));
        count.unwrap_or(1).max(1).to_string().into()
    }),
    wide("Name", |event, _| json!(name(event))),
];

const CONTAINERS: Column = wide("Containers", |object, _| containers(object, "name"));
const IMAGES: Column = wide("Images", |object, _| containers(object, "image"));
const SELECTOR: Column = wide("Selector", |object, _| selector_text(object.pointer("/spec/selector")).into());

pub(crate) const DEPLOYMENT: &[Column] = &[
    NAME,
    column("Ready", |object, _| {
        let ready = integer(object, "/status/readyReplicas").unwrap_or(0);
        format!("{ready}/{}", integer(object, "/spec/replicas").unwrap_or(0)).into()
    }),
    number("Up-to-date", |object, _| integer_or_zero(object, "/status/updatedReplicas")),
    number("Available", |object, _| integer_or_zero(object, "/status/availableReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const REPLICA_SET: &[Column] = &[
    NAME,
    number("Desired", |object, _| integer_or_zero(object, "/spec/replicas")),
    number("Current", |object, _| integer_or_zero(object, "/status/replicas")),
    number("Ready", |object, _| integer_or_zero(object, "/status/readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

pub(crate) const SERVICE: &[Column] = &[
    NAME,
    column("Type", |service, _| json!(text(service, "/spec/type"))),
    column("Cluster-IP", |service, _| text_or(service, "/spec/clusterIP", "<none>")),
    column("External-IP", |service, _| network::external_ip(service).into()),
    column("Port(s)", |service, _| network::service_ports(service).into()),
    AGE,
    wide("Selector", |service, _| network::plain_selector(service.pointer("/spec/selector")).into()),
];

pub(crate) const ENDPOINTS: &[Column] =
    &[NAME, column("Endpoints", |object, _| network::endpoints(object).into()), AGE];

pub(crate) const ENDPOINT_SLICE: &[Column] = &[
    NAME,
    column("AddressType", |slice, _| json!(text(slice, "/addressType"))),
    column("Ports", |slice, _| network::slice_ports(slice).into()),
    column("Endpoints", |slice, _| network::slice_endpoints(slice).into()),
    AGE,
];

pub(crate) const INGRESS: &[Column] = &[
    NAME,
    column("Class", |ingress, _| text_or(ingress, "/spec/ingressClassName", "<none>")),
    column("Hosts", |ingress, _| network::ingress_hosts(ingress).into()),
    column("Address", |ingress, _| network::balancer_addresses(ingress).into()),
    column("Ports", |ingress, _| json!(if list(ingress, "/spec/tls").is_empty() { "80" } else { "80, 443" })),
    AGE,
];

pub(crate) const INGRESS_CLASS: &[Column] = &[
    NAME,
    column("Controller", |class, _| json!(text(class, "/spec/controller"))),
    column("Parameters", |class, _| network::class_parameters(class).into()),
    AGE,
];

pub(crate) const NETWORK_POLICY: &[Column] = &[
    NAME,
    column("Pod-Selector", |policy, _| {
        let text = selector_text(policy.pointer("/spec/podSelector"));
        json!(if text.is_empty() { "<none>".to_owned() } else { text })
    }),
    AGE,
];

fn node_status(node: &Value) -> Value {
    let ready = list(node, "/status/conditions").iter().find(|condition| text(condition, "/type") == "Ready");
    let mut status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node.pointer("/spec/unschedulable").is_some_and(|on| *on == true) {
        status.push_str(",SchedulingDisabled");
    }
    status.into()
}

fn node_roles(node: &Value) -> Value {
    const PREFIX: &str = "node-role.kubernetes.io/";
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in map(node, "/metadata/labels").into_iter().flatten() {
        match key.strip_prefix(PREFIX) {
            Some(role) if !role.is_empty() => roles.push(role),
            _ if key == "kubernetes.io/role" => roles.push(value.as_str().unwrap_or_default()),
            _ => {}
        }
    }
    roles.sort_unstable();
    if roles.is_empty() { json!("<none>") } else { roles.join(",").into() }
}

fn node_address(node: &Value, kind: &str) -> Value {
    let found = list(node, "/status/addresses").iter().find(|address| text(address, "/type") == kind);
    found.map_or_else(|| json!("<none>"), |address| json!(text(address, "/address")))
}

fn containers(object: &Value, field: &str) -> Value {
    let containers = list(object, "/spec/template/spec/containers");
    let texts: Vec<&str> = containers.iter().map(|container| text(container, &format!("/{field}"))).collect();
    texts.join(",").into()
}

/// A field of the object an Event is about, in either form of Event.
fn event_text<'a>(event: &'a Value, object: &str, field: &str) -> &'a str {
    match text(event, &format!("/{object}/{field}")) {
        "" => text(event, &format!("/regarding/{field}")),
        found => found,
    }
}

fn event_source(event: &Value) -> Value {
    let component = match text(event, "/source/component") {
        "" => match text(event, "/reportingComponent") {
            "" => text(event, "/reportingController"),
            reporting => reporting,
        },
        component => component,
    };
    match text(event, "/source/host") {
        "" => component.into(),
        host => format!("{component}, {host}").into(),
    }
}

/// The first of the times that is set, as an age.
fn first_age(event: &Value, pointers: &[&str], now: Timestamp) -> Value {
    let pointer = pointers.iter().find(|pointer| !text(event, pointer).is_empty());
    pointer.map_or_else(|| json!("<unknown>"), |pointer| age_of(event, pointer, now).into())
}

fn event_last_seen(event: &Value, now: Timestamp) -> Value {
    let pointers = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/firstTimestamp",
    ];
    first_age(event, &pointers, now)
}

fn event_first_seen(event: &Value, now: Timestamp) -> Value {
    first_age(event, &["/firstTimestamp", "/deprecatedFirstTimestamp", "/eventTime"], now)
}
