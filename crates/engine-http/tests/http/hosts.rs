//! Which host's routes are consulted.

use engine_http::{Decision, RequestHead, Scheme, route};
use plan::{GatewayPlan, HostMatch, PathMatch, VirtualHost};

use crate::world::{ask, build, mk_host, mk_route, prefix};

fn named(host: HostMatch, service: &str) -> VirtualHost {
    mk_host(host, vec![mk_route(PathMatch::Prefix("/".into()), service, 1)])
}

/// Semantics IG2 and IG3.
#[test]
fn the_most_specific_host_is_consulted() {
    let hosts = vec![
        named(HostMatch::Any, "any"),
        named(HostMatch::Wildcard("foo.com".into()), "wildcard"),
        named(HostMatch::Exact("bar.foo.com".into()), "exact"),
    ];
    let table = build(&GatewayPlan { hosts, ..GatewayPlan::default() });
    for (host, service) in [
        ("bar.foo.com", "exact"),
        ("BAR.foo.com:8080", "exact"),
        ("x.foo.com", "wildcard"),
        ("baz.bar.foo.com", "any"),
        ("foo.com", "any"),
        ("192.0.2.1", "any"),
        ("[2001:db8::1]:80", "any"),
    ] {
        assert_eq!(ask(&table, host, "/"), service, "{host}");
    }
}

/// As ingress-nginx, where a host is a server of its own: what its paths do not match is not looked up elsewhere.
#[test]
fn a_host_does_not_fall_back_to_another() {
    let hosts = vec![
        named(HostMatch::Any, "any"),
        mk_host(HostMatch::Exact("shop.example.com".into()), vec![prefix("/api")]),
    ];
    let table = build(&GatewayPlan { hosts, ..GatewayPlan::default() });
    assert_eq!(ask(&table, "shop.example.com", "/other"), "404");
    assert_eq!(ask(&table, "other.example.com", "/other"), "any");
}

#[test]
fn entries_of_one_host_are_one_host() {
    let host = || HostMatch::Exact("shop.example.com".into());
    let hosts = vec![mk_host(host(), vec![prefix("/api")]), mk_host(host(), vec![prefix("/")])];
    let table = build(&GatewayPlan { hosts, ..GatewayPlan::default() });
    assert_eq!(ask(&table, "shop.example.com", "/api"), "/api");
    assert_eq!(ask(&table, "shop.example.com", "/x"), "/");
}

/// `ssl-redirect` of ingress-nginx: status 308, the host without its port, no slash at the end.
#[test]
fn hosts_with_tls_send_plain_http_away() {
    let host =
        VirtualHost { https_redirect: true, ..named(HostMatch::Exact("shop.example.com".into()), "web") };
    let table = build(&GatewayPlan { hosts: vec![host], ..GatewayPlan::default() });
    for (host, path, wanted) in [
        ("shop.example.com", "/", "308 https://shop.example.com"),
        ("Shop.Example.com:8080", "/a?b=c", "308 https://shop.example.com/a?b=c"),
        ("shop.example.com", "/a/", "308 https://shop.example.com/a"),
        ("shop.example.com", "/a%20b", "308 https://shop.example.com/a%20b"),
        ("other.example.com", "/", "404"),
    ] {
        assert_eq!(ask(&table, host, path), wanted, "{host} {path}");
    }
    let head = RequestHead::get(Scheme::Https, "shop.example.com", "/");
    assert!(matches!(route(&table, &head, 0), Decision::Forward(_)));
    let decision = route(&table, &RequestHead { scheme: Scheme::Http, ..head }, 0);
    assert_eq!(
        decision.reason().to_string(),
        "host shop.example.com has TLS, so plain HTTP is sent to HTTPS"
    );
    assert_eq!(decision.reason().object().unwrap().to_string(), "Ingress shop/entry");
    assert_eq!(decision.reason().field(), "spec.tls");
}
