//! How many replicas each ReplicaSet of a Deployment may have during a rollout.
//!
//! The arithmetic is upstream's (`pkg/controller/deployment/rolling.go` and `util/deployment_util.go`).

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// Replica counts of one ReplicaSet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// `spec.replicas`.
    pub(crate) wanted: i32,
    /// `status.availableReplicas`.
    pub(crate) available: i32,
    /// `status.replicas`.
    pub(crate) existing: i32,
}

/// The limits of a rolling update, in Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Pods above the wanted number.
    pub(crate) max_surge: i32,
    /// Pods missing from the wanted number.
    pub(crate) max_unavailable: i32,
}

impl Limits {
    /// Resolves numbers and percentages: surge rounds up, unavailable rounds down, and both 0 means one unavailable.
    pub(crate) fn resolve(
        surge: Option<&IntOrString>,
        unavailable: Option<&IntOrString>,
        replicas: i32,
    ) -> Self {
        let max_surge = resolve(surge, replicas, Rounding::Up);
        let max_unavailable = resolve(unavailable, replicas, Rounding::Down);
        if max_surge == 0 && max_unavailable == 0 {
            return Self { max_surge: 0, max_unavailable: 1 };
        }
        Self { max_surge, max_unavailable: max_unavailable.min(replicas) }
    }
}

/// How a share of Pods becomes a number of Pods.
pub(crate) enum Rounding {
    Up,
    Down,
}

/// A number, or a percentage of `total`; 25 % where there is none.
pub(crate) fn resolve(value: Option<&IntOrString>, total: i32, rounding: Rounding) -> i32 {
    match value {
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(text)) => {
            let percent: i32 = text.trim_end_matches('%').parse().unwrap_or(0);
            let hundredths = total.saturating_mul(percent);
            match rounding {
                Rounding::Up => (hundredths + 99) / 100,
                Rounding::Down => hundredths / 100,
            }
        }
        None => resolve(Some(&IntOrString::String("25%".to_owned())), total, rounding),
    }
}

/// The next `spec.replicas` of the newest and of every older ReplicaSet during a rolling update.
pub(crate) fn rolling(replicas: i32, limits: Limits, newest: Counts, older: &[Counts]) -> (i32, Vec<i32>) {
    let existing: i32 = newest.wanted + older.iter().map(|counts| counts.wanted).sum::<i32>();
    let next_newest = if newest.wanted >= replicas {
        replicas
    } else {
        let room = (replicas + limits.max_surge - existing).max(0);
        newest.wanted + room.min(replicas - newest.wanted)
    };
    if next_newest != newest.wanted {
        // One step at a time, as upstream: up first, down in a later round.
        return (next_newest, older.iter().map(|counts| counts.wanted).collect());
    }
    (next_newest, scaled_down(replicas, limits, newest, older))
}

fn scaled_down(replicas: i32, limits: Limits, newest: Counts, older: &[Counts]) -> Vec<i32> {
    let mut next: Vec<i32> = older.iter().map(|counts| counts.wanted).collect();
    let existing = newest.wanted + next.iter().sum::<i32>();
    let min_available = replicas - limits.max_unavailable;
    let newest_unavailable = newest.wanted - newest.available;
    let mut budget = existing - min_available - newest_unavailable;
    // Unhealthy Pods go first: they serve nobody.
    for (counts, next) in older.iter().zip(&mut next) {
        let unhealthy = (counts.wanted - counts.available).max(0).min(budget.max(0));
        *next -= unhealthy;
        budget -= unhealthy;
    }
    let available: i32 = newest.available + older.iter().map(|counts| counts.available).sum::<i32>();
    let mut spare = (available - min_available).max(0).min(budget.max(0));
    for next in &mut next {
        let fewer = (*next).min(spare);
        *next -= fewer;
        spare -= fewer;
    }
    next
}

/// The next `spec.replicas` under strategy `Recreate`: nothing new before the old is gone.
pub(crate) fn recreate(replicas: i32, newest: Counts, older: &[Counts]) -> (i32, Vec<i32>) {
    let old_gone = older.iter().all(|counts| counts.wanted == 0 && counts.existing == 0);
    (if old_gone { replicas } else { newest.wanted.min(replicas) }, vec![0; older.len()])
}

/// `replicas` shared out in the proportions that ReplicaSets have now; what rounding leaves over goes to the last one.
pub(crate) fn shared(replicas: i32, sizes: &[i32]) -> Vec<i32> {
    let total: i64 = sizes.iter().map(|size| i64::from(*size)).sum();
    let part = |size: &i32| {
        let part = i64::from(*size) * i64::from(replicas) / total.max(1);
        i32::try_from(part).unwrap_or(i32::MAX)
    };
    let mut parts: Vec<i32> = sizes.iter().map(part).collect();
    let rest = replicas - parts.iter().sum::<i32>();
    if let Some(last) = parts.last_mut() {
        *last += rest;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(wanted: i32, available: i32) -> Counts {
        Counts { wanted, available, existing: wanted }
    }

    #[test]
    fn default_limits_round_surge_up_and_unavailable_down() {
        assert_eq!(Limits::resolve(None, None, 3), Limits { max_surge: 1, max_unavailable: 0 });
        assert_eq!(Limits::resolve(None, None, 10), Limits { max_surge: 3, max_unavailable: 2 });
        let zero = IntOrString::Int(0);
        assert_eq!(Limits::resolve(Some(&zero), Some(&zero), 3), Limits { max_surge: 0, max_unavailable: 1 });
    }

    #[test]
    fn rollout_of_three_goes_one_by_one_and_never_below_three_available() {
        let limits = Limits { max_surge: 1, max_unavailable: 0 };
        let (mut newest, mut old) = (counts(0, 0), counts(3, 3));
        let mut steps = 0;
        while old.wanted > 0 || newest.available < 3 {
            let (next_new, next_old) = rolling(3, limits, newest, &[old]);
            // Every Pod becomes available at once, so the old set may shrink in the next step.
            newest = counts(next_new, next_new);
            old = counts(next_old[0], next_old[0]);
            assert!(newest.available + old.available >= 3, "never below the wanted number");
            assert!(newest.wanted + old.wanted <= 4, "never above the surge");
            steps += 1;
            assert!(steps < 20, "the rollout ends");
        }
        assert_eq!((newest.wanted, old.wanted), (3, 0));
    }

    #[test]
    fn a_broken_new_version_stops_the_rollout() {
        let limits = Limits { max_surge: 1, max_unavailable: 0 };
        assert_eq!(rolling(3, limits, counts(1, 0), &[counts(3, 3)]), (1, vec![3]));
    }

    #[test]
    fn recreate_waits_for_the_old_pods() {
        let terminating = Counts { wanted: 0, available: 0, existing: 2 };
        assert_eq!(recreate(3, counts(0, 0), &[terminating]), (0, vec![0]));
        assert_eq!(recreate(3, counts(0, 0), &[counts(0, 0)]), (3, vec![0]));
    }

    #[test]
    fn a_paused_rollout_keeps_its_proportions() {
        assert_eq!(shared(10, &[3, 2]), [6, 4]);
        assert_eq!(shared(4, &[0]), [4]);
        assert_eq!(shared(0, &[3, 2]), [0, 0]);
        assert_eq!(shared(5, &[3, 2]), [3, 2]);
    }
}
