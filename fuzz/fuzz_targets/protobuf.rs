//! Request bodies to the API in its protobuf form: any bytes as the body, and any bytes as the message of a kind.
#![no_main]

use libfuzzer_sys::fuzz_target;

const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("v1", "Event"),
    ("v1", "DeleteOptions"),
    ("apps/v1", "Deployment"),
    ("networking.k8s.io/v1", "Ingress"),
    ("authorization.k8s.io/v1", "SubjectAccessReview"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
];

fuzz_target!(|body: &[u8]| {
    let _ = engine_store::parse_protobuf(body, "Pod");
    let Some((choice, message)) = body.split_first() else { return };
    let (version, kind) = KINDS[usize::from(*choice) % KINDS.len()];
    let mut type_meta = Vec::new();
    append(&mut type_meta, 1, version.as_bytes());
    append(&mut type_meta, 2, kind.as_bytes());
    let mut envelope = b"k8s\0".to_vec();
    append(&mut envelope, 1, &type_meta);
    append(&mut envelope, 2, message);
    let _ = engine_store::parse_protobuf(&envelope, kind);
});

/// Appends a field of bytes.
fn append(to: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    to.push(number << 3 | 2);
    let mut length = bytes.len();
    while length > 0x7f {
        to.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
    to.extend_from_slice(bytes);
}
