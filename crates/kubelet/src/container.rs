//! Starts and ends single containers: host programs and stand-ins behind one face.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use engine_kubelet::environment::{Place, Sources, environment};
use engine_kubelet::program::{Program, choose};
use engine_kubelet::{files, volumes};
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, Probe};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serve_api::LogSource;
use tokio::sync::oneshot;

use crate::check;
use crate::console::Console;
use crate::logs::RunLog;
use crate::node::Kubelet;
use crate::pods::{HeldContainer, HeldPod};
use crate::process::{self, Process};
use crate::sandbox::Sandbox;
use crate::standin::{Identity, StandIn};

/// Exit code of what was killed (128 + SIGKILL).
const KILLED: i32 = 137;
/// How long Pods of a new Namespace wait for what it gets, and the pause between two looks.
const NEW_NAMESPACE_LIMIT: Duration = Duration::from_secs(2);
const NEW_NAMESPACE_LOOK: Duration = Duration::from_millis(10);
/// The ConfigMap with the authority of the API's certificate, which every Namespace gets.
const AUTHORITY: &str = "kube-root-ca.crt";
/// How long a probe may take where it does not say (`k8s.io/api/core/v1` `Probe`).
const DEFAULT_TIMEOUT_SECONDS: i32 = 1;

/// One Pod, as what is done for its containers needs it.
#[derive(Clone)]
pub(crate) struct PodContext {
    /// The node's part.
    pub node: Arc<Kubelet>,
    /// The API's object, as it was last seen.
    pub pod: Pod,
    /// What is here.
    pub held: Arc<HeldPod>,
}

/// A running container.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Identity of the run.
    pub id: String,
    /// What runs.
    pub program: Program,
    control: Arc<Mutex<Control>>,
}

#[derive(Debug)]
enum Control {
    Process(Pid),
    StandIn { serving: Option<StandIn>, ended: Option<oneshot::Sender<i32>> },
}

/// Why a container could not be started: the status's reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NotStarted {
    /// One CamelCase word.
    pub reason: String,
    /// Why.
    pub message: String,
}

/// Completes with the exit code when the container has ended.
pub(crate) type Exit = futures_util::future::BoxFuture<'static, i32>;

impl NotStarted {
    fn configuration(message: String) -> Self {
        Self { reason: "CreateContainerConfigError".to_owned(), message }
    }

    fn run(message: String) -> Self {
        Self { reason: "RunContainerError".to_owned(), message }
    }
}

impl PodContext {
    fn sandbox(&self) -> Option<Arc<Sandbox>> {
        self.held.sandbox.get().map(|(sandbox, _)| Arc::clone(sandbox))
    }

    pub(crate) fn place(&self) -> Place {
        let pod_ips = self.sandbox().map(|sandbox| sandbox.addresses().to_vec()).unwrap_or_default();
        Place { pod_ips, host_ips: self.node.place.addresses.clone() }
    }

    pub(crate) fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.pod.metadata.name.as_deref().unwrap_or_default()
    }

    /// Starts a container.
    ///
    /// # Errors
    /// When its configuration refers to what is not there, or the program cannot be executed.
    pub(crate) async fn start(&self, container: &Container, run: u32) -> Result<(Running, Exit), NotStarted> {
        let sources = self.sources(container).await;
        let place = self.place();
        let mut variables =
            process::base_variables(&self.node.machine.host_path, &files::host_name(&self.pod));
        let own = environment(&self.pod, container, &sources, &place).map_err(NotStarted::configuration)?;
        variables.extend(own);
        let mounts =
            volumes::mounts(&self.pod, container, &sources, &place).map_err(NotStarted::configuration)?;
        let host_path = variables.get("PATH").cloned().unwrap_or_default();
        let program = choose(container, &variables, &self.node.machine.images, |program| {
            process::is_here(program, &host_path)
        });
        let id = format!("{}-{}-{run}", self.held.uid, container.name);
        let log = self.new_log(container, run)?;
        let held = HeldContainer {
            log: Arc::clone(&log),
            previous: None,
            console: matches!(program, Program::Host { .. }).then(|| Arc::new(Console::of(container))),
            is_running: true,
            variables,
            directory: container.working_dir.clone().unwrap_or_else(|| "/".to_owned()),
            mounts,
            root: Arc::new(OnceLock::new()),
        };
        self.held.begin(&container.name, held.clone());
        let started = self.start_program(container, &program, held, &log).await;
        match started {
            Ok((control, exit)) => {
                Ok((Running { id, program, control: Arc::new(Mutex::new(control)) }, exit))
            }
            Err(message) => {
                log.line(LogSource::Stderr, message.as_bytes());
                self.held.end(&container.name);
                Err(NotStarted::run(message))
            }
        }
    }

    /// What the container may refer to. A new Namespace gets its authority within moments: the Pods that were made with
    /// it wait for that.
    async fn sources(&self, container: &Container) -> Sources {
        let wishes = volumes::token_wishes(&self.pod, container);
        let deadline = tokio::time::Instant::now() + NEW_NAMESPACE_LIMIT;
        loop {
            let sources = self.sources_now(container).await;
            let complete = wishes.is_empty() || sources.config_maps.contains_key(AUTHORITY);
            if complete || tokio::time::Instant::now() >= deadline {
                return sources;
            }
            tokio::time::sleep(NEW_NAMESPACE_LOOK).await;
        }
    }

    /// What the container may refer to, as it is now.
    pub(crate) async fn sources_now(&self, container: &Container) -> Sources {
        let claims = volumes::claim_names(&self.pod, container);
        let mut sources = self.node.sources(self.namespace(), claims).await;
        for wish in volumes::token_wishes(&self.pod, container) {
            if let Some(token) = self.token(&wish).await {
                sources.tokens.insert(wish, token);
            }
        }
        sources
    }

    fn new_log(&self, container: &Container, run: u32) -> Result<Arc<RunLog>, NotStarted> {
        let directory = format!("{}_{}_{}", self.namespace(), self.name(), self.held.uid);
        let path = self.node.machine.logs.join(directory).join(&container.name).join(format!("{run}.log"));
        RunLog::create(&path)
            .map(Arc::new)
            .map_err(|error| NotStarted::run(format!("cannot create log {}: {error}", path.display())))
    }

    async fn start_program(
        &self,
        container: &Container,
        program: &Program,
        held: HeldContainer,
        log: &Arc<RunLog>,
    ) -> Result<(Control, Exit), String> {
        match program {
            Program::Host { argv } => {
                let (pod, argv) = (Arc::clone(&self.held), argv.clone());
                let console = held.console.clone().unwrap_or_else(|| Arc::new(Console::of(container)));
                // Making the container's view of the file system blocks for some milliseconds.
                let launch = tokio::task::spawn_blocking(move || pod.launch_in(&held, argv))
                    .await
                    .map_err(|error| error.to_string())??;
                let program = launch.argv[0].clone();
                let process = process::start(launch, log, &console)
                    .map_err(|error| format!("cannot run `{program}`: {error}"))?;
                let group = process.group();
                Ok((Control::Process(group), Box::pin(Process::wait(process))))
            }
            Program::StandIn { ports, .. } => {
                let sandbox = self.sandbox().ok_or("the Pod has no sandbox yet")?;
                let serving =
                    StandIn::start(sandbox.netns(), ports, self.identity(container), Arc::clone(log))?;
                let (ended, exit) = oneshot::channel();
                let control = Control::StandIn { serving: Some(serving), ended: Some(ended) };
                Ok((control, Box::pin(async move { exit.await.unwrap_or(KILLED) })))
            }
        }
    }

    fn identity(&self, container: &Container) -> Identity {
        Identity {
            pod: self.name().to_owned(),
            namespace: self.namespace().to_owned(),
            node: self.node.place.name.as_str().to_owned(),
            pod_ip: self.place().pod_ips.first().map(ToString::to_string).unwrap_or_default(),
            container: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
        }
    }

    /// Sends a probe.
    ///
    /// # Errors
    /// With the kubelet's text when it fails.
    pub(crate) async fn probe(&self, container: &Container, probe: &Probe) -> Result<(), String> {
        let seconds = probe.timeout_seconds.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(1));
        let handler = LifecycleHandler {
            exec: probe.exec.clone(),
            http_get: probe.http_get.clone(),
            tcp_socket: probe.tcp_socket.clone(),
            sleep: None,
        };
        if probe.grpc.is_some() {
            return Err("the lab has no gRPC probes; use httpGet, tcpSocket or exec".to_owned());
        }
        self.call(container, &handler, limit).await
    }

    /// Runs a hook or the handler of a probe.
    ///
    /// # Errors
    /// With the kubelet's text when it fails.
    pub(crate) async fn call(
        &self,
        container: &Container,
        handler: &LifecycleHandler,
        limit: Duration,
    ) -> Result<(), String> {
        if let Some(sleep) = &handler.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
            tokio::time::sleep(Duration::from_secs(seconds).min(limit)).await;
            return Ok(());
        }
        if let Some(action) = &handler.exec {
            let (held, name) = (Arc::clone(&self.held), container.name.clone());
            let launch = tokio::task::spawn_blocking(move || held.launch(&name, Vec::new()))
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())?;
            return check::exec(action, launch, limit).await;
        }
        let sandbox = self.sandbox().ok_or("the Pod has no sandbox")?;
        let pod = *sandbox.addresses().first().ok_or("the Pod has no address")?;
        if let Some(action) = &handler.http_get {
            return check::http_get(action, container, pod, &self.node.place.netns, limit).await;
        }
        if let Some(action) = &handler.tcp_socket {
            return check::tcp_socket(action, container, pod, &self.node.place.netns, limit).await;
        }
        Ok(())
    }
}

impl Running {
    /// Asks the container to end.
    pub(crate) fn terminate(&self, container: &Container) {
        let signal = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
        let signal = signal.and_then(|name| name.parse().ok()).unwrap_or(Signal::SIGTERM);
        match &mut *self.locked() {
            Control::Process(group) => process::kill_group(*group, signal),
            Control::StandIn { serving, ended } => {
                let (Some(serving), Some(ended)) = (serving, ended.take()) else { return };
                let (done, killed) = (serving.end(), serving.killed());
                tokio::spawn(async move {
                    let exit_code = tokio::select! {
                        biased;
                        () = killed => KILLED,
                        () = done => 0,
                    };
                    // Nobody waits any more when the lab ends.
                    let _ = ended.send(exit_code);
                });
            }
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&self) {
        match &mut *self.locked() {
            Control::Process(group) => process::kill_group(*group, Signal::SIGKILL),
            Control::StandIn { serving, ended } => {
                serving.take();
                if let Some(ended) = ended.take() {
                    let _ = ended.send(KILLED);
                }
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
