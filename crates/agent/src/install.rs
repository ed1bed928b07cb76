//! Puts the CNI plugin and its configuration where the container runtime of the node looks for them.
//!
//! The runtime takes a node for ready as soon as it finds a configuration, so that one appears only when ADD can be
//! served: nobody has to install things in a certain order. Files appear whole, under names of our own but for `loopback`,
//! and are put back when somebody has changed or removed them.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::{fs, io};

use plan::{Failure, Report};

/// The first valid file by name is the runtime's choice (containerd and CRI-O, after libcni's `ConfFiles`), so that
/// this name wins over those that other networks usually take, such as `10-flannel.conflist`.
const CONFIG_FILE: &str = "05-sealane.conflist";
/// Name of the plugin, as `type` of a configuration.
const PLUGIN: &str = "sealane";
/// The plugin that containerd and CRI-O call by themselves, for every Pod. Ours is a link to [`PLUGIN`], by which it is
/// known; a file of anybody else's is as good and stays.
const LOOPBACK: &str = "loopback";

/// Where the container runtime looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CniInstall {
    /// Directory of configurations, usually `/etc/cni/net.d`.
    pub config_dir: PathBuf,
    /// Directory of plugins, usually `/opt/cni/bin`.
    pub bin_dir: PathBuf,
}

/// Puts the files there and keeps them there.
#[derive(Debug)]
pub(crate) struct Installer {
    wish: CniInstall,
    program: PathBuf,
    config: String,
    /// The plugin as it was put there; a file that is still that one is not compared again.
    placed: Option<Identity>,
}

/// What a file has of its own until somebody writes it.
type Identity = (u64, u64, i64, i64);

impl Installer {
    /// `program` is the file to be called as plugin: this process's own.
    pub(crate) fn new(wish: CniInstall, program: PathBuf, state_dir: &Path) -> Self {
        Self { wish, program, config: config(state_dir), placed: None }
    }

    /// Makes the files as they should be, the plugins first.
    pub(crate) fn converge(&mut self) -> Report {
        let plugin = self.wish.bin_dir.join(PLUGIN);
        let config = self.wish.config_dir.join(CONFIG_FILE);
        let loopback = self.wish.bin_dir.join(LOOPBACK);
        let placed =
            note(&plugin, self.place_plugin(&plugin)).and(note(&loopback, place_loopback(&loopback)));
        // A configuration without its plugins would have the runtime call what is not there.
        if !placed.failures.is_empty() {
            return placed;
        }
        placed.and(note(&config, self.place_config(&config)))
    }

    fn place_plugin(&mut self, path: &Path) -> io::Result<bool> {
        let present = identity(path);
        if present.is_some() && present == self.placed {
            return Ok(false);
        }
        let program = fs::read(&self.program)?;
        let is_same = fs::read(path).is_ok_and(|present| present == program);
        if !is_same {
            replace(path, &program, 0o755)?;
        }
        self.placed = identity(path);
        Ok(!is_same)
    }

    fn place_config(&self, path: &Path) -> io::Result<bool> {
        if fs::read(path).is_ok_and(|present| present == self.config.as_bytes()) {
            return Ok(false);
        }
        // Readable for all, as runtimes of ordinary users and diagnostic tools expect.
        replace(path, self.config.as_bytes(), 0o644)?;
        Ok(true)
    }
}

/// Where there is none; also a link that leads nowhere is somebody's.
fn place_loopback(path: &Path) -> io::Result<bool> {
    match symlink(PLUGIN, path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn note(path: &Path, done: io::Result<bool>) -> Report {
    match done {
        Ok(wrote) => Report { written: usize::from(wrote), failures: Vec::new() },
        Err(error) => {
            let failure = Failure { what: path.display().to_string(), why: error.to_string() };
            Report { written: 0, failures: vec![failure] }
        }
    }
}

fn config(state_dir: &Path) -> String {
    let list = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "sealane",
        "plugins": [{
            "type": PLUGIN,
            "stateDir": state_dir,
            "capabilities": { "bandwidth": true, "ips": true, "mac": true, "portMappings": true },
        }],
    });
    format!("{list:#}\n")
}

fn identity(path: &Path) -> Option<Identity> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
}

/// Writes a file that is never seen half written; a plugin that is running goes on with the old one.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().and_then(OsStr::to_str).expect("the names are ours");
    let directory = path.parent().expect("it is in a directory");
    fs::create_dir_all(directory)?;
    // Neither runtimes nor people take a file of this name for a plugin or a configuration.
    let unfinished = directory.join(format!(".{name}.new"));
    fs::write(&unfinished, content)?;
    fs::set_permissions(&unfinished, fs::Permissions::from_mode(mode))?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("sealane-agent-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("temporary directory");
            fs::write(folder.join("program"), "new").expect("written");
            Self(folder)
        }

        fn installer(&self) -> Installer {
            let wish = CniInstall { config_dir: self.0.join("etc/net.d"), bin_dir: self.0.join("bin") };
            Installer::new(wish, self.0.join("program"), Path::new("/run/sealane"))
        }

        fn config(&self) -> PathBuf {
            self.0.join("etc/net.d").join(CONFIG_FILE)
        }

        fn plugin(&self) -> PathBuf {
            self.0.join("bin/sealane")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("removed");
        }
    }

    #[test]
    fn all_files_are_put_there_once() {
        let place = Place::new("install");
        let mut installer = place.installer();
        assert_eq!(installer.converge(), Report { written: 3, failures: Vec::new() });
        let loopback = place.plugin().with_file_name(LOOPBACK);
        assert_eq!(fs::read(loopback).expect("it leads to the plugin"), b"new");
        let mode = fs::metadata(place.plugin()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let config: serde_json::Value =
            serde_json::from_slice(&fs::read(place.config()).expect("there")).expect("json");
        assert_eq!(config["plugins"][0]["stateDir"], "/run/sealane");
        assert_eq!(installer.converge(), Report::default());
        // Nor does a new process write what it finds.
        assert_eq!(place.installer().converge(), Report::default());
    }

    #[test]
    fn what_was_changed_or_removed_is_put_back_and_other_files_stay() {
        let place = Place::new("reinstall");
        let mut installer = place.installer();
        installer.converge();
        let other = place.config().with_file_name("10-other.conflist");
        fs::write(&other, "{}").expect("written");
        fs::write(place.plugin(), "somebody else's").expect("written");
        fs::remove_file(place.config()).expect("removed");
        assert_eq!(installer.converge().written, 2);
        assert_eq!(fs::read(place.plugin()).expect("there"), b"new");
        assert_eq!(fs::read(other).expect("there"), b"{}");
    }

    #[test]
    fn a_loopback_of_anybody_elses_stays() {
        let place = Place::new("loopback");
        let loopback = place.plugin().with_file_name(LOOPBACK);
        fs::create_dir_all(place.0.join("bin")).expect("created");
        fs::write(&loopback, "another").expect("written");
        assert_eq!(place.installer().converge().written, 2);
        assert_eq!(fs::read(loopback).expect("there"), b"another");
    }

    #[test]
    fn without_the_plugin_there_is_no_configuration() {
        let place = Place::new("no-plugin");
        fs::write(place.0.join("bin"), "a file where a directory is wanted").expect("written");
        let report = place.installer().converge();
        assert_eq!(report.failures.len(), 2);
        assert!(report.failures[0].what.ends_with("bin/sealane"), "{report:?}");
        assert!(!place.config().exists());
    }
}
