//! The parts of a Pod that are not data: its logs and programs run inside it.

mod exec;
mod logs;
mod websocket;

use engine_store::Status;
use serde_json::Value;

use crate::runtime::RuntimeError;

pub(crate) use exec::exec;
pub(crate) use logs::logs;

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
    let pod_name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    if pod.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or_default().is_empty() {
        return Err(Status::bad_request(format!("pod {pod_name} does not have a host assigned")));
    }
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
            several => Err(Status::bad_request(format!(
                "a container name must be specified for pod {pod_name}, choose one of: [{}]",
                several.join(" ")
            ))),
        },
    }
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
