//! Tokens: what is written, read back, and no longer believed.

use std::sync::Arc;

use super::*;

const NOW: i64 = 1_000_000;
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

fn mk_claims() -> Claims {
    let bound = BoundRef {
        kind: "Pod".into(),
        name: "web".into(),
        uid: "p1".into(),
        node: Some(("node-a".into(), "n1".into())),
    };
    let wanted = Wanted {
        issuer: ISSUER,
        account: ("n", "bot", "s1"),
        audiences: vec!["api".into(), "vault".into()],
        bound: Some(bound),
        seconds: 600,
        warn_after: None,
    };
    now_claims(wanted, NOW, "id".into())
}

fn mk_object(uid: &str, ends: Option<&str>) -> Arc<Value> {
    let mut object = json!({"metadata": {"uid": uid}});
    if let Some(ends) = ends {
        object["metadata"]["deletionTimestamp"] = ends.into();
    }
    Arc::new(object)
}

fn check_with(account: Option<Arc<Value>>, pod: Option<Arc<Value>>) -> Result<(), TokenError> {
    let find = |resource: &str, name: &str| match (resource, name) {
        ("serviceaccounts", "bot") => account.clone(),
        ("pods", "web") => pod.clone(),
        other => panic!("nobody asked for {other:?}"),
    };
    mk_claims().check_objects(NOW, find, |text| text.parse().ok())
}

#[test]
fn what_is_written_is_read_back() {
    let claims = mk_claims();
    let token = format!("{}.{}", signing_input(&claims, "k1"), URL_SAFE_NO_PAD.encode([7; 64]));
    let parsed = parse_token(&token).unwrap();
    assert_eq!((parsed.claims, parsed.key_id.as_str(), parsed.signature.len()), (claims, "k1", 64));
    assert!(token.starts_with(parsed.signed));
}

#[test]
fn other_algorithms_are_no_tokens() {
    for algorithm in ["none", "HS256", "RS256", "es256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm}).to_string());
        let token = format!("{header}.{}.", URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(parse_token(&token), Err(TokenError::Malformed), "{algorithm}");
    }
    for text in ["", ".", "..", "a.b", "a.b.c", "ü.ü.ü"] {
        assert_eq!(parse_token(text), Err(TokenError::Malformed), "{text}");
    }
}

#[test]
fn time_issuer_and_audience() {
    let claims = mk_claims();
    let api = ["api".to_owned()];
    assert_eq!(claims.check(ISSUER, &api, NOW), Ok(vec!["api".to_owned()]));
    assert_eq!(claims.check(ISSUER, &api, NOW + 599).unwrap().len(), 1);
    assert_eq!(claims.check(ISSUER, &api, NOW + 600), Err(TokenError::Expired));
    assert_eq!(claims.check(ISSUER, &api, NOW - 1), Err(TokenError::Early));
    assert!(matches!(claims.check("https://other", &api, NOW), Err(TokenError::Issuer(_))));
    assert!(matches!(claims.check(ISSUER, &["db".to_owned()], NOW), Err(TokenError::Audience { .. })));
    let forged = Claims { sub: "system:serviceaccount:kube-system:bot".into(), ..claims };
    assert_eq!(forged.check(ISSUER, &api, NOW), Err(TokenError::Subject));
}

#[test]
fn objects_must_still_be_the_same() {
    let account = || Some(mk_object("s1", None));
    assert_eq!(check_with(account(), Some(mk_object("p1", None))), Ok(()));
    assert!(matches!(check_with(None, None), Err(TokenError::Gone { kind: "service account", .. })));
    let replaced = check_with(Some(mk_object("s2", None)), Some(mk_object("p1", None))).unwrap_err();
    assert_eq!(replaced.to_string(), "service account UID (s2) does not match claim (s1)");
    assert!(matches!(check_with(account(), None), Err(TokenError::Gone { kind: "pod", .. })));
    assert!(matches!(
        check_with(account(), Some(mk_object("p2", None))),
        Err(TokenError::Replaced { kind: "pod", .. })
    ));
    assert_eq!(check_with(account(), Some(mk_object("p1", Some("1000000")))), Ok(()));
    assert!(check_with(account(), Some(mk_object("p1", Some("999940")))).is_err());
}

#[test]
fn the_user_carries_what_the_token_is_bound_to() {
    let user = mk_claims().user();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("system:serviceaccount:n:bot", "s1"));
    assert_eq!(user.extra["authentication.kubernetes.io/pod-name"], ["web"]);
    assert_eq!(user.extra["authentication.kubernetes.io/credential-id"], ["JTI=id"]);
}
