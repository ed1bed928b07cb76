//! The lab's own process: enters the namespaces, stays as their first process, and starts the one that does the work.

use std::io::Write as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::ExitCode;

use netns::world::World;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::front::{Handover, Message};
use crate::inner::{self, Inherited};
use crate::sockets::inherited;

/// Runs the hidden subcommand; the argument is what [`crate::RunningLab::start`] passed.
///
/// Must be called before this process starts a thread.
#[must_use]
pub fn world_main(handover: &str) -> ExitCode {
    let Ok(handover) = serde_json::from_str::<Handover>(handover) else {
        eprintln!("this subcommand is for `sealane lab` itself");
        return ExitCode::FAILURE;
    };
    // SAFETY: the parent passed these numbers on, and this is the only place that takes them.
    let (life, questions, sockets) =
        unsafe { (inherited(handover.life), inherited(handover.questions), handover.sockets.into_sockets()) };
    let life = UnixStream::from(life);
    // The tie to the parent makes `kill -9` of it end everything here.
    let world = World::new().with_pids().with_host_name().with_ipc().dying_with_parent();
    if let Err(error) = world.enter() {
        tell(&life, &Message::Failed(format!("{:#}", anyhow::Error::new(error))));
        return ExitCode::FAILURE;
    }
    // From here on this is process 1. It only collects the dead; a child does the work and may wait for its own.
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            drop((life, questions, sockets));
            ExitCode::from(collect(child))
        }
        Ok(ForkResult::Child) => {
            let questions = UnixDatagram::from(questions);
            work(&handover, Inherited { life, questions, sockets })
        }
        Err(error) => {
            tell(&life, &Message::Failed(format!("cannot start the lab's main process: {error}")));
            ExitCode::FAILURE
        }
    }
}

fn work(handover: &Handover, inherited: Inherited) -> ExitCode {
    let copy = inherited.life.try_clone();
    match inner::run(handover, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            tracing::error!(error = text, "the lab cannot go on");
            if let Ok(life) = copy {
                tell(&life, &Message::Failed(text));
            }
            ExitCode::FAILURE
        }
    }
}

/// Says something to the process in front; it may have ended.
pub(crate) fn tell(mut life: &UnixStream, message: &Message) {
    let mut line = serde_json::to_string(message).expect("a Message has only strings");
    line.push('\n');
    let _ = life.write_all(line.as_bytes());
}

/// Waits for every child and for every orphan of the namespace, until this child ends; its exit code.
fn collect(main: Pid) -> u8 {
    loop {
        let code = match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == main => code,
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == main => 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => 1,
        };
        return u8::try_from(code).unwrap_or(1);
    }
}
