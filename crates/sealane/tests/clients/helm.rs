//! helm 3 and 4 on a chart of our own: install, upgrade, rollback, test, uninstall, with hooks and a CRD.

use crate::bed::can_run;
use crate::lab::Lab;
use crate::tools;

/// Shell lines in order, and texts of their output apart by `|`.
const LIFE: &[(&str, &str)] = &[
    ("helm lint chart", "0 chart(s) failed"),
    (
        "helm install web chart -n shop --create-namespace --wait --timeout 90s",
        "STATUS: deployed|in colour blue",
    ),
    (
        "kubectl get deploy,svc,ing,cm,secret,sa,pdb,hpa,role,rolebinding -n shop -l app.kubernetes.io/instance=web \
      -o name",
        "deployment.apps/web|service/web|ingress.networking.k8s.io/web|configmap/web|secret/web|\
      serviceaccount/web|poddisruptionbudget.policy/web|horizontalpodautoscaler.autoscaling/web|\
      role.rbac.authorization.k8s.io/web|rolebinding.rbac.authorization.k8s.io/web",
    ),
    ("kubectl get cm web-before -n shop -o jsonpath={.data.revision}", "1"),
    ("kubectl get deploy web -n shop -o jsonpath={.status.availableReplicas}", "1"),
    ("helm list -n shop", "web|deployed|shop-0.1.0"),
    ("helm status web -n shop", "STATUS: deployed|REVISION: 1"),
    (
        "helm upgrade web chart -n shop --set colour=red,replicas=2 --wait --timeout 90s",
        "REVISION: 2|in colour red",
    ),
    (
        "kubectl get cm web web-before -n shop -o jsonpath='{.items[*].data}'",
        "{\"colour\":\"red\"}|{\"revision\":\"2\"}",
    ),
    ("kubectl get deploy web -n shop -o jsonpath={.status.readyReplicas}", "2"),
    ("helm upgrade web chart -n shop --reuse-values --set image=shop:2 --wait --timeout 90s", "REVISION: 3"),
    ("helm history web -n shop", "superseded|deployed|Upgrade complete"),
    ("helm get values web -n shop", "colour: red|image: shop:2"),
    ("helm get manifest web -n shop", "kind: Deployment|image: shop:2"),
    ("helm get hooks web -n shop", "name: web-before"),
    ("helm get notes web -n shop", "in colour red"),
    ("helm upgrade web chart -n shop --dry-run=server --set colour=green", "in colour green"),
    ("helm rollback web 1 -n shop --wait --timeout 90s", "Rollback was a success"),
    (
        "kubectl get deploy web -n shop -o jsonpath='{.spec.template.spec.containers[0].image} {.spec.replicas}'",
        "shop:1 1",
    ),
    ("kubectl get cm web -n shop -o jsonpath={.data}", "{\"colour\":\"blue\"}"),
    ("helm test web -n shop --timeout 60s --logs", "Succeeded|\"pod\": \"web-"),
    ("helm upgrade --install second chart -n shop --set replicas=0", "STATUS: deployed"),
    ("helm uninstall second -n shop", "release \"second\" uninstalled"),
    ("helm uninstall web -n shop --wait --timeout 90s", "release \"web\" uninstalled"),
    ("helm list -n shop -q | wc -l", "0"),
    ("kubectl get deploy,svc,ing,sa,pdb,hpa -n shop -l app.kubernetes.io/instance=web -o name | wc -l", "0"),
];

/// The same for Jobs as hooks.
const JOB_HOOK: &[(&str, &str)] = &[
    (
        "helm install jobs chart -n jobs --create-namespace --skip-crds --set hookJob=true --wait --timeout 90s",
        "deployed",
    ),
    ("helm upgrade jobs chart -n jobs --set hookJob=true,colour=red --timeout 90s", "REVISION: 2"),
    ("kubectl get jobs -n jobs -o name | wc -l", "0"),
];

/// The same for kinds that a chart brings along.
const CRD: &[(&str, &str)] = &[
    ("helm install tills chart -n tills --create-namespace --set crd=true,replicas=0", "deployed"),
    ("kubectl get till tills -n tills -o jsonpath={.spec.currency}", "EUR"),
    ("helm upgrade tills chart -n tills --set crd=true,replicas=0,colour=red", "REVISION: 2"),
    ("helm uninstall tills -n tills", "uninstalled"),
    ("kubectl get tills -A -o name | wc -l", "0"),
];

/// Whether a resource is served; says so in the output if not.
fn serves(lab: &Lab, test: &str, resource: &str) -> bool {
    let served = lab.shell(&format!("kubectl get {resource} -A")).code == Some(0);
    if !served {
        println!("sealane-skip: {test} with {resource}: they are not served");
    }
    served
}

fn run(test: &str, tool: &str) {
    let Some(helm) = tools::find(test, tool).filter(|_| can_run(test)) else { return };
    let Some(kubectl) = tools::find(test, "kubectl-1.34") else { return };
    let lab = Lab::up(test, "2");
    lab.prepare("charts", &[("helm", &helm), ("kubectl", &kubectl)]);
    let with_crds = serves(&lab, test, "customresourcedefinitions");
    if !with_crds {
        std::fs::remove_dir_all(lab.folder().join("chart/crds")).unwrap();
    }
    lab.all(LIFE);
    if serves(&lab, test, "jobs") {
        lab.all(JOB_HOOK);
    }
    if with_crds {
        lab.all(CRD);
    }
}

#[test]
fn helm_3_installs_upgrades_and_removes() {
    run("helm_3_installs_upgrades_and_removes", "helm-3");
}

#[test]
fn helm_4_installs_upgrades_and_removes() {
    run("helm_4_installs_upgrades_and_removes", "helm-4");
}
