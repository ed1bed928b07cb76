//! Jobs as their Pods end.

use serde_json::{Value, json};

use super::*;
use crate::test_world::Bench;
use crate::{Controller, scheduler};

const ALL: &[Controller] = &[reconcile, scheduler::reconcile];

fn mk_job(more: &Value) -> Value {
    let mut job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "namespace": "shop", "name": "pi", "uid": "uid-pi" },
        "spec": {
            "completions": 1, "parallelism": 1, "backoffLimit": 6,
            "selector": { "matchLabels": { "batch.kubernetes.io/controller-uid": "uid-pi" } },
            "template": {
                "metadata": { "labels": { "batch.kubernetes.io/controller-uid": "uid-pi" } },
                "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "pi" }] },
            },
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    job
}

fn status(bench: &Bench) -> JobStatus {
    bench.world.jobs.values().next().unwrap().status.clone().unwrap()
}

fn conditions(bench: &Bench) -> Vec<(String, String)> {
    let held = status(bench).conditions.unwrap_or_default();
    held.into_iter()
        .filter(|condition| condition.status == "True")
        .map(|condition| (condition.type_, condition.reason.unwrap_or_default()))
        .collect()
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(type_, reason)| ((*type_).to_owned(), (*reason).to_owned())).collect()
}

fn at_work(bench: &Bench) -> Vec<String> {
    let pods = bench.world.pods.values().filter(|pod| is_active(pod));
    pods.map(|pod| pod.metadata.name.clone().unwrap()).collect()
}

fn end_all(bench: &mut Bench, phase: &str) {
    for name in at_work(bench) {
        bench.end_pod(&name, phase);
    }
}

#[test]
fn a_job_is_complete_once_its_pods_are_counted() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "completions": 3, "parallelism": 2 })));
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 2);
    assert_eq!((status(&bench).active, status(&bench).ready), (Some(2), Some(2)));
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!((at_work(&bench).len(), status(&bench).succeeded), (1, Some(2)));
    assert_eq!(conditions(&bench), []);
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!(status(&bench).succeeded, Some(3));
    let reason = "CompletionsReached";
    assert_eq!(conditions(&bench), told(&[("SuccessCriteriaMet", reason), ("Complete", reason)]));
    assert!(status(&bench).completion_time.is_some());
    assert!(bench.world.pods.values().all(|pod| !is_tracked(pod)), "finished Pods can be deleted");
    assert_eq!(bench.world.pods.len(), 3, "and stay until somebody does");
}

#[test]
fn a_pod_deleted_after_it_was_counted_is_not_made_again() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "completions": 2 })));
    bench.run(ALL);
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    let counted = bench.world.pods.values().find(|pod| is_finished(pod)).unwrap().clone();
    bench.world.remove(counted);
    bench.run(ALL);
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!(status(&bench).succeeded, Some(2));
    assert_eq!(conditions(&bench).len(), 2);
}

#[test]
fn a_crash_between_any_two_writes_counts_nothing_twice() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "completions": 4, "parallelism": 4 })));
    bench.run(ALL);
    end_all(&mut bench, "Succeeded");
    // Each look is thought to be cut off after its first write; the next one begins with what is there.
    for _ in 0..40 {
        let writes = reconcile(&bench.world, crate::test_world::at(bench.seconds));
        let Some(first) = writes.into_iter().find(|write| !matches!(write, Write::Note(_))) else { break };
        bench.do_one(&first);
    }
    assert_eq!(status(&bench).succeeded, Some(4));
}

#[test]
fn failures_wait_longer_each_time_and_end_the_job_at_the_limit() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "backoffLimit": 1 })));
    bench.run(ALL);
    end_all(&mut bench, "Failed");
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 0, "a pause of ten seconds");
    bench.seconds += 11;
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 1);
    end_all(&mut bench, "Failed");
    bench.run(ALL);
    let reason = "BackoffLimitExceeded";
    assert_eq!(conditions(&bench), told(&[("FailureTarget", reason), ("Failed", reason)]));
    assert_eq!(status(&bench).failed, Some(2));
    bench.seconds += 1000;
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 0);
}

#[test]
fn a_deadline_ends_the_job_and_its_pods() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "activeDeadlineSeconds": 300 })));
    bench.run(ALL);
    bench.seconds += 301;
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 0);
    let reason = "DeadlineExceeded";
    assert_eq!(conditions(&bench), told(&[("FailureTarget", reason), ("Failed", reason)]));
}

#[test]
fn suspending_takes_the_pods_away_without_a_failure() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "suspend": true })));
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 0);
    assert_eq!(conditions(&bench), told(&[("Suspended", "JobSuspended")]));
    assert!(status(&bench).start_time.is_none());
    let suspend = |bench: &mut Bench, suspend: bool| {
        let mut job = bench.world.jobs.values().next().unwrap().clone();
        job.spec.as_mut().unwrap().suspend = Some(suspend);
        bench.world.put(job);
        bench.run(ALL);
    };
    suspend(&mut bench, false);
    assert_eq!(at_work(&bench).len(), 1);
    assert!(status(&bench).start_time.is_some());
    suspend(&mut bench, true);
    assert_eq!((at_work(&bench).len(), status(&bench).failed), (0, None));
}

#[test]
fn indexes_are_handed_out_once_each() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed" })));
    bench.run(ALL);
    let pods: Vec<_> = bench.world.pods.values().cloned().collect();
    for (index, pod) in pods.iter().enumerate() {
        let name = pod.metadata.name.as_deref().unwrap();
        assert!(name.starts_with(&format!("pi-{index}-")), "{name}");
        assert_eq!(pod.spec.as_ref().unwrap().hostname, Some(format!("pi-{index}")));
        let env = pod.spec.as_ref().unwrap().containers[0].env.clone().unwrap();
        assert_eq!(env[0].name, "JOB_COMPLETION_INDEX");
    }
    bench.end_pod(pods[0].metadata.name.as_deref().unwrap(), "Succeeded");
    bench.end_pod(pods[1].metadata.name.as_deref().unwrap(), "Failed");
    bench.run(ALL);
    bench.seconds += 11;
    bench.run(ALL);
    let again: Vec<_> = at_work(&bench).iter().map(|name| name[..5].to_owned()).collect();
    assert_eq!(again, ["pi-1-", "pi-2-"]);
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!(status(&bench).completed_indexes.as_deref(), Some("0-2"));
    assert_eq!(conditions(&bench).len(), 2);
}

#[test]
fn a_finished_job_goes_when_its_time_is_up_and_nothing_holds_its_pods() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "ttlSecondsAfterFinished": 60 })));
    bench.run(ALL);
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!(bench.world.jobs.len(), 1);
    bench.seconds += 61;
    bench.run(ALL);
    assert_eq!(bench.world.jobs.len(), 0);

    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({})));
    bench.run(ALL);
    let job = bench.world.jobs.values().next().unwrap().clone();
    bench.world.remove(job);
    bench.run(ALL);
    assert!(bench.world.pods.values().all(|pod| !is_tracked(pod)));
}

#[test]
fn a_queue_of_work_ends_when_one_succeeded_and_all_have_ended() {
    let mut bench = Bench::new(&["node-a"]);
    let mut job = mk_job(&json!({ "parallelism": 2 }));
    job["spec"].as_object_mut().unwrap().remove("completions");
    bench.put(job);
    bench.run(ALL);
    let first = at_work(&bench)[0].clone();
    bench.end_pod(&first, "Succeeded");
    bench.run(ALL);
    assert_eq!((at_work(&bench).len(), conditions(&bench).len()), (1, 0));
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    assert_eq!(conditions(&bench).len(), 2);
}

fn end_with(bench: &mut Bench, name: &str, exit_code: i32) {
    bench.end_pod(name, "Failed");
    let mut pods = bench.world.pods.values_mut();
    let pod = pods.find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap();
    let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
    statuses[0].state.as_mut().unwrap().terminated.as_mut().unwrap().exit_code = exit_code;
}

fn policy(action: &str, code: i32) -> Value {
    let codes = json!({ "containerName": "c", "operator": "In", "values": [code] });
    json!({ "rules": [{ "action": action, "onExitCodes": codes }] })
}

#[test]
fn a_failure_that_a_rule_calls_fatal_ends_the_job_and_says_which() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(
        &json!({ "podFailurePolicy": policy("FailJob", 42), "parallelism": 2, "completions": 2 }),
    ));
    bench.run(ALL);
    let first = at_work(&bench)[0].clone();
    end_with(&mut bench, &first, 42);
    bench.run(ALL);
    assert_eq!(at_work(&bench).len(), 0, "the other is stopped");
    let reason = "PodFailurePolicy";
    let held = status(&bench).conditions.unwrap();
    assert_eq!(conditions(&bench)[0], told(&[("FailureTarget", reason)])[0]);
    let wanted =
        format!("Container c for pod shop/{first} failed with exit code 42 matching FailJob rule at index 0");
    assert_eq!(held[0].message.as_deref(), Some(wanted.as_str()));
}

#[test]
fn an_ignored_failure_does_not_count_and_is_tried_again() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(mk_job(&json!({ "podFailurePolicy": policy("Ignore", 143), "backoffLimit": 0 })));
    bench.run(ALL);
    let first = at_work(&bench)[0].clone();
    end_with(&mut bench, &first, 143);
    bench.run(ALL);
    bench.seconds += 11;
    bench.run(ALL);
    assert_eq!((at_work(&bench).len(), status(&bench).failed), (1, None));
    assert_eq!(conditions(&bench), []);
    let second = at_work(&bench)[0].clone();
    end_with(&mut bench, &second, 1);
    bench.run(ALL);
    let reason = "BackoffLimitExceeded";
    assert_eq!(conditions(&bench), told(&[("FailureTarget", reason), ("Failed", reason)]));
    assert_eq!(status(&bench).failed, Some(1));
}

fn by_index(more: &Value) -> Value {
    let mut spec = json!({
        "completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimit": i32::MAX,
        "backoffLimitPerIndex": 1,
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    mk_job(&spec)
}

fn of_index(bench: &Bench, index: usize) -> String {
    let prefix = format!("pi-{index}-");
    at_work(bench).into_iter().find(|name| name.starts_with(&prefix)).unwrap_or_else(|| panic!("no {prefix}"))
}

#[test]
fn an_index_that_fails_too_often_does_not_stop_the_others() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(by_index(&json!({})));
    bench.run(ALL);
    for try_number in 0..2 {
        let name = of_index(&bench, 1);
        let pod = bench.world.pods.values().find(|pod| pod.metadata.name.as_deref() == Some(&name)).unwrap();
        let count =
            pod.metadata.annotations.as_ref().unwrap()["batch.kubernetes.io/job-index-failure-count"].clone();
        assert_eq!(count, try_number.to_string());
        end_with(&mut bench, &name, 1);
        bench.run(ALL);
        bench.seconds += 25;
        bench.run(ALL);
    }
    assert_eq!(status(&bench).failed_indexes.as_deref(), Some("1"));
    assert_eq!((at_work(&bench).len(), conditions(&bench).len()), (2, 0));
    end_all(&mut bench, "Succeeded");
    bench.run(ALL);
    let reason = "FailedIndexes";
    assert_eq!(conditions(&bench), told(&[("FailureTarget", reason), ("Failed", reason)]));
    assert_eq!((status(&bench).succeeded, status(&bench).failed), (Some(2), Some(2)));
    assert!(bench.world.pods.values().all(|pod| !is_tracked(pod)));
}

#[test]
fn a_failed_pod_is_held_until_the_next_of_its_index_knows_the_number() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(by_index(&json!({})));
    bench.run(ALL);
    let name = of_index(&bench, 2);
    end_with(&mut bench, &name, 1);
    bench.run(ALL);
    let held = |bench: &Bench| {
        bench.world.pods.values().any(|pod| pod.metadata.name.as_deref() == Some(&name) && is_tracked(pod))
    };
    assert!(held(&bench), "the pause is not over, nothing knows of the failure but this Pod");
    bench.seconds += 11;
    bench.run(ALL);
    assert!(!held(&bench) && at_work(&bench).len() == 3);
}

#[test]
fn rules_and_limits_give_up_indexes_at_once() {
    let mut bench = Bench::new(&["node-a"]);
    bench.put(by_index(&json!({ "podFailurePolicy": policy("FailIndex", 7), "maxFailedIndexes": 1 })));
    bench.run(ALL);
    for index in [0, 2] {
        let name = of_index(&bench, index);
        end_with(&mut bench, &name, 7);
        bench.run(ALL);
    }
    assert_eq!(status(&bench).failed_indexes.as_deref(), Some("0,2"));
    assert_eq!(conditions(&bench)[0].1, "MaxFailedIndexesExceeded");
}

#[test]
fn a_success_policy_ends_the_job_early_and_the_rest_has_not_failed() {
    for (rule, done) in [
        (json!({ "succeededIndexes": "1-2", "succeededCount": 1 }), vec![2]),
        (json!({ "succeededIndexes": "0,2" }), vec![0, 2]),
        (json!({ "succeededCount": 2 }), vec![0, 1]),
    ] {
        let mut bench = Bench::new(&["node-a"]);
        let rules = json!({ "rules": [{ "succeededIndexes": "1", "succeededCount": 1 }, rule] });
        let rules = if done.contains(&1) { json!({ "rules": [rules["rules"][1]] }) } else { rules };
        let mode = json!({ "completions": 3, "parallelism": 3, "completionMode": "Indexed", "successPolicy": rules });
        bench.put(mk_job(&mode));
        bench.run(ALL);
        for index in &done {
            assert_eq!(conditions(&bench), [], "{rule}");
            let name = of_index(&bench, *index);
            bench.end_pod(&name, "Succeeded");
            bench.run(ALL);
        }
        let reason = "SuccessPolicy";
        assert_eq!(
            conditions(&bench),
            told(&[("SuccessCriteriaMet", reason), ("Complete", reason)]),
            "{rule}"
        );
        assert_eq!((at_work(&bench).len(), status(&bench).failed), (0, None), "{rule}");
    }
}
