//! Regular expressions and `rewrite-target`, by the examples in ingress-nginx's documentation.

use engine_http::RouteTable;

use crate::world::{ask, build, exact, mk_plan, prefix, regex};

/// `docs/examples/rewrite`: path `/something(/|$)(.*)`, target `/$2`.
#[test]
fn rewrite_with_capture_groups() {
    let table = build(&mk_plan(vec![regex("/something(/|$)(.*)", Some("/$2"))]));
    for (path, wanted) in [
        ("/something", "/"),
        ("/something/", "/"),
        ("/something/new", "/new"),
        ("/something/new?a=b", "/new?a=b"),
        ("/SOMETHING/New", "/New"),
        ("/something/a%20b", "/a%20b"),
    ] {
        assert_eq!(ask(&table, "h", path), format!("/something(/|$)(.*) {wanted}"), "{path}");
    }
    assert_eq!(ask(&table, "h", "/somethingelse"), "404");
}

/// `docs/user-guide/ingress-path-matching.md`, "Path Priority": by descending length.
#[test]
fn longer_expressions_come_first() {
    let table = build(&mk_plan(vec![
        regex("/foo/bar", None),
        regex("/foo/bar/", None),
        regex("/foo/bar/(.+)", Some("/$1")),
    ]));
    assert_eq!(ask(&table, "h", "/foo/bar/1"), "/foo/bar/(.+) /1");
    assert_eq!(ask(&table, "h", "/foo/bar/"), "/foo/bar/");
    assert_eq!(ask(&table, "h", "/foo/bar"), "/foo/bar");
    assert_eq!(ask(&table, "h", "/foo/barman"), "/foo/bar", "a regular expression is no element-wise prefix");
}

/// The same page, "Warning".
#[test]
fn a_longer_expression_beats_a_better_match() {
    let table = build(&mk_plan(vec![regex("/foo/bar/bar", None), regex("/foo/bar/[A-Z0-9]{3}", None)]));
    assert_eq!(ask(&table, "h", "/foo/bar/bar"), "/foo/bar/[A-Z0-9]{3}");
}

/// nginx: an exact location first, then expressions, then prefixes.
#[test]
fn exact_then_expression_then_prefix() {
    let routes = vec![prefix("/a/b/c"), regex("/a", None), exact("/a/b/c")];
    let table = build(&mk_plan(routes));
    assert_eq!(ask(&table, "h", "/a/b/c"), "exact /a/b/c");
    assert_eq!(ask(&table, "h", "/a/b/c/d"), "/a");
}

#[test]
fn an_invalid_expression_is_reported_and_disturbs_no_other() {
    let (table, findings) =
        RouteTable::build(&mk_plan(vec![regex("/a(", None), regex("/b", None), prefix("/")]));
    assert_eq!(ask(&table, "h", "/b"), "/b");
    assert_eq!(ask(&table, "h", "/a("), "/");
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(
        finding.to_string(),
        "Ingress shop/entry spec.rules[0] to /a(.path: `/a(` is not a regular expression (unclosed group); \
         the path is not served (InvalidRegex)"
    );
}

#[test]
fn an_expression_that_would_fill_the_memory_is_reported() {
    let (_, findings) = RouteTable::build(&mk_plan(vec![regex("/(a{1000}){1000}", None)]));
    assert_eq!(findings.len(), 1);
}
