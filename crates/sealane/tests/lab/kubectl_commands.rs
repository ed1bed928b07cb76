//! An unmodified kubectl works on a lab: every command and every kind that is promised.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::kubectl::{self, Kubectl};

/// One object of every kind that is made by hand. Defaults inside of lists that are replaced as a whole are written
/// out: kubectl's older apply finds a difference in them otherwise, as on any cluster.
const ZOO: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: zoo}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: keeper, namespace: zoo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: zoo, labels: {app: web}}
data: {colour: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: key, namespace: zoo}
data: {word: cGxlYXNl}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: zoo, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: 'web:1', ports: [{name: http, containerPort: 8080}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: pair, namespace: zoo}
spec:
  replicas: 1
  selector: {matchLabels: {app: pair}}
  template:
    metadata: {labels: {app: pair}}
    spec: {containers: [{name: c, image: pair}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: zoo, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: manual, namespace: zoo}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: manual-1, namespace: zoo, labels: {kubernetes.io/service-name: manual}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.7], conditions: {ready: true}}]
ports: [{name: http, port: 80, protocol: TCP}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: by-hand, namespace: zoo}
subsets: [{addresses: [{ip: 192.0.2.8}], ports: [{port: 81, protocol: TCP}]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: zoo}
spec:
  ingressClassName: nginx
  rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: zoo}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 8080, protocol: TCP}]}]}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: turn, namespace: zoo}
spec: {holderIdentity: me}
---
apiVersion: v1
kind: Event
metadata: {name: note, namespace: zoo}
involvedObject: {apiVersion: v1, kind: Pod, name: client, namespace: zoo}
reason: Noted
message: by hand
type: Normal
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: zoo, labels: {role: client}}
spec: {containers: [{name: c, image: client}]}
---
apiVersion: v1
kind: Pod
metadata: {name: chatty, namespace: zoo}
spec:
  containers:
  - {name: c, image: busybox, command: [sh, -c, 'for i in 1 2 3 4 5; do echo line $i; done; while :; do sleep 1; done']}
---
apiVersion: v1
kind: Pod
metadata: {name: crash, namespace: zoo}
spec: {containers: [{name: c, image: busybox, command: [sh, -c, 'echo dying; exit 3']}]}
";

/// What kubectl calls the objects above, and two that are there anyway.
const KINDS: &[(&str, &str)] = &[
    ("namespace/zoo", ""),
    ("node/node-a", ""),
    ("pod/client", "zoo"),
    ("replicaset.apps/pair", "zoo"),
    ("deployment.apps/web", "zoo"),
    ("service/web", "zoo"),
    ("endpointslice.discovery.k8s.io/manual-1", "zoo"),
    ("endpoints/by-hand", "zoo"),
    ("ingress.networking.k8s.io/web", "zoo"),
    ("ingressclass.networking.k8s.io/other", ""),
    ("networkpolicy.networking.k8s.io/web", "zoo"),
    ("secret/key", "zoo"),
    ("configmap/settings", "zoo"),
    ("serviceaccount/keeper", "zoo"),
    ("event/note", "zoo"),
    ("lease.coordination.k8s.io/turn", "zoo"),
];

/// Command, and texts of its output apart by `|`.
const READING: &[(&str, &str)] = &[
    ("get nodes", "NAME|STATUS|node-a|Ready"),
    ("get nodes -o wide", "INTERNAL-IP|172.31.0.13"),
    ("get pods -n zoo -o wide", "IP|NODE|client|1/1|Running|10.244."),
    ("get deploy -n zoo", "READY|2/2"),
    ("get rs -n zoo -o wide", "SELECTOR|pair"),
    ("get svc -n zoo", "CLUSTER-IP|80/TCP|10.96."),
    (
        "get ep,endpointslices -n zoo",
        "endpoints/by-hand|192.0.2.8:81|endpointslice.discovery.k8s.io/manual-1",
    ),
    ("get ing -n zoo", "CLASS|nginx|a.example|172.31.0.11"),
    ("get ingressclass", "CONTROLLER|k8s.io/ingress-nginx|example.com/other"),
    ("get netpol -n zoo", "POD-SELECTOR|app=web"),
    ("get secret,cm,sa -n zoo", "secret/key|Opaque|configmap/settings|serviceaccount/keeper"),
    ("get events -n zoo", "REASON|Noted|by hand|Started"),
    ("get leases -A", "kube-node-lease|node-a|turn"),
    ("get ns", "STATUS|zoo|Active"),
    ("get all -n zoo", "pod/client|service/web|deployment.apps/web|replicaset.apps/pair"),
    ("get pods -A", "NAMESPACE|zoo|crash"),
    ("get pods,svc,deploy -A -l app=web -o name", "pod/web-|service/web|deployment.apps/web"),
    ("get pods -n zoo -l 'role in (client),app!=web' -o name", "pod/client"),
    ("get pods -n zoo --field-selector metadata.name=client -o name", "pod/client"),
    (
        "get pods -n zoo --field-selector status.phase=Running,spec.nodeName!=none -o name",
        "pod/client|pod/chatty",
    ),
    ("get pods -n zoo --show-labels", "LABELS|role=client"),
    ("get pods -n zoo --sort-by=.metadata.name", "chatty"),
    ("get pod client -n zoo -o yaml", "kind: Pod|podIP: 10.244.|phase: Running"),
    ("get pod client -n zoo -o json", "\"kind\": \"Pod\"|\"phase\": \"Running\""),
    ("get secret key -n zoo -o jsonpath={.data.word}", "cGxlYXNl"),
    ("get pods -n zoo -o custom-columns=N:.metadata.name,IP:.status.podIP", "client|10.244."),
    ("get svc web -n zoo -o go-template={{.spec.type}}", "ClusterIP"),
    ("describe node node-a", "topology.kubernetes.io/zone=a|PodCIDR:|10.244.0.0/24|Ready|KubeletReady"),
    ("describe pod client -n zoo", "Status:|Running|stand-in|Events:|Started"),
    ("describe pod crash -n zoo", "Last State:|Exit Code:|3|BackOff"),
    ("describe service web -n zoo", "TargetPort:|http/TCP|Endpoints:|10.244."),
    ("describe deployment web -n zoo", "2 available|NewReplicaSet:"),
    ("describe rs pair -n zoo", "1 current / 1 desired"),
    ("describe ingress web -n zoo", "a.example|web:80 (10.244.|172.31.0.11"),
    ("describe networkpolicy web -n zoo", "app=web|To Port: 8080/TCP|Policy Types: Ingress"),
    ("api-resources", "networkpolicies|endpointslices|leases"),
    ("version", "Server Version: v1."),
    ("explain service.spec.ports.targetPort", "FIELD: targetPort"),
    ("logs chatty -n zoo", "line 1|line 5"),
    ("logs -n zoo crash -p", "dying"),
    ("exec -n zoo client -- sealane probe http http://web/", "\"pod\": \"web-|\"namespace\": \"zoo\""),
    ("exec -n zoo deploy/web -- cat /etc/resolv.conf", "nameserver 10.96.0.10|search zoo.svc.cluster.local"),
];

/// The same for commands that change something, in this order.
const WRITING: &[(&str, &str)] = &[
    ("label pod client -n zoo tier=front", "pod/client labeled"),
    ("label pod client -n zoo tier-", "pod/client unlabeled"),
    ("annotate svc web -n zoo 'note=two words'", "service/web annotated"),
    ("scale deploy web -n zoo --replicas=3", "deployment.apps/web scaled"),
    ("rollout status deploy/web -n zoo --timeout=30s", "successfully rolled out"),
    ("get deploy web -n zoo -o jsonpath={.status.readyReplicas}", "3"),
    ("scale rs pair -n zoo --replicas=0", "replicaset.apps/pair scaled"),
    ("wait -n zoo --for=jsonpath={.status.replicas}=0 rs/pair --timeout=30s", "condition met"),
    ("set image deploy/web -n zoo web=web:2", "image updated"),
    ("rollout status deploy/web -n zoo --timeout=30s", "successfully rolled out"),
    ("rollout history deploy/web -n zoo", "1|2"),
    ("rollout undo deploy/web -n zoo", "rolled back"),
    ("rollout status deploy/web -n zoo --timeout=30s", "successfully rolled out"),
    ("get deploy web -n zoo -o jsonpath={.spec.template.spec.containers[0].image}", "web:1"),
    ("rollout restart deploy/web -n zoo", "restarted"),
    ("rollout status deploy/web -n zoo --timeout=30s", "successfully rolled out"),
    ("patch cm settings -n zoo -p {\"data\":{\"size\":\"7\"}}", "patched"),
    ("get cm settings -n zoo -o jsonpath={.data}", "{\"colour\":\"blue\",\"size\":\"7\"}"),
    ("exec -n zoo client -- sealane probe http http://web.zoo.svc.cluster.local/", "\"pod\": \"web-"),
    ("delete pod client -n zoo --wait=false", "pod \"client\""),
    ("wait -n zoo --for=delete pod/client --timeout=30s", ""),
];

fn apply(kubectl: &Kubectl, flags: &str, word: &str) {
    let said = kubectl.run_with(&format!("apply {flags} -f -"), ZOO).ok();
    let expected = ZOO.matches("\nkind: ").count();
    assert_eq!(said.lines().filter(|line| line.ends_with(word)).count(), expected, "{said}");
}

#[test]
fn every_promised_command_works_on_every_promised_kind() {
    let Some((_cluster, kubectl)) =
        kubectl::open("every_promised_command_works_on_every_promised_kind", "kubectl", &[])
    else {
        return;
    };

    apply(&kubectl, "", " created");
    kubectl.all(&[
        ("wait -n zoo --for=condition=Available deploy/web --timeout=30s", "deployment.apps/web condition met"),
        ("wait -n zoo --for=condition=Ready pod/client pod/chatty --timeout=30s", "pod/client|pod/chatty"),
        ("wait -n zoo --for=condition=Ready pod -l app=web --timeout=30s", "condition met"),
        ("wait --for=condition=Ready node --all --timeout=30s", "node/node-c condition met"),
        ("wait -n zoo --for=jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}=3 pod/crash \
          --timeout=30s", "condition met"),
        ("wait -n zoo --for=jsonpath={.status.loadBalancer.ingress[0].ip} ing/web --timeout=30s", "condition met"),
    ]);
    apply(&kubectl, "", " unchanged");
    apply(&kubectl, "--server-side", " serverside-applied");
    for (object, namespace) in KINDS {
        let flags = if namespace.is_empty() { String::new() } else { format!("-n {namespace}") };
        assert_eq!(kubectl.ok(&format!("get {object} -o name {flags}")), format!("{object}\n"));
        kubectl.run(&format!("describe {object} {flags}")).says("Name:");
        kubectl.run(&format!("label {object} {flags} checked=yes")).says(" labeled");
        kubectl.run(&format!("annotate {object} {flags} checked=yes")).says(" annotated");
        kubectl.run(&format!("get {object} {flags} -L checked")).says("CHECKED|yes");
    }
    kubectl.all(READING);
    assert_eq!(kubectl.ok("logs chatty -n zoo --tail=2"), "line 4\nline 5\n");
    assert_eq!(kubectl.run("exec -n zoo client -- sh -c 'exit 7'").code, Some(7));
    kubectl.run("exec -n zoo client -- sealane probe http http://nowhere/").fails("nowhere");
    let echoed = kubectl.run_with("exec -i -n zoo chatty -- cat", "through and back").ok();
    assert_eq!(echoed, "through and back");

    let changed = ZOO.replace("colour: blue", "colour: red");
    let said = kubectl.run_with("apply -f -", &changed).ok();
    assert!(said.contains("configmap/settings configured"), "{said}");
    kubectl.run_with("apply -f -", ZOO).ok();
    kubectl.all(WRITING);
    kubectl.run("get pod client -n zoo").fails("pods \"client\" not found");
    delete_everything(&kubectl);
}

fn delete_everything(kubectl: &Kubectl) {
    for (object, namespace) in KINDS.iter().filter(|(_, namespace)| !namespace.is_empty()) {
        kubectl.run(&format!("delete {object} -n {namespace} --ignore-not-found --timeout=30s")).ok();
    }
    kubectl.run("delete ingressclass other").says("deleted");
    kubectl.run("delete ns zoo --timeout=60s").says("deleted");
    assert_eq!(kubectl.ok("get pods -A -o name"), "");
}

const FOLLOWED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: teller, namespace: default}
spec:
  containers:
  - {name: c, image: busybox, command: [sh, -c, 'while [ ! -e /tmp/go ]; do sleep 0.1; done; echo told; sleep 1000']}
";

#[test]
fn kubectl_follows_what_happens() {
    let Some((_cluster, kubectl)) =
        kubectl::open("kubectl_follows_what_happens", "kubectl-follow", &["--nodes", "1"])
    else {
        return;
    };

    let mut watching = kubectl.command("get pods -w -o name").stdout(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(watching.stdout.take().unwrap()).lines();
    kubectl.run_with("apply -f -", FOLLOWED).says("created");
    assert_eq!(events.next().unwrap().unwrap(), "pod/teller");
    kubectl.ok("wait --for=condition=Ready pod/teller --timeout=30s");

    let mut following = kubectl.command("logs -f teller").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    kubectl.ok("exec teller -- touch /tmp/go");
    assert_eq!(lines.next().unwrap().unwrap(), "told");
    kubectl.ok("delete pod teller --grace-period=1");
    assert!(following.wait().unwrap().success(), "the log ends with its container");
    watching.kill().unwrap();
    watching.wait().unwrap();
}
