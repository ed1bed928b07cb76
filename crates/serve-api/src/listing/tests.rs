//! Lists of several chunks, and what becomes of one that nobody reads.

use engine_store::{Env, ListOptions, Store, StoreConfig, Target, Write, WriteOptions};
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;

fn maps(count: usize) -> List {
    let mut store = Store::new(StoreConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().unwrap()],
        node_port_range: (30_000, 32_767),
        keep_journal: false,
    });
    let mut draws = 0;
    let mut random = || {
        draws += 1;
        draws
    };
    let mut env = Env { now: jiff::Timestamp::UNIX_EPOCH, random: &mut random, user: "tester" };
    store.bootstrap(&mut env).unwrap();
    let target = Target {
        version: "v1".to_owned(),
        resource: "configmaps".to_owned(),
        namespace: Some("default".to_owned()),
        ..Target::default()
    };
    for number in 0..count {
        let map = json!({"metadata": {"name": format!("m{number}")}, "data": {"k": "x".repeat(10_000)}});
        store.write(&mut env, &target, Write::Create(map), &WriteOptions::default()).unwrap();
    }
    store.list(&target, &ListOptions::default()).unwrap()
}

async fn text_of(answer: Answer) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

#[tokio::test]
async fn pieces_make_the_whole() {
    for count in [0, 1, 6, 7, 40] {
        let list = maps(count);
        let text = text_of(answer(list.clone(), Items::Whole)).await;
        assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), list.to_value(), "{count}");
        let text = text_of(answer(list, Items::Metadata)).await;
        let metadata: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(metadata["items"].as_array().unwrap().len(), count);
    }
}

#[tokio::test]
async fn no_piece_is_much_larger_than_a_chunk() {
    let mut frames = answer(maps(40), Items::Whole).into_body().into_data_stream();
    while let Some(piece) = frames.next().await {
        assert!(piece.unwrap().len() < CHUNK + 20_000);
    }
}

/// Waits, with a deadline, until something holds.
async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn who_does_not_read_loses_the_list() {
    let shelf = Arc::new(Mutex::new(Some(maps(1))));
    let watched = take_back_after(Duration::from_millis(1), Arc::clone(&shelf));
    wait_until("what nobody reads is not kept", || shelf.lock().unwrap().is_none()).await;
    let mut reader = Reader { shelf, items: Items::Whole, place: Place::Opening, _watched: watched };
    assert_eq!(reader.next().unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn who_left_is_not_waited_for() {
    let shelf = Arc::new(Mutex::new(Some(maps(1))));
    drop(take_back_after(READ_LIMIT, Arc::clone(&shelf)));
    wait_until("the task that watched has ended", || Arc::strong_count(&shelf) == 1).await;
    assert!(shelf.lock().unwrap().is_some());
}
