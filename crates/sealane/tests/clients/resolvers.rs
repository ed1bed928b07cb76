//! The resolvers that programs in Pods have: glibc's, musl's, Go's, and `dig` as what people ask with.

use std::collections::BTreeSet;
use std::path::Path;

use crate::bed::can_run;
use crate::lab::Lab;
use crate::tools;

/// Endpoints of the Service `crowd`: more than fit any datagram.
const CROWD: u8 = 150;

/// A lab with the Services of `cluster.yaml`, and a Pod to ask from.
struct Cluster {
    lab: Lab,
}

impl Cluster {
    fn start(test: &str) -> Self {
        let lab = Lab::up_with(test, &["--nodes", "1", "--ip-family", "dual"]);
        lab.prepare("dns", &[]);
        std::fs::write(lab.folder().join("crowd.yaml"), crowd()).unwrap();
        lab.all(&[
            ("kubectl apply -f cluster.yaml -f crowd.yaml", "chain created|crowd created"),
            ("kubectl run asker -n shop --image=busybox -- sleep 3600", "created"),
            ("kubectl wait -n shop pod/asker --for=condition=Ready --timeout=60s", "condition met"),
        ]);
        Self { lab }
    }

    /// What a program of the Pod prints.
    fn run(&self, program: &str, arguments: &str) -> String {
        let ran = self.lab.shell(&format!("kubectl exec -n shop asker -- {program} {arguments}"));
        assert_eq!(ran.code, Some(0), "{program} {arguments}: {}", ran.out);
        ran.out
    }

    fn cluster_ips(&self, service: &str, namespace: &str) -> BTreeSet<String> {
        let get =
            format!("kubectl get service {service} -n {namespace} -o jsonpath='{{.spec.clusterIPs[*]}}'");
        words(&self.lab.shell(&get).out)
    }

    /// Names as a Pod of Namespace `shop` writes them, and what they lead to.
    fn names(&self) -> Vec<(&'static str, BTreeSet<String>)> {
        let web = self.cluster_ips("web", "shop");
        assert_eq!(web.len(), 2, "an address of each family");
        let crowd = (0..CROWD).map(|last| format!("10.244.210.{last}")).collect();
        vec![
            ("web", web.clone()),
            ("WEB.shop", web.clone()),
            ("web.shop.svc", web.clone()),
            ("web.shop.svc.cluster.local", web.clone()),
            ("web.shop.svc.cluster.local.", web.clone()),
            ("web.svc", self.cluster_ips("web", "svc")),
            ("inside", web.clone()),
            ("chain.empty", web),
            ("kubernetes.default", self.cluster_ips("kubernetes", "default")),
            ("db", words("10.244.201.1 10.244.201.2 10.244.201.4 fd00:10:244:99:1::1 fd00:10:244:99:1::2")),
            ("db-0.db", words("10.244.201.1 fd00:10:244:99:1::1")),
            ("db-2.db", BTreeSet::new()),
            ("waiting", BTreeSet::new()),
            ("missing.shop.svc.cluster.local.", BTreeSet::new()),
            ("crowd", crowd),
        ]
    }
}

fn crowd() -> String {
    let endpoint = |last: u8| format!("{{ addresses: [10.244.210.{last}], conditions: {{ ready: true }} }}");
    let endpoints = (0..CROWD).map(endpoint).collect::<Vec<_>>().join(", ");
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: crowd, namespace: shop }}\nspec: {{ clusterIP: None }}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{ name: crowd-1, namespace: shop, labels: {{ kubernetes.io/service-name: crowd }} }}\n\
         addressType: IPv4\nendpoints: [{endpoints}]\n"
    )
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Has a program resolve every name, and compares.
fn check(cluster: &Cluster, program: &Path, takes_tcp: bool) {
    let names = cluster.names();
    let arguments: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    let printed = cluster.run(&program.display().to_string(), &arguments.join(" "));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), names.len(), "{printed}");
    for (line, (name, expected)) in lines.iter().zip(&names) {
        let found = words(line.strip_prefix(name).unwrap_or(line));
        if *name == "crowd" && !takes_tcp {
            assert!(!found.is_empty() && found.is_subset(expected), "{}: {line}", program.display());
        } else {
            assert_eq!(&found, expected, "{}: {line}", program.display());
        }
    }
}

#[test]
fn every_resolver_resolves() {
    let test = "every_resolver_resolves";
    // musl asks again over TCP since 1.2.4; before, a cut answer is what it has.
    let resolvers = [("resolve-glibc", true), ("resolve-musl", false), ("resolve-go", true)];
    let found = resolvers.map(|(name, takes_tcp)| Some((tools::find(test, name)?, takes_tcp)));
    if found.iter().all(Option::is_none) || !can_run(test) {
        return;
    }
    let cluster = Cluster::start(test);
    for (program, takes_tcp) in found.into_iter().flatten() {
        check(&cluster, &program, takes_tcp);
    }
}

#[test]
fn dig_sees_what_the_specification_says() {
    let test = "dig_sees_what_the_specification_says";
    if tools::of_this_machine(test, "dig", &["-v"]).is_none() || !can_run(test) {
        return;
    }
    let cluster = Cluster::start(test);
    let (full, plain) = ("web.shop.svc.cluster.local", "+noall +answer +comments");
    for (arguments, parts) in [
        (format!("{plain} {full}"), "status: NOERROR|flags: qr aa rd ra|udp: 1232"),
        (format!("{plain} +search web"), "status: NOERROR|web.shop.svc.cluster.local. 5"),
        (format!("{plain} +tcp {full} AAAA"), "status: NOERROR|AAAA"),
        (
            format!("{plain} +noedns crowd.shop.svc.cluster.local"),
            ";; Truncated, retrying in TCP mode.|ANSWER: 150",
        ),
        (format!("{plain} SRV _http._tcp.{full}"), &*format!("SRV\t0 100 80 {full}.")),
        (format!("{plain} TXT dns-version.cluster.local"), "\"1.1.0\""),
        (format!("{plain} missing.shop.svc.cluster.local"), "status: NXDOMAIN"),
        (format!("{plain} {full} MX"), "status: NOERROR|ANSWER: 0"),
        ("+short -x 10.244.202.1".to_owned(), "twin.twins.shop.svc.cluster.local."),
        ("+noall +comments AXFR cluster.local".to_owned(), "Transfer failed."),
    ] {
        let printed = cluster.run("dig", &arguments);
        for part in parts.split('|') {
            let squeezed = printed.replace("\t\t", "\t");
            let is_there = squeezed.contains(part) || squeezed.replace('\t', " ").contains(part);
            assert!(is_there, "dig {arguments}: no `{part}` in:\n{printed}");
        }
    }
}
