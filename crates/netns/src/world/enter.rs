//! Entering a new world: the current process, or a child between `fork` and `exec`.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::{fs, io, ptr};

use nix::mount::{MsFlags, mount};

use super::idmap::IdMap;
use crate::NetnsError;

/// Which namespaces a new world has besides user, mount and network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct World {
    flags: libc::c_int,
    dies_with_parent: bool,
    stays_root: bool,
}

/// What the process got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Whether there is a new user namespace.
    pub user: UserNamespace,
    /// What `/proc` shows.
    pub proc: ProcMount,
}

/// Whether there is a new user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserNamespace {
    /// Yes; root inside is the calling user outside.
    New,
    /// No: this is root, and user namespaces are off or [`World::staying_root`] was asked for.
    Inherited,
}

/// What `/proc` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcMount {
    /// The processes of the new PID namespace.
    Fresh,
    /// What it showed before: no PID namespace was asked for, or the kernel forbids another mount of it, as it does
    /// in a container with parts of `/proc` hidden.
    Inherited,
}

impl World {
    /// User, mount and network namespaces.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A PID namespace too, with the entering process's child as its first process.
    #[must_use]
    pub fn with_pids(mut self) -> Self {
        self.flags |= libc::CLONE_NEWPID;
        self
    }

    /// A host name of its own.
    #[must_use]
    pub fn with_host_name(mut self) -> Self {
        self.flags |= libc::CLONE_NEWUTS;
        self
    }

    /// System V IPC and POSIX message queues of its own.
    #[must_use]
    pub fn with_ipc(mut self) -> Self {
        self.flags |= libc::CLONE_NEWIPC;
        self
    }

    /// Ends the world, by SIGKILL, when the thread that started this process ends.
    #[must_use]
    pub fn dying_with_parent(mut self) -> Self {
        self.dies_with_parent = true;
        self
    }

    /// Where this is root, keeps the user namespace: some limits, such as that of a socket's buffers, are lifted only
    /// for the root of the whole machine.
    #[must_use]
    pub fn staying_root(mut self) -> Self {
        self.stays_root = true;
        self
    }

    /// Moves this process, which must have one thread only, into the new world, with all mounts private.
    ///
    /// With [`World::with_pids`], the process forks: this returns only in the child, which is PID 1 and ends when the
    /// original process ends; the original waits for the child and exits with its status.
    ///
    /// # Errors
    /// [`NetnsError::NotAllowed`] says what to change on this machine.
    pub fn enter(self) -> Result<Entered, NetnsError> {
        let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            return Err(NetnsError::Threads { threads });
        }
        let user = self.prepare().run().map_err(|source| NetnsError::NotAllowed { hint: hint(), source })?;
        if self.flags & libc::CLONE_NEWPID == 0 {
            return Ok(Entered { user, proc: ProcMount::Inherited });
        }
        fork_first_process()?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let proc = match mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>) {
            Ok(()) => ProcMount::Fresh,
            Err(_) => ProcMount::Inherited,
        };
        Ok(Entered { user, proc })
    }

    /// Makes `command` start in the new world.
    ///
    /// With [`World::with_pids`], the program itself is outside the PID namespace and its first child becomes PID 1.
    /// When `spawn` fails with a permission error, [`hint`] says what to change.
    pub fn enter_on_exec(self, command: &mut Command) {
        let prepared = self.prepare();
        // SAFETY: `run` makes system calls only; everything it needs was allocated by `prepare`.
        unsafe {
            command.pre_exec(move || prepared.run().map(|_| ()));
        }
    }

    fn prepare(self) -> Prepared {
        Prepared { world: self, map: IdMap::of_this_process(), root: nix::unistd::geteuid().is_root() }
    }
}

/// A world about to be entered; entering allocates nothing.
struct Prepared {
    world: World,
    map: IdMap,
    root: bool,
}

impl Prepared {
    fn run(&self) -> io::Result<UserNamespace> {
        // SAFETY: no pointer is passed.
        let parent = unsafe { libc::getppid() };
        let user = self.unshare()?;
        // SAFETY: a static path and null pointers, as mount(2) wants for a change of propagation.
        let private = unsafe {
            let flags = libc::MS_REC | libc::MS_PRIVATE;
            libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, ptr::null())
        };
        check(private)?;
        if self.world.dies_with_parent {
            // After `unshare`, which clears the setting because it changes credentials.
            die_with(parent)?;
        }
        Ok(user)
    }

    fn unshare(&self) -> io::Result<UserNamespace> {
        let flags = self.world.flags | libc::CLONE_NEWNS | libc::CLONE_NEWNET;
        if self.root && self.world.stays_root {
            // SAFETY: no pointer is passed.
            return check(unsafe { libc::unshare(flags) }).map(|()| UserNamespace::Inherited);
        }
        let writer = self.map.start_writer()?;
        // SAFETY: no pointer is passed.
        match check(unsafe { libc::unshare(flags | libc::CLONE_NEWUSER) }) {
            Ok(()) => {
                self.map.write(writer)?;
                Ok(UserNamespace::New)
            }
            Err(error) => {
                if let Some(writer) = writer {
                    writer.dismiss();
                }
                if !self.root {
                    return Err(error);
                }
                // SAFETY: no pointer is passed.
                check(unsafe { libc::unshare(flags) })?;
                Ok(UserNamespace::Inherited)
            }
        }
    }
}

/// Mounts an empty tmpfs on a directory of the current mount namespace.
///
/// # Errors
/// When the directory is missing or the kernel refuses.
pub fn mount_tmpfs(directory: &Path) -> Result<(), NetnsError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), directory, Some("tmpfs"), flags, Some("mode=0755"))
        .map_err(|error| NetnsError::step(format!("mount a tmpfs on {}", directory.display()), error))
}

/// What to change so that this user may make namespaces here.
#[must_use]
pub fn hint() -> String {
    let is = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let set = |name: &str, value: &str| {
        format!("as root, run `sysctl -w {name}={value}`, or start sealane as root")
    };
    if is("/proc/sys/user/max_user_namespaces", "0") {
        return set("user.max_user_namespaces", "15000");
    }
    if is("/proc/sys/user/max_net_namespaces", "0") {
        return set("user.max_net_namespaces", "15000");
    }
    // A setting of Debian's and Arch's kernels.
    if is("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return set("kernel.unprivileged_userns_clone", "1");
    }
    // Ubuntu 23.10 and later.
    if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return set("kernel.apparmor_restrict_unprivileged_userns", "0");
    }
    "a container runtime or security module forbids user namespaces; start the container with \
     `--privileged` (or with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined`)"
        .to_owned()
}

/// Forks; returns in the child only, as the first process of the PID namespace.
fn fork_first_process() -> Result<(), NetnsError> {
    // SAFETY: this process has one thread, so the child may do anything.
    let pid = unsafe { libc::fork() };
    match pid {
        -1 => Err(NetnsError::step("start the first process", io::Error::last_os_error())),
        // The parent is outside the PID namespace and therefore has number 0 inside.
        0 => die_with(0).map_err(|error| NetnsError::step("tie the first process to its parent", error)),
        pid => {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
            let code = if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                // The shell's convention for a program ended by a signal.
                128 + libc::WTERMSIG(status)
            };
            std::process::exit(code)
        }
    }
}

fn die_with(parent: libc::pid_t) -> io::Result<()> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // The parent may have ended before the call above.
    // SAFETY: no pointer is passed.
    if unsafe { libc::getppid() } == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
