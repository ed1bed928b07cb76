//! Every keyword of a schema with a good and a bad value, and the text for the bad one.

use proptest::prelude::*;
use sealane_engine_structural::{
    Problem, Schema, check, check_structure, compile_rules, default, drop_nulls, prune,
};
use serde_json::{Value, json};

/// A schema of an object whose `spec` has the given fields.
fn schema_of(fields: &Value) -> Schema {
    let json = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}});
    let problems = check_structure(&json, "schema");
    assert_eq!(problems, [], "{fields}");
    let mut schema = Schema::parse(&json);
    assert_eq!(compile_rules(&mut schema, "schema"), [], "{fields}");
    schema
}

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn values() {
    let cases = [
        (
            json!({"type": "integer", "maximum": 9}),
            json!(9),
            json!(12),
            "Invalid value: 12: spec.x in body should be less than or equal to 9",
        ),
        (
            json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
            json!(2),
            json!(1),
            "Invalid value: 1: spec.x in body should be greater than 1",
        ),
        (
            json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
            json!(1),
            json!(1.5),
            "Invalid value: 1.5: spec.x in body should be less than 1.5",
        ),
        (
            json!({"type": "integer", "multipleOf": 3}),
            json!(6),
            json!(7),
            "Invalid value: 7: spec.x in body should be a multiple of 3",
        ),
        (
            json!({"type": "string", "enum": ["red", "blue"]}),
            json!("red"),
            json!("pink"),
            "Unsupported value: \"pink\": supported values: \"red\", \"blue\"",
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(2),
            json!(3),
            "Unsupported value: 3: supported values: \"1\", \"2\"",
        ),
        (
            json!({"type": "integer"}),
            json!(1),
            json!("a"),
            "Invalid value: \"string\": spec.x in body must be of type integer: \"string\"",
        ),
        (
            json!({"type": "integer"}),
            json!(2.0),
            json!(2.5),
            "Invalid value: \"number\": spec.x in body must be of type integer: \"number\"",
        ),
        (
            json!({"type": "string"}),
            json!("a"),
            json!(1),
            "Invalid value: \"integer\": spec.x in body must be of type string: \"integer\"",
        ),
        (
            json!({"type": "boolean"}),
            json!(true),
            json!("true"),
            "Invalid value: \"string\": spec.x in body must be of type boolean: \"string\"",
        ),
        (
            json!({"type": "array", "items": {"type": "string"}}),
            json!(["a"]),
            json!({"a": 1}),
            "Invalid value: \"object\": spec.x in body must be of type array: \"object\"",
        ),
        (
            json!({"type": "object", "nullable": true, "properties": {"y": {"type": "string"}}}),
            Value::Null,
            json!([]),
            "Invalid value: \"array\": spec.x in body must be of type object: \"array\"",
        ),
        (
            json!({"type": "string"}),
            json!("a"),
            Value::Null,
            "Invalid value: \"null\": spec.x in body must be of type string: \"null\"",
        ),
        (
            json!({"type": "string", "maxLength": 3}),
            json!("äöü"),
            json!("abcd"),
            "Too long: may not be more than 3 bytes",
        ),
        (
            json!({"type": "string", "minLength": 1}),
            json!("a"),
            json!(""),
            "Invalid value: \"\": spec.x in body should be at least 1 chars long",
        ),
        (
            json!({"type": "string", "pattern": "^[a-z]+$"}),
            json!("a"),
            json!("A"),
            "Invalid value: \"A\": spec.x in body should match '^[a-z]+$'",
        ),
        (
            json!({"type": "string", "format": "ipv4"}),
            json!("1.2.3.4"),
            json!("x"),
            "Invalid value: \"x\": spec.x in body must be of type ipv4: \"x\"",
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("2024-01-01T00:00:00Z"),
            json!("x"),
            "Invalid value: \"x\": spec.x in body must be of type date-time: \"x\"",
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "integer"}}),
            json!([1]),
            json!([1, 2]),
            "Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "integer"}}),
            json!([1]),
            json!([]),
            "Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}),
            json!({"a": "b"}),
            json!({"a": "b", "c": "d"}),
            "Too many: 2: must have at most 1 item",
        ),
        (
            json!({"type": "object", "minProperties": 1, "additionalProperties": {"type": "string"}}),
            json!({"a": "b"}),
            json!({}),
            "Invalid value: 0: spec.x in body should have at least 1 properties",
        ),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!("50%"),
            json!(true),
            "Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self.startsWith('a')", "message": "must begin with a"}]}),
            json!("ab"),
            json!("b"),
            "Invalid value: \"b\": must begin with a",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'"}]}),
            json!("a"),
            json!("b"),
            "Invalid value: \"b\": failed rule: self == 'a'",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'", "messageExpression": "'not ' + self", "reason": "FieldValueForbidden"}]}),
            json!("a"),
            json!("b"),
            "Forbidden: not b",
        ),
        (
            json!({"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'", "message": "m", "reason": "FieldValueDuplicate"}]}),
            json!("a"),
            json!("b"),
            "Duplicate value: \"b\"",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": "self.a <= self.b", "message": "a above b"}]}),
            json!({"a": 1, "b": 1}),
            json!({"a": 2, "b": 1}),
            "Invalid value: a above b",
        ),
        (
            json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}),
            json!(["a", "b"]),
            json!(["a", "a"]),
            "",
        ),
    ];
    for (field, good, bad, text) in cases {
        let schema = schema_of(&json!({ "x": field }));
        assert_eq!(texts(&check(&schema, &json!({"spec": {"x": good}}), None)), [""; 0], "{field}");
        let found = texts(&check(&schema, &json!({"spec": {"x": bad}}), None));
        let wanted = if text.is_empty() {
            "spec.x[1]: Duplicate value: \"a\"".to_owned()
        } else {
            format!("spec.x: {text}")
        };
        assert_eq!(found.first(), Some(&wanted), "{field}: {found:?}");
        let others: Vec<_> = found[1..].iter().filter(|text| !text.contains("were not checked")).collect();
        assert!(others.is_empty(), "{field}: {others:?}");
    }
}

#[test]
fn several_fields() {
    let schema = schema_of(&json!({
        "need": {"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "required": ["port"], "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"}}}},
        "any": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "one": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        "all": {"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 3}]},
        "not": {"type": "integer", "not": {"enum": [7]}},
    }));
    for (spec, wanted) in [
        (
            json!({"need": {}}),
            vec![
                "spec.need.a: Required value",
                "<nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
            ],
        ),
        (
            json!({"ports": [{"port": 1, "protocol": "TCP"}, {"port": 1, "protocol": "TCP"}]}),
            vec!["spec.ports[1]: Duplicate value: {\"port\":1,\"protocol\":\"TCP\"}"],
        ),
        (json!({"any": {"a": 1}, "one": {"b": 1}, "all": 2, "not": 6}), vec![]),
        (
            json!({"one": {"a": 1, "b": 1}}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"all": 9}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.all\" must validate all the schemas (allOf)",
                "spec.all: Invalid value: 9: spec.all in body should be less than or equal to 3",
            ],
        ),
        (
            json!({"not": 7}),
            vec!["<nil>: Invalid value: \"\": \"spec.not\" must not validate the schema (not)"],
        ),
    ] {
        assert_eq!(texts(&check(&schema, &json!({ "spec": spec }), None)), wanted, "{spec}");
    }
    let found = texts(&check(&schema, &json!({"spec": {"any": {}}}), None));
    assert_eq!(
        found[..2],
        [
            "<nil>: Invalid value: \"\": \"spec.any\" must validate at least one schema (anyOf)",
            "spec.any.a: Required value"
        ]
    );
}

#[test]
fn changes_over_time() {
    let schema = schema_of(&json!({
        "fixed": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "immutable"}]},
        "old": {"type": "integer", "x-kubernetes-validations": [
            {"rule": "!oldSelf.hasValue() || self >= oldSelf.value()", "message": "may not shrink", "optionalOldSelf": true}]},
        "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"},
                "port": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf", "message": "port may not shrink"}]}}}},
        "size": {"type": "integer", "maximum": 5},
        "word": {"type": "string", "x-kubernetes-validations": [{"rule": "self.size() < 3", "message": "short"}]},
    }));
    let object = |spec: Value| json!({ "spec": spec });
    for (old, new, wanted) in [
        (json!({"fixed": "a"}), json!({"fixed": "b"}), vec!["spec.fixed: Invalid value: \"b\": immutable"]),
        (json!({}), json!({"fixed": "b"}), vec![]),
        (json!({"old": 3}), json!({"old": 2}), vec!["spec.old: Invalid value: 2: may not shrink"]),
        // Items of keyed lists are found again wherever they stand.
        (
            json!({"ports": [{"name": "a", "port": 5}, {"name": "b", "port": 9}]}),
            json!({"ports": [{"name": "b", "port": 8}, {"name": "a", "port": 5}]}),
            vec!["spec.ports[0].port: Invalid value: 8: port may not shrink"],
        ),
        // What was wrong before the schema was made stricter may stay.
        (json!({"size": 9, "word": "long"}), json!({"size": 9, "word": "long", "fixed": "a"}), vec![]),
        (
            json!({"size": 9}),
            json!({"size": 8}),
            vec!["spec.size: Invalid value: 8: spec.size in body should be less than or equal to 5"],
        ),
    ] {
        assert_eq!(texts(&check(&schema, &object(new), Some(&object(old)))), wanted);
    }
}

#[test]
fn the_fields_of_rules() {
    let schema = schema_of(&json!({
        "limits": {"type": "object", "properties": {"a-b": {"type": "integer"}, "namespace": {"type": "string"}, "when": {"type": "string", "format": "date-time"},
            "amount": {"type": "number"}, "either": {"x-kubernetes-int-or-string": true}},
            "x-kubernetes-validations": [
                {"rule": "!has(self.a__dash__b) || self.a__dash__b > 1", "message": "dash", "fieldPath": ".a-b"},
                {"rule": "!has(self.__namespace__) || self.__namespace__ != 'kube-system'", "message": "ns"},
                {"rule": "!has(self.when) || self.when < timestamp('2030-01-01T00:00:00Z')", "message": "when"},
                {"rule": "!has(self.amount) || self.amount / 2.0 < 3.0", "message": "amount"},
                {"rule": "!has(self.either) || (type(self.either) == int ? self.either < 9 : self.either != 'x')", "message": "either"},
            ]},
    }));
    for (limits, wanted) in [
        (
            json!({"a-b": 2, "namespace": "a", "when": "2024-01-01T00:00:00Z", "amount": 3, "either": "y"}),
            vec![],
        ),
        (json!({"a-b": 1}), vec!["spec.limits.a-b: Invalid value: dash"]),
        (json!({"namespace": "kube-system"}), vec!["spec.limits: Invalid value: ns"]),
        (json!({"when": "2031-01-01T00:00:00Z"}), vec!["spec.limits: Invalid value: when"]),
        (
            json!({"amount": 8, "either": 9}),
            vec!["spec.limits: Invalid value: amount", "spec.limits: Invalid value: either"],
        ),
    ] {
        assert_eq!(texts(&check(&schema, &json!({"spec": {"limits": limits}}), None)), wanted);
    }
}

#[test]
fn unknown_fields_and_defaults() {
    let schema = schema_of(&json!({
        "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string", "default": "x"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"d": {"type": "integer"}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"e": {"type": "object", "properties": {"f": {"type": "string"}}}}},
        "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object", "properties": {"g": {"type": "string"}}}}},
    }));
    let mut object = json!({"kind": "X", "metadata": {"name": "n"}, "junk": 1, "spec": {
        "list": [{"z": 1}], "map": {"k": {"d": 1, "z": 2}}, "free": {"any": {"thing": 1}, "e": {"f": "y", "z": 1}},
        "pod": {"kind": "Pod", "metadata": {"name": "x"}, "spec": {"g": "1", "z": 1}}}});
    let mut unknown = prune(&mut object, &schema);
    unknown.sort();
    assert_eq!(unknown, ["junk", "spec.free.e.z", "spec.list[0].z", "spec.map.k.z", "spec.pod.spec.z"]);
    default(&mut object, &schema);
    assert_eq!(object["spec"]["a"], json!({"b": 3}));
    assert_eq!(object["spec"]["list"], json!([{"c": "x"}]));
    assert_eq!(object["spec"]["free"]["any"], json!({"thing": 1}));
    let mut nulls = json!({"spec": {"a": {"b": null}, "map": null}});
    default(&mut nulls, &schema);
    drop_nulls(&mut nulls, &schema);
    assert_eq!(nulls, json!({"spec": {"a": {"b": 3}}}));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn schemas_that_are_refused() {
    let field = |field: Value| json!({"type": "object", "properties": {"x": field}});
    for (schema, wanted) in [
        (json!({}), "s.type: Required value: must not be empty at the root"),
        (json!({"type": "string"}), "s.type: Invalid value: \"string\": must be object at the root"),
        (
            field(json!({})),
            "s.properties[x].type: Required value: must not be empty for specified object fields",
        ),
        (field(json!({"type": "array"})), "s.properties[x].items: Required value: must be specified"),
        (
            field(json!({"type": "array", "items": {}})),
            "s.properties[x].items.type: Required value: must not be empty for specified array items",
        ),
        (
            field(json!({"type": "frob"})),
            "s.properties[x].type: Unsupported value: \"frob\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
        ),
        (
            field(json!({"type": "integer", "allOf": [{"type": "integer"}]})),
            "s.properties[x].allOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            field(json!({"type": "object", "anyOf": [{"properties": {"y": {"minimum": 1}}}]})),
            "s.properties[x].properties[y]: Required value: because it is defined in s.properties[x].anyOf[0].properties[y]",
        ),
        (
            field(json!({"type": "string", "pattern": "("})),
            "s.properties[x].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error: unclosed group",
        ),
        (
            field(
                json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            ),
            "s.properties[x].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            field(json!({"type": "array", "uniqueItems": true, "items": {"type": "string"}})),
            "s.properties[x].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            field(json!({"type": "string", "$ref": "#/x"})),
            "s.properties[x].$ref: Forbidden: $ref is not supported",
        ),
        (
            field(json!({"type": "integer", "default": "a"})),
            "s.properties[x].default: Invalid value: \"string\": default in body must be of type integer: \"string\"",
        ),
        (
            field(json!({"type": "object", "default": {"z": 1}})),
            "s.properties[x].default: Invalid value: {\"z\":1}: must not have unknown field \"z\"",
        ),
        (
            field(
                json!({"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
            ),
            "s.properties[x].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            field(
                json!({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["b"], "items": {"type": "object", "properties": {"a": {"type": "string"}}}}),
            ),
            "s.properties[x].x-kubernetes-list-map-keys: Invalid value: [\"b\"]: entries must all be names of item properties",
        ),
        (
            field(json!({"type": "array", "x-kubernetes-list-type": "bag", "items": {"type": "string"}})),
            "s.properties[x].x-kubernetes-list-type: Unsupported value: \"bag\": supported values: \"atomic\", \"set\", \"map\"",
        ),
        (
            field(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": false})),
            "s.properties[x].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined",
        ),
        (
            json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}}),
            "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
        ),
        (
            field(json!({"type": "string", "x-kubernetes-validations": [{"rule": " "}]})),
            "s.properties[x].x-kubernetes-validations[0].rule: Required value: rule is not specified",
        ),
        (
            field(json!({"type": "string", "x-kubernetes-validations": [{"rule": "true", "reason": "Why"}]})),
            "s.properties[x].x-kubernetes-validations[0].reason: Unsupported value: \"Why\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            field(
                json!({"type": "object", "x-kubernetes-validations": [{"rule": "true", "fieldPath": ".nope"}]}),
            ),
            "s.properties[x].x-kubernetes-validations[0].fieldPath: Invalid value: \".nope\": must be a valid path",
        ),
    ] {
        assert_eq!(texts(&check_structure(&schema, "s")), [wanted], "{schema}");
    }
}

#[test]
fn rules_that_are_refused() {
    for (rule, wanted) in [
        (
            "self.foo == 1",
            "compilation failed: ERROR: <input>:1:5: undefined field 'foo'\n | self.foo == 1\n | ....^",
        ),
        ("self.a", "cel expression must evaluate to a bool"),
        (
            "self.a = 1",
            "compilation failed: ERROR: <input>:1:8: Syntax error: token recognition error at: '='\n | self.a = 1\n | .......^",
        ),
    ] {
        let json = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "x-kubernetes-validations": [{"rule": rule}]});
        let found = compile_rules(&mut Schema::parse(&json), "s");
        let wanted = format!("s.x-kubernetes-validations[0].rule: Invalid value: {}: {wanted}", json!(rule));
        assert_eq!(texts(&found), [wanted]);
    }
    let json = json!({"type": "object", "properties": {"l": {"type": "array", "items": {"type": "string",
        "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}}});
    let found = compile_rules(&mut Schema::parse(&json), "s");
    assert!(found[0].message.contains(
        "oldSelf cannot be used on the uncorrelatable portion of the schema within s.properties[l]"
    ));
}

#[test]
fn a_dear_rule_ends() {
    let schema =
        schema_of(&json!({"l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-validations": [
        {"rule": "self.all(a, self.all(b, self.all(c, self.all(d, a == b || c == d || true))))"}]}}));
    let list: Vec<String> = (0..200).map(|index| format!("item{index}")).collect();
    let found = check(&schema, &json!({"spec": {"l": list}}), None);
    assert!(found[0].message.contains("actual cost limit exceeded"), "{found:?}");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,4}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(
                prop::sample::select(vec!["spec", "a", "b", "list", "map", "port", "name", "z"])
                    .prop_map(str::to_owned),
                inner,
                0..4
            )
            .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_object_is_pruned_defaulted_and_checked(object in any_json(), old in any_json()) {
        let schema = schema_of(&json!({
            "a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 3}}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "port": {"x-kubernetes-int-or-string": true}}},
                "x-kubernetes-validations": [{"rule": "self.all(x, size(x.name) > 0)"}]},
            "map": {"type": "object", "additionalProperties": {"type": "string", "nullable": true}},
        }));
        let mut once = object;
        prune(&mut once, &schema);
        default(&mut once, &schema);
        drop_nulls(&mut once, &schema);
        let mut twice = once.clone();
        prop_assert!(prune(&mut twice, &schema).is_empty());
        default(&mut twice, &schema);
        drop_nulls(&mut twice, &schema);
        prop_assert_eq!(&once, &twice);
        check(&schema, &once, Some(&old));
        prop_assert!(check(&schema, &once, Some(&once)).is_empty());
    }

    #[test]
    fn any_schema_is_read_or_refused(json in any_json()) {
        check_structure(&json, "s");
        compile_rules(&mut Schema::parse(&json), "s");
    }
}
