//! `sealane lab up` and `sealane lab run`: a lab for as long as this process, or a command, runs.

use std::process::Stdio;

use ::lab::{LabInfo, RunningLab};
use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{RunArgs, UpArgs};
use crate::config;
use crate::output::{Output, print_json, print_line};

/// Keeps a lab until Ctrl-C, SIGTERM, or the end of the terminal.
pub(crate) async fn run(args: UpArgs) -> Result<i32> {
    let mut ending = Ending::new()?;
    let settings = config::lab_settings(&args.lab)?;
    let mut lab = tokio::select! {
        lab = RunningLab::start(settings) => lab?,
        // Dropping what was begun kills it.
        () = ending.wanted() => return Ok(130),
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
            Ok(0)
        }
        status = lab.ended() => {
            let status = status?;
            let log = lab.info().log.clone();
            bail!("the lab ended by itself ({status}); its log is {}", log.display())
        }
    }
}

/// Signals that ask for an orderly end.
struct Ending([Signal; 3]);

impl Ending {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]))
    }

    async fn wanted(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
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
            Output::Text => print_line(&text(&info, "`sealane lab down` ends it.")),
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
pub(crate) async fn run_command(args: RunArgs) -> Result<i32> {
    let mut ending = Ending::new()?;
    let settings = config::lab_settings(&args.lab)?;
    let lab = tokio::select! {
        lab = RunningLab::start(settings) => lab?,
        () = ending.wanted() => return Ok(130),
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
        Err(error) => Err(anyhow::Error::new(error).context(format!("cannot run `{}`", args.command[0]))),
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
pub(crate) fn text(info: &LabInfo, how_to_end: &str) -> String {
    let seconds = format!("{}.{}", info.ready_after_millis / 1000, info.ready_after_millis % 1000 / 100);
    let (host, port) = info.dns.rsplit_once(':').unwrap_or((&info.dns, "53"));
    format!(
        "The lab is ready after {seconds} s. {how_to_end}

  kubeconfig  {kubeconfig}
  API         {api}
  HTTP        http://{http}    (Ingress, on {first}:80)
  HTTPS       https://{https}   (Ingress, on {first}:443)
  DNS         {dns}           (UDP and TCP; cluster.local)
  nodes       {nodes}
  log         {log}

Try:
  export KUBECONFIG={kubeconfig}
  kubectl get nodes -o wide
  kubectl create deployment web --image=nginx --replicas=3
  kubectl expose deployment web --port=80
  dig @{host} -p {port} web.default.svc.cluster.local
  kubectl exec deploy/web -- curl -s http://web/
  sealane lab status
",
        kubeconfig = info.kubeconfig.display(),
        api = info.api,
        http = info.http,
        https = info.https,
        dns = info.dns,
        nodes = info.nodes.join(", "),
        first = info.nodes.first().map_or("node-a", String::as_str),
        log = info.log.display(),
    )
}
