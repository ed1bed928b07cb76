//! Custom kinds as clients see them: kubectl, discovery, watches that end, a restart.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use engine_store::{Target, Write};
use serde_json::{Value, json};

use crate::world::{World, target};

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.ships.example}
spec:
  group: ships.example
  scope: Namespaced
  names: {plural: fleets, kind: Fleet, shortNames: [fl], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Color, type: string, jsonPath: .spec.color}
    - {name: Ready, type: string, jsonPath: '.status.conditions[?(@.type==\"Ready\")].status'}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the fleet should be.
            x-kubernetes-validations:
            - {rule: 'self.replicas <= 5', message: too many ships}
            properties:
              color: {type: string, enum: [red, blue], default: red, description: Color of the sails.}
              replicas: {type: integer, default: 1}
              ships:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties: {name: {type: string}, guns: {type: integer}}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
";

const FLEET: &str = "
apiVersion: ships.example/v1
kind: Fleet
metadata: {name: north}
spec:
  replicas: 2
  ships: [{name: victory, guns: 104}]
";

fn definition() -> Target {
    Target {
        group: "apiextensions.k8s.io".to_owned(),
        version: "v1".to_owned(),
        resource: "customresourcedefinitions".to_owned(),
        ..Target::default()
    }
}

#[test]
fn kubectl_works_with_custom_kinds() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("kubectl_works_with_custom_kinds") else { return };
    assert!(kubectl.ok_with("apply -f -", DEFINITION).contains("fleets.ships.example created"));
    kubectl.ok("wait --for=condition=Established crd/fleets.ships.example --timeout=5s");
    assert!(kubectl.ok("get crd").contains("fleets.ships.example"));
    assert!(kubectl.ok("api-resources --api-group=ships.example").contains("fl"));

    assert_eq!(kubectl.ok_with("apply -f -", FLEET), "fleet.ships.example/north created\n");
    assert_eq!(kubectl.ok_with("apply -f -", FLEET), "fleet.ships.example/north unchanged\n");
    let table = kubectl.ok("get fl");
    assert!(table.starts_with("NAME    COLOR   READY   AGE\nnorth   red"), "{table}");
    let more = FLEET.replace("guns: 104}", "guns: 104}, {name: temeraire, guns: 98}");
    assert_eq!(kubectl.ok_with("apply -f -", &more), "fleet.ships.example/north configured\n");
    assert_eq!(kubectl.ok_with("apply -f -", FLEET), "fleet.ships.example/north configured\n");
    assert_eq!(kubectl.ok("get fl north -o jsonpath={.spec.ships[*].name}"), "victory");
    let explained = kubectl.ok("explain fleet.spec.color");
    assert!(explained.contains("Color of the sails.") && explained.contains("<string>"), "{explained}");

    let unknown =
        kubectl.run_with("apply -f -", &FLEET.replace("replicas: 2", "replicas: 2\n  sail: 1")).fails();
    assert!(unknown.contains("unknown field \"spec.sail\""), "{unknown}");
    let pink = kubectl.run("patch fl north --type=merge -p {\"spec\":{\"color\":\"pink\"}}").fails();
    let wanted = "The Fleet \"north\" is invalid: spec.color: Unsupported value: \"pink\": supported values: \"red\", \"blue\"";
    assert!(pink.contains(wanted), "{pink}");
    let many = kubectl.run("scale fl north --replicas=6").fails();
    assert!(many.contains("too many ships"), "{many}");
    kubectl.ok("scale fl north --replicas=5");
    assert_eq!(kubectl.ok("get fl north -o jsonpath={.spec.replicas}"), "5");
    let strategic = kubectl.run("patch fl north --type=strategic -p {\"spec\":{}}").fails();
    assert!(
        strategic.contains("application/strategic-merge-patch+json is not supported")
            || strategic.contains("415")
            || strategic.contains("unknown format"),
        "{strategic}"
    );

    let status = r#"{"status":{"conditions":[{"type":"Ready","status":"True"}]}}"#;
    kubectl.ok(&format!("patch fl north --subresource=status --type=merge -p {status}"));
    kubectl.ok("wait --for=condition=Ready fl/north --timeout=5s");
    assert!(kubectl.ok("get fl").contains("True"));
    let server_side = FLEET.replace("name: north", "name: south");
    assert!(kubectl.ok_with("apply --server-side -f -", &server_side).contains("south serverside-applied"));
    let other = server_side.replace("guns: 104", "guns: 1");
    let conflict = kubectl.run_with("apply --server-side --field-manager=other -f -", &other).fails();
    assert!(conflict.contains(".spec.ships[name=\"victory\"].guns"), "{conflict}");
    kubectl.ok("label fl north class=first");
    assert_eq!(kubectl.ok("get fl -l class=first -o name"), "fleet.ships.example/north\n");
    assert!(kubectl.ok("describe fl north").contains("victory"));
    assert!(kubectl.ok("get all").contains("fleet.ships.example/north"));
    kubectl.ok("delete fl south");
    kubectl.ok("delete crd fleets.ships.example");
    let gone = kubectl.run("get fl").fails();
    assert!(
        gone.contains("the server doesn't have a resource type") || gone.contains("could not find"),
        "{gone}"
    );
}

#[test]
fn a_watch_ends_with_its_kind() {
    let world = World::start();
    let Some(kubectl) = world.kubectl("a_watch_ends_with_its_kind") else { return };
    kubectl.ok_with("apply -f -", DEFINITION);
    kubectl.ok_with("apply -f -", FLEET);
    let mut watch = kubectl
        .command("get --raw /apis/ships.example/v1/fleets?watch=true")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let kind = |line: Option<std::io::Result<String>>| -> Value {
        serde_json::from_str::<Value>(&line.unwrap().unwrap()).unwrap()["type"].take()
    };
    assert_eq!(kind(lines.next()), "ADDED");
    kubectl.ok("delete crd fleets.ships.example");
    assert_eq!(kind(lines.next()), "DELETED");
    assert!(lines.next().is_none());
    assert!(watch.wait().unwrap().success());
}

#[test]
fn custom_objects_survive_a_restart() {
    let directory = std::env::temp_dir().join(format!("sealane-custom-{}", std::process::id()));
    let fleets = |name| Target { version: "v1".to_owned(), ..target("ships.example", "fleets", name, None) };
    let world = World::start_in(Some(&directory));
    let parse = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
    world.write(&definition(), Write::Create(parse(DEFINITION)));
    let made = world.write(&fleets(None), Write::Create(parse(FLEET)));
    drop(world);
    let world = World::start_in(Some(&directory));
    assert_eq!(*world.handle.read(&fleets(Some("north"))).unwrap(), made);
    let again =
        json!({"apiVersion": "ships.example/v1", "kind": "Fleet", "metadata": {"name": "west"}, "spec": {}});
    assert_eq!(
        world.write(&fleets(None), Write::Create(again))["spec"],
        json!({"color": "red", "replicas": 1})
    );
    drop(world);
    std::fs::remove_dir_all(&directory).unwrap();
}
