//! Which path matches, and which of several wins.

use engine_http::{Decision, RequestHead, RouteTable, Scheme, route};
use plan::{GatewayPlan, HttpRoute, PathMatch};

use crate::world::{ask, build, exact, mk_plan, mk_route, prefix};

/// Routes, request path, and the Service or status.
type Row<'a> = (&'a [HttpRoute], &'a str, &'a str);

#[test]
fn ig1_the_whole_table() {
    let root = [prefix("/")];
    let foo = [exact("/foo")];
    let foo_slash = [exact("/foo/")];
    let foo_prefix = [prefix("/foo")];
    let foo_prefix_slash = [prefix("/foo/")];
    let bb = [prefix("/aaa/bb")];
    let bbb = [prefix("/aaa/bbb")];
    let bbb_slash = [prefix("/aaa/bbb/")];
    let two = [prefix("/"), prefix("/aaa")];
    let three = [prefix("/"), prefix("/aaa"), prefix("/aaa/bbb")];
    let aaa = [prefix("/aaa")];
    let both = [prefix("/foo"), exact("/foo")];
    let rows: &[Row<'_>] = &[
        (&root, "/", "/"),
        (&root, "/any/path", "/"),
        (&foo, "/foo", "exact /foo"),
        (&foo, "/bar", "404"),
        (&foo, "/foo/", "404"),
        (&foo, "/FOO", "404"),
        (&foo_slash, "/foo", "404"),
        (&foo_slash, "/foo/", "exact /foo/"),
        (&foo_prefix, "/foo", "/foo"),
        (&foo_prefix, "/foo/", "/foo"),
        (&foo_prefix, "/FOO", "404"),
        (&foo_prefix_slash, "/foo", "/foo/"),
        (&foo_prefix_slash, "/foo/", "/foo/"),
        (&bb, "/aaa/bbb", "404"),
        (&bbb, "/aaa/bbb", "/aaa/bbb"),
        (&bbb, "/aaa/bbb/", "/aaa/bbb"),
        (&bbb, "/aaa/bbb/ccc", "/aaa/bbb"),
        (&bbb, "/aaa/bbbxyz", "404"),
        (&bbb_slash, "/aaa/bbb", "/aaa/bbb/"),
        (&bbb_slash, "/aaa/bbb/ccc", "/aaa/bbb/"),
        (&two, "/aaa/ccc", "/aaa"),
        (&three, "/aaa/bbb", "/aaa/bbb"),
        (&three, "/ccc", "/"),
        (&aaa, "/ccc", "404"),
        (&both, "/foo", "exact /foo"),
        (&both, "/foo/", "/foo"),
    ];
    for (routes, path, wanted) in rows {
        assert_eq!(ask(&build(&mk_plan(routes.to_vec())), "h", path), *wanted, "{path} among {routes:?}");
    }
}

/// The last row of the table: what no rule takes goes to the default backend.
#[test]
fn ig4_the_default_backend_takes_the_rest() {
    let default_backend = Some(mk_route(PathMatch::Prefix("/".into()), "default", 1));
    let plan = GatewayPlan { default_backend, ..mk_plan(vec![prefix("/aaa")]) };
    assert_eq!(ask(&build(&plan), "h", "/ccc"), "default");
    let only = GatewayPlan { hosts: Vec::new(), ..plan };
    assert_eq!(ask(&build(&only), "h", "/aaa"), "default");
    let table = build(&only);
    let decision = route(&table, &RequestHead::get(Scheme::Http, "h", "/"), 0);
    assert_eq!(
        decision.reason().to_string(),
        "no route matches; Ingress shop/entry spec.rules[0] to default takes the rest"
    );
}

#[test]
fn ig4_nothing_matches() {
    let table = RouteTable::default();
    let decision = route(&table, &RequestHead::get(Scheme::Http, "h", "/"), 0);
    let Decision::Respond { page, reason } = decision else { panic!("{decision:?}") };
    assert_eq!((page.status, page.body), (404, "default backend - 404"));
    assert_eq!(reason.to_string(), "no Ingress has this host");
    let table = build(&mk_plan(vec![prefix("/aaa")]));
    let decision = route(&table, &RequestHead::get(Scheme::Http, "h", "/"), 0);
    assert_eq!(decision.reason().to_string(), "no path of every host matches");
}

#[test]
fn ig4_without_endpoints_there_is_503_and_the_reason() {
    let table = build(&mk_plan(vec![mk_route(PathMatch::Prefix("/".into()), "web", 0)]));
    let decision = route(&table, &RequestHead::get(Scheme::Http, "h", "/"), 7);
    let Decision::Respond { page, reason } = decision else { panic!("{decision:?}") };
    assert_eq!(page.status, 503);
    assert_eq!(reason.to_string(), "Service shop/web has no ready endpoint");
    assert_eq!(reason.object().unwrap().to_string(), "Ingress shop/entry");
    assert_eq!(reason.field(), "spec.rules[0] to web");
}

/// Semantics IG2: of two Ingresses with the same host and path, the older one, which the plan lists first.
#[test]
fn ig2_the_first_of_equals_wins() {
    let routes =
        |names: [&str; 2]| names.map(|name| mk_route(PathMatch::Prefix("/same".into()), name, 1)).to_vec();
    assert_eq!(ask(&build(&mk_plan(routes(["old", "new"]))), "h", "/same"), "old");
    assert_eq!(ask(&build(&mk_plan(routes(["new", "old"]))), "h", "/same"), "new");
}

#[test]
fn ig5_every_backend_gets_its_turn() {
    let table = build(&mk_plan(vec![mk_route(PathMatch::Prefix("/".into()), "web", 10)]));
    let mut seen = std::collections::BTreeSet::new();
    for draw in 0..10 {
        let decision = route(&table, &RequestHead::get(Scheme::Http, "h", "/"), u64::MAX - draw);
        let Decision::Forward(forward) = decision else { panic!("{decision:?}") };
        seen.insert(forward.backend().clone());
        assert_eq!(forward.attempts().next(), Some(forward.backend()));
        assert_eq!(forward.attempts().collect::<std::collections::BTreeSet<_>>().len(), 10);
    }
    assert_eq!(seen.len(), 10);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let table = build(&mk_plan(vec![prefix("/")]));
    for (host, path) in [("a b", "/"), ("h", "/../etc/passwd"), ("h", "/%00"), ("h", "x"), ("h:x", "/")] {
        assert_eq!(ask(&table, host, path), "400", "{host} {path}");
    }
    assert_eq!(ask(&table, "", "/"), "/", "HTTP/1.0 knows no Host");
}

/// As nginx: routes are found by the path a file system would see, so none can be walked around.
#[test]
fn disguised_paths_are_seen_through() {
    let table = build(&mk_plan(vec![prefix("/"), prefix("/admin")]));
    for path in ["/admin", "/x/../admin", "//admin", "/%61dmin", "/./admin/x", "/x/%2e%2e/admin"] {
        assert_eq!(ask(&table, "h", path), "/admin", "{path}");
    }
    assert_eq!(ask(&table, "h", "/?path=/admin"), "/");
}
