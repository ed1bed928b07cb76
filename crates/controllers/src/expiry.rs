//! What goes by itself after a while: Events, and Pods that have ended.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use crate::owner::is_deleting;
use crate::pod_state::is_finished;
use crate::world::{World, Write, deletion_of};

/// How long an Event is kept after it was last seen (`--event-ttl` of kube-apiserver).
const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);
/// Pods that may have ended before the oldest of them go (`--terminated-pod-gc-threshold`).
const FINISHED_PODS: usize = 12_500;

pub(crate) fn reconcile(world: &World, now: Timestamp) -> Vec<Write> {
    let old =
        world.events.values().filter(|event| last_seen(event).is_some_and(|seen| now > seen + EVENT_TTL));
    let mut writes: Vec<_> = old.map(deletion_of).collect();
    let mut finished: Vec<_> =
        world.pods.values().filter(|pod| is_finished(pod) && !is_deleting(&pod.metadata)).collect();
    let surplus = finished.len().saturating_sub(FINISHED_PODS);
    finished.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    writes.extend(finished.into_iter().take(surplus).map(deletion_of));
    writes
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let micro = [series, event.event_time.as_ref()].into_iter().flatten().map(|time| time.0);
    let whole = [event.last_timestamp.as_ref(), event.metadata.creation_timestamp.as_ref()];
    micro.chain(whole.into_iter().flatten().map(|time| time.0)).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::test_world::{Bench, at, mk_pod};

    #[test]
    fn an_event_lives_an_hour_from_when_it_was_last_seen() {
        let mut bench = Bench::new(&[]);
        let event = json!({
            "apiVersion": "v1", "kind": "Event", "involvedObject": {},
            "metadata": {
                "namespace": "shop", "name": "e", "uid": "uid-e", "creationTimestamp": at(0).to_string(),
            },
            "lastTimestamp": at(1800).to_string(),
        });
        bench.put(event);
        bench.seconds = 3700;
        assert_eq!(bench.look(reconcile), []);
        bench.seconds = 5400;
        assert!(matches!(bench.look(reconcile).as_slice(), [Write::Delete { kind, .. }] if kind == "Event"));
    }

    #[test]
    fn the_oldest_of_too_many_ended_pods_go() {
        let mut world = World::default();
        for number in 0..FINISHED_PODS + 2 {
            let mut pod = mk_pod("shop", &format!("p{number}"));
            pod.metadata.creation_timestamp = Some(crate::stamp::stamp(at(i64::try_from(number).unwrap())));
            pod.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
            world.put(pod);
        }
        let writes = reconcile(&world, at(0));
        let names = writes.iter().map(|write| match write {
            Write::Delete { name, .. } => name.name.as_str(),
            other => panic!("{other:?}"),
        });
        assert_eq!(names.collect::<Vec<_>>(), ["p0", "p1"]);
    }
}
