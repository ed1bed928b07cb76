//! Which upstream server is asked, in which order, and how long one waits before asking the next.

use std::time::Duration;

use plan::ForwardPolicy;

/// The weight of past measurements against a new one (CoreDNS, `plugin/pkg/proxy`, `cumulativeAvgWeight`).
const AVERAGE_WEIGHT: u32 = 4;

/// The numbers that a choice needs from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How many queries there were before.
    pub counter: u64,
    /// A random number.
    pub draw: u64,
}

/// The servers to ask, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Their places in the list of servers.
    pub order: Vec<usize>,
    /// Whether no server is healthy: then the health checks may be what is broken, and one is asked all the same.
    pub all_down: bool,
}

/// Orders the servers of a forward by its policy; `is_down` tells which are passed over (CoreDNS, plugin forward).
#[must_use]
pub fn choose(policy: ForwardPolicy, number: usize, turn: Turn, is_down: impl Fn(usize) -> bool) -> Choice {
    let mut order: Vec<usize> = (0..number).collect();
    match policy {
        ForwardPolicy::Random => shuffle(&mut order, turn.draw),
        ForwardPolicy::RoundRobin if number > 0 => {
            order.rotate_left(usize::try_from(turn.counter % number as u64).unwrap_or(0));
        }
        ForwardPolicy::RoundRobin | ForwardPolicy::Sequential => {}
    }
    let all_down = number > 0 && order.iter().all(|server| is_down(*server));
    if all_down {
        let any = usize::try_from(turn.draw % number as u64).unwrap_or(0);
        order = vec![any];
    } else {
        order.retain(|server| !is_down(*server));
    }
    Choice { order, all_down }
}

/// Fisher and Yates, with a draw whose remainders are the numbers: 64 bits are enough for the orders of 20 servers.
fn shuffle(order: &mut [usize], mut draw: u64) {
    for last in (1..order.len()).rev() {
        let number = last as u64 + 1;
        order.swap(last, usize::try_from(draw % number).unwrap_or(0));
        draw /= number;
    }
}

/// The average time of replies after one more.
#[must_use]
pub fn smooth(average: Option<Duration>, observed: Duration) -> Duration {
    match average {
        None => observed,
        Some(average) => (average * (AVERAGE_WEIGHT - 1) + observed) / AVERAGE_WEIGHT,
    }
}

/// How long to wait for a server before another is asked as well: several times what it takes on average, and never less
/// than `least` or more than `most`.
#[must_use]
pub fn patience(average: Option<Duration>, least: Duration, most: Duration) -> Duration {
    average.map_or(most, |average| (average * AVERAGE_WEIGHT).max(least).min(most))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn order(policy: ForwardPolicy, turn: u64, down: &[usize]) -> Choice {
        choose(policy, 3, Turn { counter: turn, draw: turn }, |server| down.contains(&server))
    }

    #[test]
    fn policies_order_the_healthy_servers() {
        assert_eq!(order(ForwardPolicy::Sequential, 7, &[]).order, [0, 1, 2]);
        assert_eq!(order(ForwardPolicy::Sequential, 7, &[0]).order, [1, 2]);
        for (turn, expected) in [(0, [0, 1, 2]), (1, [1, 2, 0]), (5, [2, 0, 1])] {
            assert_eq!(order(ForwardPolicy::RoundRobin, turn, &[]).order, expected);
        }
        let seen: BTreeSet<_> = (0..100).map(|turn| order(ForwardPolicy::Random, turn, &[]).order).collect();
        assert_eq!(seen.len(), 6, "every order comes up");
    }

    #[test]
    fn with_all_down_one_is_asked_at_random() {
        let all = (0..9).map(|turn| order(ForwardPolicy::Sequential, turn, &[0, 1, 2]));
        let seen: BTreeSet<_> = all.map(|choice| (choice.order, choice.all_down)).collect();
        assert_eq!(seen, BTreeSet::from([(vec![0], true), (vec![1], true), (vec![2], true)]));
        let none = choose(ForwardPolicy::Random, 0, Turn { counter: 1, draw: 1 }, |_| true);
        assert_eq!(none, Choice { order: Vec::new(), all_down: false });
    }

    #[test]
    fn patience_follows_the_average_within_bounds() {
        let millis = Duration::from_millis;
        let wait = |average| patience(average, millis(100), millis(1500));
        assert_eq!(wait(None), millis(1500));
        assert_eq!(wait(Some(millis(1))), millis(100));
        assert_eq!(wait(Some(millis(50))), millis(200));
        assert_eq!(wait(Some(millis(900))), millis(1500));
        assert_eq!(smooth(Some(millis(100)), millis(500)), millis(200));
        assert_eq!(smooth(None, millis(500)), millis(500));
    }
}
