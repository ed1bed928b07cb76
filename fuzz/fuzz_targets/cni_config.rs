//! Environment and standard input of the CNI plugin, as ADD reads them: configuration, capabilities, `prevResult`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|call: (&str, &[u8])| {
    let (args, input) = call;
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "a"),
        ("CNI_NETNS", "/nowhere"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", args),
    ];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let environment: BTreeMap<String, String> = environment.map(owned).into();
    let _ = cni::read_add(&environment, input);
    let version = BTreeMap::from([("CNI_COMMAND".to_owned(), "VERSION".to_owned())]);
    let _ = cni::run(&version, input);
});
