//! What needs no kernel: versions, variables, configuration errors.

use serde_json::json;

use crate::node::call;

#[test]
fn version_answers_in_the_asked_version() {
    let environment = [("CNI_COMMAND", "VERSION")];
    for asked in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
        let answer = call(&environment, json!({"cniVersion": asked}).to_string().as_bytes()).ok();
        assert_eq!(answer["cniVersion"], asked);
        assert_eq!(answer["supportedVersions"], json!(["0.3.1", "0.4.0", "1.0.0", "1.1.0"]));
    }
    assert_eq!(call(&environment, b"").ok()["cniVersion"], "1.1.0");
}

#[test]
fn errors_have_the_codes_of_the_specification() {
    let environment = |command| {
        [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", "a"),
            ("CNI_NETNS", "/nowhere"),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/opt/cni/bin"),
        ]
    };
    let config = |version: &str| json!({"cniVersion": version, "name": "n", "type": "sealane", "stateDir": "/nowhere"});
    for (command, input, code) in [
        ("ADD", config("0.2.0").to_string(), 1),
        ("ADD", config("2.0.0").to_string(), 1),
        ("ADD", json!({"name": "n", "stateDir": "/nowhere"}).to_string(), 1),
        ("CHECK", config("0.3.1").to_string(), 1),
        ("STATUS", config("1.0.0").to_string(), 1),
        ("GC", config("0.4.0").to_string(), 1),
        ("FROB", config("1.1.0").to_string(), 4),
        ("ADD", "{".to_owned(), 6),
        ("ADD", json!({"cniVersion": "1.1.0", "name": "n"}).to_string(), 7),
        ("CHECK", config("1.1.0").to_string(), 7),
        ("GC", config("1.1.0").to_string(), 7),
        ("ADD", config("1.1.0").to_string(), 11),
        ("STATUS", config("1.1.0").to_string(), 50),
    ] {
        let outcome = call(&environment(command), input.as_bytes());
        assert_eq!(outcome.code(), code, "{command} {input}: {}", outcome.json);
    }
    let outcome = call(&[("CNI_COMMAND", "ADD")], config("1.0.0").to_string().as_bytes());
    assert_eq!(outcome.code(), 4);
    assert_eq!(outcome.json["cniVersion"], "1.0.0");
}

#[test]
fn damaged_configuration_is_answered() {
    let whole = json!({
        "cniVersion": "1.1.0", "name": "n", "type": "sealane", "stateDir": "/nowhere", "chained": true,
        "runtimeConfig": {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]},
        "prevResult": {
            "interfaces": [{"name": "veth1"}, {"name": "eth0", "sandbox": "/run/netns/a"}],
            "ips": [{"address": "10.0.0.1/32", "interface": 1}],
        },
    })
    .to_string();
    let pairs =
        [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "a"), ("CNI_NETNS", "/nowhere"), ("CNI_IFNAME", "eth0")];
    let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    sealane_cni::read_add(&environment, whole.as_bytes()).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        for with in ["", "{", "\"", "null", "-1", "\u{0}", "[]"] {
            let text = format!("{}{with}{}", &whole[..at], &whole[at + 1..]);
            refused += usize::from(sealane_cni::read_add(&environment, text.as_bytes()).is_err());
            call(&[("CNI_COMMAND", "VERSION")], text.as_bytes());
        }
    }
    assert!(refused > whole.len(), "{refused}");
}
