//! StatefulSets, DaemonSets, Jobs and disruption budgets, as an unmodified kubectl and their Pods see them.

use crate::kubectl;

const STATEFUL_SET: &str = "
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 8080}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: default}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - {name: db, image: 'db:1', ports: [{containerPort: 8080}], volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - {metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default}
spec: {containers: [{name: c, image: busybox, command: [sleep, infinity]}]}
";

#[test]
fn stateful_sets_have_names_storage_and_a_history() {
    let Some((cluster, kubectl)) =
        kubectl::open("stateful_sets_have_names_storage_and_a_history", "stateful", &["--nodes", "1"])
    else {
        return;
    };
    kubectl.run_with("apply -f -", STATEFUL_SET).says("statefulset.apps/db created");
    kubectl.run("rollout status sts/db --timeout=60s").says("roll out complete");
    assert_eq!(cluster.ready_pods("default", "db", 2), ["db-0", "db-1"]);
    kubectl.all(&[
        ("get sts db -o wide", "NAME|READY|CONTAINERS|2/2|db:1"),
        ("get pvc", "data-db-0|Bound|1Gi|RWO"),
        ("get pv", "default/data-db-1|Delete|Bound"),
    ]);

    cluster.ready_pod("default", "client");
    let name = "http://db-1.db.default.svc.cluster.local:8080/";
    assert_eq!(cluster.answered("default", "client", name).said("pod"), "db-1");

    let written = cluster.exec("default", "db-0", &["sh", "-c", "echo kept > /data/file"]);
    assert!(written.status.success(), "{written:?}");
    let before = cluster.pod("default", "db-0")["metadata"]["uid"].clone();
    kubectl.ok("delete pod db-0");
    cluster.wait("db-0 is back", || {
        let pod = cluster.pod("default", "db-0");
        (pod["metadata"]["uid"] != before && pod["status"]["phase"] == "Running").then_some(())
    });
    let read = cluster.exec("default", "db-0", &["cat", "/data/file"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout), "kept\n", "{read:?}");

    kubectl.ok("set image sts/db db=db:2");
    kubectl.ok("rollout status sts/db --timeout=60s");
    kubectl.all(&[
        ("get pods -l app=db -o jsonpath={.items[*].spec.containers[0].image}", "db:2 db:2"),
        ("rollout history sts/db", "REVISION|1|2"),
        ("rollout history sts/db --revision=1", "db:1"),
        ("rollout undo sts/db", "rolled back"),
        ("rollout status sts/db --timeout=60s", "complete"),
        ("get pods -l app=db -o jsonpath={.items[*].spec.containers[0].image}", "db:1 db:1"),
        ("get controllerrevisions", "statefulset.apps/db"),
        ("scale sts/db --replicas=1", "scaled"),
    ]);
    assert_eq!(cluster.ready_pods("default", "db", 1), ["db-0"]);
    kubectl
        .run("patch sts db -p '{\"spec\":{\"serviceName\":\"other\"}}'")
        .fails("updates to statefulset spec");
    kubectl.ok("delete sts db");
    kubectl.ok("delete pvc --all");
    cluster
        .wait("the volumes go with their claims", || kubectl.ok("get pv -o name").is_empty().then_some(()));
}

const DAEMON_SET: &str = "
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: log, namespace: default}
spec:
  selector: {matchLabels: {app: log}}
  template:
    metadata: {labels: {app: log}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: log, image: 'log:1'}]
";

#[test]
fn daemon_sets_are_on_every_node_and_roll_over() {
    let Some((_cluster, kubectl)) =
        kubectl::open("daemon_sets_are_on_every_node_and_roll_over", "daemons", &["--nodes", "2"])
    else {
        return;
    };
    kubectl.run_with("apply -f -", DAEMON_SET).says("daemonset.apps/log created");
    kubectl.run("rollout status ds/log --timeout=60s").says("successfully rolled out");
    let nodes = kubectl.ok("get pods -l app=log -o jsonpath={.items[*].spec.nodeName}");
    let mut nodes: Vec<&str> = nodes.split(' ').collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["node-a", "node-b"]);
    kubectl.all(&[
        ("get ds", "DESIRED|UP-TO-DATE|NODE SELECTOR|<none>"),
        ("set image ds/log log=log:2", "image updated"),
        ("rollout status ds/log --timeout=60s", "successfully rolled out"),
        ("get pods -l app=log -o jsonpath={.items[*].spec.containers[0].image}", "log:2 log:2"),
        ("rollout history ds/log", "REVISION|1|2"),
        ("rollout undo ds/log", "rolled back"),
        ("rollout status ds/log --timeout=60s", "successfully rolled out"),
        ("get pods -l app=log -o jsonpath={.items[*].spec.containers[0].image}", "log:1 log:1"),
        ("rollout restart ds/log", "restarted"),
        ("rollout status ds/log --timeout=60s", "successfully rolled out"),
    ]);
}

/// A Job with these fields whose containers run this script.
fn job(name: &str, fields: &[&str], script: &str) -> String {
    let fields: String = fields.iter().map(|field| format!("  {field}\n")).collect();
    format!(
        "
apiVersion: batch/v1
kind: Job
metadata: {{name: {name}, namespace: default}}
spec:
{fields}  template:
    spec:
      restartPolicy: Never
      containers: [{{name: c, image: busybox, command: [sh, -c, '{script}']}}]
"
    )
}

#[test]
fn jobs_run_to_their_end() {
    let Some((cluster, kubectl)) = kubectl::open("jobs_run_to_their_end", "jobs", &["--nodes", "1"]) else {
        return;
    };
    kubectl.run_with("apply -f -", &job("pi", &["completions: 2"], "echo 3.14")).says("job.batch/pi created");
    kubectl.run("wait --for=condition=complete job/pi --timeout=60s").says("condition met");
    kubectl.all(&[
        ("get job pi", "STATUS|Complete|2/2|DURATION"),
        ("logs job/pi", "3.14"),
        ("get jobs --field-selector status.successful=2", "pi"),
        ("describe job pi", "2 Succeeded|SuccessfulCreate|Completed"),
    ]);
    kubectl.run_with("apply -f -", &job("bad", &["backoffLimit: 0"], "exit 3")).says("created");
    kubectl.run("wait --for=condition=failed job/bad --timeout=60s").says("condition met");
    kubectl.run("get job bad -o jsonpath={.status.conditions[*].reason}").says("BackoffLimitExceeded");
    let fields = ["completions: 3", "parallelism: 3", "completionMode: Indexed"];
    let indexed = job("each", &fields, "echo index $JOB_COMPLETION_INDEX");
    kubectl.run_with("apply -f -", &indexed).says("created");
    kubectl.run("wait --for=condition=complete job/each --timeout=60s").says("condition met");
    kubectl.run("get job each -o jsonpath={.status.completedIndexes}").says("0-2");
    kubectl.run("logs -l job-name=each").says("index 0|index 1|index 2");
    kubectl.run("create job hello --image=busybox -- true").says("job.batch/hello created");
    kubectl.run("wait --for=condition=complete job/hello --timeout=60s").says("condition met");
    let always = job("always", &[], "true").replace("Never", "Always");
    kubectl.run_with("apply -f -", &always).fails("restartPolicy|valid values: \"OnFailure\", \"Never\"");
    kubectl.ok("create cronjob tick --image=busybox --schedule '* * * * *' -- true");
    kubectl.run("get cronjob tick").says("SCHEDULE|* * * * *|TIMEZONE|<none>|False|LAST SCHEDULE");
    kubectl
        .run("create cronjob tock --image=busybox --schedule=never -- true")
        .fails("spec.schedule: Invalid value");
    kubectl.ok("delete cronjob tick");
    kubectl.ok("delete job pi bad each hello");
    cluster.wait("the Pods go with their Jobs", || kubectl.ok("get pods -o name").is_empty().then_some(()));
}

const GUARDED: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: 'web:1'}], terminationGracePeriodSeconds: 1}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: default}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
---
apiVersion: v1
kind: Pod
metadata: {name: huge, namespace: default}
spec: {containers: [{name: c, image: c, resources: {requests: {cpu: 1000}}}]}
";

#[test]
fn budgets_hold_evictions_back_and_owners_go_as_asked() {
    let Some((cluster, kubectl)) =
        kubectl::open("budgets_hold_evictions_back_and_owners_go_as_asked", "budgets", &["--nodes", "2"])
    else {
        return;
    };
    kubectl.run_with("apply -f -", GUARDED).says("poddisruptionbudget.policy/web created");
    cluster.ready_pods("default", "web", 1);
    cluster.wait("a Pod that fits nowhere says so", || {
        let events = kubectl.ok("events --for pod/huge");
        events.contains("0/2 nodes are available: 2 Insufficient cpu.").then_some(())
    });
    kubectl.run("get pod huge -o jsonpath={.status.conditions[0].reason}").says("Unschedulable");
    cluster.wait("the budget is counted", || {
        let budget = cluster.get("/apis/policy/v1/namespaces/default/poddisruptionbudgets/web")?;
        (budget["status"]["currentHealthy"] == 1).then_some(())
    });
    let node = kubectl.ok("get pods -l app=web -o jsonpath={.items[0].spec.nodeName}");
    let drain = kubectl.run(&format!("drain {node} --timeout=2s --force"));
    assert_ne!(drain.code, Some(0));
    drain.fails("violate the pod's disruption budget");
    kubectl.ok("scale deploy/web --replicas=2");
    cluster.ready_pods("default", "web", 2);
    kubectl.run(&format!("drain {node} --timeout=60s --force")).says("drained");
    cluster.ready_pods("default", "web", 2);

    kubectl.ok("delete deploy web --cascade=orphan");
    cluster.wait("the ReplicaSet stays without an owner", || {
        let owner = "{.items[0].metadata.ownerReferences}";
        let sets = kubectl.ok(&format!("get rs -l app=web -o jsonpath={owner}"));
        sets.is_empty().then_some(())
    });
    kubectl.ok("delete rs -l app=web --cascade=foreground");
    assert_eq!(kubectl.ok("get pods -l app=web -o name"), "", "dependents go first");
}
