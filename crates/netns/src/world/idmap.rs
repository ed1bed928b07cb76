//! User and group mappings of a new user namespace, written with nothing but system calls.
//!
//! The steps run between `fork` and `exec` too, so they must not allocate: all text is made beforehand.

use std::ffi::CStr;
use std::io::{self, Write};
use std::{fs, ptr};

/// What to write into the maps, decided before the namespace exists.
#[derive(Debug)]
pub(super) struct IdMap {
    /// Everything this user namespace has, under the same numbers; needs root.
    all: Option<Pair>,
    /// Root inside is the calling user outside; needs nothing.
    own: Pair,
}

#[derive(Debug)]
struct Pair {
    users: String,
    groups: String,
}

/// A process outside the new namespace that writes the maps which only privilege outside can write.
#[derive(Debug)]
pub(super) struct Writer {
    pid: libc::pid_t,
    go: libc::c_int,
}

impl IdMap {
    /// Root gets all ids, so that programs can drop to another user; others get what needs no privilege.
    pub(super) fn of_this_process() -> Self {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        let identity = |file: &str| {
            let text = fs::read_to_string(file).ok()?;
            let lines = text.lines().map(|line| {
                let mut fields = line.split_ascii_whitespace();
                let (inside, count) = (fields.next()?, fields.nth(1)?);
                Some(format!("{inside} {inside} {count}\n"))
            });
            lines.collect::<Option<String>>()
        };
        let all = user.is_root().then(|| {
            Some(Pair { users: identity("/proc/self/uid_map")?, groups: identity("/proc/self/gid_map")? })
        });
        Self {
            all: all.flatten(),
            own: Pair { users: format!("0 {user} 1\n"), groups: format!("0 {group} 1\n") },
        }
    }

    /// Starts the outside writer, when there is a need for one. Call before `unshare`.
    pub(super) fn start_writer(&self) -> io::Result<Option<Writer>> {
        let Some(all) = &self.all else { return Ok(None) };
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let [wait, go] = ends;
        // SAFETY: no pointer is passed.
        let target = unsafe { libc::getpid() };
        // SAFETY: a plain fork; the child makes system calls only, and ends without running any destructor.
        let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            // SAFETY: both descriptors are this process's copies, and `byte` outlives the call.
            let told = unsafe {
                let mut byte = 0_u8;
                libc::close(go);
                libc::read(wait, ptr::from_mut(&mut byte).cast(), 1)
            };
            let written = told == 1 && all.write_for(target).is_ok();
            // SAFETY: ends this process and nothing else.
            unsafe { libc::_exit(i32::from(!written)) }
        }
        // SAFETY: the child has its own copy.
        unsafe { libc::close(wait) };
        if pid < 0 {
            let error = io::Error::last_os_error();
            // SAFETY: the descriptor was made above and is used no more.
            unsafe { libc::close(go) };
            return Err(error);
        }
        Ok(Some(Writer { pid: libc::pid_t::try_from(pid).expect("a process id"), go }))
    }

    /// Writes the maps of this process's new user namespace.
    pub(super) fn write(&self, writer: Option<Writer>) -> io::Result<()> {
        if writer.is_some_and(|writer| writer.write()) {
            return Ok(());
        }
        // user_namespaces(7): without privilege outside, `setgroups` must be denied before the group map.
        write_file(c"/proc/self/setgroups", b"deny")?;
        write_file(c"/proc/self/uid_map", self.own.users.as_bytes())?;
        write_file(c"/proc/self/gid_map", self.own.groups.as_bytes())
    }
}

impl Pair {
    fn write_for(&self, pid: libc::pid_t) -> io::Result<()> {
        for (file, text) in [("uid_map", &self.users), ("gid_map", &self.groups)] {
            let mut path = [0_u8; 64];
            write!(&mut path[..63], "/proc/{pid}/{file}")?;
            let path = CStr::from_bytes_until_nul(&path).expect("the last byte stays zero");
            write_file(path, text.as_bytes())?;
        }
        Ok(())
    }
}

impl Writer {
    /// Lets the writer write; whether it did.
    fn write(self) -> bool {
        // SAFETY: one byte is read from a static.
        unsafe { libc::write(self.go, ptr::from_ref(&1_u8).cast(), 1) };
        self.finish()
    }

    /// Ends the writer without a mapping, because there is no new user namespace.
    pub(super) fn dismiss(self) {
        self.finish();
    }

    fn finish(self) -> bool {
        let mut status = 0;
        // SAFETY: the descriptor is ours; `status` outlives the call.
        unsafe {
            libc::close(self.go);
            while libc::waitpid(self.pid, &raw mut status, 0) < 0 {
                if *libc::__errno_location() != libc::EINTR {
                    return false;
                }
            }
        }
        status == 0
    }
}

fn write_file(path: &CStr, text: &[u8]) -> io::Result<()> {
    // SAFETY: the path ends in a zero byte and `text` outlives the calls; the descriptor is closed exactly once.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        let error = io::Error::last_os_error();
        libc::close(fd);
        if written < 0 { Err(error) } else { Ok(()) }
    }
}
