//! Who may import whom, and what pure crates may never reach, not even through others.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::root;

/// Crates above the purity line: no clock, randomness, environment, files, sockets, processes, async run time.
pub(crate) const PURE_CRATES: &[&str] = &[
    "types",
    "model",
    "plan",
    "compile",
    "ruleset",
    "engine-policy",
    "engine-dns",
    "engine-corefile",
    "engine-http",
    "engine-access",
    "engine-admission",
    "engine-ipam",
    "engine-path",
    "engine-check",
    "engine-cel",
    "engine-structural",
    "engine-schema",
    "engine-kinds",
    "engine-extensions",
    "engine-store",
    "engine-kubelet",
    "engine-streams",
    "explain",
    "controllers",
];

/// What each crate may import of ours. A crate that is not listed may not exist.
const IMPORTS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("model", &["types"]),
    ("plan", &["types"]),
    ("engine-access", &["types"]),
    ("engine-admission", &["types", "engine-access", "engine-cel"]),
    ("engine-ipam", &["types"]),
    ("engine-path", &["types"]),
    ("engine-check", &["types"]),
    ("engine-cel", &[]),
    ("engine-structural", &["engine-cel"]),
    ("engine-schema", &[]),
    ("engine-kinds", &["types", "engine-schema"]),
    ("engine-kubelet", &["types", "engine-schema"]),
    ("engine-streams", &[]),
    ("engine-extensions", &["engine-schema", "engine-kinds", "engine-structural"]),
    ("engine-store", &["types", "engine-schema", "engine-kinds", "engine-extensions"]),
    ("engine-policy", &["types", "plan"]),
    ("engine-dns", &["types", "plan"]),
    ("engine-corefile", &["types", "plan"]),
    ("engine-http", &["types", "plan"]),
    ("ruleset", &["types", "plan"]),
    ("compile", &["types", "model", "plan", "engine-ipam", "engine-corefile"]),
    ("explain", &["types", "plan", "engine-policy", "engine-dns", "engine-http"]),
    ("controllers", &["types", "model", "engine-schema", "engine-kinds"]),
    (
        "testkit",
        &[
            "types",
            "model",
            "plan",
            "compile",
            "engine-policy",
            "engine-dns",
            "engine-http",
            "engine-store",
            "explain",
            "ruleset",
        ],
    ),
    ("netns", &["types"]),
    ("watch", &["types", "model"]),
    ("apply-announce", &["types", "plan"]),
    ("apply-kube", &["types", "plan"]),
    ("apply-netlink", &["types", "plan", "netns"]),
    ("apply-nft", &["types", "plan", "ruleset"]),
    ("serve-dns", &["types", "plan", "engine-dns"]),
    ("serve-gateway", &["types", "plan", "engine-http"]),
    ("serve-api", &["types", "engine-access", "engine-admission", "engine-store", "engine-streams"]),
    ("serve-admin", &["types", "plan", "explain", "ruleset"]),
    ("cni", &["types", "engine-ipam", "netns", "apply-netlink"]),
    (
        "agent",
        &[
            "types",
            "model",
            "plan",
            "compile",
            "ruleset",
            "engine-policy",
            "engine-dns",
            "engine-http",
            "engine-ipam",
            "engine-path",
            "engine-check",
            "explain",
            "netns",
            "watch",
            "apply-netlink",
            "apply-nft",
            "apply-announce",
            "apply-kube",
            "serve-dns",
            "serve-gateway",
            "serve-admin",
        ],
    ),
    // A kubelet is a client of the API, and answers the API server's questions about Pods (`serve-api`'s `PodRuntime`).
    ("kubelet", &["types", "netns", "watch", "apply-kube", "serve-api", "engine-kubelet"]),
    // The lab drives the controllers, so it reads and writes the API like any other client.
    (
        "lab",
        &[
            "types",
            "model",
            "plan",
            "netns",
            "watch",
            "apply-kube",
            "apply-netlink",
            "controllers",
            "agent",
            "cni",
            "serve-api",
            "engine-store",
            "engine-kubelet",
            "kubelet",
        ],
    ),
];

/// Packages that act: no pure crate may depend on one, directly or through others.
const ACTING: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "mio",
    "hyper",
    "reqwest",
    "kube",
    "kube-client",
    "rtnetlink",
    "netlink-sys",
    "netlink-proto",
    "nix",
    "socket2",
    "rustls",
    "rand",
    "getrandom",
    "tempfile",
];

/// Packages with a single place each.
const WRAPPED: &[(&str, &[&str])] = &[
    ("netlink-packet-route", &["sealane-apply-netlink"]),
    ("netlink-sys", &["sealane-apply-netlink"]),
    ("kube", &["sealane-watch", "sealane-apply-kube"]),
];

struct Package {
    manifest: String,
    /// Direct dependencies by package name: normal ones, and all.
    normal: BTreeSet<String>,
    all: BTreeSet<String>,
}

/// Every import rule that is broken.
pub(crate) fn problems() -> Result<Vec<String>> {
    let (packages, resolved) = read_metadata()?;
    let mut problems = Vec::new();
    for (name, package) in &packages {
        let Some(directory) = name.strip_prefix("sealane-") else { continue };
        let Some((_, allowed)) = IMPORTS.iter().find(|(listed, _)| *listed == directory) else {
            problems.push(format!("{}: `{directory}` has no row in the import table", package.manifest));
            continue;
        };
        for import in package.normal.iter().filter_map(|import| import.strip_prefix("sealane-")) {
            if !allowed.contains(&import) {
                problems.push(format!("{}: `{directory}` may not import `{import}`", package.manifest));
            }
        }
        if PURE_CRATES.contains(&directory) {
            problems
                .extend(acting_reach(name, &resolved).map(|reach| format!("{}: {reach}", package.manifest)));
        }
    }
    for (wrapped, wrappers) in WRAPPED {
        for (name, package) in &packages {
            if package.normal.contains(*wrapped) && !wrappers.contains(&name.as_str()) {
                problems.push(format!(
                    "{}: only {} may use `{wrapped}`",
                    package.manifest,
                    wrappers.join(", ")
                ));
            }
        }
    }
    problems.extend(lint_problems(&packages)?);
    Ok(problems)
}

/// Acting packages that a pure crate reaches through normal dependencies.
fn acting_reach(name: &str, resolved: &BTreeMap<String, BTreeSet<String>>) -> impl Iterator<Item = String> {
    let mut seen = BTreeSet::from([name.to_owned()]);
    let mut next = vec![name.to_owned()];
    while let Some(package) = next.pop() {
        for dependency in resolved.get(&package).into_iter().flatten() {
            if seen.insert(dependency.clone()) {
                next.push(dependency.clone());
            }
        }
    }
    let name = name.to_owned();
    seen.into_iter()
        .filter(|package| ACTING.contains(&package.as_str()))
        .map(move |package| format!("`{name}` is pure but depends on `{package}`"))
}

fn lint_problems(packages: &BTreeMap<String, Package>) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for package in packages.values() {
        let text = std::fs::read_to_string(&package.manifest).with_context(|| package.manifest.clone())?;
        if !text.contains("[lints]\nworkspace = true") {
            problems.push(format!("{}: does not inherit the workspace's lints", package.manifest));
        }
        if package.all.is_empty() && !package.manifest.contains("xtask") {
            problems.push(format!("{}: depends on nothing; is it a stub?", package.manifest));
        }
    }
    Ok(problems)
}

type Resolved = BTreeMap<String, BTreeSet<String>>;

/// Our packages, and the normal dependencies of every package by name.
fn read_metadata() -> Result<(BTreeMap<String, Package>, Resolved)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1"]).current_dir(root());
    let output = command.output().context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let members: BTreeSet<&str> = strings(&metadata["workspace_members"]).collect();
    let mut names = BTreeMap::new();
    let mut packages = BTreeMap::new();
    for package in array(&metadata["packages"]) {
        let (id, name) = (text(&package["id"]), text(&package["name"]));
        names.insert(id, name);
        if members.contains(id) {
            let dependencies = || array(&package["dependencies"]);
            let normal = dependencies().filter(|dependency| dependency["kind"].is_null());
            packages.insert(
                name.to_owned(),
                Package {
                    manifest: text(&package["manifest_path"]).to_owned(),
                    normal: normal.map(|dependency| text(&dependency["name"]).to_owned()).collect(),
                    all: dependencies().map(|dependency| text(&dependency["name"]).to_owned()).collect(),
                },
            );
        }
    }
    let mut resolved = Resolved::new();
    for node in array(&metadata["resolve"]["nodes"]) {
        let is_normal =
            |dependency: &&Value| array(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
        let dependencies = array(&node["deps"]).filter(is_normal);
        let dependencies = dependencies.filter_map(|dependency| names.get(text(&dependency["pkg"])));
        let name = names.get(text(&node["id"])).copied().unwrap_or_default();
        resolved.entry(name.to_owned()).or_default().extend(dependencies.map(|name| (*name).to_owned()));
    }
    Ok((packages, resolved))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    array(value).filter_map(Value::as_str)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
