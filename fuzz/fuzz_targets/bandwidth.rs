//! The annotations of a Pod that say how fast its network is to be.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let annotations = BTreeMap::from([
        ("kubernetes.io/ingress-bandwidth".to_owned(), texts.0.to_owned()),
        ("kubernetes.io/egress-bandwidth".to_owned(), texts.1.to_owned()),
    ]);
    let _ = engine_kubelet::bandwidth::of_annotations(Some(&annotations));
});
