//! Replies that are kept: which, for how long, and what makes room for others.

use std::collections::BTreeMap;
use std::hash::RandomState;
use std::time::Duration;

use engine_dns::{Cache, CacheKey, Found, Keep, Name, Question, RecordType, query_packet};
use plan::{CacheLimits, DnsCache, Prefetch};
use proptest::prelude::*;

use crate::wire::{Response, decode};

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// A cache on a shelf, at a time.
struct Kept {
    cache: Cache,
    hasher: RandomState,
    now: Duration,
    keep: Keep,
}

impl Kept {
    fn new(change: impl FnOnce(&mut DnsCache)) -> Self {
        let mut settings = DnsCache::default();
        change(&mut settings);
        let (cache, hasher, now) = (Cache::new(&settings, 1), RandomState::new(), Duration::from_secs(1000));
        Self { cache, hasher, now, keep: Keep { success: true, denial: true } }
    }

    fn question<'q>(&self, query: &'q [u8]) -> Question<'q> {
        Question { forward: 0, keep: self.keep, query }
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn settle(&mut self, name: &str, reply: Option<&[u8]>) -> Option<Response> {
        let (query, mut out) = (ask(name), Vec::new());
        let key = CacheKey::new(self.question(&query), &self.hasher);
        self.cache.settle(&key, reply, self.now, &mut out).then(|| decode(&out))
    }

    fn look_up_bytes(&mut self, name: &str) -> (Found, Vec<u8>) {
        let (query, mut out) = (ask(name), Vec::new());
        let key = CacheKey::new(self.question(&query), &self.hasher);
        (self.cache.look_up(&key, self.now, &mut out), out)
    }

    fn look_up(&mut self, name: &str) -> (Found, Response) {
        let (found, out) = self.look_up_bytes(name);
        (found, if out.is_empty() { Response::default() } else { decode(&out) })
    }

    fn found(&mut self, name: &str) -> Found {
        self.look_up_bytes(name).0
    }

    fn fall_back(&mut self, name: &str) -> Option<Response> {
        let (query, mut out) = (ask(name), Vec::new());
        let key = CacheKey::new(self.question(&query), &self.hasher);
        self.cache.fall_back(&key, self.now, &mut out).then(|| decode(&out))
    }
}

fn ask(name: &str) -> Vec<u8> {
    query_packet(&Name::parse(name).unwrap(), RecordType::A, 0)
}

fn head(name: &str, rcode: u8, counts: [u8; 3]) -> Vec<u8> {
    let mut reply = ask(name);
    reply[2] |= 0x84;
    reply[3] = 0x80 | rcode;
    (reply[7], reply[9], reply[11]) = (counts[0], counts[1], counts[2]);
    reply
}

/// A reply with an A record for each time to live.
fn found_reply(name: &str, ttls: &[u32]) -> Vec<u8> {
    let mut reply = head(name, 0, [ttls.len() as u8, 0, 0]);
    for ttl in ttls {
        reply.extend([0xc0, 12, 0, 1, 0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, 4, 192, 0, 2, 1]);
    }
    reply
}

/// A reply that there is nothing, with an SOA record.
fn denial(name: &str, rcode: u8, ttl: u32, minimum: u32) -> Vec<u8> {
    let mut reply = head(name, rcode, [0, 1, 0]);
    reply.extend([0, 0, 6, 0, 1]);
    reply.extend(ttl.to_be_bytes());
    reply.extend([0, 22, 0, 0]);
    reply.extend([0; 16]);
    reply.extend(minimum.to_be_bytes());
    reply
}

#[test]
fn times_to_live_count_down_within_their_limits() {
    let mut kept = Kept::new(|settings| settings.success.max_ttl_seconds = 100);
    let mut reply = found_reply("a.example", &[60, 1, 7000]);
    // An OPT record, whose fields in that place are no time to live.
    reply[11] = 1;
    reply.extend([0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    let times = |response: &Response| -> Vec<String> {
        response.answers.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    let first = kept.settle("a.example", Some(&reply)).unwrap();
    assert_eq!(times(&first), ["60", "5", "100"]);
    assert!(!first.is_authoritative());
    kept.wait(4);
    let (found, response) = kept.look_up("a.example");
    assert_eq!((found, times(&response)), (Found::Fresh, vec!["56".into(), "1".into(), "96".into()]));
    assert_eq!(kept.found("b.example"), Found::Absent);
    kept.wait(1);
    assert_eq!(kept.found("a.example"), Found::Waiting, "the shortest counts");
}

#[test]
fn a_time_to_live_may_be_given_whole_to_the_end() {
    let mut kept = Kept::new(|settings| settings.keep_ttl = true);
    kept.settle("a.example", Some(&found_reply("a.example", &[60])));
    kept.wait(59);
    let (found, response) = kept.look_up("a.example");
    assert_eq!(
        (found, response.answers.as_slice()),
        (Found::Fresh, &["a.example. 60 A 192.0.2.1".to_owned()][..])
    );
    kept.wait(1);
    assert_eq!(kept.found("a.example"), Found::Waiting, "it ends all the same");
    assert_eq!(
        kept.fall_back("a.example").unwrap().answers,
        ["a.example. 30 A 192.0.2.1"],
        "and is stale then"
    );
}

#[test]
fn only_the_wanted_kinds_are_kept() {
    for (success, denial) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut kept = Kept::new(|settings| settings.success.max_ttl_seconds = 100);
        kept.keep = Keep { success, denial };
        let found = |is_kept: bool| if is_kept { Found::Fresh } else { Found::Absent };
        let response = kept.settle("a.example", Some(&found_reply("a.example", &[7000]))).unwrap();
        assert_eq!(response.answers, ["a.example. 100 A 192.0.2.1"], "cut, whether it is kept or not");
        kept.settle("b.example", Some(&self::denial("b.example", NXDOMAIN, 60, 60)));
        kept.settle("c.example", None);
        assert_eq!(kept.found("a.example"), found(success));
        assert_eq!(kept.found("b.example"), found(denial));
        assert_eq!(kept.found("c.example"), found(denial), "failures are kept as denials are");
        // What upstream servers say now takes the place of what they said, even if it is not kept.
        kept.wait(1000);
        kept.settle("a.example", Some(&self::denial("a.example", NXDOMAIN, 60, 60)));
        assert_eq!(kept.found("a.example"), found(denial));
        // Who asked for a name of another zone has nothing of it.
        kept.keep = Keep { success: !success, denial };
        assert_eq!(kept.found("b.example"), Found::Absent);
    }
}

#[test]
fn denials_are_kept_as_long_as_their_zone_says() {
    for (rcode, ttl, minimum, seconds) in
        [(NXDOMAIN, 900, 20, 20), (0, 12, 900, 12), (NXDOMAIN, 900, 900, 30), (0, 900, 0, 5)]
    {
        let mut kept = Kept::new(|settings| settings.stale_seconds = 0);
        let first = kept.settle("no.example", Some(&denial("no.example", rcode, ttl, minimum))).unwrap();
        assert_eq!(first.authority, [format!(". {seconds} SOA . . min={minimum}")]);
        kept.wait(seconds - 1);
        assert_eq!(kept.look_up("no.example").1.rcode, u16::from(rcode));
        kept.wait(1);
        assert_eq!(kept.found("no.example"), Found::Absent);
    }
}

#[test]
fn failures_are_kept_briefly_and_say_so() {
    for reply in [None, Some(head("a.example", SERVFAIL, [0, 0, 0]))] {
        let mut kept = Kept::new(|_| ());
        assert!(kept.settle("a.example", reply.as_deref()).is_none(), "the first learns it from the server");
        kept.wait(4);
        let (found, bytes) = kept.look_up_bytes("a.example");
        assert_eq!((found, decode(&bytes).rcode), (Found::Fresh, 2));
        assert!(bytes.ends_with(&[0, 15, 0, 2, 0, 13]), "Cached Error");
        kept.wait(1);
        assert_eq!(kept.found("a.example"), Found::Absent);
    }
}

#[test]
fn what_is_no_answer_is_not_kept() {
    let mut cut = found_reply("a.example", &[60]);
    cut[2] |= 2;
    let mut off_topic = found_reply("a.example", &[60]);
    let owner = off_topic.len() - 15;
    off_topic[owner] = 14;
    for (what, reply) in [
        ("truncated", cut),
        ("refused", head("a.example", 5, [0, 0, 0])),
        ("format error", head("a.example", 1, [0, 0, 0])),
        ("NXDOMAIN without SOA", head("a.example", NXDOMAIN, [0, 0, 0])),
        ("NODATA without SOA", head("a.example", 0, [0, 0, 0])),
        ("of another name", off_topic),
        ("malformed", found_reply("a.example", &[60])[..40].to_vec()),
    ] {
        let mut kept = Kept::new(|settings| settings.failure_seconds = 0);
        assert!(kept.settle("a.example", Some(&reply)).is_none(), "{what}");
        assert_eq!(kept.found("a.example"), Found::Absent, "{what}");
    }
    let mut kept = Kept::new(|settings| settings.success.min_ttl_seconds = 0);
    assert!(kept.settle("a.example", Some(&found_reply("a.example", &[0]))).is_some());
    assert_eq!(kept.found("a.example"), Found::Absent, "no time to live");
}

#[test]
fn what_servers_no_longer_say_is_forgotten() {
    let mut kept = Kept::new(|_| ());
    kept.settle("a.example", Some(&found_reply("a.example", &[60])));
    kept.wait(70);
    assert_eq!(kept.found("a.example"), Found::Waiting);
    kept.settle("a.example", Some(&head("a.example", NXDOMAIN, [0, 0, 0])));
    assert_eq!(kept.found("a.example"), Found::Absent);
    kept.settle("a.example", Some(&found_reply("a.example", &[60])));
    kept.settle("a.example", Some(&denial("a.example", NXDOMAIN, 60, 60)));
    assert_eq!(kept.look_up("a.example").1.rcode, 3, "one reply for one question");
    let counts = kept.cache.counts();
    assert_eq!((counts.success_entries, counts.denial_entries), (0, 1));
}

#[test]
fn stale_replies_stand_in_while_servers_fail() {
    let cases = [
        (found_reply("a.example", &[60]), vec!["a.example. 30 A 192.0.2.1".to_owned()], 3),
        (denial("a.example", NXDOMAIN, 30, 30), Vec::new(), 19),
    ];
    for (reply, answers, error) in cases {
        let mut kept = Kept::new(|_| ());
        kept.settle("a.example", Some(&reply));
        kept.wait(100);
        assert_eq!(kept.look_up_bytes("a.example"), (Found::Waiting, Vec::new()));
        assert_eq!(kept.fall_back("a.example").unwrap().answers, answers, "no reply in time");
        let refused = head("a.example", 5, [0, 0, 0]);
        assert_eq!(kept.settle("a.example", Some(&refused)).unwrap().answers, answers, "a useless reply");
        assert_eq!(kept.settle("a.example", None).unwrap().answers, answers, "none");
        // Servers that have just failed are left alone.
        let (found, bytes) = kept.look_up_bytes("a.example");
        assert_eq!((found, decode(&bytes).answers), (Found::Stale, answers));
        assert!(bytes.ends_with(&[0, 15, 0, 2, 0, error]));
        kept.wait(5);
        assert_eq!(kept.found("a.example"), Found::Waiting);
        kept.wait(3600);
        assert_eq!(kept.found("a.example"), Found::Absent);
        assert!(kept.fall_back("a.example").is_none());
        assert_eq!(kept.cache.counts().stale, 4);
    }
}

#[test]
fn stale_replies_may_be_given_at_once() {
    let mut kept = Kept::new(|settings| settings.stale_at_once = true);
    kept.settle("a.example", Some(&found_reply("a.example", &[60])));
    kept.wait(61);
    assert_eq!(kept.found("a.example"), Found::StaleEnding);
    assert_eq!(kept.found("a.example"), Found::Stale, "one is told to ask anew");
    kept.wait(5);
    assert_eq!(kept.found("a.example"), Found::StaleEnding, "and another if that came to nothing");
    kept.settle("a.example", Some(&found_reply("a.example", &[60])));
    assert_eq!(kept.found("a.example"), Found::Fresh);
}

#[test]
fn what_is_asked_for_often_is_asked_anew_before_it_ends() {
    let mk = || {
        let mut kept = Kept::new(|settings| {
            settings.prefetch = Some(Prefetch { amount: 3, pause_seconds: 60, percent: 10 });
        });
        kept.settle("a.example", Some(&found_reply("a.example", &[200])));
        kept
    };
    let mut kept = mk();
    for (wait, expected) in [
        (50, Found::Fresh),
        (50, Found::Fresh),
        (50, Found::Fresh),
        (30, Found::Ending),
        (1, Found::Fresh),
        (5, Found::Ending),
    ] {
        kept.wait(wait);
        assert_eq!(kept.found("a.example"), expected);
    }
    kept.settle("a.example", Some(&found_reply("a.example", &[200])));
    kept.wait(60);
    kept.found("a.example");
    kept.wait(60);
    kept.found("a.example");
    kept.wait(60);
    assert_eq!(kept.found("a.example"), Found::Ending, "the count goes on");
    // With a pause too long in between, it begins anew.
    let mut kept = mk();
    for wait in [50, 50, 85] {
        kept.wait(wait);
        assert_eq!(kept.found("a.example"), Found::Fresh);
    }
    assert_eq!(kept.cache.counts().prefetches, 0);
}

#[test]
fn a_flood_of_questions_leaves_what_is_used() {
    let mut kept = Kept::new(|settings| settings.success.capacity = 100);
    let name = |number: usize| format!("n{number}.example");
    for number in 0..10_000 {
        kept.settle(&name(number), Some(&found_reply(&name(number), &[3600])));
        if number % 20 == 0 {
            (0..20).for_each(|used| assert_eq!(kept.found(&name(used)) == Found::Fresh, used <= number));
        }
    }
    let counts = kept.cache.counts();
    assert_eq!((counts.success_entries, counts.success_evictions), (100, 9_900));
}

#[test]
fn memory_is_bounded() {
    let mut kept = Kept::new(|settings| settings.success.capacity = 1000);
    let ttls = [60; 250];
    for number in 0..2000 {
        let name = format!("n{number}.example");
        kept.settle(&name, Some(&found_reply(&name, &ttls)));
    }
    let entries = kept.cache.counts().success_entries;
    // Each takes a little more than 4 KB, and 1 KB is the mean.
    assert!((150..250).contains(&entries), "{entries}");
}

#[derive(Clone, Debug)]
enum Step {
    Settle { name: u8, ttl: u32, is_denial: bool },
    Fail { name: u8 },
    LookUp { name: u8 },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..12u8;
    prop_oneof![
        (name.clone(), 0..40u32, any::<bool>()).prop_map(|(name, ttl, is_denial)| Step::Settle {
            name,
            ttl,
            is_denial
        }),
        name.clone().prop_map(|name| Step::Fail { name }),
        name.prop_map(|name| Step::LookUp { name }),
        (0..20u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    /// What is found is what an unbounded table of the last replies has, and never more than fits.
    #[test]
    fn the_cache_agrees_with_a_table(steps in prop::collection::vec(step(), 1..200), capacity in 1..16u32) {
        let mut kept = Kept::new(|settings| {
            settings.success = CacheLimits { capacity, max_ttl_seconds: 3600, min_ttl_seconds: 0 };
            settings.denial = settings.success;
            (settings.stale_seconds, settings.failure_seconds, settings.prefetch) = (0, 0, None);
        });
        let mut table: BTreeMap<u8, (u64, bool)> = BTreeMap::new();
        for step in steps {
            let now = kept.now.as_secs();
            match step {
                Step::Settle { name, ttl, is_denial } => {
                    let text = format!("n{name}.example");
                    let reply = if is_denial { denial(&text, 3, ttl, ttl) } else { found_reply(&text, &[ttl]) };
                    kept.settle(&text, Some(&reply));
                    if ttl > 0 {
                        table.insert(name, (now + u64::from(ttl), is_denial));
                    }
                }
                Step::Fail { name } => {
                    kept.settle(&format!("n{name}.example"), None);
                }
                Step::Wait { seconds } => kept.wait(seconds),
                Step::LookUp { name } => {
                    let (found, response) = kept.look_up(&format!("n{name}.example"));
                    let known = table.get(&name).filter(|(ends, _)| *ends > now);
                    if found == Found::Fresh {
                        let (ends, is_denial) = known.unwrap();
                        prop_assert_eq!(response.rcode == 3, *is_denial);
                        let line = response.answers.iter().chain(&response.authority).next().unwrap();
                        prop_assert_eq!(line.split(' ').nth(1).unwrap(), (ends - now).to_string());
                    } else {
                        prop_assert_eq!(found, Found::Absent);
                        prop_assert!(known.is_none() || capacity < 12);
                    }
                }
            }
            let counts = kept.cache.counts();
            prop_assert!(counts.success_entries.max(counts.denial_entries) <= u64::from(capacity));
        }
    }

    #[test]
    fn no_reply_breaks_the_cache(tail in prop::collection::vec(any::<u8>(), 0..300), counts in any::<[u8; 3]>(), rcode in 0..16u8) {
        let mut kept = Kept::new(|settings| settings.stale_at_once = true);
        let mut reply = head("a.example", rcode, counts.map(|count| count % 4));
        reply.extend(&tail);
        for reply in [&reply, &tail] {
            kept.settle("a.example", Some(reply));
            kept.look_up("a.example");
            kept.wait(100);
            kept.look_up("a.example");
        }
    }
}
