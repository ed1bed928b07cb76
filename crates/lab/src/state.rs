//! The state directory: everything on disk that belongs to a running lab, and who runs it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::LabError;
use crate::address::LabFamilies;

/// Longest path of a Unix socket, in bytes, without the final zero (unix(7), `sun_path`).
const LONGEST_SOCKET_PATH: usize = 107;

/// Where a lab's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir {
    root: PathBuf,
}

/// What others need to know of a running lab; `lab.json` in its state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LabInfo {
    /// The process whose end ends the lab.
    pub pid: i32,
    /// When that process started, in clock ticks since boot: with `pid`, its identity (proc_pid_stat(5), field 22).
    pub start_time: u64,
    /// A process in the lab's own user, mount and network namespaces.
    pub world_pid: i32,
    /// Its state directory.
    pub state_dir: PathBuf,
    /// The client configuration for the host.
    pub kubeconfig: PathBuf,
    /// Where the API answers on the host.
    pub api: String,
    /// Where the HTTP entry answers on the host, address and port.
    pub http: String,
    /// Where the HTTPS entry answers on the host, address and port.
    pub https: String,
    /// Where the cluster's DNS answers on the host, UDP and TCP.
    pub dns: String,
    /// The nodes' names.
    pub nodes: Vec<String>,
    /// Address families of the cluster.
    #[serde(default)]
    pub families: LabFamilies,
    /// Where logs are.
    pub log: PathBuf,
    /// From the start to readiness, in milliseconds.
    pub ready_after_millis: u64,
}

impl StateDir {
    /// The one at this path.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where a lab of this name lives unless told otherwise: below `$XDG_RUNTIME_DIR`, else below `/tmp`.
    #[must_use]
    pub fn usual(runtime_dir: Option<PathBuf>, name: Option<&str>) -> Self {
        let base = match runtime_dir.filter(|dir| dir.is_dir()) {
            Some(dir) => dir.join("sealane"),
            None => PathBuf::from(format!("/tmp/sealane-{}", nix::unistd::getuid())),
        };
        Self::at(base.join(name.unwrap_or("lab")))
    }

    /// The flags that make `sealane lab` mean this directory, each after a space; empty for the usual one.
    #[must_use]
    pub fn flags(&self) -> String {
        let name = self.root.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match self.root.parent().is_some_and(is_ours_by_name) {
            true if name == "lab" => String::new(),
            true => format!(" --name {name}"),
            false => format!(" --state-dir {}", self.root.display()),
        }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The client configuration for the host.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.root.join("kubeconfig")
    }

    /// The log of all the lab's own processes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("lab.log")
    }

    /// The output of containers.
    #[must_use]
    pub fn container_logs(&self) -> PathBuf {
        self.root.join("containers")
    }

    /// What a node's agent and the CNI plugin share.
    #[must_use]
    pub fn node(&self, name: &str) -> PathBuf {
        self.root.join("nodes").join(name)
    }

    /// A mount point; inside the lab's namespaces there is a tmpfs on it.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// The client configuration of one of the lab's own components.
    #[must_use]
    pub fn component_kubeconfig(&self, component: &str) -> PathBuf {
        self.run().join(format!("{component}.kubeconfig"))
    }

    /// The client configuration of the agents.
    #[must_use]
    pub fn agent_kubeconfig(&self) -> PathBuf {
        self.component_kubeconfig("agent")
    }

    /// The client configuration of the controller.
    #[must_use]
    pub fn controller_kubeconfig(&self) -> PathBuf {
        self.component_kubeconfig("controller")
    }

    /// Where a network namespace is bound inside the lab.
    #[must_use]
    pub fn netns(&self, name: &str) -> PathBuf {
        self.run().join("netns").join(name)
    }

    fn info_file(&self) -> PathBuf {
        self.root.join("lab.json")
    }

    /// Makes the directory and takes it for this process, clearing what a killed lab left there.
    ///
    /// # Errors
    /// When a lab runs there, or the directory cannot be made or belongs to somebody else.
    pub fn take(&self) -> Result<Flock<File>, LabError> {
        self.check_length()?;
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        if let Some(parent) = self.root.parent() {
            builder.create(parent).map_err(|error| LabError::file("create", parent, error))?;
            // Below `/tmp` anybody may have made the usual directory first; one that was asked for is trusted.
            if is_ours_by_name(parent) {
                self.check_owner(parent)?;
            }
        }
        builder.create(&self.root).map_err(|error| LabError::file("create", &self.root, error))?;
        self.check_owner(&self.root)?;
        let lock = self.lock()?;
        self.clear()?;
        for directory in [self.run(), self.container_logs(), self.root.join("nodes")] {
            builder.create(&directory).map_err(|error| LabError::file("create", &directory, error))?;
        }
        Ok(lock)
    }

    /// Without this, agents would start and never be ready.
    fn check_length(&self) -> Result<(), LabError> {
        let below = "/nodes/node-a/.agent.sock.new".len();
        let longest = LONGEST_SOCKET_PATH - below;
        if self.root.as_os_str().len() <= longest {
            return Ok(());
        }
        Err(LabError::LongStateDir { state_dir: self.root.clone(), longest })
    }

    /// Only what is this user's own is trusted.
    fn check_owner(&self, path: &Path) -> Result<(), LabError> {
        let metadata = fs::symlink_metadata(path).map_err(|error| LabError::file("look at", path, error))?;
        if metadata.is_dir() && metadata.uid() == nix::unistd::getuid().as_raw() {
            return Ok(());
        }
        Err(LabError::ForeignStateDir { path: path.to_owned() })
    }

    fn lock(&self) -> Result<Flock<File>, LabError> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| LabError::file("create", &path, error))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
            Errno::EWOULDBLOCK => LabError::AlreadyRunning {
                state_dir: self.root.clone(),
                pid: self.read_info().map_or(0, |info| info.pid),
            },
            error => LabError::file("lock", &path, error),
        })
    }

    /// Removes everything in the directory but the lock.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn clear(&self) -> Result<(), LabError> {
        let entries = fs::read_dir(&self.root).map_err(|error| LabError::file("read", &self.root, error))?;
        for entry in entries.flatten().filter(|entry| entry.file_name() != "lock") {
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| LabError::file("remove", &path, error))?;
        }
        Ok(())
    }

    /// Removes the directory; the lock goes with it.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self) -> Result<(), LabError> {
        match fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(LabError::file("remove", &self.root, error))
            }
            _ => {
                // The parent is ours too, but another lab may live there.
                if let Some(parent) = self.root.parent().filter(|parent| is_ours_by_name(parent)) {
                    let _ = fs::remove_dir(parent);
                }
                Ok(())
            }
        }
    }

    /// Removes what a killed lab has left; whether there was anything.
    ///
    /// # Errors
    /// When a lab runs there, or something cannot be removed.
    pub fn sweep(&self) -> Result<bool, LabError> {
        if !self.root.join("lock").exists() {
            return Ok(false);
        }
        let _lock = self.take()?;
        self.remove()?;
        Ok(true)
    }

    /// Writes a file that only this user can read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_private(path: &Path, text: &str) -> Result<(), LabError> {
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| LabError::file("write", path, error))
    }

    /// Tells others that the lab is there.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_info(&self, info: &LabInfo) -> Result<(), LabError> {
        let text = serde_json::to_string_pretty(info).expect("LabInfo has only strings and numbers");
        Self::write_private(&self.info_file(), &text)
    }

    /// What the file says, whether or not the lab still runs.
    fn read_info(&self) -> Option<LabInfo> {
        serde_json::from_str(&fs::read_to_string(self.info_file()).ok()?).ok()
    }

    /// The lab that runs here.
    ///
    /// # Errors
    /// When none does.
    pub fn running(&self) -> Result<LabInfo, LabError> {
        self.read_info()
            .filter(|info| start_time(info.pid) == Some(info.start_time))
            .ok_or_else(|| LabError::NotRunning { state_dir: self.root.clone() })
    }
}

/// Whether a directory is one that [`StateDir::usual`] made for labs.
fn is_ours_by_name(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name == "sealane" || name.strip_prefix("sealane-").is_some_and(is_number)
}

/// When a process started, in clock ticks since boot; none when there is no such process.
#[must_use]
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the program's name, may hold spaces and parentheses; the last `)` ends it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    // A zombie has ended; it only waits to be asked for its status.
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk_dir(name: &str) -> StateDir {
        let id = std::process::id();
        StateDir::at(std::env::temp_dir().join(format!("lab-state-{id}-{name}")).join("sealane").join("lab"))
    }

    fn mk_info(pid: i32, start_time: u64) -> LabInfo {
        LabInfo {
            pid,
            start_time,
            world_pid: 0,
            state_dir: "lab".into(),
            kubeconfig: "kubeconfig".into(),
            api: String::new(),
            http: String::new(),
            https: String::new(),
            dns: String::new(),
            nodes: Vec::new(),
            families: LabFamilies::default(),
            log: "lab.log".into(),
            ready_after_millis: 0,
        }
    }

    #[test]
    fn a_state_directory_must_leave_room_for_sockets() {
        let long = std::env::temp_dir().join("a".repeat(LONGEST_SOCKET_PATH));
        let error = StateDir::at(&long).take().unwrap_err().to_string();
        assert!(error.contains("at most 78 bytes; choose another with --state-dir"), "{error}");
        assert!(!long.exists());
    }

    #[test]
    fn a_state_directory_is_taken_once_and_cleared() {
        let dir = mk_dir("taken");
        let lock = dir.take().unwrap();
        fs::write(dir.kubeconfig(), "left over").unwrap();
        assert!(matches!(dir.take(), Err(LabError::AlreadyRunning { .. })));
        drop(lock);
        let _lock = dir.take().unwrap();
        assert!(!dir.kubeconfig().exists());
        dir.remove().unwrap();
        assert!(!dir.root().exists() && !dir.root().parent().unwrap().exists());
        fs::remove_dir(dir.root().ancestors().nth(2).unwrap()).unwrap();
    }

    #[test]
    fn what_a_killed_lab_left_is_swept_away() {
        let dir = mk_dir("swept");
        assert!(!dir.sweep().unwrap());
        drop(dir.take().unwrap());
        assert!(dir.sweep().unwrap());
        assert!(!dir.root().exists());
        fs::remove_dir(dir.root().ancestors().nth(2).unwrap()).unwrap();
    }

    #[test]
    fn flags_lead_to_the_directory() {
        let flags = |path: &str| StateDir::at(path).flags();
        assert_eq!(flags("/run/user/1/sealane/lab"), "");
        assert_eq!(flags("/tmp/sealane-0/tour"), " --name tour");
        assert_eq!(flags("/srv/mine"), " --state-dir /srv/mine");
    }

    #[test]
    fn a_reused_pid_is_not_the_lab() {
        let dir = mk_dir("reused");
        let _lock = dir.take().unwrap();
        let me = i32::try_from(std::process::id()).unwrap();
        let since = start_time(me).unwrap();
        dir.write_info(&mk_info(me, since)).unwrap();
        assert_eq!(dir.running().unwrap().pid, me);
        dir.write_info(&mk_info(me, since + 1)).unwrap();
        assert!(matches!(dir.running(), Err(LabError::NotRunning { .. })));
        dir.remove().unwrap();
        fs::remove_dir(dir.root().ancestors().nth(2).unwrap()).unwrap();
    }
}
