//! Every kind there and back, nonsense of all sorts, and the rules that Go's encoder never shows.

mod encode;

use encode::{Draw, body, bytes, message, varint};
use proptest::prelude::*;
use serde_json::json;

use super::table::{MessageId, TABLE};
use super::*;

fn kinds() -> Vec<(&'static str, &'static str, MessageId)> {
    // `*` is any version.
    TABLE
        .roots()
        .map(|(version, kind, id)| (if version == "*" { "apps/v1" } else { version }, kind, id))
        .collect()
}

fn read(body: &[u8]) -> Result<Value, ProtobufError> {
    Envelope::open(body)?.object()
}

fn pod(content: &[u8]) -> Result<Value, ProtobufError> {
    let mut value = read(&body("v1", "Pod", content))?;
    for key in ["kind", "apiVersion"] {
        value.as_object_mut().unwrap().remove(key);
    }
    Ok(value)
}

proptest! {
    #[test]
    fn objects_of_every_kind_come_back(seed: u64) {
        for (version, kind, id) in kinds() {
            let mut object = Draw(seed).object(id, 5);
            let sent = body(version, kind, &message(&object, id));
            object.insert("kind".to_owned(), kind.into());
            object.insert("apiVersion".to_owned(), version.into());
            prop_assert_eq!(read(&sent).unwrap(), Value::Object(object), "{}", kind);
        }
    }

    #[test]
    fn random_bytes_are_refused_or_read(content: Vec<u8>) {
        let _ = read(&content);
        let _ = read(&[PREFIX, &content].concat());
        for (version, kind, _) in kinds() {
            let _ = read(&body(version, kind, &content));
        }
    }

    #[test]
    fn damaged_bodies_are_refused_or_read(seed: u64) {
        let mut draw = Draw(seed);
        for (version, kind, id) in kinds() {
            let mut sent = body(version, kind, &message(&Draw(seed).object(id, 4), id));
            for _ in 0..4 {
                let at = draw.below(sent.len() as u64) as usize;
                sent[at] ^= 1 << draw.below(8);
            }
            sent.truncate(sent.len() - draw.below(2) as usize);
            let _ = read(&sent);
        }
    }
}

#[test]
fn unknown_fields_are_skipped_in_every_form() {
    let unknown = [
        varint(999, u64::MAX),
        bytes(998, b"what is this"),
        // Eight and four bytes, and a group in a group.
        vec![0xb9, 0x3e, 1, 2, 3, 4, 5, 6, 7, 8],
        vec![0xbd, 0x3e, 1, 2, 3, 4],
        vec![0xbb, 0x3e, 0xb3, 0x3e, 0x08, 0x01, 0xb4, 0x3e, 0xbc, 0x3e],
    ];
    let metadata = [unknown.concat(), bytes(1, b"web")].concat();
    let content = [unknown.concat(), bytes(1, &metadata)].concat();
    assert_eq!(pod(&content).unwrap(), json!({"metadata": {"name": "web"}}));
}

#[test]
fn later_fields_win_and_messages_are_merged() {
    let first = bytes(1, &[bytes(1, b"one"), bytes(2, b"prefix")].concat());
    let second = bytes(1, &[bytes(3, b"shop"), bytes(1, b"two"), bytes(2, b"")].concat());
    assert_eq!(
        pod(&[first, second].concat()).unwrap(),
        json!({"metadata": {"name": "two", "namespace": "shop"}})
    );
}

#[test]
fn zeros_are_kept_where_go_has_pointers() {
    let security = bytes(14, &varint(2, 0));
    let spec = [bytes(3, b""), varint(4, 0), varint(11, 0), security].concat();
    let wanted = json!({"spec": {"terminationGracePeriodSeconds": 0, "securityContext": {"runAsUser": 0}}});
    assert_eq!(pod(&bytes(2, &spec)).unwrap(), wanted);
}

#[test]
fn lists_of_numbers_come_one_by_one_or_packed() {
    let groups = [varint(4, 1), bytes(4, &[2, 0x80, 0x01]), varint(4, 3)].concat();
    let wanted = json!({"spec": {"securityContext": {"supplementalGroups": [1, 2, 128, 3]}}});
    assert_eq!(pod(&bytes(2, &bytes(14, &groups))).unwrap(), wanted);
}

#[test]
fn entries_of_maps_may_lack_key_or_value() {
    let metadata = [bytes(11, &bytes(1, b"a")), bytes(11, &bytes(2, b"b"))].concat();
    assert_eq!(pod(&bytes(1, &metadata)).unwrap(), json!({"metadata": {"labels": {"a": "", "": "b"}}}));
    let overhead = bytes(32, &bytes(1, b"cpu"));
    assert_eq!(pod(&bytes(2, &overhead)).unwrap(), json!({"spec": {"overhead": {"cpu": "0"}}}));
}

#[test]
fn errors_are_those_of_go() {
    let text = |content: &[u8]| pod(content).unwrap_err().to_string();
    assert_eq!(text(&varint(1, 1)), "proto: wrong wireType = 0 for field Metadata");
    assert_eq!(text(&[0x0a]), "unexpected EOF");
    assert_eq!(text(&[0x0a, 5, 1]), "unexpected EOF");
    assert_eq!(text(&[0xff; 12]), "proto: integer overflow");
    assert_eq!(
        text(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        "proto: negative length found during unmarshaling"
    );
    assert_eq!(text(&[0x02, 0]), "proto: illegal tag 0");
    assert_eq!(text(&[0x0f]), "proto: illegal wireType 7");
    assert_eq!(text(&[0x0c]), "proto: unexpected end of group");
    let quantity = bytes(32, &[bytes(1, b"cpu"), bytes(2, &bytes(1, b"x"))].concat());
    assert!(text(&bytes(2, &quantity)).starts_with("field overhead: quantities must match"));
    let time = bytes(8, &varint(1, u64::MAX >> 1));
    assert!(text(&bytes(1, &time)).contains("creationTimestamp"));
}

#[test]
fn endless_nesting_is_refused() {
    let nested = |levels: usize| {
        let schema = (0..levels).fold(Vec::new(), |inner, _| bytes(28, &inner));
        let version = bytes(4, &bytes(1, &schema));
        read(&body("apiextensions.k8s.io/v1", "CustomResourceDefinition", &bytes(2, &bytes(7, &version))))
    };
    nested(DEPTH_LIMIT - 10).unwrap();
    assert_eq!(nested(DEPTH_LIMIT + 1), Err(ProtobufError::Depth));
    assert_eq!(nested(20_000), Err(ProtobufError::Depth));
}

#[test]
fn delete_options_come_in_any_version() {
    for version in ["v1", "apps/v1", "example.com/v1alpha1"] {
        let value = read(&body(version, "DeleteOptions", &varint(1, 0))).unwrap();
        assert_eq!(value, json!({"apiVersion": version, "kind": "DeleteOptions", "gracePeriodSeconds": 0}));
    }
}
