//! A Pod's view of the file system: this machine's, read-only, with a `/tmp`, an `/etc/hosts` and volumes of its own.
//!
//! Everything that is the Pod's lives on one tmpfs, which goes with the namespace: nothing is left on the machine.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_kubelet::volumes::{Access, Content, Mount};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::KubeletError;
use crate::tree::Tree;

/// Directory of the Pod's own things, on its tmpfs.
const OWN: &str = "/.sealane";
/// Where this program is found inside every Pod.
pub(crate) const PROGRAM_DIR: &str = "/.sealane/bin";
/// Directories that stay writable: device files, and kernel interfaces with rules of their own.
const LEFT_ALONE: &[&str] = &["dev", "proc", "sys"];
/// The directory that every Pod has of its own; the new root is put together underneath, since nothing of the
/// machine's is shown there anyway.
const PRIVATE: &str = "/tmp";

/// Files that every Pod has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnFiles {
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/hostname`.
    pub host_name: String,
}

/// Makes a mount namespace with the Pod's view of the file system.
///
/// # Errors
/// When the kernel refuses a mount.
pub(crate) fn make(files: &OwnFiles) -> Result<OwnedFd, KubeletError> {
    let files = files.clone();
    on_thread(move || {
        leave_shared_namespace()?;
        // By its path: the link itself leads to a mount of the host's namespace, which cannot be copied here.
        let program = fs::read_link("/proc/self/exe").ok().and_then(|path| Tree::copy(&path).ok());
        enter_new_root()?;
        if let Some(program) = program {
            let at = Path::new(PROGRAM_DIR).join("sealane");
            make_file(&at, b"")?;
            program.read_only()?.attach(&at)?;
        }
        put_file(Path::new("/etc/resolv.conf"), files.resolv_conf.as_bytes())?;
        put_file(Path::new("/etc/hosts"), files.hosts.as_bytes())?;
        put_file(Path::new("/etc/hostname"), format!("{}\n", files.host_name).as_bytes())?;
        own_namespace("mnt")
    })
}

/// Makes a mount namespace like `root` with these volumes mounted.
///
/// # Errors
/// When a mount cannot be made.
pub(crate) fn with_mounts(root: &Arc<OwnedFd>, mounts: &[Mount]) -> Result<OwnedFd, KubeletError> {
    let (root, mounts) = (Arc::clone(root), mounts.to_vec());
    on_thread(move || {
        // What is on this machine is copied before the Pod's view hides it.
        let copy = |mount: &Mount| match &mount.content {
            Content::Host(path) => Tree::copy(&path.join(&mount.sub_path)).map(Some),
            Content::Kept(path) => {
                let path = path.join(&mount.sub_path);
                make_dir(&path)?;
                Tree::copy(&path).map(Some)
            }
            _ => Ok(None),
        };
        let copies = mounts.iter().map(copy).collect::<Result<Vec<_>, _>>()?;
        unshare(CloneFlags::CLONE_FS)
            .and_then(|()| setns(&*root, CloneFlags::CLONE_NEWNS))
            .map_err(|error| KubeletError::system("enter a Pod's mount namespace", error))?;
        leave_shared_namespace()?;
        for (mount, copied) in mounts.iter().zip(copies) {
            mount_volume(mount, copied)?;
        }
        own_namespace("mnt")
    })
}

/// Changes the files of volumes that containers of this Pod have mounted, from what they were to what they are now.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn renew(root: &Arc<OwnedFd>, changed: &[(Mount, Mount)]) -> Result<(), KubeletError> {
    let (root, changed) = (Arc::clone(root), changed.to_vec());
    on_thread(move || {
        unshare(CloneFlags::CLONE_FS)
            .and_then(|()| setns(&*root, CloneFlags::CLONE_NEWNS))
            .map_err(|error| KubeletError::system("enter a Pod's mount namespace", error))?;
        changed.iter().try_for_each(|(old, new)| renew_volume(old, new))
    })
}

fn renew_volume(old: &Mount, new: &Mount) -> Result<(), KubeletError> {
    let (Content::Files(before), Content::Files(now)) = (&old.content, &new.content) else { return Ok(()) };
    let volume = Path::new(OWN).join("volumes").join(&new.volume);
    for (path, bytes) in now.iter().filter(|(path, bytes)| before.get(*path) != Some(bytes)) {
        // Whoever reads meanwhile reads the old file or the new one, never a part.
        let (at, part) = (volume.join(path), volume.join(path).with_added_extension("part"));
        make_file(&part, bytes)?;
        fs::rename(&part, &at).map_err(|error| KubeletError::file("replace", &at, error))?;
    }
    for path in before.keys().filter(|path| !now.contains_key(*path)) {
        let at = volume.join(path);
        fs::remove_file(&at).map_err(|error| KubeletError::file("remove", &at, error))?;
    }
    Ok(())
}

/// A namespace cannot be joined by a thread that shares its working directory with others, so every piece of work
/// here is done by a thread that ends afterwards.
fn on_thread<T: Send + 'static>(
    action: impl FnOnce() -> Result<T, KubeletError> + Send + 'static,
) -> Result<T, KubeletError> {
    std::thread::spawn(action).join().expect("the thread returns its failures")
}

fn leave_shared_namespace() -> Result<(), KubeletError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(|error| KubeletError::system("make a mount namespace", error))
}

/// The calling thread's namespace of this kind, as a descriptor.
pub(crate) fn own_namespace(kind: &str) -> Result<OwnedFd, KubeletError> {
    let path = format!("/proc/thread-self/ns/{kind}");
    File::open(&path).map(OwnedFd::from).map_err(|error| KubeletError::file("open", path, error))
}

/// Replaces `/` by a tmpfs that shows the same directories, read-only.
fn enter_new_root() -> Result<(), KubeletError> {
    let base = Path::new(PRIVATE);
    let names = read_names(Path::new("/"))?;
    mount_tmpfs(base)?;
    for name in names.iter().filter(|name| Path::new("/").join(name) != base) {
        show(&Path::new("/").join(name), &base.join(name), |tree| {
            if LEFT_ALONE.iter().any(|left| name == *left) { Ok(tree) } else { tree.read_only() }
        })?;
    }
    // pivot_root(2), NOTES: with "." for both, the old root is stacked on the new one and can be taken off.
    nix::unistd::chdir(base)
        .and_then(|()| nix::unistd::pivot_root(".", "."))
        .and_then(|()| umount2(".", MntFlags::MNT_DETACH))
        .and_then(|()| nix::unistd::chdir("/"))
        .map_err(|error| KubeletError::system("change the root directory of a Pod", error))?;
    make_dir(base)?;
    fs::set_permissions(base, fs::Permissions::from_mode(0o1777))
        .map_err(|error| KubeletError::file("open up", base, error))
}

fn mount_tmpfs(at: &Path) -> Result<(), KubeletError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("sealane"), at, Some("tmpfs"), flags, Some("mode=0755"))
        .map_err(|error| KubeletError::file("mount a tmpfs on", at, error))
}

/// Shows one entry of a directory under another path; what cannot be shown is left out.
fn show(
    from: &Path,
    to: &Path,
    treat: impl Fn(Tree) -> Result<Tree, KubeletError>,
) -> Result<(), KubeletError> {
    let Ok(metadata) = fs::symlink_metadata(from) else { return Ok(()) };
    if metadata.is_symlink() {
        let target = fs::read_link(from).map_err(|error| KubeletError::file("read", from, error))?;
        return symlink(target, to).map_err(|error| KubeletError::file("create", to, error));
    }
    if metadata.is_dir() {
        make_dir(to)?
    } else {
        make_file(to, b"")?
    }
    treat(Tree::copy(from)?)?.attach(to)
}

/// Puts a tmpfs over a directory that shows what was there, so that names can be added.
fn shadow(directory: &Path, except: Option<&OsStr>) -> Result<(), KubeletError> {
    let mut kept: Vec<(OsString, Kept)> = Vec::new();
    for name in read_names(directory)?.into_iter().filter(|name| Some(name.as_os_str()) != except) {
        let path = directory.join(&name);
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let keep = if metadata.is_symlink() {
            Kept::Link(fs::read_link(&path).map_err(|error| KubeletError::file("read", &path, error))?)
        } else {
            Kept::Tree(Tree::copy(&path)?, metadata.is_dir())
        };
        kept.push((name, keep));
    }
    mount_tmpfs(directory)?;
    for (name, keep) in kept {
        let to = directory.join(name);
        match keep {
            Kept::Link(target) => {
                symlink(target, &to).map_err(|error| KubeletError::file("create", &to, error))?
            }
            Kept::Tree(tree, is_dir) => {
                if is_dir {
                    make_dir(&to)?
                } else {
                    make_file(&to, b"")?
                }
                tree.attach(&to)?;
            }
        }
    }
    Ok(())
}

enum Kept {
    Link(PathBuf),
    Tree(Tree, bool),
}

fn read_names(directory: &Path) -> Result<Vec<OsString>, KubeletError> {
    let entries = fs::read_dir(directory).map_err(|error| KubeletError::file("read", directory, error))?;
    Ok(entries.flatten().map(|entry| entry.file_name()).collect())
}

fn make_dir(path: &Path) -> Result<(), KubeletError> {
    fs::create_dir_all(path).map_err(|error| KubeletError::file("create", path, error))
}

fn make_file(path: &Path, bytes: &[u8]) -> Result<(), KubeletError> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    fs::write(path, bytes).map_err(|error| KubeletError::file("create", path, error))
}

/// Puts a file of the Pod's own over one of the machine's, which may be missing or a link to nowhere.
fn put_file(path: &Path, bytes: &[u8]) -> Result<(), KubeletError> {
    let own = Path::new(OWN).join("files").join(path.file_name().unwrap_or_default());
    make_file(&own, bytes)?;
    if !path.is_file() {
        let parent = path.parent().unwrap_or(Path::new("/"));
        make_target_dir(parent)?;
        shadow(parent, path.file_name())?;
        make_file(path, b"")?;
    }
    Tree::copy(&own)?.attach(path)
}

fn mount_volume(mount: &Mount, copied: Option<Tree>) -> Result<(), KubeletError> {
    let volume = Path::new(OWN).join("volumes").join(&mount.volume);
    let source = volume.join(&mount.sub_path);
    let tree = match (&mount.content, copied) {
        (_, Some(copied)) => copied,
        (Content::Files(files), None) => {
            make_dir(&volume)?;
            for (path, bytes) in files {
                make_file(&volume.join(path), bytes)?;
            }
            Tree::copy(&source)?
        }
        (Content::Empty | Content::Host(_) | Content::Kept(_), None) => {
            make_dir(&source)?;
            Tree::copy(&source)?
        }
    };
    let tree = if mount.access == Access::ReadOnly { tree.read_only()? } else { tree };
    if tree.is_dir()? {
        make_target_dir(&mount.at)?;
    } else if !mount.at.is_file() {
        let parent = mount.at.parent().unwrap_or(Path::new("/"));
        make_target_dir(parent)?;
        if let Err(error) = fs::write(&mount.at, b"") {
            is_read_only(&error)
                .then_some(())
                .ok_or_else(|| KubeletError::file("create", &mount.at, error))?;
            shadow(parent, mount.at.file_name())?;
            make_file(&mount.at, b"")?;
        }
    }
    tree.attach(&mount.at)
}

/// Makes a directory to mount on; where the machine's directory above is read-only, it is shadowed first.
fn make_target_dir(path: &Path) -> Result<(), KubeletError> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    match fs::create_dir_all(path) {
        Ok(()) => Ok(()),
        Err(error) if is_read_only(&error) => {
            shadow(above, None)?;
            make_dir(path)
        }
        Err(error) => Err(KubeletError::file("create", path, error)),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}
