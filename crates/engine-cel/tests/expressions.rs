//! Expressions and what they give; the cases follow the CEL specification and Kubernetes' documentation of its libraries.

use proptest::prelude::*;
use sealane_engine_cel::{Budget, Error, PER_CALL_LIMIT, Type, Value, check, evaluate, parse};
use serde_json::json;

fn eval(text: &str) -> Result<Value, Error> {
    let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let this = json!({
        "name": "wéb", "replicas": 3, "ratio": 0.5, "ports": [80, 443], "labels": {"a": "1", "b/c": "2"},
        "rules": [{"host": "a.example", "port": 80}, {"host": "b.example", "port": 81}, {"host": "c.example"}],
    });
    let mut budget = Budget::new(PER_CALL_LIMIT);
    evaluate(&expr, &[("self", Value::from_json(&this))], &mut budget)
}

#[test]
fn true_expressions() {
    for text in [
        // Logic takes errors in.
        "true || 1/0 == 0",
        "1/0 == 0 || true",
        "!(false && 1/0 == 0)",
        "!(1/0 == 0 && false)",
        "[1, 0].exists(x, 1/x == 1)",
        "![0, 1].all(x, 1/x == 2)",
        // Numbers.
        "1 + 2 * 3 == 7",
        "-7 / 2 == -3 && -7 % 2 == -1",
        "-9223372036854775808 < 0",
        "0x1F == 31 && 7u == 7 && 1.0 == 1 && 1u < 2",
        "1e3 == 1000.0 && .5 == 0.5",
        "int('12') == 12 && uint(3) == 3u && double('1.5') == 1.5 && int(-1.9) == -1",
        "string(1.5) == '1.5' && string(true) == 'true' && string(12u) == '12' && string(1e21) == '1e+21'",
        // Text counts code points.
        "self.name.size() == 3 && size('😀') == 1",
        "'a' + 'b' == 'ab' && 'b' > 'a'",
        r#"'\u00e9' == 'é' && "\x41" == 'A' && '\101' == 'A' && r'\n'.size() == 2 && '''a'b''' == "a'b""#,
        r#"b'\xff'.size() == 1 && b'é'.size() == 2 && bytes('ab') == b'ab' && string(b'ab') == 'ab'"#,
        "'hello'.matches('^h.*o$') && matches('ab', 'b')",
        "'tacocat'.indexOf('a') == 1 && 'tacocat'.lastIndexOf('a') == 5 && 'x'.indexOf('y') == -1",
        "'hello mellow'.indexOf('ello', 2) == 7 && 'hello mellow'.lastIndexOf('ello', 6) == 1",
        "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco' && 'é'.charAt(0) == 'é'",
        "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'ab'.split('') == ['a', 'b']",
        "'a,b'.split(',', 0) == []",
        "'hello'.replace('l', 'L') == 'heLLo' && 'hello'.replace('l', 'L', 1) == 'heLlo'",
        "' x '.trim() == 'x' && 'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC'",
        "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
        "'%s has %d of %.2f%%'.format(['x', 3, 1.5]) == 'x has 3 of 1.50%'",
        "'%s %x %X %b %o %e'.format([[1, 'a'], 255, 'hi', 5, 8, 1234.5]) == '[1, a] ff 6869 101 10 1.234500e+03'",
        "strings.quote('a\"b') == '\"a\\\\\"b\"'",
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2'] && 'a1b2'.findAll('[0-9]', 1) == ['1']",
        // Fields, maps, lists.
        "has(self.replicas) && !has(self.other) && self.labels['b/c'] == '2' && self.labels.a == '1'",
        "'a' in self.labels && !('z' in self.labels) && 80 in self.ports && self.ports[1] == 443",
        "self.ports + [1] == [80, 443, 1] && {'a': 1}.a == 1 && {1: 'x'}[1u] == 'x' && {'a': 1, 'b': 2}.size() == 2",
        "self.rules.all(r, r.host.endsWith('.example')) && self.rules.exists(r, has(r.port) && r.port == 81)",
        "self.rules.exists_one(r, !has(r.port)) && self.rules.filter(r, has(r.port)).map(r, r.port) == [80, 81]",
        "self.rules.map(r, has(r.port), r.port).sum() == 161 && self.labels.all(k, k.size() > 0)",
        "self.ports.all(i, p, i < 2 && p > 79) && self.labels.exists(k, v, k == 'a' && v == '1')",
        "[1, 2].transformList(i, v, i + v) == [1, 3] && {'a': 1}.transformMap(k, v, v * 2) == {'a': 2}",
        "{'a': 'b'}.transformMapEntry(k, v, {v: k}) == {'b': 'a'}",
        "[1, 2, 3].isSorted() && ![2, 1].isSorted() && [3, 1].min() == 1 && ['a', 'c'].max() == 'c' && [].sum() == 0",
        "[1, 2, 2].lastIndexOf(2) == 2 && [1, 2, 2].indexOf(2) == 1 && [1, 1].distinct() == [1] && [[1], [2]].flatten() == [1, 2]",
        "[3, 1].sort() == [1, 3] && [1, 2, 3].slice(1, 3) == [2, 3] && [1, 2].reverse() == [2, 1] && lists.range(3) == [0, 1, 2]",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && !sets.intersects([1], [2])",
        // Optionals.
        "self.?other.orValue('x') == 'x' && self.?name.hasValue() && !self.?other.hasValue()",
        "self.?labels.a.orValue('') == '1' && self.?other.deep.deeper.orValue(7) == 7 && [1][?5].orValue(0) == 0",
        "optional.of(1).value() == 1 && optional.none().or(optional.of(2)).value() == 2",
        "optional.ofNonZeroValue('').hasValue() == false && [?optional.none(), 1] == [1] && {?'a': optional.none()} == {}",
        "optional.of(2).optMap(x, x + 1).value() == 3 && optional.none() != null",
        // Time.
        "duration('1h') == duration('60m') && duration('1.5s').getMilliseconds() == 1500 && duration('-1m') < duration('0')",
        "timestamp('2024-02-29T12:30:00Z').getDayOfYear() == 59 && timestamp('2024-02-29T12:30:00Z').getHours('+02:00') == 14",
        "timestamp('2024-07-01T12:30:00Z').getHours('Europe/Berlin') == 14 && timestamp('2024-01-01T12:30:00Z').getHours('Europe/Berlin') == 13",
        "timestamp('2024-01-01T00:00:00Z') + duration('24h') == timestamp('2024-01-02T00:00:00Z')",
        "timestamp('2024-01-02T00:00:00Z') - timestamp('2024-01-01T00:00:00Z') == duration('24h')",
        "string(duration('90s')) == '90s' && string(timestamp('2024-01-01T00:00:00Z')) == '2024-01-01T00:00:00Z'",
        // Addresses.
        "isIP('10.0.0.1') && isIP('::1') && !isIP('10.0.0.256') && !isIP('::ffff:1.2.3.4') && !isIP('1.2.3.04')",
        "ip('10.0.0.1').family() == 4 && ip('127.0.0.1').isLoopback() && ip('fe80::1').isLinkLocalUnicast()",
        "ip('2001:db8::1').isGlobalUnicast() && ip('0.0.0.0').isUnspecified() && ip('224.0.0.1').isLinkLocalMulticast()",
        "ip.isCanonical('::1') && !ip.isCanonical('0:0::1')",
        "cidr('10.0.0.0/8').containsIP('10.1.2.3') && cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))",
        "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8 && !isCIDR('10.0.0.0')",
        // URLs.
        "isURL('https://user:pass@example.com:80/path?a=1&a=2') && !isURL('nope') && isURL('/absolute') && !isURL('../relative')",
        "url('https://example.com:80/a%20b?k=v').getHost() == 'example.com:80' && url('https://[::1]:80/').getHostname() == '::1'",
        "url('https://example.com/?k1=a&k1=b').getQuery() == {'k1': ['a', 'b']} && url('/p').getScheme() == ''",
        // Quantities, versions, formats, types.
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('500m').add(quantity('0.5')).asInteger() == 1",
        "quantity('1k').sub(1).asInteger() == 999 && isQuantity('1.5Mi') && !isQuantity('1x') && quantity('1e3') == quantity('1k')",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
        "semver('v1.2', true).minor() == 2 && !isSemver('1.2') && !isSemver('01.2.3')",
        "!format.dns1123Label().validate('abc').hasValue() && format.named('dns1123Label').value().validate('A').hasValue()",
        "type(1) == int && type('a') == string && type(type(1)) == type && type([]) == list",
        "(self.replicas > 2 ? 'big' : 'small') == 'big' && dyn(1) == 1 && 1 != dyn('1')",
    ] {
        let result = eval(text);
        assert!(matches!(result, Ok(Value::Bool(true))), "{text}: {result:?}");
    }
}

#[test]
fn errors() {
    for (text, wanted) in [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("-9223372036854775808 - 1", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("1u - 2u", "unsigned integer overflow"),
        ("-(-9223372036854775808)", "integer overflow"),
        ("self.missing", "no such key: missing"),
        ("self.ports[7]", "index out of bounds: 7"),
        ("self.ports[-1]", "index out of bounds: -1"),
        ("{'a': 1}['b']", "no such key: b"),
        ("1 + 'a'", "no such overload"),
        ("'a' < 1", "no such overload"),
        ("1 && true", "no such overload"),
        ("nothing", "no such attribute(s): nothing"),
        ("'abc'.substring(9)", "index out of range: 9"),
        ("[].max()", "max called on empty list"),
        ("[0].all(x, 1/x == 1)", "division by zero"),
        ("optional.none().value()", "optional.none() dereference"),
        ("duration('x')", "time: invalid duration \"x\""),
        ("{'a': 1, 'a': 2}", "Failed with repeated key a"),
    ] {
        assert_eq!(eval(text).map_err(|error| error.to_string()).unwrap_err(), wanted, "{text}");
    }
}

#[test]
fn texts_that_are_no_expressions() {
    for text in [
        "",
        "1 +",
        "(1",
        "a.b.",
        "'open",
        "if",
        "namespace == 'a'",
        "has(a)",
        "[1, 2",
        "1 1",
        "9223372036854775808",
        "a.all(1, true)",
        "x.all(a, a, true)",
        "{1}",
        "'\\q'",
        "#",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse(&"(".repeat(10_000)).is_err());
    assert!(parse(&format!("1{}", "+1".repeat(10_000))).is_err());
    assert!(parse(&format!("1{}", " || true".repeat(10_000))).is_ok());
    assert!(parse(&"a".repeat(200_000)).is_err());
}

#[test]
fn evaluation_ends() {
    let big = "[0,1,2,3,4,5,6,7,8,9]";
    for text in [
        format!(
            "{big}.all(a, {big}.all(b, {big}.all(c, {big}.all(d, {big}.all(e, {big}.all(f, {big}.all(g, true)))))))"
        ),
        "lists.range(1000000).map(x, lists.range(1000000))".to_owned(),
        format!("['a']{0} == ['a']{0}", ".map(x, [x, x])".repeat(60)),
        "'a'.replace('', 'aaaaaaaaaa')".to_owned() + &".replace('', 'aaaaaaaaaa')".repeat(60),
        format!(
            "lists.range(3000).map(x, dyn(x)).distinct() == [] || {big}.all(x, lists.range(9999).distinct() != [])"
        ),
    ] {
        let expr = parse(&text).unwrap();
        let started = Budget::new(PER_CALL_LIMIT);
        let mut budget = started;
        let result = evaluate(&expr, &[], &mut budget);
        assert!(matches!(result, Err(Error::CostExceeded)), "{text}: {}", result.is_ok());
        assert_eq!(budget.left(), 0);
    }
}

#[test]
fn checks_before_evaluation() {
    let spec = Type::Object(std::sync::Arc::new(
        [
            ("name".to_owned(), Type::String),
            ("size".to_owned(), Type::Int),
            ("tags".to_owned(), Type::List(std::sync::Arc::new(Type::String))),
        ]
        .into(),
    ));
    let declared = [("self", spec)];
    for (text, wanted) in [
        ("self.nmae == 'a'", "undefined field 'nmae'"),
        ("has(self.foo)", "undefined field 'foo'"),
        ("self.name + 1 == 2", "found no matching overload for '_+_' applied to '(string, int)'"),
        ("self.name > 1", "found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.size == 'a'", "found no matching overload for '_==_' applied to '(int, string)'"),
        ("oldSelf == self", "undeclared reference to 'oldSelf' (in container '')"),
        ("self.name.frob()", "undeclared reference to 'frob' (in container '')"),
        (
            "self.size.startsWith('a')",
            "found no matching overload for 'startsWith' applied to '(int, string)'",
        ),
        ("self.tags.all(t, t > 1)", "found no matching overload for '_>_' applied to '(string, int)'"),
        (
            "self.size.all(x, true)",
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("self.size && true", "found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("self.name.length", "type 'string' does not support field selection"),
    ] {
        assert_eq!(check(&parse(text).unwrap(), &declared).unwrap_err().text, wanted, "{text}");
    }
    for text in ["self.tags.all(t, t.size() > 1)", "self.?name.orValue('a') == 'b'", "self.size > 1.5"] {
        assert_eq!(check(&parse(text).unwrap(), &declared), Ok(Type::Bool), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        if let Ok(expr) = parse(&text) {
            let _ = evaluate(&expr, &[], &mut Budget::new(10_000));
        }
    }

    #[test]
    fn pieces_of_expressions(pieces in prop::collection::vec(prop::sample::select(vec![
        "self", ".", "a", "(", ")", "[", "]", "?", ":", "&&", "||", "!", "-", "+", "*", "/", "%", "1", "2u", "1.5", "'x'",
        ",", "has(", ".all(", ".map(", "x", "{", "}", "in", "==", "<", "size(", ".matches(", "duration('1s')", "[?0]",
    ]), 0..24)) {
        let text = pieces.join(" ");
        if let Ok(expr) = parse(&text) {
            let this = Value::from_json(&json!({"a": [1, "x", {"a": null}]}));
            let _ = check(&expr, &[("self", Type::Dyn)]);
            let _ = evaluate(&expr, &[("self", this)], &mut Budget::new(10_000));
        }
    }
}
