//! A piece of work in a process of its own, which is killed at a chosen system call.
//!
//! A test that tries every number until the work is done has killed it everywhere: what a process leaves outside itself
//! changes with its system calls and with nothing else. Calls that change nothing outside are not counted, because a
//! kill there leaves the same as a kill at the next one.

use std::io;
use std::ptr;

use libc::{c_int, c_long, pid_t};

/// How the work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was killed before the chosen call was made.
    Killed,
    /// It made fewer calls than that, and came to its end with this exit status.
    Done(i32),
}

/// Calls that change nothing outside the process that its end would not change too.
const INSIDE: [c_long; 44] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_sigaltstack,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getuid,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_restart_syscall,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_ppoll,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
    libc::SYS_fcntl,
    libc::SYS_socket,
    libc::SYS_bind,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
];

/// How every stop at a system call is marked (`PTRACE_O_TRACESYSGOOD` of ptrace(2)).
const AT_CALL: c_int = libc::SIGTRAP | 0x80;

/// Does `work` in a new process, with all threads that it starts, and kills it before its `at`-th call, from 1 on.
///
/// # Errors
/// When the kernel refuses processes or the tracing of them.
pub fn killed_at(at: usize, work: impl FnOnce() -> i32) -> io::Result<Ending> {
    // SAFETY: the child has one thread, whatever its parent has; the C library's allocator is made for that.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: no pointer is passed. The process group is what the parent waits for, threads included.
            unsafe {
                libc::setpgid(0, 0);
                libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0);
                libc::raise(libc::SIGSTOP);
            }
            let status = work();
            // SAFETY: no pointer is passed; what the parent has buffered is not ours to write.
            unsafe { libc::_exit(status) }
        }
        child => {
            // Here as well as there: whoever comes first, the group exists before it is waited for.
            // SAFETY: no pointer is passed.
            unsafe { libc::setpgid(child, child) };
            Trace { child, left: at }.follow()
        }
    }
}

struct Trace {
    child: pid_t,
    left: usize,
}

impl Trace {
    fn follow(mut self) -> io::Result<Ending> {
        let mut status = 0;
        let mut is_killed = false;
        let mut is_set = false;
        loop {
            // SAFETY: one integer, which outlives the call.
            let thread = unsafe { libc::waitpid(-self.child, &raw mut status, libc::__WALL) };
            if thread < 0 {
                return Err(io::Error::last_os_error());
            }
            if !libc::WIFSTOPPED(status) {
                if thread == self.child {
                    let exit = if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 };
                    return Ok(if is_killed { Ending::Killed } else { Ending::Done(exit) });
                }
                continue;
            }
            if !is_set {
                let options =
                    libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
                ptrace(libc::PTRACE_SETOPTIONS, thread, options)?;
                is_set = true;
            }
            if libc::WSTOPSIG(status) == AT_CALL && self.is_counted(thread)? {
                self.left -= 1;
            }
            if self.left == 0 && !is_killed {
                is_killed = true;
                // SAFETY: no pointer is passed; the child is not waited for yet, so the number is still its own.
                unsafe { libc::kill(self.child, libc::SIGKILL) };
            }
            go_on(thread, status)?;
        }
    }

    /// Whether the thread is about to make a call that changes something.
    fn is_counted(&self, thread: pid_t) -> io::Result<bool> {
        // SAFETY: all zeroes is a value of this type.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes at most the size that is given.
        let size =
            unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size_of_val(&info), &raw mut info) };
        if size < 0 {
            return gone(io::Error::last_os_error()).map(|()| false);
        }
        if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY || self.left == 0 {
            return Ok(false);
        }
        // SAFETY: this variant is the one that the field before it names.
        let number = unsafe { info.u.entry.nr };
        Ok(!INSIDE.iter().any(|inside| u64::try_from(*inside) == Ok(number)))
    }
}

fn go_on(thread: pid_t, status: c_int) -> io::Result<()> {
    // Stops that tracing itself makes are no signals of the thread.
    let signal = match libc::WSTOPSIG(status) {
        AT_CALL | libc::SIGTRAP | libc::SIGSTOP => 0,
        signal => signal,
    };
    ptrace(libc::PTRACE_SYSCALL, thread, signal)
}

fn ptrace(request: libc::c_uint, thread: pid_t, data: c_int) -> io::Result<()> {
    // SAFETY: these requests take numbers only.
    let answer = unsafe { libc::ptrace(request, thread, ptr::null_mut::<u8>(), c_long::from(data)) };
    if answer < 0 { gone(io::Error::last_os_error()) } else { Ok(()) }
}

/// A thread that was killed meanwhile is no failure.
fn gone(error: io::Error) -> io::Result<()> {
    if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
}
