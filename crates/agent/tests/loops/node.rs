//! The node loop in a real network namespace: names, rules and addresses follow the cluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use apply_kube::Target;
use netns::world;
use serde_json::{Value, json};
use types::{AgentAnswer, AgentRequest, Attachment, Mac, NodeNetwork, PodName};

use crate::test_node::TestNode;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 77);

fn mk_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "clusterIP": VIP, "ports": [{ "port": 80, "targetPort": 8080 }] },
    })
}

/// An endpoint that is the node itself, so that no Pod has to run.
fn mk_slice(port: u16) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["172.31.0.11"], "nodeName": "node-a", "conditions": { "ready": true } }],
        "ports": [{ "name": "", "port": port, "protocol": "TCP" }],
    })
}

/// How many changes a stage has written since the agent started.
fn written(node: &TestNode, stage: &str) -> u64 {
    let metrics = node.admin("/metrics").expect("ready");
    let name = format!("sealane_writes_total{{stage=\"{stage}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).expect("counted");
    line.parse().expect("a number")
}

#[test]
fn a_service_gets_its_name_and_its_rules_and_loses_both() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let listener = node.inside(|| TcpListener::bind("172.31.0.11:8080")).expect("bound");
        let backend = std::thread::spawn(move || listener.accept().map(drop));
        assert_eq!(node.resolve("web.default.svc.cluster.local"), None);
        node.create(&mk_slice(8080));
        node.create(&mk_service());
        let address = node.eventually("a name", |node| node.resolve("web.default.svc.cluster.local"));
        assert_eq!(address, VIP);
        // The name is there, so the rules are: no second try.
        let reached = node.inside(|| {
            let stream = TcpStream::connect_timeout(&SocketAddr::from((VIP, 80)), Duration::from_secs(5));
            stream.and_then(|mut stream| stream.read(&mut [0]))
        });
        reached.expect("the Service leads to its endpoint");
        backend.join().expect("no panic").expect("accepted");
        node.delete(&Target::namespaced("v1", "Service", "default", "web"));
        node.eventually("the name goes", |node| {
            node.resolve("web.default.svc.cluster.local").is_none().then_some(())
        });
    });
}

/// The status that a balancer is told; `None` where nobody listens.
fn health(node: &TestNode, port: u16) -> Option<String> {
    let answer = node.inside(|| {
        let mut stream = TcpStream::connect((Ipv4Addr::new(172, 31, 0, 11), port))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    });
    Some(answer.ok()?.split(' ').nth(1)?.to_owned())
}

#[test]
fn a_balancer_is_told_whether_the_node_has_endpoints() {
    world::test(|| {
        const PORT: u16 = 32_100;
        let mut node = TestNode::new();
        node.start_agent();
        assert_eq!(health(&node, PORT), None);
        let mut service = mk_service();
        service["spec"]["type"] = "LoadBalancer".into();
        service["spec"]["externalTrafficPolicy"] = "Local".into();
        service["spec"]["healthCheckNodePort"] = PORT.into();
        node.create(&service);
        let becomes = |status: Option<&str>| {
            node.eventually("a status", |node| (health(node, PORT).as_deref() == status).then_some(()));
        };
        becomes(Some("503"));
        node.create(&mk_slice(8080));
        becomes(Some("200"));
        node.delete(&Target::namespaced("discovery.k8s.io/v1", "EndpointSlice", "default", "web-1"));
        becomes(Some("503"));
        node.delete(&Target::namespaced("v1", "Service", "default", "web"));
        becomes(None);
    });
}

#[test]
fn the_plugin_is_installed_once_it_can_serve_and_put_back_when_it_is_removed() {
    world::test(|| {
        let mut node = TestNode::new();
        let installed = world::scratch("installed");
        node.install_plugin_below(&installed);
        node.start_agent();
        let config = installed.join("net.d/05-sealane.conflist");
        let network = world::scratch("state").join("network.json");
        node.eventually("the configuration", |_| config.exists().then_some(()));
        assert!(network.exists(), "a runtime that finds the configuration may call ADD at once");
        let own = std::fs::read("/proc/self/exe").expect("this test");
        assert_eq!(std::fs::read(installed.join("bin/sealane")).expect("there"), own);
        std::fs::remove_file(&config).expect("removed");
        // Whatever makes a new plan also looks after the files.
        node.create(&mk_service());
        node.eventually("the configuration again", |_| config.exists().then_some(()));
    });
}

#[test]
fn a_killed_agent_leaves_the_kernel_as_it_is_and_its_restart_writes_nothing() {
    world::test(|| {
        let mut node = TestNode::new();
        node.create(&mk_slice(8080));
        node.create(&mk_service());
        node.start_agent();
        node.eventually("a name", |node| node.resolve("web.default.svc.cluster.local"));
        assert!(written(&node, "netlink") > 0 && written(&node, "nft") > 0);
        node.kill_agent();
        let listener = node.inside(|| TcpListener::bind("172.31.0.11:8080")).expect("bound");
        let reached =
            node.inside(|| TcpStream::connect_timeout(&SocketAddr::from((VIP, 80)), Duration::from_secs(5)));
        reached.expect("traffic flows without an agent");
        drop(listener);
        node.start_agent();
        assert_eq!(node.resolve("web.default.svc.cluster.local"), Some(VIP));
        assert_eq!((written(&node, "netlink"), written(&node, "nft")), (0, 0), "{:?}", node.admin("/report"));
    });
}

#[test]
fn a_pod_may_start_once_the_cluster_says_what_isolates_it() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        let network: NodeNetwork = node.eventually("network.json", |node| {
            serde_json::from_slice(&node.read_state("network.json")?).ok()
        });
        assert_eq!(network.pod_cidrs, ["10.244.0.0/24".to_owned().try_into().expect("prefix")]);
        assert!(matches!(node.ask_agent(&AgentRequest::Status), AgentAnswer::Ready { .. }));
        let added = AgentRequest::Added { container_id: "c1".into(), ifname: "eth0".into() };
        assert!(
            matches!(node.ask_agent(&added), AgentAnswer::TryLater { .. }),
            "there is no such attachment"
        );
        node.attach(&Attachment {
            container_id: "c1".into(),
            ifname: "eth0".into(),
            netns: "/run/netns/none".into(),
            pod: Some(PodName::new("default", "db")),
            addresses: vec![Ipv4Addr::new(10, 244, 0, 9).into()],
            host_link: "sl0".into(),
            host_mac: Mac::derived("host"),
            pod_mac: Mac::derived("pod"),
            link: None,
            origin: types::LinkOrigin::Own,
            port_mappings: Vec::new(),
            bandwidth: types::Bandwidth::default(),
        });
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "deny", "namespace": "default" },
            "spec": { "podSelector": { "matchLabels": { "app": "db" } }, "policyTypes": ["Ingress"] },
        });
        node.create(&policy);
        let answer = std::thread::scope(|scope| {
            let asking = scope.spawn(|| node.ask_agent(&added));
            node.create(&json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "db", "namespace": "default", "labels": { "app": "db" } },
                "spec": { "nodeName": "node-a", "containers": [{ "name": "main", "image": "example" }] },
            }));
            asking.join().expect("no panic")
        });
        assert!(matches!(answer, AgentAnswer::Ready { .. }), "{answer:?}");
        let plan: Value = serde_json::from_str(&node.admin("/plan").expect("ready")).expect("json");
        let isolation = &plan["policy"]["pods"]["10.244.0.9"]["ingress"]["policies"];
        assert_eq!(isolation, &json!(["default/deny"]));
    });
}

#[test]
fn a_node_goes_on_while_the_api_is_away_and_catches_up() {
    world::test(|| {
        let mut node = TestNode::new();
        node.start_agent();
        node.create(&mk_slice(8080));
        node.create(&mk_service());
        node.eventually("a name", |node| node.resolve("web.default.svc.cluster.local"));
        node.stop_api();
        assert!(matches!(node.ask_agent(&AgentRequest::Status), AgentAnswer::Ready { .. }));
        assert_eq!(node.resolve("web.default.svc.cluster.local"), Some(VIP));
        node.restart_api();
        let mut other = mk_service();
        other["metadata"]["name"] = json!("other");
        other["spec"]["clusterIP"] = json!("10.96.0.78");
        node.create(&other);
        node.eventually("what came since", |node| node.resolve("other.default.svc.cluster.local"));
        assert_eq!(node.resolve("web.default.svc.cluster.local"), Some(VIP));
    });
}
