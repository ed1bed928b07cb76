//! Admission: what the server adds to new objects beyond defaults, as an ordered list of named steps.

use serde_json::{Value, json};

use crate::request::Env;
use crate::service_account;
use crate::store::Store;
use engine_kinds::object::{self, default_to, map_mut, text};
use engine_kinds::{Kind, Status};

/// One step: its name, the resource it is about, and what it does.
struct Step {
    resource: &'static str,
    admit: fn(&Store, &mut Env<'_>, &mut Value) -> Result<(), Status>,
}

/// The steps, in order (upstream: the default admission plugins and `PrepareForCreate` of each strategy).
const STEPS: &[(&str, Step)] = &[
    ("NamespaceFinalizer", Step { resource: "namespaces", admit: namespace_finalizer }),
    ("ServiceAccount", Step { resource: "pods", admit: service_account::admit }),
    ("DefaultTolerationSeconds", Step { resource: "pods", admit: default_tolerations }),
    ("Priority", Step { resource: "pods", admit: priority }),
    ("PodStatus", Step { resource: "pods", admit: pod_status }),
    ("JobSelector", Step { resource: "jobs", admit: job_selector }),
    ("DefaultIngressClass", Step { resource: "ingresses", admit: default_ingress_class }),
];

/// Runs the steps for a new object.
pub(crate) fn admit_new(
    store: &Store,
    env: &mut Env<'_>,
    kind: &Kind,
    object: &mut Value,
) -> Result<(), Status> {
    // A custom kind may be called `jobs`, too.
    let steps: &[(&str, Step)] = if kind.is_custom() { &[] } else { STEPS };
    steps
        .iter()
        .filter(|(_, step)| step.resource == kind.plural)
        .try_for_each(|(_, step)| (step.admit)(store, env, object))
}

/// Namespaces are emptied before they go, and begin active.
fn namespace_finalizer(_: &Store, _: &mut Env<'_>, namespace: &mut Value) -> Result<(), Status> {
    let spec = map_mut(namespace, "spec");
    let finalizers = spec.entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut()
        && !finalizers.iter().any(|name| name == "kubernetes")
    {
        finalizers.push("kubernetes".into());
    }
    namespace["status"] = json!({"phase": "Active"});
    Ok(())
}

/// Pods stay on a node in trouble for five minutes (upstream: plugin `DefaultTolerationSeconds`).
fn default_tolerations(_: &Store, _: &mut Env<'_>, pod: &mut Value) -> Result<(), Status> {
    const SECONDS: i64 = 300;
    let spec = map_mut(pod, "spec");
    let tolerations = spec.entry("tolerations").or_insert_with(|| json!([]));
    let Some(tolerations) = tolerations.as_array_mut() else { return Ok(()) };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let tolerated = tolerations.iter().any(|toleration| {
            let (own, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
            (own == key || own.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            tolerations.push(json!({
                "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
            }));
        }
    }
    Ok(())
}

/// The number and preemption policy of the Pod's priority class.
fn priority(store: &Store, _: &mut Env<'_>, pod: &mut Value) -> Result<(), Status> {
    let name = text(pod, "/spec/priorityClassName").to_owned();
    let class = match name.as_str() {
        "" => None,
        "system-cluster-critical" => Some(json!({"value": 2_000_000_000})),
        "system-node-critical" => Some(json!({"value": 2_000_001_000})),
        _ => {
            let id = store.registry().built_in("scheduling.k8s.io", "priorityclasses");
            let class = store.get(id, "", &name).ok_or_else(|| {
                let pods = store.registry().kind(store.registry().built_in("", "pods"));
                let why = format!("no PriorityClass with name {name} was found");
                Status::forbidden(pods, object::name(pod), &why)
            })?;
            Some(Value::clone(&class))
        }
    };
    let field = |name: &str| class.as_ref().and_then(|class| class.get(name)).cloned();
    let spec = map_mut(pod, "spec");
    default_to(spec, "priority", field("value").unwrap_or_else(|| 0.into()));
    default_to(
        spec,
        "preemptionPolicy",
        field("preemptionPolicy").unwrap_or_else(|| "PreemptLowerPriority".into()),
    );
    Ok(())
}

/// New Pods are pending, with their quality of service settled (upstream: `podStrategy.PrepareForCreate`).
fn pod_status(_: &Store, _: &mut Env<'_>, pod: &mut Value) -> Result<(), Status> {
    pod["status"] = json!({"phase": "Pending", "qosClass": qos_class(pod)});
    Ok(())
}

/// `Guaranteed`, `Burstable` or `BestEffort` (upstream: `pkg/apis/core/helper/qos`).
fn qos_class(pod: &Value) -> &'static str {
    let containers = ["/spec/containers", "/spec/initContainers"]
        .into_iter()
        .flat_map(|pointer| object::list(pod, pointer));
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let amount = |kind: &str| container.pointer(&format!("/resources/{kind}/{resource}"));
            let (limit, request) = (amount("limits"), amount("requests"));
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// A Job's Pods carry its uid, and it selects them by that (upstream: `generateSelector` in `registry/batch/job`).
fn job_selector(_: &Store, _: &mut Env<'_>, job: &mut Value) -> Result<(), Status> {
    const BY_UID: &str = "batch.kubernetes.io/controller-uid";
    if job.pointer("/spec/manualSelector").is_some_and(|manual| *manual == true) {
        return Ok(());
    }
    let (uid, name) = (object::uid(job).to_owned(), object::name(job).to_owned());
    let labels = map_mut(map_mut_at(job, &["spec", "template", "metadata"]), "labels");
    for (key, value) in [
        (BY_UID, &uid),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/job-name", &name),
        ("job-name", &name),
    ] {
        labels.insert(key.to_owned(), value.as_str().into());
    }
    // One that a user brings stays, so that validation can say what is wrong with it.
    default_to(map_mut(job, "spec"), "selector", json!({ "matchLabels": { BY_UID: uid } }));
    Ok(())
}

/// The value under these keys, each made a map if it is none.
fn map_mut_at<'a>(object: &'a mut Value, keys: &[&str]) -> &'a mut Value {
    keys.iter().fold(object, |inner, key| {
        map_mut(inner, key);
        &mut inner[*key]
    })
}

/// An Ingress that names no class gets the default one; of several the newest, then the first by name.
fn default_ingress_class(store: &Store, _: &mut Env<'_>, ingress: &mut Value) -> Result<(), Status> {
    const IS_DEFAULT: &str = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";
    const OLD_CLASS: &str = "/metadata/annotations/kubernetes.io~1ingress.class";
    let named = ingress.pointer("/spec/ingressClassName").is_some() || ingress.pointer(OLD_CLASS).is_some();
    if named {
        return Ok(());
    }
    let id = store.registry().built_in("networking.k8s.io", "ingressclasses");
    let default = store.all(id).filter(|class| text(class, IS_DEFAULT) == "true").min_by(|a, b| {
        let age = |class: &Value| text(class, "/metadata/creationTimestamp").to_owned();
        let name = |class: &Value| object::name(class).to_owned();
        age(b).cmp(&age(a)).then(name(a).cmp(&name(b)))
    });
    if let Some(class) = default {
        let name = Value::from(object::name(&class));
        map_mut(ingress, "spec").insert("ingressClassName".to_owned(), name);
    }
    Ok(())
}
