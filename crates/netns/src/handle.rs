//! One network namespace: create, open, enter, remove.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io, panic, thread};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::{NetnsError, link};

/// The calling thread's namespace, whichever PID namespace `/proc` was mounted in.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace, kept alive by an open descriptor.
#[derive(Debug)]
pub struct Netns {
    fd: OwnedFd,
    path: Option<PathBuf>,
}

impl Netns {
    /// Makes a new namespace with `lo` up and binds it to `path`, which must not exist yet.
    ///
    /// The namespace lives until [`remove`] is called on the path and every descriptor and process has left it.
    ///
    /// # Errors
    /// When the path exists or cannot be made, or the kernel refuses.
    pub fn create(path: &Path) -> Result<Self, NetnsError> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .map_err(|error| NetnsError::step(format!("create directory {}", parent.display()), error))?;
        }
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| NetnsError::step(format!("create {}", path.display()), error))?;
        let made = on_thread(|| {
            unshare_net()?;
            mount(Some(OWN), path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                .map_err(|error| NetnsError::step(format!("mount {OWN} on {}", path.display()), error))?;
            link::bring_up_loopback()
        });
        match made {
            Ok(()) => Self::open(path),
            Err(error) => {
                // The error that counts is the first one; what is left over is only an empty file.
                let _ = remove(path);
                Err(error)
            }
        }
    }

    /// Makes a new namespace with `lo` up and no name: it lives as long as a descriptor or process is in it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create_unnamed() -> Result<Self, NetnsError> {
        on_thread(|| {
            unshare_net()?;
            link::bring_up_loopback()?;
            Self::current()
        })
    }

    /// Opens an existing namespace: a bind mount such as `/run/netns/a`, or `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn open(path: &Path) -> Result<Self, NetnsError> {
        let file = File::open(path)
            .map_err(|error| NetnsError::step(format!("open network namespace {}", path.display()), error))?;
        Ok(Self { fd: file.into(), path: Some(path.to_owned()) })
    }

    /// The namespace that this thread is in.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn current() -> Result<Self, NetnsError> {
        let file = File::open(OWN).map_err(|error| NetnsError::step(format!("open {OWN}"), error))?;
        Ok(Self { fd: file.into(), path: None })
    }

    /// Where it was created or opened; `None` for [`Netns::current`] and unnamed ones.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    /// When the kernel cannot tell.
    pub fn is_same(&self, other: &Self) -> Result<bool, NetnsError> {
        let identity = |netns: &Self| {
            nix::sys::stat::fstat(&netns.fd)
                .map(|stat| (stat.st_dev, stat.st_ino))
                .map_err(|error| NetnsError::step("identify network namespace", error))
        };
        Ok(identity(self)? == identity(other)?)
    }

    /// Makes `command` start inside this namespace.
    ///
    /// # Errors
    /// When the descriptor cannot be duplicated.
    pub fn enter_on_exec(&self, command: &mut Command) -> Result<(), NetnsError> {
        let fd =
            self.fd.try_clone().map_err(|error| NetnsError::step("duplicate namespace descriptor", error))?;
        // SAFETY: between fork and exec, the closure makes one system call and allocates nothing.
        unsafe {
            command.pre_exec(move || Ok(setns(fd.as_fd(), CloneFlags::CLONE_NEWNET)?));
        }
        Ok(())
    }

    /// Moves the calling thread into this namespace for the rest of its life.
    ///
    /// Only for a thread that ends afterwards, or a process with one thread; everything else uses [`run_in`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn enter_for_good(&self) -> Result<(), NetnsError> {
        setns(self.fd.as_fd(), CloneFlags::CLONE_NEWNET).map_err(|error| {
            let name =
                self.path.as_ref().map_or_else(|| "without path".into(), |path| path.to_string_lossy());
            NetnsError::step(format!("enter network namespace {name}"), error)
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Netns {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.fd.as_raw_fd()
    }
}

/// Runs `action` inside `netns` on a throw-away thread and waits for it.
///
/// Sockets that `action` makes stay in that namespace wherever they are used later. A panic of `action` goes on in
/// the caller.
///
/// # Errors
/// When the namespace cannot be entered; `action` has then not run.
pub fn run_in<T: Send>(netns: &Netns, action: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    on_thread(|| {
        netns.enter_for_good()?;
        Ok(action())
    })
}

/// Removes the name of a namespace; succeeds when it is gone already.
///
/// # Errors
/// When the mount or the file cannot be removed.
pub fn remove(path: &Path) -> Result<(), NetnsError> {
    match umount2(path, MntFlags::MNT_DETACH) {
        // `EINVAL` means that nothing is mounted there: an earlier removal was cut short, or it never was mounted.
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
        Err(error) => return Err(NetnsError::step(format!("unmount {}", path.display()), error)),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetnsError::step(format!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn on_thread<T: Send>(action: impl FnOnce() -> Result<T, NetnsError> + Send) -> Result<T, NetnsError> {
    thread::scope(|scope| {
        let spawned = thread::Builder::new().name("netns".into()).spawn_scoped(scope, action);
        match spawned.map_err(|error| NetnsError::step("start a thread", error))?.join() {
            Ok(result) => result,
            Err(panicked) => panic::resume_unwind(panicked),
        }
    })
}

fn unshare_net() -> Result<(), NetnsError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| NetnsError::step("make a network namespace", error))
}
