//! The same loops against a real kube-apiserver with etcd, with the rights of `deploy/rbac.yaml` and no others.
//!
//! It needs `KUBEBUILDER_ASSETS`, as controller-runtime's envtest does: a directory with `etcd` and `kube-apiserver`.

use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use apply_kube::{Target, Writer};
use apply_netlink::Netlink;
use apply_netlink::underlay::Port;
use netns::{Netns, run_in, world};
use serde_json::{Value, json};
use serve_api::Credentials;
use tokio::runtime::Runtime;
use types::{NETWORK_ANNOTATION, NamespacedName, ObjectRef};
use watch::Access;

use crate::server::eventually;
use crate::test_node::{Agent, mk_settings_v4, resolve_in};

const API: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(172, 31, 0, 1)), 6443);
const ETCD: &str = "http://127.0.0.1:2379";
const NODES: [(&str, Ipv4Addr); 2] =
    [("node-a", Ipv4Addr::new(172, 31, 0, 11)), ("node-b", Ipv4Addr::new(172, 31, 0, 12))];
const VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 77);
/// Who asked and how it ended, for each request.
const AUDIT_POLICY: &str =
    r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}"#;

/// etcd and the API server; they end with this value.
struct ControlPlane {
    assets: PathBuf,
    directory: PathBuf,
    credentials: Credentials,
    etcd: Child,
    api: Child,
}

impl ControlPlane {
    fn start(assets: &Path) -> Self {
        let directory = world::scratch("control-plane");
        let credentials = Credentials::generate().expect("credentials");
        let (certificate, key) = credentials.server_certificate().expect("a certificate");
        for (name, text) in [
            ("ca.crt", credentials.authority_pem()),
            ("server.crt", &certificate),
            ("server.key", &key),
            ("audit.yaml", AUDIT_POLICY),
        ] {
            fs::write(directory.join(name), text).expect("written");
        }
        let mut etcd = logged(&assets.join("etcd"), &directory.join("etcd.log"));
        etcd.arg("--data-dir").arg(directory.join("etcd"));
        etcd.args(["--unsafe-no-fsync", "--listen-client-urls", ETCD, "--advertise-client-urls", ETCD]);
        let etcd = etcd.spawn().expect("etcd starts");
        let api = start_api(assets, &directory);
        Self { assets: assets.to_owned(), directory, credentials, etcd, api }
    }

    fn restart_api(&mut self) {
        self.stop_api();
        self.api = start_api(&self.assets, &self.directory);
    }

    fn stop_api(&mut self) {
        self.api.kill().expect("it runs");
        self.api.wait().expect("its end");
    }

    /// The client configuration of the administrator.
    fn administrator(&self) -> PathBuf {
        let file = self.directory.join("admin.kubeconfig");
        let text = serve_api::kubeconfig(&self.credentials, &format!("https://{API}"));
        fs::write(&file, text).expect("written");
        file
    }

    /// The client configuration of somebody who has this token.
    fn kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let file = self.directory.join(format!("{name}.kubeconfig"));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{ "name": "it", "cluster": {
                "server": format!("https://{API}"), "certificate-authority": self.directory.join("ca.crt"),
            } }],
            "users": [{ "name": "it", "user": { "token": token } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "it" } }],
        });
        fs::write(&file, config.to_string()).expect("written");
        file
    }

    /// Every request that has ended, as the API server noted it.
    fn audited(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.join("audit.log")).expect("it is noted");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for child in [&mut self.api, &mut self.etcd] {
            // One that has ended is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.directory.join("api.log")).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            println!("the API server said at last, latest first:\n{}", tail.join("\n"));
        }
    }
}

fn logged(program: &Path, log: &Path) -> Command {
    let log = File::options().create(true).append(true).open(log).expect("a log");
    let mut command = Command::new(program);
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command
}

fn start_api(assets: &Path, directory: &Path) -> Child {
    let mut api = logged(&assets.join("kube-apiserver"), &directory.join("api.log"));
    for (flag, file) in [
        ("--client-ca-file", "ca.crt"),
        ("--tls-cert-file", "server.crt"),
        ("--tls-private-key-file", "server.key"),
        // Tokens are signed with the same key, and proved with the same certificate.
        ("--service-account-signing-key-file", "server.key"),
        ("--service-account-key-file", "server.crt"),
        ("--audit-policy-file", "audit.yaml"),
        ("--audit-log-path", "audit.log"),
    ] {
        api.arg(flag).arg(directory.join(file));
    }
    let address = API.ip().to_string();
    api.args(["--bind-address", &address, "--advertise-address", &address, "--secure-port", "6443"]);
    api.args(["--etcd-servers", ETCD, "--authorization-mode", "RBAC"]);
    api.args(["--service-cluster-ip-range", "10.96.0.0/16"]);
    api.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
    api.spawn().expect("the API server starts")
}

/// Where the programs are, or none with the reason said.
fn assets(test: &str) -> Option<PathBuf> {
    let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) else {
        println!("sealane-skip: {test}: KUBEBUILDER_ASSETS names no directory with etcd and kube-apiserver");
        return None;
    };
    for program in ["etcd", "kube-apiserver"] {
        if !assets.join(program).is_file() {
            println!(
                "sealane-skip: {test}: there is no {program} in KUBEBUILDER_ASSETS, {}",
                assets.display()
            );
            return None;
        }
    }
    Some(assets)
}

/// Joins the nodes' namespaces; the API server is on the bridge.
fn join_nodes() -> Vec<Netns> {
    let mut outside = Netlink::open().expect("netlink");
    outside.make_underlay(&"slbr0".into(), API.ip(), 24).expect("bridge");
    let join = |(name, address): (&str, Ipv4Addr)| {
        let netns = Netns::create(&world::netns_path(name)).expect("namespace");
        let port = Port {
            bridge: "slbr0".into(),
            host_link: types::LinkName(format!("sl{name}")),
            link: "eth0".into(),
            address: address.into(),
            prefix_len: 24,
            gateway: Some(API.ip()),
        };
        outside.join_underlay(&netns, &port).expect("joined");
        netns
    };
    NODES.map(join).into()
}

/// The administrator's writer, once the API answers it.
async fn administrate(plane: &ControlPlane) -> Writer {
    let client = watch::connect(&Access::Kubeconfig(plane.administrator())).await.expect("client");
    let writer = Writer::new(client);
    wait_for_api(&writer).await;
    writer
}

async fn wait_for_api(writer: &Writer) {
    let namespace = Target::cluster("v1", "Namespace", "kube-system");
    eventually("the API answers", || async { writer.merge_patch(&namespace, &json!({})).await.ok() }).await;
}

async fn token(writer: &Writer, account: &str) -> String {
    let account = NamespacedName::new("kube-system", account);
    let request = json!({ "expirationSeconds": 3600, "audiences": [] });
    let answer = writer.token(&account, &request).await.expect("a token");
    answer["status"]["token"].as_str().expect("a token").to_owned()
}

async fn create_nodes(writer: &Writer) {
    for (name, address) in NODES {
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        writer.create(&node).await.expect("created");
        let ready = json!([{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "" }]);
        let status = json!({
            "addresses": [{ "type": "InternalIP", "address": address }], "conditions": ready,
        });
        writer.patch_status(&Target::cluster("v1", "Node", name), &status).await.expect("status");
    }
}

/// Tries again while the API server, just started, has not read its own ServiceCIDR.
async fn create_service(writer: &Writer, name: &str, spec: &Value) {
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": name, "namespace": "default" }, "spec": spec,
    });
    eventually("a Service", || async { writer.create(&service).await.ok() }).await;
}

/// The one endpoint of Service `web` is a node itself.
fn mk_slice() -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "web-1", "namespace": "default", "labels": { "kubernetes.io/service-name": "web" },
        },
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [NODES[0].1], "nodeName": NODES[0].0, "conditions": { "ready": true } }],
        "ports": [{ "name": "", "port": 8080, "protocol": "TCP" }],
    })
}

/// An object that has come to be as wanted.
async fn becomes<T>(writer: &Writer, what: &str, target: &Target, read: impl Fn(&Value) -> Option<T>) -> T {
    eventually(what, || async { read(&writer.merge_patch(target, &json!({})).await.ok()?) }).await
}

/// A connection from the second node to the Service, which leads to the first.
fn reaches(nodes: &[Netns]) -> std::io::Result<()> {
    let listener = run_in(&nodes[0], || TcpListener::bind((NODES[0].1, 8080))).expect("entered")?;
    let accepting = std::thread::spawn(move || listener.accept().map(drop));
    let mut stream = run_in(&nodes[1], || {
        TcpStream::connect_timeout(&SocketAddr::from((VIP, 80)), Duration::from_secs(5))
    })
    .expect("entered")?;
    accepting.join().expect("no panic")?;
    stream.read(&mut [0]).map(drop)
}

async fn named(netns: &Netns, name: &str) -> Ipv4Addr {
    let name = format!("{name}.default.svc.cluster.local");
    eventually(&name, || async { resolve_in(netns, &name) }).await
}

/// Ranges, what nodes tell, addresses of load balancers, conditions and Events.
async fn check_writes(writer: &Writer) {
    for (name, _) in NODES {
        let target = Target::cluster("v1", "Node", name);
        becomes(writer, "a Pod range", &target, |node| node["spec"]["podCIDR"].as_str().map(drop)).await;
        let told =
            |node: &Value| node["metadata"]["annotations"][NETWORK_ANNOTATION].as_str().map(str::to_owned);
        let told = becomes(writer, "what the agent tells", &target, told).await;
        assert!(told.contains("172.31.0.1"), "{told}");
    }
    let ports = json!([{ "port": 80, "targetPort": 8080 }]);
    for (name, wish) in [("good", Value::Null), ("bad", json!("198.51.100.1"))] {
        let spec = json!({ "type": "LoadBalancer", "loadBalancerIP": wish, "ports": ports });
        create_service(writer, name, &spec).await;
    }
    let service = |name: &str| Target::namespaced("v1", "Service", "default", name);
    let address =
        |service: &Value| service["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().map(str::to_owned);
    let address = becomes(writer, "an address", &service("good"), address).await;
    assert!(address.starts_with("192.0.2.2"), "{address}");
    let reason = |service: &Value| {
        let conditions = service["status"]["conditions"].as_array()?;
        let degraded = conditions.iter().find(|condition| condition["type"] == "sealane.dev/Degraded")?;
        degraded["reason"].as_str().map(str::to_owned)
    };
    assert_eq!(becomes(writer, "a condition", &service("bad"), reason).await, "AddressNotInPool");
}

#[test]
fn nodes_and_controller_serve_a_real_api_server() {
    world::test(|| {
        let Some(assets) = assets("nodes_and_controller_serve_a_real_api_server") else { return };
        let runtime = Runtime::new().expect("runtime");
        let nodes = join_nodes();
        let mut plane = ControlPlane::start(&assets);
        let writer = runtime.block_on(administrate(&plane));
        let rights: Vec<Value> =
            serde_saphyr::from_multiple(include_str!("../../../../deploy/rbac.yaml")).expect("manifests");
        let [agent, controller] = runtime.block_on(async {
            for object in &rights {
                writer.create(object).await.expect("created");
            }
            create_nodes(&writer).await;
            [token(&writer, "sealane-agent").await, token(&writer, "sealane-controller").await]
        });
        let (agent, controller) =
            (plane.kubeconfig("agent", &agent), plane.kubeconfig("controller", &controller));
        for kubeconfig in [&agent, &controller] {
            runtime.block_on(wait_for_rights(kubeconfig.clone()));
        }
        let asked = plane.audited().len();
        let controller = crate::cluster::mk_settings(controller);
        let controller = runtime.spawn(sealane_agent::cluster::run(controller));
        let agents: Vec<Agent> = NODES
            .iter()
            .map(|(name, _)| {
                let mut settings = mk_settings_v4(agent.clone(), world::scratch(name));
                settings.node = (*name).into();
                Agent::start(name, settings)
            })
            .collect();
        runtime.block_on(check_writes(&writer));
        let ports = json!([{ "port": 80, "targetPort": 8080 }]);
        runtime.block_on(async {
            writer.create(&mk_slice()).await.expect("created");
            let spec = json!({ "clusterIP": VIP, "ports": ports });
            create_service(&writer, "web", &spec).await;
            assert_eq!(named(&nodes[1], "web").await, VIP);
        });
        reaches(&nodes).expect("the Service leads to its endpoint");
        runtime.block_on(check_rights(&plane, asked));

        plane.stop_api();
        reaches(&nodes).expect("traffic flows without the API");
        assert_eq!(resolve_in(&nodes[1], "web.default.svc.cluster.local"), Some(VIP));
        plane.restart_api();
        runtime.block_on(async {
            wait_for_api(&writer).await;
            let spec = json!({ "clusterIP": "10.96.0.78", "ports": ports });
            create_service(&writer, "late", &spec).await;
            assert_eq!(named(&nodes[1], "late").await, Ipv4Addr::new(10, 96, 0, 78));
        });

        controller.abort();
        agents.into_iter().for_each(Agent::kill);
    });
}

/// Waits until the API server has read the rights of an account that it was given: it answers from caches.
async fn wait_for_rights(kubeconfig: PathBuf) {
    let client = watch::connect(&Access::Kubeconfig(kubeconfig)).await.expect("client");
    let writer = Writer::new(client.clone());
    let node = ObjectRef { kind: "Node".into(), namespace: None, name: NODES[0].0.into() };
    let target = Target::cluster("v1", "Node", NODES[0].0);
    let may = || async {
        watch::identity(&client, &node).await.ok()?;
        writer.merge_patch(&target, &json!({})).await.ok()
    };
    eventually("rights", may).await;
}

fn user(account: &str) -> String {
    format!("system:serviceaccount:kube-system:{account}")
}

/// The agents write to Nodes and the controller writes Events, and neither is refused anything.
///
/// To be asked before the API server starts anew: it refuses for as long as it has not read the rights.
async fn check_rights(plane: &ControlPlane, since: usize) {
    for (account, resource) in [("sealane-agent", "nodes"), ("sealane-controller", "events")] {
        let wrote = |request: &Value| {
            request["user"]["username"] == user(account).as_str()
                && request["objectRef"]["resource"] == resource
                && ["create", "patch"].contains(&request["verb"].as_str().unwrap_or_default())
        };
        eventually(account, || async { plane.audited().iter().skip(since).any(wrote).then_some(()) }).await;
        let own = |request: &&Value| request["user"]["username"] == user(account).as_str();
        let requests = plane.audited();
        let refused: Vec<&Value> = requests
            .iter()
            .skip(since)
            .filter(own)
            .filter(|request| request["responseStatus"]["code"] == 403)
            .collect();
        assert!(refused.is_empty(), "{account} was refused: {refused:?}");
    }
}
