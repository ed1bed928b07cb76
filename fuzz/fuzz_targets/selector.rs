//! Label selectors, field selectors and continue tokens of any text.
#![no_main]

use engine_store::{ListOptions, Store, StoreConfig, Target, WatchOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let store = Store::new(StoreConfig {
        service_cidrs: vec!["10.96.0.0/16".parse().expect("a range")],
        node_port_range: (30_000, 32_767),
        keep_journal: false,
    });
    let target = Target { version: "v1".to_owned(), resource: "pods".to_owned(), ..Target::default() };
    let text = Some(text.to_owned());
    let labels = ListOptions { label_selector: text.clone(), ..ListOptions::default() };
    let fields = ListOptions { field_selector: text.clone(), ..ListOptions::default() };
    let token = ListOptions { continue_token: text.clone(), ..ListOptions::default() };
    let version = WatchOptions { resource_version: text, ..WatchOptions::default() };
    let _ = store.list(&target, &labels);
    let _ = store.list(&target, &fields);
    let _ = store.list(&target, &token);
    let _ = store.watch(&target, &version);
});
