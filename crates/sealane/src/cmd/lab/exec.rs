//! `sealane lab exec`: a command in a Pod, or on the underlay beside the nodes.

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;

use anyhow::{Context, Result, bail};
use apply_kube::{Exec, ExitStatus, Streams, Terminal, TerminalSize};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use types::PodName;

use super::up::exit_code;
use crate::cli::ExecArgs;
use crate::config;

/// Runs the command; its exit status.
pub(crate) async fn run(args: ExecArgs) -> Result<i32> {
    let info = config::state_dir(&args.which)?.running()?;
    if args.outside {
        let mut command = ::lab::outside(&info)?;
        let status = command.args(&args.command).status().context("cannot run the command")?;
        return Ok(exit_code(status));
    }
    let access = ::watch::Access::Kubeconfig(info.kubeconfig.clone());
    let client = ::watch::connect(&access).await.context("cannot reach the lab's API")?;
    let raw = if args.tty { Some(RawTerminal::enter()?) } else { None };
    let terminal = if args.tty { Terminal::Tty(sizes()?) } else { Terminal::None };
    let exec = Exec {
        pod: pod_name(args.namespace.as_deref(), args.pod.as_deref().unwrap_or_default())?,
        container: args.container,
        command: args.command,
        terminal,
    };
    let streams = Streams {
        stdin: args.stdin.then(tokio::io::stdin),
        stdout: tokio::io::stdout(),
        stderr: tokio::io::stderr(),
    };
    let ended = apply_kube::exec(&client, &exec, streams).await;
    drop(raw);
    match ended.with_context(|| format!("cannot run a command in Pod {}", exec.pod))? {
        ExitStatus::Code(code) => Ok(code),
        ExitStatus::NotRun(why) => bail!(why),
    }
}

/// `name`, `namespace/name`, or either with `pod/` before it.
fn pod_name(namespace: Option<&str>, text: &str) -> Result<PodName> {
    let text = text.strip_prefix("pod/").unwrap_or(text);
    match (text.split_once('/'), namespace) {
        (Some((own, _)), Some(asked)) if own != asked => {
            bail!("Pod {text} is in Namespace {own}, and --namespace says {asked}")
        }
        (Some((own, name)), _) => Ok(PodName::new(own, name)),
        (None, asked) => Ok(PodName::new(asked.unwrap_or("default"), text)),
    }
}

/// The terminal without line editing and echo, which the program in the Pod does itself; put back when dropped.
struct RawTerminal(Termios);

impl RawTerminal {
    fn enter() -> Result<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            bail!("standard input is not a terminal; leave out -t");
        }
        let before = tcgetattr(stdin.as_fd()).context("cannot look at the terminal")?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).context("cannot change the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = tcsetattr(std::io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}

/// The terminal's size now and whenever it changes.
fn sizes() -> Result<watch::Receiver<TerminalSize>> {
    let mut changes = signal(SignalKind::window_change()).context("cannot listen for signals")?;
    let (sender, receiver) = watch::channel(size());
    tokio::spawn(async move { while changes.recv().await.is_some() && sender.send(size()).is_ok() {} });
    Ok(receiver)
}

fn size() -> TerminalSize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` outlives the call.
    let done = unsafe { libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) };
    if done < 0 || size.ws_col == 0 {
        // The size terminals have had since the VT100.
        return TerminalSize { width: 80, height: 24 };
    }
    TerminalSize { width: size.ws_col, height: size.ws_row }
}
