//! The loop of one Pod: decide, act, write the status, wait for what happens next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apply_kube::{DeleteOptions, Error, EventKind, Target};
use engine_kubelet::bandwidth;
use engine_kubelet::decide::{Action, StopReason, decide};
use engine_kubelet::ephemeral;
use engine_kubelet::files;
use engine_kubelet::observed::{Event, Observed};
use engine_kubelet::probes::ProbeKind;
use engine_kubelet::status::pod_status;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::sync::{mpsc, watch};
use types::NamespacedName;

use crate::container::{PodContext, Running};
use crate::drain;
use crate::node::Kubelet;
use crate::pods::HeldPod;
use crate::renewal;
use crate::rootfs::OwnFiles;
use crate::sandbox::{PodNetwork, Sandbox, SandboxSpec};

/// Pause before a status that could not be written is tried again.
const WRITE_RETRY: Duration = Duration::from_millis(500);

/// What the loop of a Pod is told from outside.
pub(crate) struct Newest {
    /// The API's object.
    pub(crate) pod: Pod,
    /// How often objects that its volumes show have changed.
    pub(crate) files: u64,
}

/// The loop of one Pod.
pub(crate) struct Worker {
    context: PodContext,
    observed: Observed,
    renewal: Renewal,
    running: BTreeMap<String, Running>,
    events: (mpsc::UnboundedSender<Event>, mpsc::UnboundedReceiver<Event>),
}

/// How far the files of containers are up to date.
#[derive(Default)]
struct Renewal {
    /// [`Newest::files`] when they were looked at last.
    files: u64,
    /// Not before this time again.
    not_before: Option<Timestamp>,
}

/// Whether the loop goes on.
enum Next {
    Continue,
    Done,
}

impl Worker {
    /// A Pod that was just put on this node.
    #[must_use]
    pub(crate) fn new(node: Arc<Kubelet>, pod: Pod) -> Self {
        let held = Arc::new(HeldPod::new(pod.metadata.uid.clone().unwrap_or_default()));
        node.machine.pods.put(name_of(&pod), Arc::clone(&held));
        let context = PodContext { node, pod, held };
        Self {
            context,
            observed: Observed::new(Timestamp::now()),
            renewal: Renewal::default(),
            running: BTreeMap::new(),
            events: mpsc::unbounded_channel(),
        }
    }

    /// Runs until nothing of the Pod is left.
    pub(crate) async fn run(mut self, mut newest: watch::Receiver<Newest>) {
        loop {
            let now = Timestamp::now();
            let files = {
                let newest = newest.borrow_and_update();
                self.context.pod.clone_from(&newest.pod);
                newest.files
            };
            if self.context.pod.metadata.deletion_timestamp.is_some() {
                self.observed.terminating_since.get_or_insert(now);
            }
            let decision = decide(&self.context.pod, &self.observed, now);
            for action in decision.actions {
                if matches!(self.act(action, now).await, Next::Done) {
                    return;
                }
            }
            let renewal = self.renew_files(files, now);
            let retry = self.write_status().await;
            let wake =
                decision.wake.into_iter().chain(renewal).min().map(until).into_iter().chain(retry).min();
            tokio::select! {
                // The sender lives as long as the kubelet does.
                _ = newest.changed() => {}
                event = self.events.1.recv() => {
                    if let Some(event) = event {
                        self.take(event);
                    }
                }
                () = tokio::time::sleep(wake.unwrap_or(Duration::MAX)), if wake.is_some() => {}
            }
        }
    }

    /// Renews files that are due; says when to look again.
    fn renew_files(&mut self, files: u64, now: Timestamp) -> Option<Timestamp> {
        let due = self.context.held.renew_at().map(|at| at.max(self.renewal.not_before.unwrap_or(at)));
        let is_due = due.is_some_and(|due| due <= now);
        if !is_due && files == self.renewal.files {
            return due;
        }
        self.renewal.files = files;
        let again = now + renewal::RETRY;
        if is_due {
            self.renewal.not_before = Some(again);
        }
        let running = self.running.keys().filter_map(|name| self.container(name)).collect();
        let context = self.context.clone();
        tokio::spawn(async move { context.renew_files(running).await });
        due.map(|due| if is_due { again } else { due })
    }

    fn take(&mut self, event: Event) {
        if let Event::Exited { container, .. } = &event {
            self.running.remove(container);
            self.context.held.end(container);
        }
        self.note_event(&event);
        self.observed.take(event, Timestamp::now());
        let spec = self.context.pod.spec.iter();
        for container in spec.flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers)) {
            if let Some(run) = self.observed.runs.get_mut(&container.name) {
                run.probes.settle(container);
            }
        }
    }

    async fn act(&mut self, action: Action, now: Timestamp) -> Next {
        self.observed.begin(&action, now);
        match action {
            Action::StartSandbox => self.start_sandbox(),
            Action::StopSandbox => self.stop_sandbox(),
            Action::Drain => self.drain(),
            Action::Start { container } => self.start(&container).await,
            Action::Stop { container, deadline, reason } => self.stop(&container, deadline, reason).await,
            Action::Kill { container } => {
                if let Some(running) = self.running.get(&container) {
                    running.kill();
                }
            }
            Action::Probe { container, kind } => self.probe(&container, kind),
            Action::Delete => return self.delete().await,
        }
        Next::Continue
    }

    fn container(&self, name: &str) -> Option<Container> {
        let spec = self.context.pod.spec.as_ref()?;
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let found = all.find(|container| container.name == name).cloned();
        found.or_else(|| ephemeral::containers(spec).into_iter().find(|container| container.name == name))
    }

    fn start_sandbox(&self) {
        let (context, events) = (self.context.clone(), self.events.0.clone());
        tokio::spawn(async move {
            let created = match sandbox_spec(&context) {
                Ok(spec) => Sandbox::create(spec).await,
                Err(message) => Err(message),
            };
            let event = match created {
                Ok(sandbox) => {
                    let addresses = sandbox.addresses().to_vec();
                    let resolver = &context.node.machine.resolver;
                    let own = OwnFiles {
                        resolv_conf: files::resolv_conf(&context.pod, resolver),
                        hosts: files::hosts(&context.pod, &addresses, &resolver.cluster_domain),
                        host_name: files::host_name(&context.pod),
                    };
                    // Set once for each Pod; a second sandbox would need a new Pod.
                    let _ = context.held.sandbox.set((Arc::new(sandbox), own));
                    Event::SandboxUp(addresses)
                }
                Err(message) => Event::SandboxFailed(message),
            };
            // The worker may have ended.
            let _ = events.send(event);
        });
    }

    fn stop_sandbox(&self) {
        let (context, events) = (self.context.clone(), self.events.0.clone());
        tokio::spawn(async move {
            if let Some((sandbox, _)) = context.held.sandbox.get() {
                sandbox.kill_stragglers();
                if let Err(reason) = sandbox.remove().await {
                    tracing::warn!(pod = %name_of(&context.pod), reason, "a sandbox was not taken down cleanly");
                }
            }
            let _ = events.send(Event::SandboxGone);
        });
    }

    fn drain(&self) {
        let (machine, pod) = (Arc::clone(&self.context.node.machine), name_of(&self.context.pod));
        let events = self.events.0.clone();
        tokio::spawn(async move {
            drain::drained(&machine.agents, &pod).await;
            let _ = events.send(Event::Drained);
        });
    }

    async fn start(&mut self, name: &str) {
        let Some(container) = self.container(name) else { return };
        let run = self.observed.runs.get(name).map_or(0, |run| run.restarts);
        let events = self.events.0.clone();
        match self.context.start(&container, run).await {
            Ok((running, exit)) => {
                let (id, substitution) = (running.id.clone(), running.program.shown());
                let image = container.image.clone().unwrap_or_default();
                let explained = format!("Container {name} {}", running.program.explained(&image));
                self.running.insert(name.to_owned(), running);
                let container = name.to_owned();
                let _ = events.send(Event::Started { container: container.clone(), id, image, substitution });
                tokio::spawn(async move {
                    let exit_code = exit.await;
                    let _ = events.send(Event::Exited { container, exit_code });
                });
                self.note(EventKind::Normal, "Started", explained);
                self.post_start(name);
            }
            Err(why) => {
                let (container, reason, message) = (name.to_owned(), why.reason, why.message);
                let _ = events.send(Event::NotStarted { container, reason, message });
            }
        }
    }

    fn post_start(&self, name: &str) {
        let Some(container) = self.container(name) else { return };
        let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.clone())
        else {
            return;
        };
        let (context, running) = (self.context.clone(), self.running.get(name).cloned());
        tokio::spawn(async move {
            if let Err(why) = context.call(&container, &hook, Duration::from_secs(30)).await {
                let text = format!("PostStartHook failed: {why}");
                context.node.note(&context.pod, EventKind::Warning, "FailedPostStartHook", text).await;
                // As the kubelet does: a container whose hook failed is killed.
                if let Some(running) = running {
                    running.kill();
                }
            }
        });
    }

    async fn stop(&mut self, name: &str, deadline: Timestamp, reason: StopReason) {
        let (Some(container), Some(running)) = (self.container(name), self.running.get(name).cloned()) else {
            return;
        };
        let text = match reason {
            StopReason::PodEnds => format!("Stopping container {name}"),
            StopReason::NewImage => format!("Container {name} definition changed, will be restarted"),
            StopReason::Probe(kind) => {
                let kind = kind.word().to_lowercase();
                format!("Container {name} failed {kind} probe, will be restarted")
            }
        };
        self.note(EventKind::Normal, "Killing", text);
        let context = self.context.clone();
        tokio::spawn(async move {
            let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.clone());
            if let Some(hook) = hook
                && let Err(why) = context.call(&container, &hook, until(deadline)).await
            {
                let text = format!("PreStopHook failed: {why}");
                context.node.note(&context.pod, EventKind::Warning, "FailedPreStopHook", text).await;
            }
            running.terminate(&container);
        });
    }

    fn probe(&self, name: &str, kind: ProbeKind) {
        let Some(container) = self.container(name) else { return };
        let Some(probe) = kind.of(&container).cloned() else { return };
        let Some(id) = self.running.get(name).map(|running| running.id.clone()) else { return };
        let (context, events) = (self.context.clone(), self.events.0.clone());
        tokio::spawn(async move {
            let failure = context.probe(&container, &probe).await.err();
            let _ = events.send(Event::Probed { container: container.name, kind, id, failure });
        });
    }

    async fn delete(&self) -> Next {
        let pod = &self.context.pod;
        let name = name_of(pod);
        let target = Target::namespaced("v1", "Pod", &name.namespace, &name.name);
        let options = DeleteOptions { uid: pod.metadata.uid.clone(), ..DeleteOptions::now() };
        match self.context.node.writer.delete(&target, &options).await {
            // A conflict says that a later Pod has this name: ours is gone.
            Ok(()) | Err(Error::Conflict { .. } | Error::NotFound { .. }) => {
                self.context.node.machine.pods.remove(&name, &self.context.held.uid);
                Next::Done
            }
            Err(error) => {
                tracing::warn!(pod = %name, %error, "a Pod could not be deleted and is tried again");
                tokio::time::sleep(WRITE_RETRY).await;
                Next::Continue
            }
        }
    }

    /// Writes the status if it differs; says when to try again if that failed.
    async fn write_status(&mut self) -> Option<Duration> {
        let pod = &self.context.pod;
        let wanted = pod_status(pod, &self.observed, &self.context.node.place.addresses, Timestamp::now());
        if pod.status.as_ref() == Some(&wanted) {
            return None;
        }
        let changed = Pod { status: Some(wanted), ..pod.clone() };
        let mut object = serde_json::to_value(&changed).expect("a Pod serializes");
        object["apiVersion"] = "v1".into();
        object["kind"] = "Pod".into();
        match self.context.node.writer.replace_status(&object).await {
            // The watch brings the new object, or the newer one that we conflict with.
            Ok(_) | Err(Error::Conflict { .. } | Error::NotFound { .. }) => None,
            Err(error) => {
                tracing::warn!(pod = %name_of(pod), %error, "a Pod's status could not be written");
                Some(WRITE_RETRY)
            }
        }
    }

    fn note_event(&self, event: &Event) {
        match event {
            Event::SandboxFailed(message) => {
                let text = format!("Failed to create pod sandbox: {message}");
                self.note(EventKind::Warning, "FailedCreatePodSandBox", text);
            }
            Event::NotStarted { reason, message, .. } => {
                let text = if reason == "CreateContainerConfigError" {
                    message.clone()
                } else {
                    format!("Error: {message}")
                };
                self.note(EventKind::Warning, "Failed", text);
            }
            Event::Probed { container, kind, failure: Some(why), .. } => {
                let text = format!("{} probe failed: {why}", kind.word());
                tracing::debug!(container, text);
                self.note(EventKind::Warning, "Unhealthy", text);
            }
            Event::Exited { container, exit_code } if *exit_code != 0 && self.will_restart() => {
                let text =
                    format!("Back-off restarting failed container {container} (exit code {exit_code})");
                self.note(EventKind::Warning, "BackOff", text);
            }
            _ => {}
        }
    }

    fn will_restart(&self) -> bool {
        let policy = self.context.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
        policy != Some("Never") && self.observed.terminating_since.is_none()
    }

    /// Writes an Event without holding up the Pod.
    fn note(&self, kind: EventKind, reason: &'static str, message: String) {
        let (node, pod) = (Arc::clone(&self.context.node), self.context.pod.clone());
        tokio::spawn(async move { node.note(&pod, kind, reason, message).await });
    }
}

fn sandbox_spec(context: &PodContext) -> Result<SandboxSpec, String> {
    let (node, pod) = (&context.node, &context.pod);
    let name = name_of(pod);
    let uid = context.held.uid.clone();
    let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
    Ok(SandboxSpec {
        id: uid.clone(),
        netns_path: node.machine.netns_dir.join(format!("pod-{uid}")),
        host_name: if host_network { node.place.name.as_str().to_owned() } else { files::host_name(pod) },
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        uid,
        node: Arc::clone(&node.place.netns),
        node_addresses: node.place.addresses.clone(),
        node_state: node.place.state.clone(),
        network: if host_network { PodNetwork::Node } else { PodNetwork::Own },
        bandwidth: bandwidth::of_annotations(pod.metadata.annotations.as_ref())?,
    })
}

/// Namespace and name of a Pod.
#[must_use]
pub(crate) fn name_of(pod: &Pod) -> NamespacedName {
    NamespacedName::new(
        pod.metadata.namespace.clone().unwrap_or_default(),
        pod.metadata.name.clone().unwrap_or_default(),
    )
}

fn until(when: Timestamp) -> Duration {
    Duration::try_from(when.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
}
