//! The peers of benchmarks: etcd, kube-apiserver and kube-proxy, built by the Go toolchain from their modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The release that is compared with.
const KUBERNETES: &str = "v1.36.3";
/// The version of its staging modules (upstream: `staging/README.md`, "v0.x.y for v1.x.y").
const STAGING: &str = "v0.36.3";
/// The etcd that this release is built with (its `go.mod`).
const ETCD: &str = "v3.6.8";
const ETCD_PACKAGE: &str = "go.etcd.io/etcd/server/v3";
const APISERVER_PACKAGE: &str = "k8s.io/kubernetes/cmd/kube-apiserver";
const PROXY_PACKAGE: &str = "k8s.io/kubernetes/cmd/kube-proxy";

/// The programs.
pub(super) struct Peer {
    pub(super) etcd: PathBuf,
    pub(super) apiserver: PathBuf,
}

/// Builds both into a folder, unless they are there already; the first time takes ten minutes of two processors.
pub(super) fn provide(folder: &Path) -> Result<Peer> {
    let folder = folder.join(KUBERNETES);
    let peer = Peer { etcd: folder.join("etcd"), apiserver: folder.join("kube-apiserver") };
    if peer.etcd.exists() && peer.apiserver.exists() {
        return Ok(peer);
    }
    build(&folder, &[("etcd", ETCD_PACKAGE), ("kube-apiserver", APISERVER_PACKAGE)])?;
    Ok(peer)
}

/// Builds kube-proxy into a folder, unless it is there already; the first time takes some minutes.
pub(super) fn provide_proxy(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join(KUBERNETES).join("proxy");
    let program = folder.join("kube-proxy");
    if !program.exists() {
        build(&folder, &[("kube-proxy", PROXY_PACKAGE)])?;
    }
    Ok(program)
}

/// Builds programs, by name and package, into a folder that becomes a Go module for that.
fn build(folder: &Path, programs: &[(&str, &str)]) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let names: Vec<&str> = programs.iter().map(|(name, _)| *name).collect();
    println!("building {} of Kubernetes {KUBERNETES} in {}", names.join(" and "), folder.display());
    let packages: Vec<&str> = programs.iter().map(|(_, package)| *package).collect();
    std::fs::write(folder.join("go.mod"), module(&packages, &staging_modules(folder)?))
        .context("cannot write go.mod")?;
    go(folder, &["mod", "tidy"])?;
    let flags = version_flags();
    let part = |name: &str| format!("{name}.part");
    for (name, package) in programs {
        go(folder, &["build", "-trimpath", "-ldflags", &flags, "-o", &part(name), package])?;
    }
    for name in names {
        std::fs::rename(folder.join(part(name)), folder.join(name))
            .context("cannot put the program in place")?;
    }
    Ok(())
}

/// What a release's build says about its version, so that the server knows which one it is.
fn version_flags() -> String {
    let mut numbers = KUBERNETES.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or_default();
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion={KUBERNETES} -X {package}.gitMajor={} -X {package}.gitMinor={}",
        number(),
        number()
    )
}

/// The modules that Kubernetes replaces by folders of its own repository; from outside they need versions.
fn staging_modules(folder: &Path) -> Result<Vec<String>> {
    let module = format!("k8s.io/kubernetes@{KUBERNETES}");
    let found: Value = serde_json::from_str(&go(folder, &["mod", "download", "-json", &module])?)
        .context("go mod download printed no JSON")?;
    let manifest = found["GoMod"].as_str().context("go mod download named no go.mod")?;
    let manifest = std::fs::read_to_string(manifest).with_context(|| manifest.to_owned())?;
    Ok(staged(&manifest))
}

fn staged(manifest: &str) -> Vec<String> {
    let replaced = manifest.lines().filter_map(|line| line.trim().split_once(" => ./staging/"));
    replaced.map(|(name, _)| name.trim_start_matches("replace ").to_owned()).collect()
}

fn module(packages: &[&str], staging: &[String]) -> String {
    let tools: String = packages.iter().map(|package| format!("tool {package}\n")).collect();
    let etcd = if packages.contains(&ETCD_PACKAGE) {
        format!("require {ETCD_PACKAGE} {ETCD}\n")
    } else {
        String::new()
    };
    let replaced: String =
        staging.iter().map(|name| format!("replace {name} => {name} {STAGING}\n")).collect();
    format!("module peer\n\ngo 1.26.0\n\n{tools}\n{etcd}require k8s.io/kubernetes {KUBERNETES}\n\n{replaced}")
}

/// Runs the Go toolchain in the folder; returns what it printed.
fn go(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("go");
    // What the user sets goes on to hold, such as how many compilers may run at once.
    let flags = format!("{} -mod=mod", std::env::var("GOFLAGS").unwrap_or_default());
    command.args(arguments).current_dir(folder).env("GOFLAGS", flags.trim()).env("GOWORK", "off");
    let output = match command.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no Go toolchain here"),
        output => output.context("cannot run go")?,
    };
    let problem = String::from_utf8_lossy(&output.stderr);
    let last = problem.lines().last().unwrap_or_default();
    ensure!(output.status.success(), "go {} failed: {last}", arguments.join(" "));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn staging_modules_get_versions() {
        let manifest = "replace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n\tother => other v1.0.0\n)\n";
        assert_eq!(staged(manifest), ["k8s.io/api"]);
        let module = module(&[PROXY_PACKAGE], &staged(manifest));
        assert!(module.contains("replace k8s.io/api => k8s.io/api v0.36.3\n"));
        assert!(module.contains("tool k8s.io/kubernetes/cmd/kube-proxy\n") && !module.contains("etcd"));
    }

    #[test]
    fn the_staging_version_is_that_of_the_release() {
        assert_eq!(STAGING.trim_start_matches("v0"), KUBERNETES.trim_start_matches("v1"));
        assert!(version_flags().contains("version.gitMinor=36"));
    }
}
