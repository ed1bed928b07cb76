//! The parts of a Pod that are not data: its logs and programs run inside it.

mod command;
mod forward;
mod logs;
mod spdy;
mod upgrade;
mod websocket;
mod wire;

use std::sync::Arc;

use engine_store::Status;
use hyper::upgrade::{OnUpgrade, Upgraded};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::answer::Answer;
use crate::runtime::{PodRuntime, RuntimeError};

pub(crate) use command::{Command, attach, exec};
pub(crate) use forward::{Forward, forward};
pub(crate) use logs::logs;

/// What every conversation with a Pod needs.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) runtime: Arc<dyn PodRuntime>,
    /// Cancelled when the server ends.
    pub(crate) closing: CancellationToken,
}

/// The answer to a request whose connection is to become something else.
pub(crate) enum Opening<C> {
    /// It does: the answer, and the conversation that begins once it is sent.
    Opens(Answer, C),
    /// It does not.
    Refused(Answer),
}

impl<C> Opening<C> {
    pub(crate) fn map<D>(self, into: impl FnOnce(C) -> D) -> Opening<D> {
        match self {
            Self::Opens(answer, conversation) => Opening::Opens(answer, into(conversation)),
            Self::Refused(answer) => Opening::Refused(answer),
        }
    }
}

/// What follows the answer.
pub(crate) enum Conversation {
    Command(Box<Command>),
    Forward(Forward),
}

impl Conversation {
    pub(crate) fn command(command: Command) -> Self {
        Self::Command(Box::new(command))
    }

    /// Whether it can begin.
    pub(crate) fn check(&self, runtime: &dyn PodRuntime) -> Result<(), Status> {
        match self {
            Self::Command(command) => command.check(runtime),
            Self::Forward(_) => Ok(()),
        }
    }

    /// Runs until one side ends it. The answer must be on its way to the client by then.
    pub(crate) async fn run(self, upgrade: OnUpgrade, around: Surroundings) {
        let upgraded: Upgraded = match upgrade.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "a client left before its conversation with a Pod began");
                return;
            }
        };
        match self {
            Self::Command(command) => command.run(upgraded, around).await,
            Self::Forward(forward) => forward.run(upgraded, around).await,
        }
    }
}

impl From<RuntimeError> for Status {
    fn from(error: RuntimeError) -> Self {
        match error {
            RuntimeError::NotFound(text) => Self::new(404, "NotFound", text),
            RuntimeError::NotReady(text) | RuntimeError::Refused(text) => Self::bad_request(text),
            RuntimeError::Failed(text) => Self::internal(text),
        }
    }
}

/// The container a request means: the one it names, or the only one there is.
fn container(pod: &Value, named: Option<&str>) -> Result<String, Status> {
    let pod_name = assigned(pod)?;
    let regular = names(pod, "/spec/containers");
    match named.filter(|name| !name.is_empty()) {
        Some(name) => {
            let others = ["/spec/initContainers", "/spec/ephemeralContainers"];
            let known = regular.contains(&name) || others.iter().any(|list| names(pod, list).contains(&name));
            known.then(|| name.to_owned()).ok_or_else(|| {
                Status::bad_request(format!("container {name} is not valid for pod {pod_name}"))
            })
        }
        None => match regular.as_slice() {
            [only] => Ok((*only).to_owned()),
            // VisitContainers of upstream's `validateContainer` names initContainers first and ephemeral ones last.
            _ => {
                let lists = ["/spec/initContainers", "/spec/containers", "/spec/ephemeralContainers"];
                let all: Vec<&str> = lists.iter().flat_map(|list| names(pod, list)).collect();
                Err(Status::bad_request(format!(
                    "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                    all.join(" ")
                )))
            }
        },
    }
}

/// The name of a Pod that runs on a node; 400 for one that waits for its node.
fn assigned(pod: &Value) -> Result<&str, Status> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    Ok(name)
}

fn names<'a>(pod: &'a Value, list: &str) -> Vec<&'a str> {
    let containers = pod.pointer(list).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    containers.iter().filter_map(|container| container["name"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_container_is_named_or_the_only_one() {
        let one = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a"}],
            "initContainers": [{"name": "i"}]}});
        assert_eq!(container(&one, None).unwrap(), "a");
        assert_eq!(container(&one, Some("i")).unwrap(), "i");
        assert_eq!(container(&one, Some("x")).unwrap_err().message, "container x is not valid for pod p");
        let two = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
            "containers": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(
            container(&two, None).unwrap_err().message,
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        let waiting = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
        assert_eq!(container(&waiting, None).unwrap_err().message, "pod p does not have a host assigned");
    }
}
