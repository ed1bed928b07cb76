//! The Gateway API as its users install it: kubectl and the files of its release, one lab for each channel.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::bed::can_run;
use crate::lab::Lab;
use crate::tools;

/// The release, out of the Go module proxy.
const MODULE: &str = "sigs.k8s.io/gateway-api@v1.6.0";

/// What must work in both channels; `$G` is the release and `$F` its files of the channel.
const LINES: &[(&str, &str)] = &[
    (
        "kubectl apply --server-side $F",
        "gateways.gateway.networking.k8s.io serverside-applied|\
         httproutes.gateway.networking.k8s.io serverside-applied|\
         validatingadmissionpolicy.admissionregistration.k8s.io/safe-upgrades.gateway.networking.k8s.io serverside-applied",
    ),
    ("kubectl wait --for=condition=Established crd --all --timeout=30s", "condition met"),
    ("kubectl apply --server-side $F", "serverside-applied"),
    ("kubectl get crd gateways.gateway.networking.k8s.io -o jsonpath={.metadata.generation}", "1"),
    ("kubectl api-resources --api-group=gateway.networking.k8s.io", "gtw|gc|httproutes|referencegrants"),
    ("kubectl explain gateway.spec.listeners.port", "GROUP:|<integer>"),
    ("kubectl apply -f $G/examples/standard/simple-gateway", "prod-web created|foo created"),
    ("kubectl apply -f $G/examples/standard/simple-gateway", "prod-web unchanged"),
    (
        "kubectl apply --server-side --force-conflicts -f $G/examples/standard/simple-gateway",
        "serverside-applied",
    ),
    ("kubectl get gtw", "NAME|CLASS|ADDRESS|PROGRAMMED|prod-web|example|Unknown"),
    (
        "kubectl get gateways.v1beta1.gateway.networking.k8s.io prod-web -o jsonpath={.apiVersion}",
        "networking.k8s.io/v1beta1",
    ),
    ("kubectl describe httproute foo", "Parent Refs:|prod-web"),
    ("! kubectl apply -f $G/hack/invalid-examples/standard/gateway", "is invalid: spec.listeners"),
    ("! kubectl apply -f $G/hack/invalid-examples/standard/httproute", "is invalid: spec.rules"),
];

/// What only one of the channels shows.
const STANDARD: &[(&str, &str)] = &[(
    "! kubectl apply --server-side -f $G/config/crd/experimental/gateway.networking.k8s.io_gateways.yaml",
    "Installing experimental CRDs on top of standard channel CRDs is prohibited",
)];
const EXPERIMENTAL: &[(&str, &str)] = &[("kubectl get xmeshes", "No resources found")];

/// How it goes again, with all that was made of it.
const END: &[(&str, &str)] = &[
    ("kubectl delete $F", "gateways.gateway.networking.k8s.io\" deleted"),
    ("! kubectl get gtw", "the server"),
];

/// Where the release is; says so in the output if it cannot be had.
fn release(test: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("gateway-api");
    std::fs::create_dir_all(&folder).unwrap();
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", MODULE]).current_dir(folder).env("GO111MODULE", "on");
    let answer: Value = match go.output() {
        Ok(output) => serde_json::from_slice(&output.stdout).unwrap_or_default(),
        Err(error) => Value::String(format!("go does not run: {error}")),
    };
    let found = answer["Dir"].as_str().map(PathBuf::from);
    if found.is_none() {
        println!("sealane-skip: {test}: {MODULE} cannot be had: {answer}");
    }
    found
}

fn run(test: &str, kubectl: &str, channel: &str, own: &[(&str, &str)]) {
    let Some(kubectl) = tools::find(test, kubectl).filter(|_| can_run(test)) else { return };
    let Some(release) = release(test) else { return };
    let lab = Lab::up(test, "1");
    lab.prepare("everyday", &[("kubectl", &kubectl)]);
    let files = format!("$(ls $G/config/crd/{channel}/gateway*.yaml | sed 's/^/-f /')");
    let fill = |line: &str| line.replace("$F", &files).replace("$G", &release.display().to_string());
    for (line, expected) in [LINES, own, END].concat() {
        lab.all(&[(&fill(line), expected)]);
    }
}

#[test]
fn gateway_api_standard() {
    run("gateway_api_standard", "kubectl-1.34", "standard", STANDARD);
}

#[test]
fn gateway_api_experimental() {
    run("gateway_api_experimental", "kubectl-1.37", "experimental", EXPERIMENTAL);
}
