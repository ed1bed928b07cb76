//! Answers the API server's questions about Pods: their logs, and programs run inside them.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;
use serve_api::{
    AttachRequest, ByteStream, ExecRequest, ExecSession, LogRequest, LogStream, PodRuntime, RuntimeError,
    TerminalSize,
};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::sync::mpsc;
use types::NamespacedName;

use crate::pods::{Pods, not_running};
use crate::process::{self, Launch};
use crate::terminal::{self, Terminal};
use crate::{check, console};

/// Terminal sizes that may wait for the program.
pub(crate) const RESIZE_QUEUE: usize = 4;

/// The Pods of this lab, for the API server.
#[derive(Clone, Debug)]
pub struct Runtime {
    pods: Arc<Pods>,
}

impl Runtime {
    /// Answers from these Pods.
    #[must_use]
    pub fn new(pods: Arc<Pods>) -> Self {
        Self { pods }
    }
}

impl PodRuntime for Runtime {
    fn logs(
        &self,
        pod: NamespacedName,
        request: LogRequest,
    ) -> BoxFuture<'static, Result<LogStream, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let container = pods.find(&pod)?.container(&request.container).map_err(|_| {
                let (container, pod) = (&request.container, &pod.name);
                RuntimeError::NotReady(format!(
                    "container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating"
                ))
            })?;
            if !request.previous {
                return container.log.stream(request);
            }
            match &container.previous {
                Some(log) => log.stream(request),
                None => Err(RuntimeError::Refused(format!(
                    "previous terminated container \"{}\" in pod \"{}\" not found",
                    request.container, pod.name
                ))),
            }
        }
        .boxed()
    }

    fn runs(&self, pod: &NamespacedName, container: &str) -> Result<(), RuntimeError> {
        let held = self.pods.find(pod)?.container(container)?;
        if held.is_running { Ok(()) } else { Err(not_running(container)) }
    }

    fn exec(
        &self,
        pod: NamespacedName,
        request: ExecRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let held = pods.find(&pod)?;
            let program = request.command.first().cloned().unwrap_or_default();
            let (container, argv) = (request.container.clone(), request.command.clone());
            // The Pod's view of the file system may have to be made first, with blocking calls.
            let launch = tokio::task::spawn_blocking(move || held.launch(&container, argv))
                .await
                .map_err(|error| RuntimeError::Failed(error.to_string()))??;
            let started =
                if request.tty { with_terminal(launch, &request) } else { with_pipes(launch, &request) };
            started.map_err(|error| not_started(&program, &error))
        }
        .boxed()
    }

    fn attach(
        &self,
        pod: NamespacedName,
        request: AttachRequest,
    ) -> BoxFuture<'static, Result<ExecSession, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let container = pods.find(&pod)?.container(&request.container)?;
            if !container.is_running {
                return Err(not_running(&request.container));
            }
            match &container.console {
                Some(console) => Ok(console.join(&request).await),
                None => console::follow(&container.log, &request),
            }
        }
        .boxed()
    }

    fn dial(&self, pod: NamespacedName, port: u16) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        let pods = Arc::clone(&self.pods);
        async move {
            let held = pods.find(&pod)?;
            let (sandbox, _) = held
                .sandbox
                .get()
                .ok_or_else(|| RuntimeError::NotReady("the Pod has no network yet".to_owned()))?;
            let stream = check::localhost(port, sandbox.netns()).await.map_err(RuntimeError::Refused)?;
            Ok(Box::new(stream) as ByteStream)
        }
        .boxed()
    }

    fn reach(&self, address: SocketAddr) -> BoxFuture<'static, Result<ByteStream, RuntimeError>> {
        // A Pod is reached from its node, as its probes are: policies that isolate it let them in.
        let from = self.pods.node_of(address.ip());
        async move {
            let stream = match from {
                Some(node) => check::connect(address, &node).await,
                // Nodes are reached from outside, where the API server is.
                None => TcpStream::connect(address).await,
            };
            let stream =
                stream.map_err(|error| RuntimeError::Refused(format!("dial tcp {address}: {error}")))?;
            Ok(Box::new(stream) as ByteStream)
        }
        .boxed()
    }
}

fn not_started(program: &str, error: &std::io::Error) -> RuntimeError {
    if error.kind() == std::io::ErrorKind::NotFound {
        let text = format!("exec: \"{program}\": executable file not found in $PATH");
        return RuntimeError::Refused(text);
    }
    RuntimeError::Failed(format!("cannot run \"{program}\": {error}"))
}

fn with_pipes(launch: Launch, request: &ExecRequest) -> std::io::Result<ExecSession> {
    let mut command = process::command(launch);
    if request.stdin {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let stdout = child.stdout.take().expect("stdout is a pipe");
    let stderr = child.stderr.take().expect("stderr is a pipe");
    Ok(ExecSession {
        stdin: stdin.map(|stdin| Box::new(stdin) as serve_api::ByteWriter),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        resize: None,
        exit: Ending::of(child).wait().boxed(),
    })
}

fn with_terminal(launch: Launch, request: &ExecRequest) -> std::io::Result<ExecSession> {
    let (child, terminal) = terminal::start(launch)?;
    let (sizes, wanted) = mpsc::channel(RESIZE_QUEUE);
    tokio::spawn(resize(terminal.clone(), wanted));
    Ok(ExecSession {
        stdin: request.stdin.then(|| Box::new(terminal.clone()) as serve_api::ByteWriter),
        stdout: Box::new(terminal),
        stderr: Box::new(tokio::io::empty()),
        resize: Some(sizes),
        exit: Ending::of(child).wait().boxed(),
    })
}

/// Follows the sizes of a client's terminal for as long as it sends some.
pub(crate) async fn resize(terminal: Terminal, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(size) = sizes.recv().await {
        terminal.set_size(size);
    }
}

/// Waits for a program; dropped before its end, it ends the program's whole group.
struct Ending {
    child: Child,
    group: nix::unistd::Pid,
    ended: bool,
}

impl Ending {
    fn of(child: Child) -> Self {
        let group = process::group_of(&child);
        Self { child, group, ended: false }
    }

    async fn wait(mut self) -> i32 {
        let status = self.child.wait().await;
        self.ended = true;
        status.map_or(255, process::exit_code)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.ended {
            process::kill_group(self.group, Signal::SIGHUP);
            process::kill_group(self.group, Signal::SIGKILL);
        }
    }
}
