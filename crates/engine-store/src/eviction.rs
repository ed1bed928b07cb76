//! Evictions: deletes that PodDisruptionBudgets may hold back (upstream: `pkg/registry/core/pod/storage/eviction.go`).

use std::sync::Arc;

use engine_kinds::object::{self, integer, list, map, text};
use engine_kinds::{Cause, Details, Status, selects};
use serde_json::{Value, json};

use crate::request::Env;
use crate::store::{Commit, Store};

/// Most evictions that may be under way for one budget (`MaxDisruptedPodSize`).
const MAX_DISRUPTED_PODS: usize = 2000;

impl Store {
    /// Counts an eviction against the budget of a Pod; 429 when the budget has nothing left.
    pub(crate) fn spend_budget(&mut self, env: &Env<'_>, pod: &Value, dry_run: bool) -> Result<(), Status> {
        // A Pod that has ended, or never began, disturbs nobody by leaving.
        if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed" | "Pending")
            || object::is_deleting(pod)
        {
            return Ok(());
        }
        let id = self.registry().built_in("policy", "poddisruptionbudgets");
        let budgets: Vec<Arc<Value>> = self
            .all(id)
            .filter(|budget| object::namespace(budget) == object::namespace(pod) && covers(budget, pod))
            .collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [budget] => budget,
            _ => {
                return Err(Status::internal(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        if passes_unready(budget, pod) {
            return Ok(());
        }
        let spent = spent(env, budget, object::name(pod))?;
        if !dry_run {
            self.commit(id, Commit::Put(spent));
        }
        Ok(())
    }
}

/// Whether a budget is about a Pod; without a selector it is about none.
fn covers(budget: &Value, pod: &Value) -> bool {
    budget
        .pointer("/spec/selector")
        .is_some_and(|selector| selects(selector, pod.pointer("/metadata/labels").unwrap_or(&Value::Null)))
}

/// A Pod that is not ready serves nobody: it may go when enough others are healthy, or always if the budget says so.
fn passes_unready(budget: &Value, pod: &Value) -> bool {
    let conditions = list(pod, "/status/conditions");
    let is_ready =
        conditions.iter().any(|held| text(held, "/type") == "Ready" && text(held, "/status") == "True");
    let count = |field: &str| integer(budget, &format!("/status/{field}")).unwrap_or(0);
    let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
    let healthy_enough = count("currentHealthy") >= count("desiredHealthy") && count("desiredHealthy") > 0;
    !is_ready && (always || healthy_enough)
}

/// The budget with one eviction less.
fn spent(env: &Env<'_>, budget: &Value, pod: &str) -> Result<Value, Status> {
    let name = object::name(budget);
    let count = |field: &str| integer(budget, &format!("/status/{field}")).unwrap_or(0);
    let observed = count("observedGeneration");
    if observed < integer(budget, "/metadata/generation").unwrap_or(0) {
        let message = format!("The disruption budget {name} is still being processed by the server.");
        return Err(refusal(message, 10));
    }
    if map(budget, "/status/disruptedPods").map_or(0, serde_json::Map::len) > MAX_DISRUPTED_PODS {
        return Err(refusal(
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller".to_owned(),
            0,
        ));
    }
    if count("disruptionsAllowed") <= 0 {
        let message = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            count("desiredHealthy"),
            count("currentHealthy")
        );
        return Err(refusal(message, 0));
    }
    let mut budget = budget.clone();
    budget["status"]["disruptionsAllowed"] = json!(count("disruptionsAllowed") - 1);
    let disrupted = object::map_mut(&mut budget["status"], "disruptedPods");
    disrupted.insert(pod.to_owned(), object::time_text(env.now).into());
    Ok(budget)
}

/// 429 with the cause that clients look for.
fn refusal(message: String, retry_after_seconds: u32) -> Status {
    let cause = Cause { reason: "DisruptionBudget", message, field: String::new() };
    let details = Details { retry_after_seconds: Some(retry_after_seconds), ..Details::default() };
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::new(429, "TooManyRequests", message).about(details).with_cause(cause)
}
