//! A lab with a folder for the client under test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::bed::{Bed, signal};

/// A running lab; ends with this value.
pub(crate) struct Lab {
    child: Child,
    info: Value,
    bed: Bed,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
}

impl Lab {
    pub(crate) fn up(name: &str, nodes: &str) -> Self {
        Self::up_with(name, &["--nodes", nodes])
    }

    pub(crate) fn up_with(name: &str, flags: &[&str]) -> Self {
        let bed = Bed::new(name);
        let (child, info) = bed.up_with(flags);
        Self { child, info, bed }
    }

    /// A lab that ran before: its first revisions are forgotten, so a watch from them is told 410.
    pub(crate) fn up_again(name: &str) -> Self {
        let bed = Bed::new(name);
        let data = bed.dir.join("data").display().to_string();
        let flags = ["--nodes", "1", "--data-dir", data.as_str()];
        let (mut first, _) = bed.up_with(&flags);
        signal(&first, Signal::SIGTERM);
        first.wait().unwrap();
        let (child, info) = bed.up_with(&flags);
        Self { child, info, bed }
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        PathBuf::from(self.info["kubeconfig"].as_str().unwrap())
    }

    /// Where the cluster's DNS can be asked from this machine.
    pub(crate) fn dns(&self) -> SocketAddr {
        self.info["dns"].as_str().unwrap().parse().unwrap()
    }

    /// The folder commands run in.
    pub(crate) fn folder(&self) -> PathBuf {
        self.bed.dir.join("work")
    }

    /// Copies files from beside the tests into the folder, and puts programs on its path under a name.
    pub(crate) fn prepare(&self, files: &str, programs: &[(&str, &Path)]) {
        let bin = self.bed.dir.join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(files), &self.folder());
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sealane"), bin.join("sealane")).unwrap();
        for (name, program) in programs {
            std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
        }
    }

    /// Runs a shell line in the folder; it is ended after two minutes.
    pub(crate) fn shell(&self, line: &str) -> Ran {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("timeout");
        // Both outputs in one, in the order of writing.
        command.args(["120", "sh", "-c", &format!("exec 2>&1\n{line}")]);
        command.current_dir(self.folder()).stdin(Stdio::null());
        command.env("PATH", format!("{}/bin:{path}", self.bed.dir.display()));
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.bed.dir);
        let output = command.output().unwrap();
        Ran { code: output.status.code(), out: String::from_utf8_lossy(&output.stdout).into_owned() }
    }

    /// Runs shell lines that must succeed and print a text.
    pub(crate) fn all(&self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            let ran = self.shell(line);
            assert_eq!(ran.code, Some(0), "{line}\n{}", ran.out);
            for part in expected.split('|') {
                assert!(ran.out.contains(part), "{line}: no `{part}` in:\n{}", ran.out);
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        signal(&self.child, Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
