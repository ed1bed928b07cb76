//! Probers over paths that are made up, in time that is made up.

use super::*;

/// Paths that let packets up to a size pass, by their address's last byte.
type World<'a> = &'a dyn Fn(&Echo) -> bool;

fn mk_wanted(peers: u32) -> BTreeMap<PathKey, u32> {
    (0..peers).map(|index| (mk_key(index), 1450)).collect()
}

fn mk_key(index: u32) -> PathKey {
    (NodeName::from(format!("node-{index:04}")), IpAddr::from((0x0af4_0000 + (index << 8)).to_be_bytes()))
}

/// Lets time pass until `end`, and returns when each packet was sent.
fn live(prober: &mut Prober, (from, end): (Duration, Duration), passes: World<'_>) -> Vec<(Duration, Echo)> {
    let mut sent = Vec::new();
    let mut now = from;
    while now <= end {
        let echoes = prober.take(now);
        sent.extend(echoes.iter().map(|echo| (now, *echo)));
        for echo in echoes.iter().filter(|echo| passes(echo)) {
            prober.answered(echo.token, now);
        }
        let Some(next) = prober.wake_at() else { break };
        now = next.max(now);
    }
    sent
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_thousand_peers_are_proved_with_a_packet_each_and_never_more_than_ten_a_second() {
    let mut prober = Prober::default();
    prober.aim(&mk_wanted(999), &BTreeMap::new(), Duration::ZERO);
    assert!(!prober.facts().probed);
    let sent = live(&mut prober, (Duration::ZERO, secs(110)), &|_| true);
    assert_eq!(sent.len(), 999);
    let busiest =
        sent.iter().map(|(at, _)| sent.iter().filter(|(other, _)| other.as_secs() == at.as_secs()).count());
    assert!(busiest.max() <= Some(10));
    assert_eq!(prober.facts(), PathFacts { probed: true, ..PathFacts::default() });
    let again = live(&mut prober, (secs(110), secs(590)), &|_| true);
    assert!(again.is_empty(), "what was proved is left alone for ten minutes");
    assert_eq!(live(&mut prober, (secs(590), secs(770)), &|_| true).len(), 999);
}

#[test]
fn a_narrow_path_is_told_and_taken_back_when_it_is_mended() {
    let mut prober = Prober::default();
    prober.aim(&mk_wanted(3), &BTreeMap::new(), Duration::ZERO);
    let narrow = |echo: &Echo| echo.address != mk_key(1).1 || echo.size <= 1350;
    live(&mut prober, (Duration::ZERO, secs(40)), &narrow);
    let facts = prober.facts();
    assert!(facts.probed);
    let failing = FailingPath { sends: 1450, passes: Some(1350) };
    assert_eq!(facts.failing, BTreeMap::from([(mk_key(1).0, failing)]));
    live(&mut prober, (secs(40), secs(100)), &|_| true);
    assert!(prober.facts().failing.is_empty());
}

#[test]
fn a_peer_that_starts_is_not_told_to_be_silent() {
    let mut prober = Prober::default();
    prober.aim(&mk_wanted(1), &BTreeMap::new(), Duration::ZERO);
    live(&mut prober, (Duration::ZERO, secs(6)), &|_| false);
    assert!(prober.facts().failing.is_empty());
    live(&mut prober, (secs(6), secs(60)), &|_| false);
    assert_eq!(prober.facts().failing[&mk_key(0).0].passes, None);
}

#[test]
fn what_was_told_before_a_restart_stands_until_it_is_probed() {
    let mut prober = Prober::default();
    let narrow = FailingPath { sends: 1450, passes: Some(1350) };
    let before = BTreeMap::from([
        (mk_key(0).0, narrow),
        (mk_key(1).0, FailingPath { sends: 8950, passes: Some(1350) }),
    ]);
    prober.aim(&mk_wanted(2), &before, Duration::ZERO);
    assert_eq!(prober.facts().failing, BTreeMap::from([(mk_key(0).0, narrow)]), "sizes differ for the other");
    live(&mut prober, (Duration::ZERO, secs(5)), &|_| true);
    assert!(prober.facts().failing.is_empty());
}

#[test]
fn late_and_doubled_answers_change_nothing() {
    let mut prober = Prober::default();
    prober.aim(&mk_wanted(1), &BTreeMap::new(), Duration::ZERO);
    let first = *prober.take(FIRST_WITHIN).first().expect("a probe");
    let second = *prober.take(FIRST_WITHIN + PATIENCE).first().expect("a second try");
    prober.answered(first.token, FIRST_WITHIN + PATIENCE);
    assert!(!prober.facts().probed);
    for _ in 0..2 {
        prober.answered(second.token, FIRST_WITHIN + PATIENCE);
    }
    assert!(prober.facts().probed);
    prober.answered(0, secs(9));
}

#[test]
fn paths_come_and_go_and_change_their_size() {
    let mut prober = Prober::default();
    prober.aim(&mk_wanted(2), &BTreeMap::new(), Duration::ZERO);
    live(&mut prober, (Duration::ZERO, secs(5)), &|_| true);
    let mut wanted = mk_wanted(3);
    wanted.remove(&mk_key(0));
    wanted.insert(mk_key(1), 8950);
    prober.aim(&wanted, &BTreeMap::new(), secs(5));
    let sent = live(&mut prober, (secs(5), secs(20)), &|_| true);
    let sizes: Vec<(IpAddr, u32)> = sent.iter().map(|(_, echo)| (echo.address, echo.size)).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes.contains(&(mk_key(1).1, 8950)) && sizes.contains(&(mk_key(2).1, 1450)), "{sizes:?}");
}
