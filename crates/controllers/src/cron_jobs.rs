//! CronJob: Jobs at the times of a schedule (upstream: `pkg/controller/cronjob/cronjob_controllerv2.go`).

mod times;

use std::cmp::Reverse;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::by_controller::ByController;
use crate::owner::{controller_reference, is_deleting};
use crate::stamp::stamp;
use crate::template::note;
use crate::world::{Severity, World, Write, deletion_of, name_of, to_value};
use engine_kinds::{CronSchedule, time_zone_named};
use times::last_between;

const COMPONENT: &str = "cronjob-controller";
/// Annotation of a Job with the time it was to start (`batch.CronJobScheduledTimestampAnnotation`).
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    if world.cron_jobs.is_empty() {
        return Vec::new();
    }
    let jobs = ByController::of(&world.jobs);
    world.cron_jobs.values().flat_map(|cron| reconcile_one(world, cron, &jobs, now)).collect()
}

fn reconcile_one(world: &World, cron: &CronJob, jobs: &ByController<'_, Job>, now: Timestamp) -> Vec<Write> {
    let Some(spec) = &cron.spec else { return Vec::new() };
    let jobs: Vec<&Job> = jobs.of_owner(&cron.metadata).collect();
    let (finished, active): (Vec<&Job>, Vec<&Job>) = jobs.into_iter().partition(|job| end_of(job).is_some());
    let mut status = CronJobStatus {
        active: Some(active.iter().map(|job| reference(job)).collect()),
        ..cron.status.clone().unwrap_or_default()
    };
    let succeeded = finished.iter().filter(|job| end_of(job) == Some("Complete"));
    let newest =
        succeeded.filter_map(|job| job.status.as_ref()?.completion_time.clone()).max_by_key(|time| time.0);
    if newest.as_ref().map(|time| time.0) > status.last_successful_time.as_ref().map(|time| time.0) {
        status.last_successful_time = newest;
    }
    let mut writes = history(spec, &finished);
    if !is_deleting(&cron.metadata) && spec.suspend != Some(true) {
        writes.extend(started(world, cron, (spec, &active), &mut status, now));
    }
    status.active = status.active.filter(|active| !active.is_empty());
    if cron.status.clone().unwrap_or_default() != status {
        let mut cron = cron.clone();
        cron.status = Some(status);
        writes.push(Write::ReplaceStatus(to_value(&cron)));
    }
    writes
}

/// `Complete` or `Failed`, once a Job is either.
fn end_of(job: &Job) -> Option<&str> {
    let mut conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let end =
        conditions.find(|held| matches!(held.type_.as_str(), "Complete" | "Failed") && held.status == "True");
    end.map(|held| held.type_.as_str())
}

fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".to_owned()),
        kind: Some("Job".to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Finished Jobs beyond the limits of history, oldest first.
fn history(spec: &CronJobSpec, finished: &[&Job]) -> Vec<Write> {
    let surplus = |end: &str, limit: i32| {
        let mut ended: Vec<&Job> = finished.iter().copied().filter(|job| end_of(job) == Some(end)).collect();
        ended.sort_by_key(|job| {
            Reverse(job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0))
        });
        ended.into_iter().skip(usize::try_from(limit).unwrap_or(0)).map(deletion_of).collect::<Vec<_>>()
    };
    let mut writes = surplus("Complete", spec.successful_jobs_history_limit.unwrap_or(3));
    writes.extend(surplus("Failed", spec.failed_jobs_history_limit.unwrap_or(1)));
    writes
}

/// The Job of the last time that has come, unless it was started already.
fn started(
    world: &World,
    cron: &CronJob,
    (spec, active): (&CronJobSpec, &[&Job]),
    status: &mut CronJobStatus,
    now: Timestamp,
) -> Vec<Write> {
    let Some(schedule) = CronSchedule::parse(&spec.schedule) else { return Vec::new() };
    let since = status.last_schedule_time.as_ref().or(cron.metadata.creation_timestamp.as_ref());
    let since = since.map_or(now, |time| time.0);
    let zone = spec.time_zone.as_deref().map_or(Some(TimeZone::UTC), time_zone_named);
    let Some(zone) = zone else { return Vec::new() };
    let Some(due) = last_between(&schedule, &zone, since, now) else { return Vec::new() };
    let tell = |severity, reason, text: String| note(cron, COMPONENT, (severity, reason), text);
    let patience = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
    if patience.is_some_and(|patience| now > due + patience) {
        status.last_schedule_time = Some(stamp(due));
        return vec![tell(
            Severity::Warning,
            "MissSchedule",
            format!("Missed scheduled time to start a job: {due}"),
        )];
    }
    let mut writes = Vec::new();
    if !active.is_empty() {
        match spec.concurrency_policy.as_deref() {
            // The time is not over: it is started once the other has ended.
            Some("Forbid") => return Vec::new(),
            Some("Replace") => {
                writes.extend(
                    active.iter().filter(|job| !is_deleting(&job.metadata)).map(|job| deletion_of(*job)),
                );
                status.active = None;
            }
            _ => {}
        }
    }
    let job = new_job(cron, spec, due);
    if !world.jobs.contains_key(&name_of(&job.metadata)) {
        let name = job.metadata.name.clone().unwrap_or_default();
        writes.push(Write::Create(to_value(&job)));
        writes.push(tell(Severity::Normal, "SuccessfulCreate", format!("Created job {name}")));
    }
    status.last_schedule_time = Some(stamp(due));
    writes
}

/// The time as a clock there shows it, as Go prints it.
fn rfc3339(time: Timestamp, zone: &TimeZone) -> String {
    if *zone == TimeZone::UTC {
        return time.to_string();
    }
    time.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// The name follows from the time, so that no time is started twice.
fn new_job(cron: &CronJob, spec: &CronJobSpec, due: Timestamp) -> Job {
    let from_template = spec.job_template.metadata.clone().unwrap_or_default();
    let mut annotations = from_template.annotations.unwrap_or_default();
    let zone = spec.time_zone.as_deref().and_then(time_zone_named).unwrap_or(TimeZone::UTC);
    annotations.insert(SCHEDULED.to_owned(), rfc3339(due, &zone));
    let name = cron.metadata.name.as_deref().unwrap_or_default();
    Job {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", due.as_second() / 60)),
            namespace: cron.metadata.namespace.clone(),
            labels: from_template.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![controller_reference(cron)]),
            ..ObjectMeta::default()
        },
        spec: spec.job_template.spec.clone(),
        status: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Controller;
    use crate::test_world::{Bench, at};

    const ALL: &[Controller] = &[reconcile];

    fn bench(more: &Value) -> Bench {
        let template = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "c" }] } } } });
        let mut spec = json!({ "schedule": "*/5 * * * *", "jobTemplate": template });
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let metadata = json!({
            "namespace": "shop", "name": "tick", "uid": "uid-tick", "creationTimestamp": at(0).to_string(),
        });
        let mut bench = Bench::new(&[]);
        bench.put(json!({ "apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec }));
        bench
    }

    fn jobs(bench: &Bench) -> Vec<String> {
        bench.world.jobs.keys().map(|name| name.name.clone()).collect()
    }

    fn end_all(bench: &mut Bench, how: &str) {
        let now = at(bench.seconds).to_string();
        for job in bench.world.jobs.values_mut() {
            let condition = json!([{ "type": how, "status": "True", "lastTransitionTime": now }]);
            let status = json!({ "conditions": condition, "startTime": now, "completionTime": now });
            if end_of(job).is_none() {
                job.status = serde_json::from_value(status).unwrap();
            }
        }
    }

    #[test]
    fn a_time_that_has_come_starts_one_job_once() {
        let mut bench = bench(&json!({}));
        bench.settle(ALL);
        assert_eq!(jobs(&bench), Vec::<String>::new());
        bench.seconds = 310;
        bench.settle(ALL);
        bench.settle(ALL);
        assert_eq!(jobs(&bench).len(), 1);
        let status = bench.world.cron_jobs.values().next().unwrap().status.clone().unwrap();
        assert_eq!(status.active.unwrap().len(), 1);
        let minute = status.last_schedule_time.unwrap().0.as_second() / 60;
        assert_eq!(jobs(&bench), [format!("tick-{minute}")]);
        assert_eq!(minute % 5, 0);
    }

    #[test]
    fn a_schedule_follows_the_clock_of_its_zone() {
        let mut bench = bench(&json!({ "schedule": "0 3 * * *", "timeZone": "Asia/Kolkata" }));
        bench.seconds = 24 * 60 * 60;
        bench.settle(ALL);
        let job = bench.world.jobs.values().next().unwrap();
        let due = job.metadata.annotations.as_ref().unwrap()[SCHEDULED].clone();
        assert!(due.ends_with("T03:00:00+05:30"), "{due}");
        let minute: i64 = jobs(&bench)[0].trim_start_matches("tick-").parse().unwrap();
        assert_eq!(minute.rem_euclid(24 * 60), 21 * 60 + 30, "half past nine in the evening, UTC");
    }

    #[test]
    fn forbid_waits_and_replace_does_not() {
        for (policy, count) in [("Forbid", 1), ("Replace", 1), ("Allow", 2)] {
            let mut bench = bench(&json!({ "concurrencyPolicy": policy }));
            bench.seconds = 310;
            bench.settle(ALL);
            let first = jobs(&bench);
            bench.seconds = 620;
            bench.settle(ALL);
            assert_eq!(jobs(&bench).len(), count, "{policy}");
            assert_eq!(jobs(&bench)[0] == first[0], policy != "Replace", "{policy}");
        }
    }

    #[test]
    fn history_is_short_and_suspending_starts_nothing() {
        let mut bench = bench(&json!({}));
        for round in 1..8 {
            bench.seconds = bench.seconds.max(round * 310);
            bench.settle(ALL);
            end_all(&mut bench, if round == 7 { "Failed" } else { "Complete" });
            bench.settle(ALL);
        }
        assert_eq!(jobs(&bench).len(), 4, "three that succeeded, one that failed");
        let mut cron = bench.world.cron_jobs.values().next().unwrap().clone();
        cron.spec.as_mut().unwrap().suspend = Some(true);
        bench.world.put(cron);
        bench.seconds += 1000;
        bench.settle(ALL);
        assert_eq!(jobs(&bench).len(), 4);
    }
}
