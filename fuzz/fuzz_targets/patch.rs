//! Patches of every form to a Pod and to a Service; the store must refuse or keep its objects readable.
#![no_main]

use std::cell::RefCell;

use engine_store::{Env, PatchKind, Store, StoreConfig, Target, Write, WriteOptions};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

thread_local! {
    static STORE: RefCell<Option<Store>> = const { RefCell::new(None) };
}

fn write(store: &mut Store, target: &Target, write: Write) {
    let mut draw = 0_u64;
    let mut random = || {
        draw = draw.wrapping_add(0x9e37_79b9_7f4a_7c15);
        draw
    };
    let now = "2025-01-01T00:00:00Z".parse().expect("a time");
    let mut env = Env { now, random: &mut random, user: "fuzz" };
    let options = WriteOptions { field_manager: "fuzz".to_owned(), force: true, ..WriteOptions::default() };
    let _ = store.write(&mut env, target, write, &options);
}

fn target(resource: &str, name: Option<&str>) -> Target {
    Target {
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: Some("default".to_owned()),
        name: name.map(str::to_owned),
        ..Target::default()
    }
}

fn new_store() -> Store {
    let mut store = Store::new(StoreConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().expect("a range")],
        node_port_range: (30_000, 32_767),
        keep_journal: false,
    });
    let mut random = || 7;
    let now = "2025-01-01T00:00:00Z".parse().expect("a time");
    store.bootstrap(&mut Env { now, random: &mut random, user: "fuzz" }).expect("an empty store");
    let pod = json!({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    write(&mut store, &target("pods", None), Write::Create(pod));
    let service = json!({"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}});
    write(&mut store, &target("services", None), Write::Create(service));
    store
}

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, text)) = bytes.split_first() else { return };
    let Ok(body) = engine_store::parse_body(text) else { return };
    let kinds = [PatchKind::Json, PatchKind::Merge, PatchKind::StrategicMerge, PatchKind::Apply];
    let kind = kinds[usize::from(choice & 3)];
    let target = target(if choice & 4 == 0 { "pods" } else { "services" }, Some("x"));
    STORE.with_borrow_mut(|store| {
        let store = store.get_or_insert_with(new_store);
        write(store, &target, Write::Patch(kind, body.value));
        if let Ok(object) = store.read(&target) {
            let text = object.to_string();
            let read: Value = serde_json::from_str(&text).expect("what is stored can be read");
            assert_eq!(read, *object);
        } else {
            *store = new_store();
        }
    });
});
