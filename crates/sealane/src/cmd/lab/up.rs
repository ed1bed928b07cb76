//! `sealane lab up` and `sealane lab run`: a lab for as long as this process, or a command, runs.

use std::process::Stdio;

use ::lab::address::FamilyAddresses;
use ::lab::{LabInfo, RunningLab};
use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

use crate::cli::{RunArgs, UpArgs};
use crate::config;
use crate::ending::{Ending, INTERRUPTED};
use crate::output::{Output, print_json, print_line, tell};

/// Exit status where the command does not exist, and where it cannot be run, as shells have it (POSIX, "Shell Command
/// Language", 2.8.2).
const NOT_FOUND: i32 = 127;
const NOT_RUN: i32 = 126;

/// Keeps a lab until Ctrl-C, SIGTERM, or the end of the terminal.
pub(crate) async fn run(args: UpArgs, log: Option<String>) -> Result<i32> {
    let mut ending = Ending::new()?;
    let settings = config::lab_settings(&args.lab, log)?;
    let mut lab = tokio::select! {
        lab = RunningLab::start(settings) => lab?,
        // Dropping what was begun kills it.
        () = ending.wanted() => return Ok(INTERRUPTED),
    };
    match args.output {
        // The process that detached us reads exactly one line.
        _ if args.detached => print_line(&serde_json::to_string(lab.info())?),
        Output::Json => print_json(lab.info())?,
        Output::Text => print_line(&text(lab.info(), "Ctrl-C ends it.")),
    }
    tokio::select! {
        () = ending.wanted() => {
            lab.stop().await?;
            if args.output == Output::Text && !args.detached {
                tell(&"the lab has ended; nothing of it is left");
            }
            Ok(0)
        }
        status = lab.ended() => {
            let status = status?;
            let log = lab.info().log.clone();
            bail!("the lab ended by itself ({status}); its log is {}", log.display())
        }
    }
}

/// Starts a lab in a process of its own and returns when it is ready.
pub(crate) async fn detach(args: &UpArgs) -> Result<i32> {
    let own = std::env::args_os().skip(1).filter(|argument| argument != "--detach");
    let mut command = Command::new(std::env::current_exe().context("cannot find our own program file")?);
    command.args(own).arg("--detached").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: between fork and exec, the closure makes one system call.
    unsafe {
        // A session of its own: it outlives this terminal.
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from));
    }
    let mut child = command.spawn().context("cannot start the lab's process")?;
    let stdout = child.stdout.take().context("the lab's process has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await.context("cannot read from the lab's process")?;
    if let Ok(info) = serde_json::from_str::<LabInfo>(&line) {
        match args.output {
            Output::Json => print_json(&info)?,
            Output::Text => print_line(&text(
                &info,
                &format!("`sealane lab down{}` ends it.", ::lab::StateDir::at(&info.state_dir).flags()),
            )),
        }
        return Ok(0);
    }
    let mut why = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut why).await.context("cannot read from the lab's process")?;
    }
    let why = why.trim().trim_start_matches("error: ").to_owned();
    bail!(if why.is_empty() { "the lab's process ended without a reason".to_owned() } else { why })
}

/// Starts a lab, runs a command against it, and stops it.
pub(crate) async fn run_command(args: RunArgs, log: Option<String>) -> Result<i32> {
    let mut ending = Ending::new()?;
    let settings = config::lab_settings(&args.lab, log)?;
    let lab = tokio::select! {
        lab = RunningLab::start(settings) => lab?,
        () = ending.wanted() => return Ok(INTERRUPTED),
    };
    let info = lab.info().clone();
    let mut command = Command::new(&args.command[0]);
    command
        .args(&args.command[1..])
        .env("KUBECONFIG", &info.kubeconfig)
        .env("SEALANE_API", &info.api)
        .env("SEALANE_HTTP", &info.http)
        .env("SEALANE_HTTPS", &info.https)
        .env("SEALANE_DNS", &info.dns)
        .env("SEALANE_STATE_DIR", &info.state_dir);
    let status = match command.spawn() {
        Ok(mut child) => wait(&mut child, &mut ending).await,
        Err(error) => {
            tell(&format!("error: cannot run `{}`: {error}", args.command[0]));
            Ok(if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN })
        }
    };
    lab.stop().await?;
    status
}

/// Waits for the command. A signal from the terminal has reached it too; others are passed on.
async fn wait(child: &mut tokio::process::Child, ending: &mut Ending) -> Result<i32> {
    loop {
        tokio::select! {
            status = child.wait() => return Ok(exit_code(status.context("cannot wait for the command")?)),
            () = ending.wanted() => {
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    // It may have ended at this moment.
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(pid),
                        nix::sys::signal::Signal::SIGTERM,
                    );
                }
            }
        }
    }
}

/// The exit code as a shell counts it.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// What is where, and what to try.
fn text(info: &LabInfo, how_to_end: &str) -> String {
    let seconds = format!("{}.{}", info.ready_after_millis / 1000, info.ready_after_millis % 1000 / 100);
    let first = info.nodes.first().map_or("node-a", String::as_str);
    let rows = [
        ("kubeconfig", info.kubeconfig.display().to_string(), String::new()),
        ("API", info.api.clone(), String::new()),
        ("HTTP", format!("http://{}", info.http), format!("Ingress, {first}:80")),
        ("HTTPS", format!("https://{}", info.https), format!("Ingress, {first}:443")),
        ("DNS", info.dns.clone(), "UDP and TCP, cluster.local".to_owned()),
        ("nodes", info.nodes.join(", "), String::new()),
        ("Pods", ranges(info, |at| at.pod_cidr), String::new()),
        ("Services", ranges(info, |at| at.service_cidr), String::new()),
        ("log", info.log.display().to_string(), String::new()),
    ];
    let width = rows[2..5].iter().map(|(_, value, _)| value.len()).max().unwrap_or_default();
    let mut lines = vec![format!("The lab is ready after {seconds} s. {how_to_end}"), String::new()];
    lines
        .extend(rows.iter().map(|(name, value, note)| {
            format!("  {name:<12}{value:<width$}   {note}").trim_end().to_owned()
        }));
    lines.extend([String::new(), what_to_try(info)]);
    lines.join("\n")
}

fn ranges(info: &LabInfo, of: impl Fn(FamilyAddresses) -> types::Prefix) -> String {
    info.families.addresses().map(|at| of(at).to_string()).collect::<Vec<_>>().join(", ")
}

/// Commands that work in a new lab, with nothing but kubectl and this program.
fn what_to_try(info: &LabInfo) -> String {
    let (host, port) = info.dns.rsplit_once(':').unwrap_or((&info.dns, "53"));
    format!(
        "Try:
  export KUBECONFIG={kubeconfig}
  kubectl run web --image=nginx --port=80 --expose     # a Pod and its Service
  kubectl exec web -- sealane probe http http://web/   # or curl, if this machine has it
  sealane probe dns web.default.svc.cluster.local --server {host} --port {port}
  sealane explain web http://web/
  sealane lab status{flags}
",
        kubeconfig = info.kubeconfig.display(),
        flags = ::lab::StateDir::at(&info.state_dir).flags(),
    )
}
