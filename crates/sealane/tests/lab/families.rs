//! Labs of IPv6, and of both families: everything that works with IPv4 works in each family that the lab has.

use std::net::{IpAddr, SocketAddr};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::bed::{Bed, can_run};
use crate::cluster::{Cluster, Seen};

const WORLD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: default, labels: {role: client}}
spec:
  nodeName: node-a
  containers:
    - {name: c, image: example.com/a, ports: [{containerPort: 8080}],
       env: [{name: POD_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}},
             {name: HOST_IPS, valueFrom: {fieldRef: {fieldPath: status.hostIPs}}}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: default, labels: {app: web}}
spec:
  nodeName: node-b
  containers:
    - {name: c, image: example.com/b, ports: [{containerPort: 8080, hostPort: 8088}],
       readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}}
---
apiVersion: v1
kind: Pod
metadata: {name: c, namespace: default}
spec: {nodeName: node-c, containers: [{name: c, image: example.com/c, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: writer, namespace: default}
spec: {nodeName: node-c, containers: [{name: c, image: busybox, command: [sh, -c, 'echo written; sleep 1000']}]}
---
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: default}
spec: {nodeName: node-c, hostNetwork: true, containers: [{name: c, image: example.com/h, ports: [{containerPort: 8181}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {type: LoadBalancer, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: each, namespace: default}
spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: default}
spec:
  rules:
    - host: web.example.com
      http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}
";

fn addresses(list: &Value, field: &str) -> Vec<IpAddr> {
    let all = list.as_array().unwrap_or_else(|| panic!("no list of addresses: {list}"));
    let text = |entry: &Value| entry[field].as_str().or(entry.as_str()).unwrap().to_owned();
    all.iter().map(|entry| text(entry).parse().unwrap()).collect()
}

/// The address of each family is there, and no other.
fn check_families(what: &str, addresses: &[IpAddr], families: &str) {
    let shown: String = addresses.iter().map(|address| if address.is_ipv4() { '4' } else { '6' }).collect();
    assert_eq!(shown, families, "{what}: {addresses:?}");
}

/// The first address of each of these ranges.
fn first_addresses(ranges: &Value) -> Vec<IpAddr> {
    let all =
        ranges.as_array().unwrap().iter().map(|range| range.as_str().unwrap().split('/').next().unwrap());
    all.map(|address| address.parse().unwrap()).collect()
}

fn url(address: IpAddr, port: u16) -> String {
    format!("http://{}/", SocketAddr::new(address, port))
}

/// Who asked, as the one that answered saw it.
fn client(seen: &Seen) -> IpAddr {
    seen.said("client").parse::<SocketAddr>().unwrap_or_else(|error| panic!("{error}: {seen:?}")).ip()
}

/// A lab of these families (`6`, or `46`), with its Pods ready.
struct World {
    cluster: Cluster,
    families: &'static str,
}

impl World {
    fn pod(&self, name: &str) -> Vec<IpAddr> {
        self.cluster.ready_pod("default", name);
        let status = self.cluster.pod("default", name)["status"].clone();
        let own = addresses(&status["podIPs"], "ip");
        check_families(name, &own, self.families);
        check_families(name, &addresses(&status["hostIPs"], "ip"), self.families);
        assert_eq!(status["podIP"], own[0].to_string());
        own
    }

    fn service(&self) -> Value {
        self.cluster.get("/api/v1/namespaces/default/services/web").unwrap()
    }

    /// What a request from beyond the nodes sees, once it is answered.
    fn outside(&self, url: &str) -> Seen {
        self.outside_with(&[url])
    }

    fn outside_with(&self, probe: &[&str]) -> Seen {
        self.cluster.wait(&format!("{probe:?} is answered outside"), || {
            let words = ["lab", "exec", "--outside", "--", env!("CARGO_BIN_EXE_sealane"), "probe"];
            let words = [&words[..], &["--output", "json", "http"], probe].concat();
            let output = self.cluster.bed.run(&words);
            let seen: Seen = serde_json::from_slice(&output.stdout).ok()?;
            (seen.status == Some(200)).then_some(seen)
        })
    }

    fn records(&self, question: &[&str]) -> Vec<String> {
        let output = self.cluster.exec(
            "default",
            "a",
            &[&["sealane", "probe", "--output", "json", "dns"], question].concat(),
        );
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let records = told["records"].as_array().cloned().unwrap_or_default();
        records.iter().map(|record| record.as_str().unwrap().to_owned()).collect()
    }

    /// Pods of other nodes see each other's own addresses, directly and through the Service.
    fn check_pods(&self) {
        let (a, b) = (self.pod("a"), self.pod("b"));
        for (own, far) in a.iter().zip(&b) {
            let seen = self.cluster.answered("default", "a", &url(*far, 8080));
            assert_eq!((seen.said("pod").as_str(), client(&seen)), ("b", *own));
        }
        let vips = addresses(&self.service()["spec"]["clusterIPs"], "");
        check_families("cluster addresses", &vips, self.families);
        for (own, vip) in a.iter().zip(&vips) {
            let seen = self.cluster.answered("default", "a", &url(*vip, 80));
            assert_eq!((seen.said("pod").as_str(), client(&seen)), ("b", *own));
        }
        assert_eq!(self.cluster.answered("default", "c", "http://web/").said("pod"), "b");
        // The node is a client of its Pods in the host network, and they have its addresses.
        self.pod("host");
        assert_eq!(self.cluster.answered("default", "host", &url(b[0], 8080)).said("pod"), "b");
    }

    /// Every way in from beyond the nodes.
    fn check_outside(&self) {
        let node_port = self.service()["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
        let node = |name: &str| {
            let node = self.cluster.get(&format!("/api/v1/nodes/{name}")).unwrap();
            let all = node["status"]["addresses"].as_array().unwrap();
            let own = all.iter().filter(|address| address["type"] == "InternalIP").cloned();
            addresses(&own.collect(), "address")
        };
        for address in node("node-c") {
            assert_eq!(self.outside(&url(address, u16::try_from(node_port).unwrap())).said("pod"), "b");
        }
        for address in node("node-b") {
            assert_eq!(self.outside(&url(address, 8088)).said("pod"), "b", "the host port");
        }
        let balancer = self.cluster.wait("the load balancer has its addresses", || {
            let status = self.service()["status"]["loadBalancer"]["ingress"].clone();
            status.is_array().then(|| addresses(&status, "ip")).filter(|all| all.len() == self.families.len())
        });
        for address in balancer {
            assert_eq!(self.outside(&url(address, 80)).said("pod"), "b");
        }
        for address in self.pod("b") {
            assert_eq!(self.outside(&url(address, 8080)).said("pod"), "b", "a Pod's own address");
        }
        let entry = self.cluster.info["http"].as_str().unwrap().to_owned();
        let seen = self.cluster.wait("the Ingress is served", || {
            let words = ["probe", "--output", "json", "http", "http://web.example.com/", "--connect", &entry];
            let seen: Seen = serde_json::from_slice(&self.cluster.bed.run(&words).stdout).ok()?;
            (seen.status == Some(200)).then_some(seen)
        });
        assert_eq!(seen.said("pod"), "b");
        for address in node("node-c") {
            let entry = SocketAddr::new(address, 80).to_string();
            let seen = self.outside_with(&["http://web.example.com/", "--connect", &entry]);
            assert_eq!(seen.said("pod"), "b", "the entry at {address}");
        }
        let ingress = "/apis/networking.k8s.io/v1/namespaces/default/ingresses/web";
        let shown = self.cluster.get(ingress).unwrap()["status"]["loadBalancer"]["ingress"].clone();
        let families: std::collections::BTreeSet<bool> =
            addresses(&shown, "ip").iter().map(IpAddr::is_ipv4).collect();
        assert_eq!(families.len(), self.families.len(), "{shown}");
    }

    /// A and AAAA of both kinds of Services, and the way back from an address to its name.
    fn check_names(&self) {
        let vips = addresses(&self.service()["spec"]["clusterIPs"], "");
        for (name, wanted) in [("web", &vips), ("each", &self.pod("b"))] {
            let name = format!("{name}.default.svc.cluster.local");
            for (kind, is_v4) in [("A", true), ("AAAA", false)] {
                let of_kind = wanted.iter().filter(|address| address.is_ipv4() == is_v4);
                let listed: Vec<String> = of_kind.map(|address| format!("{kind} {address}")).collect();
                let found = self.records(&[&name, "--type", kind]);
                assert_eq!(found.len(), listed.len(), "{name} {kind}: {found:?}");
                assert!(
                    found.iter().zip(&listed).all(|(found, wanted)| found.ends_with(wanted)),
                    "{found:?}"
                );
            }
        }
        for address in vips {
            let found = self.records(&[&reverse(address), "--type", "PTR"]);
            assert!(found.len() == 1 && found[0].contains("web.default.svc.cluster.local"), "{found:?}");
        }
    }

    /// Only the block of one Pod's address may come in.
    fn check_policy(&self) {
        let blocks: Vec<Value> = self
            .pod("a")
            .iter()
            .map(|address| {
                let len = if address.is_ipv4() { 32 } else { 128 };
                json!({ "ipBlock": { "cidr": format!("{address}/{len}") } })
            })
            .collect();
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "guard" },
            "spec": { "podSelector": { "matchLabels": { "app": "web" } }, "ingress": [{ "from": blocks }] },
        });
        self.cluster.post("/apis/networking.k8s.io/v1/namespaces/default/networkpolicies", &policy);
        for address in self.pod("b") {
            let url = url(address, 8080);
            self.cluster.wait(&format!("c no longer reaches {url}"), || {
                let seen = self.cluster.probe("default", "c", &["http", &url, "--timeout", "500"]).pop()?;
                (!seen.ok).then_some(())
            });
            assert_eq!(self.cluster.answered("default", "a", &url).said("pod"), "b");
            let told = |from: &str| self.told(&["explain", from, "pod/b:8080"]);
            assert!(told("a").1 && !told("c").1, "{}{}", told("a").0, told("c").0);
        }
    }

    fn told(&self, words: &[&str]) -> (String, bool) {
        let output = self.cluster.bed.run(words);
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&text).into_owned(), output.status.success())
    }

    /// What a person does with Pods, and what the program says of the lab.
    fn check_tools(&self) {
        self.pod("writer");
        self.cluster.wait("the log is there", || {
            self.cluster.log("default", "writer").contains("written").then_some(())
        });
        let a: Vec<String> = self.pod("a").iter().map(ToString::to_string).collect();
        let shown = self.cluster.exec("default", "a", &["sh", "-c", "echo $POD_IPS"]);
        let shown = String::from_utf8_lossy(&shown.stdout).trim().to_owned();
        // A stand-in is no process that could tell; its environment is what `exec` gives.
        assert!(shown.is_empty() || shown == a.join(","), "{shown}");
        let resolver = self.cluster.exec("default", "writer", &["cat", "/etc/resolv.conf"]);
        let dns = if self.families == "6" { "nameserver fd00:10:96::a" } else { "nameserver 10.96.0.10" };
        assert!(String::from_utf8_lossy(&resolver.stdout).contains(dns));
        for words in [
            &["explain", "a", "web:80"][..],
            &["explain", "a", "http://each.default.svc.cluster.local:8080/"],
            &["explain", "node/node-c", "pod/a:8080"],
            &["explain", "outside", "http://web.example.com/"],
            &["status"],
            &["lab", "check"],
            &["lab", "status"],
        ] {
            let (text, is_good) = self.told(words);
            assert!(is_good, "{words:?}: {text}");
        }
        let (status, _) = self.told(&["status", "--node", "node-a"]);
        let tunnel = if self.families == "6" { "1430" } else { "1450" };
        assert!(status.contains(tunnel), "{status}");
    }
}

/// The name in the reverse zone (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}

fn check(test: &str, name: &str, flags: &[&str], families: &'static str) {
    let Some(cluster) = Cluster::open(test, name, flags) else { return };
    cluster.create(WORLD);
    let world = World { cluster, families };
    world.check_pods();
    world.check_names();
    world.check_outside();
    world.check_tools();
    world.check_policy();
}

#[test]
fn a_lab_of_ipv6_does_all_that_a_lab_does() {
    let flags = ["--ip-family", "ipv6"];
    check("a_lab_of_ipv6_does_all_that_a_lab_does", "ipv6", &flags, "6");
}

#[test]
fn a_lab_of_both_families_does_all_that_a_lab_does_in_both() {
    let flags = ["--ip-family", "dual"];
    check("a_lab_of_both_families_does_all_that_a_lab_does_in_both", "dual", &flags, "46");
}

#[test]
fn a_lab_of_both_families_does_all_that_a_lab_does_on_bridges() {
    let flags = ["--ip-family", "dual", "--pod-links", "bridge"];
    check("a_lab_of_both_families_does_all_that_a_lab_does_on_bridges", "dual-bridges", &flags, "46");
}

#[test]
fn a_data_directory_keeps_its_families() {
    let test = "a_data_directory_keeps_its_families";
    if !can_run(test) {
        return;
    }
    let bed = Bed::new("kept");
    let data = bed.dir.join("data");
    let data = data.to_str().unwrap().to_owned();
    let flags = ["--ip-family", "dual", "--data-dir", &data];
    let mut cluster = Cluster::up(bed, &flags);
    let kept = cluster.get("/api/v1/nodes/node-a").unwrap()["spec"].clone();
    check_families("Pod ranges", &first_addresses(&kept["podCIDRs"]), "46");
    cluster.again(Signal::SIGTERM, &flags);
    assert_eq!(cluster.get("/api/v1/nodes/node-a").unwrap()["spec"], kept);
    let other = Bed::new("kept-other");
    cluster.end();
    let refused = other.run(&["lab", "run", "--data-dir", &data, "--", "true"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("start it with --ip-family dual"), "{why}");
    assert_eq!(refused.status.code(), Some(1));
}
