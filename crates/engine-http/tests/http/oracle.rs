//! The index of paths against the rules as they are written, without an index.

use plan::PathMatch;
use proptest::prelude::*;

use crate::world::{ask, build, mk_plan, mk_route};

/// Semantics IG1 in its own words.
fn matches(pattern: &PathMatch, path: &str) -> bool {
    let elements =
        |text: &str| text.split('/').filter(|part| !part.is_empty()).map(String::from).collect::<Vec<_>>();
    match pattern {
        PathMatch::Exact(text) => text == path,
        PathMatch::Prefix(text) => elements(path).starts_with(&elements(text)),
        PathMatch::Regex(_) => false,
    }
}

/// Semantics IG2: the longest path, then Exact over Prefix, then the first.
fn expected(patterns: &[PathMatch], path: &str) -> String {
    let rank = |(index, pattern): &(usize, &PathMatch)| {
        let (text, is_exact) = match pattern {
            PathMatch::Exact(text) => (text, true),
            PathMatch::Prefix(text) | PathMatch::Regex(text) => (text, false),
        };
        let length = text.split('/').filter(|part| !part.is_empty()).count();
        (length, is_exact, std::cmp::Reverse(*index))
    };
    let best = patterns.iter().enumerate().filter(|(_, pattern)| matches(pattern, path)).max_by_key(rank);
    best.map_or_else(|| "404".to_owned(), |(index, _)| index.to_string())
}

fn any_path() -> impl Strategy<Value = String> {
    let element = prop::sample::select(vec!["a", "b", "aa", "A"]);
    (prop::collection::vec(element, 0..4), any::<bool>()).prop_map(|(elements, has_slash)| {
        let end = if has_slash && !elements.is_empty() { "/" } else { "" };
        format!("/{}{end}", elements.join("/"))
    })
}

fn any_pattern() -> impl Strategy<Value = PathMatch> {
    (any_path(), any::<bool>())
        .prop_map(|(path, is_exact)| if is_exact { PathMatch::Exact(path) } else { PathMatch::Prefix(path) })
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_rules(
        patterns in prop::collection::vec(any_pattern(), 0..8),
        path in any_path(),
    ) {
        let routes = patterns
            .iter()
            .enumerate()
            .map(|(index, pattern)| mk_route(pattern.clone(), &index.to_string(), 1))
            .collect();
        let table = build(&mk_plan(routes));
        prop_assert_eq!(ask(&table, "h", &path), expected(&patterns, &path));
    }

    #[test]
    fn no_request_breaks_the_engine(host in ".{0,20}", path in ".{0,40}", target in ".{0,20}") {
        let mut plan = mk_plan(vec![crate::world::regex("/(.*)/(.*)", Some(&target)), crate::world::prefix("/")]);
        plan.hosts[0].https_redirect = path.len() % 2 == 0;
        ask(&build(&plan), &host, &path);
        ask(&build(&plan), "h", &format!("/{path}"));
    }
}
