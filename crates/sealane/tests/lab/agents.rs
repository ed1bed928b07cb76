//! The agents are killed: traffic goes on, and their successors take up the work.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::Bed;
use crate::cluster::Cluster;
use crate::traffic::none_fails_while;

const WORLD: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: example.com/web:1, ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client-a, namespace: shop}
spec: {nodeName: node-a, containers: [{name: c, image: example.com/client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client-b, namespace: shop}
spec: {nodeName: node-b, containers: [{name: c, image: example.com/client}]}
";

const LATER: &str = "
apiVersion: v1
kind: Service
metadata: {name: later, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 81, targetPort: 8080}]}
";

#[test]
fn killed_agents_leave_traffic_flowing_and_their_successors_converge() {
    let Some(cluster) =
        Cluster::open("killed_agents_leave_traffic_flowing_and_their_successors_converge", "agents", &[])
    else {
        return;
    };
    cluster.create(WORLD);
    cluster.ready_pods("shop", "web", 3);
    cluster.ready_pod("shop", "client-a");
    cluster.ready_pod("shop", "client-b");
    let url = format!("http://{}/", cluster.service_address("shop", "web"));
    cluster.answered("shop", "client-a", &url);
    let before = cluster.agents();
    assert_eq!(before.len(), 3, "{before:?}");

    none_fails_while(&cluster.bed, ("shop", "client-a"), &url, || {
        for (_, pid) in &before {
            kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
        }
        cluster.wait("every agent has a successor", || {
            let now = cluster.agents();
            (now.len() == 3 && now.iter().all(|agent| !before.contains(agent))).then_some(())
        });
        cluster.create(LATER);
        let later = format!("http://{}:81/", cluster.service_address("shop", "later"));
        for client in ["client-a", "client-b"] {
            cluster.answered("shop", client, &later);
            cluster.answered("shop", client, "http://later.shop.svc.cluster.local:81/");
        }
    });
    cluster.wait("every node is ready", || {
        let list = cluster.get("/api/v1/nodes")?;
        let nodes = list["items"].as_array()?;
        nodes
            .iter()
            .all(|node| node["status"]["conditions"].to_string().contains("KubeletReady"))
            .then_some(())
    });
}

/// What the agent of the first node tells about itself.
fn metrics(bed: &Bed, path: &str) -> Option<String> {
    let url = format!("http://172.31.0.11:10256/{path}");
    let program = env!("CARGO_BIN_EXE_sealane");
    let output = bed.run(&["lab", "exec", "--outside", "--", program, "probe", "http", &url]);
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn an_agent_that_finds_its_work_done_writes_nothing() {
    let Some(cluster) = Cluster::open("an_agent_that_finds_its_work_done_writes_nothing", "idle-agent", &[])
    else {
        return;
    };
    cluster.create(WORLD);
    cluster.ready_pods("shop", "web", 3);
    let url = format!("http://{}/", cluster.service_address("shop", "web"));
    for client in ["client-a", "client-b"] {
        cluster.ready_pod("shop", client);
        cluster.answered("shop", client, &url);
    }
    let (node, pid) = cluster.agents().swap_remove(0);
    assert_eq!(node, "node-a");
    // What it wrote for the Pods and the Service.
    let before = metrics(&cluster.bed, "metrics").unwrap();
    assert!(!before.contains("sealane_writes_total{stage=\"nft\"} 0"), "{before}");
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    cluster.wait("the agent's successor is ready", || {
        let successor = cluster.agents().swap_remove(0);
        let is_new = successor.0 == node && successor.1 != pid;
        (is_new && metrics(&cluster.bed, "metrics")?.contains("\nsealane_ready 1\n")).then_some(())
    });
    let after = metrics(&cluster.bed, "metrics").unwrap();
    for stage in ["netlink", "nft"] {
        assert!(after.contains(&format!("sealane_writes_total{{stage=\"{stage}\"}} 0")), "{after}");
    }
}
