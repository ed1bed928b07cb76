//! What the failure of a Pod means to its Job: `spec.podFailurePolicy` (upstream: `pkg/controller/job/pod_failure_policy.go`).

use k8s_openapi::api::batch::v1::{
    Job, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};

/// What one failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It counts towards the limits.
    Counts,
    /// It never happened.
    IsIgnored,
    /// It counts, and its index is not tried again.
    FailsIndex,
    /// It ends the Job; why.
    FailsJob(String),
}

/// The action of the first rule that fits; without one, the failure counts.
pub(super) fn meaning(job: &Job, pod: &Pod) -> Failure {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    for (number, rule) in policy.iter().flat_map(|policy| policy.rules.iter().enumerate()) {
        let what = match (&rule.on_exit_codes, &rule.on_pod_conditions) {
            (Some(codes), _) => by_exit_code(pod, codes),
            (None, Some(patterns)) => by_condition(pod, patterns),
            (None, None) => None,
        };
        let Some(what) = what else { continue };
        match rule.action.as_str() {
            "Ignore" => return Failure::IsIgnored,
            "FailIndex" => return Failure::FailsIndex,
            "Count" => return Failure::Counts,
            "FailJob" => return Failure::FailsJob(format!("{what} matching FailJob rule at index {number}")),
            _ => {}
        }
    }
    Failure::Counts
}

fn name(pod: &Pod) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&pod.metadata.namespace), part(&pod.metadata.name))
}

fn by_exit_code(pod: &Pod, wanted: &PodFailurePolicyOnExitCodesRequirement) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.into_iter().find_map(|container| {
        let code = exit_code(container).filter(|code| *code != 0)?;
        let is_meant = wanted.container_name.as_ref().is_none_or(|name| *name == container.name);
        let fits = match wanted.operator.as_str() {
            "In" => wanted.values.contains(&code),
            "NotIn" => !wanted.values.contains(&code),
            _ => false,
        };
        (is_meant && fits).then(|| {
            format!("Container {} for pod {} failed with exit code {code}", container.name, name(pod))
        })
    })
}

fn exit_code(container: &ContainerStatus) -> Option<i32> {
    container.state.as_ref()?.terminated.as_ref().map(|ended| ended.exit_code)
}

fn by_condition(pod: &Pod, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Option<String> {
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let fits = |condition: &&PodCondition| {
        patterns.iter().any(|wanted| wanted.type_ == condition.type_ && wanted.status == condition.status)
    };
    conditions.find(fits).map(|found| format!("Pod {} has condition {}", name(pod), found.type_))
}
