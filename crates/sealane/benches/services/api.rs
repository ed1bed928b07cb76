//! As much of an API server as kube-proxy asks: lists and watches of a handful of kinds, over plain HTTP.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::cluster::{NAMESPACE, NODE_ADDRESS, NODE_POD_RANGE, Port, SERVICE_RANGE, Service, Size};

/// Where it listens, and what it has.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Objects by the last word of their path.
    objects: BTreeMap<&'static str, Vec<Value>>,
    watchers: Vec<(String, Sender<Value>)>,
    version: u64,
}

impl Api {
    /// Listens in the namespace of this thread, with every Service of a cluster.
    pub(crate) fn open(size: Size) -> Self {
        let services = size.all();
        let objects = BTreeMap::from([
            ("nodes", vec![node()]),
            ("servicecidrs", vec![service_cidr()]),
            ("services", services.iter().map(service).collect()),
            ("endpointslices", services.iter().map(slice).collect()),
        ]);
        let state = Arc::new(Mutex::new(State { objects, watchers: Vec::new(), version: 1 }));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                // A client may hang up at any time.
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, state }
    }

    pub(crate) fn put_service(&self, changed: &Service) {
        self.tell("services", "ADDED", service(changed));
    }

    pub(crate) fn put_endpoints(&self, changed: &Service, event: &str) {
        self.tell("endpointslices", event, slice(changed));
    }

    fn tell(&self, kind: &str, event: &str, mut object: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let event = json!({"type": event, "object": object});
        state.watchers.retain(|(watched, to)| watched != kind || to.send(event.clone()).is_ok());
    }
}

impl State {
    /// Everything there is of a kind, and the event that says so (KEP-3157).
    fn begin(&self, kind: &str, to: &Sender<Value>) {
        let items = self.objects.get(kind).map(Vec::as_slice).unwrap_or_default();
        for item in items {
            // A watch that has ended already needs nothing.
            let _ = to.send(json!({"type": "ADDED", "object": item}));
        }
        let Some(mut mark) = items.first().cloned() else { return };
        mark["metadata"] = json!({
            "resourceVersion": self.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"},
        });
        let _ = to.send(json!({"type": "BOOKMARK", "object": mark}));
    }
}

/// Answers requests on one connection until the client leaves.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let mut from = BufReader::new(stream);
    let mut to = stream;
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut header = String::new();
            from.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if header.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        let mut words = line.split(' ');
        let (verb, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let kind = path.rsplit('/').next().unwrap_or_default();
        if query.split('&').any(|pair| pair == "watch=true" || pair == "watch=1") {
            let (sender, events) = channel();
            let mut state = state.lock().unwrap();
            if query.contains("sendInitialEvents=true") {
                state.begin(kind, &sender);
            }
            state.watchers.push((kind.to_owned(), sender));
            drop(state);
            return watch(to, &events);
        }
        let (status, body) = match verb {
            "POST" => ("201 Created", body),
            "GET" => get(path, kind, &state.lock().unwrap()),
            _ => ("405 Method Not Allowed", Vec::new()),
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        to.write_all(head.as_bytes())?;
        to.write_all(&body)?;
    }
}

fn get(path: &str, kind: &str, state: &State) -> (&'static str, Vec<u8>) {
    let group = path.trim_start_matches("/apis/").trim_start_matches("/api/");
    let version = group.rsplit_once('/').map_or(group, |(version, _)| version);
    if let Some(items) = state.objects.get(kind) {
        let metadata = json!({"resourceVersion": state.version.to_string()});
        let list =
            json!({"apiVersion": version, "kind": list_kind(kind), "metadata": metadata, "items": items});
        return ("200 OK", list.to_string().into_bytes());
    }
    if path.ends_with("/nodes/node-a") {
        return ("200 OK", node().to_string().into_bytes());
    }
    let status =
        json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    ("404 Not Found", status.to_string().into_bytes())
}

/// Passes events on until the client leaves.
fn watch(mut to: &TcpStream, events: &Receiver<Value>) -> io::Result<()> {
    to.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    for event in events {
        let line = format!("{event}\n");
        to.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes())?;
    }
    Ok(())
}

fn list_kind(kind: &str) -> &'static str {
    match kind {
        "nodes" => "NodeList",
        "servicecidrs" => "ServiceCIDRList",
        "services" => "ServiceList",
        _ => "EndpointSliceList",
    }
}

fn metadata(name: &str) -> Value {
    json!({
        "name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:00Z",
    })
}

fn node() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a", "uid": "node-a", "resourceVersion": "1"},
        "spec": {"podCIDR": NODE_POD_RANGE, "podCIDRs": [NODE_POD_RANGE]},
        "status": {"addresses": [{"type": "InternalIP", "address": NODE_ADDRESS.to_string()}]},
    })
}

fn service_cidr() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes", "uid": "kubernetes", "resourceVersion": "1"},
        "spec": {"cidrs": [SERVICE_RANGE]},
        "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    })
}

fn service(service: &Service) -> Value {
    let address = service.cluster_ip.to_string();
    let port = |Port { name, protocol, number }: &Port| json!({"name": name, "protocol": protocol.to_uppercase(), "port": number, "targetPort": number});
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(&service.name),
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "selector": {"app": service.name},
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None", "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
        },
        "status": {"loadBalancer": {}},
    })
}

fn slice(service: &Service) -> Value {
    let mut metadata = metadata(&format!("{}-x4k2p", service.name));
    metadata["labels"] = json!({"kubernetes.io/service-name": service.name});
    let node = if service.is_local { "node-a" } else { "node-b" };
    let endpoint = |address: &Ipv4Addr| {
        json!({
            "addresses": [address.to_string()], "nodeName": node,
            "conditions": {"ready": true, "serving": true, "terminating": false},
        })
    };
    let port = |Port { name, protocol, number }: &Port| json!({"name": name, "protocol": protocol.to_uppercase(), "port": number});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4",
        "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
        "endpoints": service.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
