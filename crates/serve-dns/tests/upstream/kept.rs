//! Replies that are kept, and questions that are asked once for all.

use std::time::Duration;

use plan::{DnsCache, Prefetch};

use crate::world::{Fake, NOERROR, Reply, SERVFAIL, World, failure, good, reply_to, with_rcode};

const NAME: &str = "www.Example.com";

fn with_cache(wish: &mut crate::world::Wish) {
    wish.cache = Some(DnsCache { prefetch: None, failure_seconds: 60, ..DnsCache::default() });
}

#[tokio::test]
async fn a_reply_is_kept_and_counts_down() {
    let fake = Fake::new(|query| Some(reply_to(query, 2))).await;
    let world = World::new(&[fake.address], with_cache).await;
    assert_eq!(world.ask(NAME).await, good(2));
    assert_eq!(world.ask("WWW.example.COM").await.records.len(), 2);
    assert_eq!(fake.asked(), 1);
    world.server.advance(Duration::from_secs(30));
    let ttl = world.ask(NAME).await.records[0].0;
    assert!((1..=30).contains(&ttl), "{ttl}");
    world.server.advance(Duration::from_secs(31));
    assert_eq!(world.ask(NAME).await, good(2));
    assert_eq!(fake.asked(), 2);
    let counts = world.server.statistics().caches[0].1;
    assert_eq!((counts.requests, counts.success_hits, counts.success_entries), (4, 3, 1));
}

#[tokio::test]
async fn without_a_cache_every_question_is_asked() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |_| ()).await;
    for _ in 0..3 {
        world.ask(NAME).await;
    }
    assert_eq!(fake.asked(), 3);
}

#[tokio::test]
async fn names_of_other_zones_have_nothing_to_do_with_the_cache() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |wish| {
        let zones = ["example.org".to_owned()].into();
        wish.cache = Some(DnsCache { zones, ..DnsCache::default() });
    })
    .await;
    for (name, asked) in [(NAME, 1), (NAME, 2), ("www.example.org", 3), ("www.example.org", 3)] {
        assert_eq!(world.ask(name).await.records.len(), 1);
        assert_eq!(fake.asked(), asked, "{name}");
    }
    assert_eq!(world.server.statistics().caches[0].1.requests, 2);
}

#[tokio::test]
async fn what_forwards_replied_one_after_the_other_is_kept() {
    let failing = Fake::new(|query| Some(with_rcode(query, SERVFAIL))).await;
    let other = Fake::new(|query| Some(reply_to(query, 2))).await;
    let world = World::new(&[failing.address], |wish| {
        with_cache(wish);
        wish.forward.next = [SERVFAIL].into();
        let to = vec![plan::Upstream::Plain(other.address)];
        wish.others = vec![plan::DnsForward { to, ..plan::DnsForward::default() }];
    })
    .await;
    for _ in 0..3 {
        assert_eq!(world.ask(NAME).await.records.len(), 2);
    }
    assert_eq!((failing.asked(), other.asked()), (1, 1));
}

#[tokio::test]
async fn many_clients_wait_for_one_question() {
    let fake = Fake::silent().await;
    let world = World::new(&[fake.address], with_cache).await;
    let clients = world.ask_many(NAME, 20).await;
    world.until("all wait for the first", |all| all.joined == 19 && fake.asked() == 1).await;
    fake.answer_held(|query| reply_to(query, 1)).await;
    for client in clients {
        assert_eq!(client.await.unwrap(), good(1));
    }
    assert_eq!(fake.asked(), 1);
}

#[tokio::test]
async fn a_stale_reply_is_better_than_none() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], with_cache).await;
    world.ask(NAME).await;
    world.server.advance(Duration::from_secs(100));
    let stale = Reply { rcode: NOERROR, is_truncated: false, records: vec![(30, 0)], error: Some(3) };
    fake.now_answers(|query| Some(with_rcode(query, 2)));
    assert_eq!(world.ask(NAME).await, stale, "the server fails");
    let asked = fake.asked();
    assert_eq!(world.ask(NAME).await, stale);
    assert_eq!(fake.asked(), asked, "and is left alone for a while");
    world.server.advance(Duration::from_secs(60));
    fake.now_answers(|query| Some(reply_to(query, 2)));
    assert_eq!(world.ask(NAME).await, good(2));
    assert_eq!(world.server.statistics().caches[0].1.stale, 2);
}

#[tokio::test]
async fn a_stale_reply_is_given_when_servers_take_long() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |wish| {
        with_cache(wish);
        wish.config.stale_timer = Duration::from_millis(1);
    })
    .await;
    world.ask(NAME).await;
    world.server.advance(Duration::from_secs(100));
    fake.now_answers(|_| None);
    assert_eq!(world.ask(NAME).await.error, Some(3), "long before the servers' time is over");
}

#[tokio::test]
async fn a_stale_reply_may_be_given_at_once_and_asked_anew() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |wish| {
        with_cache(wish);
        wish.cache.as_mut().unwrap().stale_at_once = true;
    })
    .await;
    world.ask(NAME).await;
    world.server.advance(Duration::from_secs(100));
    fake.now_answers(|query| Some(reply_to(query, 2)));
    assert_eq!(world.ask(NAME).await.error, Some(3));
    world.until("it was asked anew", |all| all.caches[0].1.success_entries == 1 && fake.asked() == 2).await;
    let renewed = async {
        while world.ask(NAME).await.records.len() != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, renewed).await.expect("the new reply");
    assert_eq!(fake.asked(), 2);
}

#[tokio::test]
async fn what_is_asked_often_is_asked_anew_in_time() {
    let fake = Fake::new(|query| Some(reply_to(query, 1))).await;
    let world = World::new(&[fake.address], |wish| {
        let prefetch = Some(Prefetch { amount: 10, pause_seconds: 60, percent: 50 });
        wish.cache = Some(DnsCache { prefetch, ..DnsCache::default() });
    })
    .await;
    for _ in 0..11 {
        assert_eq!(world.ask(NAME).await.records.len(), 1);
    }
    world.server.advance(Duration::from_secs(40));
    world.ask(NAME).await;
    world.until("it was asked anew", |_| fake.asked() == 2).await;
    assert_eq!(world.server.statistics().caches[0].1.prefetches, 1);
}

#[tokio::test]
async fn a_failure_is_kept_briefly() {
    let fake = Fake::silent().await;
    let world = World::new(&[fake.address], |wish| {
        with_cache(wish);
        wish.config.upstream_timeout = Duration::from_millis(1);
        wish.config.query_timeout = Duration::from_millis(100);
    })
    .await;
    assert_eq!(world.ask(NAME).await, failure(None));
    let asked = fake.asked();
    assert_eq!(world.ask(NAME).await, failure(Some(13)));
    assert_eq!(fake.asked(), asked);
    fake.now_answers(|query| Some(reply_to(query, 1)));
    world.server.advance(Duration::from_secs(60));
    let answered = async {
        while world.ask(NAME).await.rcode != NOERROR {
            world.server.advance(Duration::from_secs(60));
        }
    };
    tokio::time::timeout(crate::world::DEADLINE, answered).await.expect("it is asked again");
}
