//! StatefulSets, DaemonSets, Jobs and disruption budgets: defaults, rules, selectors, evictions.

use engine_store::PatchKind;
use serde_json::{Value, json};

use crate::harness::{PODS, World, mk_pod};

const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/default/statefulsets";
const DAEMON_SETS: &str = "/apis/apps/v1/namespaces/default/daemonsets";
const JOBS: &str = "/apis/batch/v1/namespaces/default/jobs";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

fn mk_workload(spec: &Value) -> Value {
    let mut object = json!({ "metadata": { "name": "x" }, "spec": {
        "selector": { "matchLabels": { "app": "x" } },
        "template": {
            "metadata": { "labels": { "app": "x" } },
            "spec": { "containers": [{ "name": "c", "image": "x" }] },
        },
    }});
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

fn mk_job(spec: &Value) -> Value {
    let mut job = mk_workload(spec);
    job["spec"].as_object_mut().unwrap().remove("selector");
    job["spec"]["template"]["spec"]["restartPolicy"] = json!("Never");
    job
}

#[track_caller]
fn refused(path: &str, object: Value, wanted: &str) {
    let status = World::new().post(path, object).unwrap_err();
    assert_eq!(status.code, 422, "{status}");
    assert!(status.message.contains(wanted), "{}", status.message);
}

#[test]
fn stateful_sets_have_defaults_and_most_of_the_spec_is_fixed() {
    let mut world = World::new();
    let made = world.post(STATEFUL_SETS, mk_workload(&json!({ "serviceName": "x" }))).unwrap();
    assert_eq!(made["spec"]["podManagementPolicy"], "OrderedReady");
    assert_eq!(
        made["spec"]["updateStrategy"],
        json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } })
    );
    assert_eq!(made["spec"]["replicas"], 1);
    let path = format!("{STATEFUL_SETS}/x");
    let scaled = world.patch(&path, PatchKind::Merge, json!({ "spec": { "replicas": 3 } })).unwrap();
    assert_eq!(scaled["metadata"]["generation"], 2);
    let patch = json!({ "spec": { "serviceName": "y" } });
    let status = world.patch(&path, PatchKind::Merge, patch).unwrap_err();
    assert!(
        status.message.contains("spec: Forbidden: updates to statefulset spec for fields other than"),
        "{status}"
    );
    let scale = world.get(&format!("{path}/scale")).unwrap();
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(3), &json!("app=x")));
    let claims = json!([{ "metadata": { "name": "data" }, "spec": { "accessModes": ["ReadWriteOnce"] } }]);
    let mut mounting = mk_workload(&json!({ "volumeClaimTemplates": claims }));
    mounting["metadata"]["name"] = json!("y");
    mounting["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{ "name": "data", "mountPath": "/data" }]);
    world.post(STATEFUL_SETS, mounting).unwrap();
    refused(
        STATEFUL_SETS,
        mk_workload(&json!({ "podManagementPolicy": "Sideways" })),
        "spec.podManagementPolicy: Invalid value: \"Sideways\": must be 'OrderedReady' or 'Parallel'",
    );
    refused(
        STATEFUL_SETS,
        mk_workload(&json!({ "ordinals": { "start": -1 } })),
        "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
    );
}

#[test]
fn daemon_sets_surge_or_go_without_but_not_both_or_neither() {
    let made = World::new().post(DAEMON_SETS, mk_workload(&json!({}))).unwrap();
    let rolling = json!({ "maxUnavailable": 1, "maxSurge": 0 });
    assert_eq!(made["spec"]["updateStrategy"]["rollingUpdate"], rolling);
    let strategy = |unavailable: Value, surge: Value| {
        let rolling = json!({ "maxUnavailable": unavailable, "maxSurge": surge });
        mk_workload(&json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": rolling } }))
    };
    refused(DAEMON_SETS, strategy(json!(1), json!("10%")), "may not be set when maxUnavailable is non-zero");
    refused(DAEMON_SETS, strategy(json!(0), json!(0)), "cannot be 0 when maxSurge is 0");
    let mut empty = mk_workload(&json!({}));
    empty["spec"]["selector"] = json!({});
    refused(DAEMON_SETS, empty, "empty selector is invalid for daemonset");
}

#[test]
fn jobs_select_their_pods_by_uid() {
    let mut world = World::new();
    let made = world.post(JOBS, mk_job(&json!({}))).unwrap();
    let uid = made["metadata"]["uid"].clone();
    assert_eq!(made["spec"]["selector"]["matchLabels"], json!({ "batch.kubernetes.io/controller-uid": uid }));
    let labels = &made["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&labels["job-name"], &labels["controller-uid"]), (&json!("x"), &uid));
    assert_eq!((&made["spec"]["completions"], &made["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
    let path = format!("{JOBS}/x");
    let status = world.patch(&path, PatchKind::Merge, json!({ "spec": { "completions": 2 } })).unwrap_err();
    assert!(status.message.contains("spec.completions: Invalid value: 2: field is immutable"), "{status}");
    world.patch(&path, PatchKind::Merge, json!({ "spec": { "suspend": true } })).unwrap();

    let mut always = mk_job(&json!({}));
    always["spec"]["template"]["spec"]["restartPolicy"] = json!("Always");
    let wanted = "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"";
    refused(JOBS, always, wanted);
    let indexed = mk_job(&json!({ "completionMode": "Indexed", "parallelism": 2 }));
    refused(JOBS, indexed, "spec.completions: Required value: when completion mode is Indexed");
}

#[test]
fn policies_of_jobs_are_checked_as_upstream_does() {
    let failure = |rule: Value| mk_job(&json!({ "podFailurePolicy": { "rules": [rule] } }));
    let conditions = json!([{ "type": "DisruptionTarget" }]);
    let rule = json!({ "action": "Ignore", "onPodConditions": conditions });
    let made = World::new().post(JOBS, failure(rule)).unwrap();
    let pattern = "/spec/podFailurePolicy/rules/0/onPodConditions/0/status";
    assert_eq!(made.pointer(pattern), Some(&json!("True")));
    assert_eq!(made["spec"]["podReplacementPolicy"], "Failed");

    let rules = "spec.podFailurePolicy.rules[0]";
    let codes = |operator: &str, values: Value| {
        failure(json!({ "action": "FailJob", "onExitCodes": { "operator": operator, "values": values } }))
    };
    refused(
        JOBS,
        codes("In", json!([0])),
        &format!("{rules}.onExitCodes.values[0]: Invalid value: 0: must not be 0"),
    );
    refused(
        JOBS,
        codes("NotIn", json!([2, 1])),
        &format!("{rules}.onExitCodes.values: Invalid value: [2,1]: must be ordered"),
    );
    let wanted = "onExitCodes.operator: Unsupported value: \"Like\": supported values: \"In\", \"NotIn\"";
    refused(JOBS, codes("Like", json!([1])), &format!("{rules}.{wanted}"));
    let index = failure(json!({ "action": "FailIndex", "onExitCodes": { "operator": "In", "values": [1] } }));
    refused(JOBS, index, "requires the backoffLimitPerIndex to be set");
    let neither = failure(json!({ "action": "Count" }));
    refused(
        JOBS,
        neither,
        &format!("{rules}: Invalid value: specifying one of OnExitCodes and OnPodConditions is"),
    );

    let indexed = |more: Value| {
        let mut job = mk_job(&json!({ "completionMode": "Indexed", "completions": 4, "parallelism": 2 }));
        more.as_object().unwrap().iter().for_each(|(key, value)| job["spec"][key] = value.clone());
        job
    };
    let made = World::new().post(JOBS, indexed(json!({ "backoffLimitPerIndex": 1 }))).unwrap();
    assert_eq!(made["spec"]["backoffLimit"], i32::MAX);
    refused(
        JOBS,
        indexed(json!({ "maxFailedIndexes": 1 })),
        "backoffLimitPerIndex: Required value: when maxFailedIndexes",
    );
    let success = |rule: Value| indexed(json!({ "successPolicy": { "rules": [rule] } }));
    World::new().post(JOBS, success(json!({ "succeededIndexes": "0,2-3", "succeededCount": 2 }))).unwrap();
    let text = "error parsing succeededIndexes: too large index: \"4\"";
    refused(JOBS, success(json!({ "succeededIndexes": "4" })), text);
    refused(JOBS, success(json!({})), "at least one of succeededCount or succeededIndexes must be specified");
    let plain = mk_job(&json!({ "successPolicy": { "rules": [{ "succeededCount": 1 }] } }));
    refused(JOBS, plain, "requires indexed completion mode");
}

#[test]
fn cron_jobs_name_a_zone_that_exists() {
    let cron = |zone: &str| {
        let template = json!({ "spec": mk_job(&json!({}))["spec"] });
        json!({ "metadata": { "name": "x" }, "spec": {
            "schedule": "0 3 * * *", "timeZone": zone, "jobTemplate": template,
        }})
    };
    const CRON_JOBS: &str = "/apis/batch/v1/namespaces/default/cronjobs";
    World::new().post(CRON_JOBS, cron("America/New_York")).unwrap();
    let wanted = "spec.timeZone: Invalid value: \"Mars/Olympus\": unknown time zone Mars/Olympus";
    refused(CRON_JOBS, cron("Mars/Olympus"), wanted);
}

#[test]
fn evictions_spend_the_budget_and_are_held_back_without_one() {
    let mut world = World::new();
    for name in ["a", "b"] {
        let mut pod = mk_pod(name);
        pod["metadata"]["labels"] = json!({ "app": "x" });
        world.post(PODS, pod).unwrap();
        let ready = json!([{ "type": "Ready", "status": "True" }]);
        let status = json!({ "status": { "phase": "Running", "conditions": ready } });
        world.patch(&format!("{PODS}/{name}/status"), PatchKind::Merge, status).unwrap();
    }
    let selector = json!({ "matchLabels": { "app": "x" } });
    let budget = json!({ "metadata": { "name": "x" }, "spec": { "minAvailable": 1, "selector": selector } });
    world.post(BUDGETS, budget).unwrap();
    let evict = |world: &mut World, name: &str| {
        let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        world.post(&format!("{PODS}/{name}/eviction"), eviction)
    };
    let early = evict(&mut world, "a").unwrap_err();
    assert!(
        early.to_value()["details"]["causes"][0]["message"]
            .as_str()
            .unwrap()
            .contains("still being processed")
    );
    let counted = json!({ "status": {
        "observedGeneration": 1, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1, "expectedPods": 2,
    }});
    world.patch(&format!("{BUDGETS}/x/status"), PatchKind::Merge, counted).unwrap();
    evict(&mut world, "a").unwrap();
    let status = world.get(&format!("{BUDGETS}/x")).unwrap()["status"].clone();
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["a"].is_string(), "{status}");
    let refused = evict(&mut world, "b").unwrap_err();
    assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
    assert_eq!(refused.message, "Cannot evict pod as it would violate the pod's disruption budget.");
    let cause = &refused.to_value()["details"]["causes"][0];
    assert_eq!(cause["reason"], "DisruptionBudget");
    assert_eq!(cause["message"], "The disruption budget x needs 1 healthy pods and has 2 currently");
}

#[test]
fn a_budget_counts_from_one_side_only() {
    let both = json!({ "metadata": { "name": "x" }, "spec": { "minAvailable": 1, "maxUnavailable": 1 } });
    refused(BUDGETS, both, "minAvailable and maxUnavailable cannot be both set");
    let share = json!({ "metadata": { "name": "x" }, "spec": { "minAvailable": "half" } });
    refused(BUDGETS, share, "a valid percent string must be a numeric string followed by an ending '%'");
}

#[test]
fn an_autoscaler_is_the_same_in_both_versions() {
    let mut world = World::new();
    let path =
        |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let first = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": reference, "maxReplicas": 3, "targetCPUUtilizationPercentage": 70},
    });
    let made = world.post(&path("v1"), first).unwrap();
    assert_eq!((&made["apiVersion"], &made["spec"]["minReplicas"]), (&json!("autoscaling/v1"), &json!(1)));
    let newer = world.get(&format!("{}/web", path("v2"))).unwrap();
    let target = json!({"type": "Utilization", "averageUtilization": 70});
    assert_eq!(
        newer["spec"]["metrics"],
        json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
    );
    assert_eq!(newer["metadata"]["uid"], made["metadata"]["uid"]);

    let hits = json!({"type": "Pods", "pods": {
        "metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "10"}}});
    let metrics = json!({"spec": {"metrics": [hits]}});
    world.patch(&format!("{}/web", path("v2")), PatchKind::Merge, metrics).unwrap();
    let older = world.get(&format!("{}/web", path("v1"))).unwrap();
    assert!(older["spec"].get("targetCPUUtilizationPercentage").is_none());
    let most = json!({"spec": {"maxReplicas": 5}});
    world.patch(&format!("{}/web", path("v1")), PatchKind::StrategicMerge, most).unwrap();
    let newer = world.get(&format!("{}/web", path("v2"))).unwrap();
    assert_eq!((&newer["spec"]["maxReplicas"], &newer["spec"]["metrics"]), (&json!(5), &json!([hits])));
    assert!(newer["metadata"].get("annotations").is_none(), "what v1 needs does not show in v2");

    let least = json!({"spec": {"minReplicas": 9}});
    let refused = world.patch(&format!("{}/web", path("v1")), PatchKind::Merge, least).unwrap_err();
    assert_eq!(
        refused.message,
        "HorizontalPodAutoscaler.autoscaling \"web\" is invalid: spec.maxReplicas: Invalid value: 5: must be greater \
         than or equal to `minReplicas`"
    );
    let hostile = json!({"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": "[5,{\"type\":[]}]"}}});
    assert_eq!(world.patch(&format!("{}/web", path("v1")), PatchKind::Merge, hostile).unwrap_err().code, 422);
}

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

/// A request for a certificate, as far as it is looked at: base64 of PEM of a sequence.
fn mk_signing_request(name: &str) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
        "spec": {"signerName": "example.com/boats", "usages": ["client auth"], "request":
            "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUFNQ0FRQT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg=="},
    })
}

#[test]
fn a_signing_request_is_decided_once() {
    let mut world = World::new();
    let made = world.post(REQUESTS, mk_signing_request("a")).unwrap();
    assert_eq!(made["status"], json!({}));
    let verdict = |kind: &str| json!({"type": kind, "status": "True", "reason": "Because"});
    let conditions = |list: &[&str]| {
        let list: Vec<Value> = list.iter().map(|kind| verdict(kind)).collect();
        json!({"status": {"conditions": list, "certificate": "YQ=="}, "spec": {"usages": ["server auth"]}})
    };
    let status = format!("{REQUESTS}/a/status");
    let denied = world.patch(&status, PatchKind::Merge, conditions(&["Approved"])).unwrap_err();
    assert!(
        denied.message.contains("updates may not add a condition of type \"Approved\""),
        "{}",
        denied.message
    );

    let approval = format!("{REQUESTS}/a/approval");
    let approved = world.patch(&approval, PatchKind::Merge, conditions(&["Approved"])).unwrap();
    assert_eq!(approved["spec"], made["spec"]);
    assert!(approved["status"].get("certificate").is_none());
    assert!(approved["status"]["conditions"][0]["lastTransitionTime"].is_string());
    let both = world.patch(&approval, PatchKind::Merge, conditions(&["Approved", "Denied"])).unwrap_err();
    assert!(both.message.contains("mutually exclusive"), "{}", both.message);
    let none = world.patch(&approval, PatchKind::Merge, json!({"status": {"conditions": null}})).unwrap_err();
    assert!(none.message.contains("updates may not remove"), "{}", none.message);
    let issued = json!({"status": {"certificate": "YQ=="}});
    assert_eq!(world.patch(&status, PatchKind::Merge, issued).unwrap()["status"]["certificate"], "YQ==");
}

#[test]
fn what_is_wrong_with_a_signing_request_is_told() {
    let mut world = World::new();
    for (field, value, wanted) in [
        (
            "request",
            json!("YQ=="),
            "spec.request: Invalid value: \"YQ==\": PEM block type must be CERTIFICATE REQUEST",
        ),
        ("usages", json!([]), "spec.usages: Required value"),
        ("usages", json!(["fun"]), "spec.usages[0]: Unsupported value: \"fun\""),
        ("signerName", json!("boats"), "of the form 'example.com/signer-name'"),
        ("expirationSeconds", json!(5), "may not specify a duration less than 600 seconds (10 minutes)"),
    ] {
        let mut request = mk_signing_request("a");
        request["spec"][field] = value;
        let message = world.post(REQUESTS, request).unwrap_err().message;
        assert!(message.contains(wanted), "{field}: {message}");
    }
}
