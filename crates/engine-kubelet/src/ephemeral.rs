//! Ephemeral containers: added to a Pod while it runs, started once, never watched over (KEP-277).

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// A Pod's ephemeral containers, as containers of any kind.
#[must_use]
pub fn containers(spec: &PodSpec) -> Vec<Container> {
    let all = spec.ephemeral_containers.iter().flatten();
    // The fields are those of a container, and `targetContainerName`: in a lab all containers of a Pod share the
    // machine's processes anyway.
    all.filter_map(|one| serde_json::from_value(serde_json::to_value(one).ok()?).ok()).collect()
}

/// The rules they follow whatever those of their Pod are.
#[must_use]
pub fn rules() -> PodSpec {
    PodSpec { restart_policy: Some("Never".to_owned()), ..PodSpec::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_containers() {
        let spec = serde_json::json!({"containers": [], "ephemeralContainers": [
            {"name": "debugger", "image": "busybox", "stdin": true, "targetContainerName": "web"}]});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let [one] = &containers(&spec)[..] else { panic!("one") };
        assert_eq!((one.name.as_str(), one.stdin), ("debugger", Some(true)));
        assert!(containers(&PodSpec::default()).is_empty());
    }
}
