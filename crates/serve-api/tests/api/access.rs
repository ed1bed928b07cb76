//! Who may do what: RBAC as clients see it, impersonation, reviews, and tokens of service accounts.

use std::path::Path;

use engine_store::Write;
use http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use crate::http_surface::{Answered, Http};
use crate::world::{Kubectl, World, target};
use sealane_serve_api as serve_api;

const JSON: &str = "application/json";
const PODS: &str = "/api/v1/namespaces/default/pods";
const ACCOUNTS: &str = "/api/v1/namespaces/default/serviceaccounts";

/// A server with the service account `default/bot`.
fn world_with_bot(data_dir: Option<&Path>) -> World {
    let world = World::start_in(data_dir);
    let account = json!({"metadata": {"name": "bot"}});
    world.write(&target("", "serviceaccounts", None, None), Write::Create(account));
    world
}

/// Lets a user read Pods in `default`.
fn let_read(world: &World, subject: &Value) {
    let rbac = |resource: &str, object: Value| {
        world.write(&target("rbac.authorization.k8s.io", resource, None, None), Write::Create(object));
    };
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    rbac("roles", json!({"metadata": {"name": "reader"}, "rules": rules}));
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"});
    rbac("rolebindings", json!({"metadata": {"name": "read"}, "roleRef": role, "subjects": [subject]}));
}

/// A token for `default/bot` with this spec.
fn token(http: &Http<'_>, spec: &Value) -> Answered {
    let body = json!({"spec": spec}).to_string();
    http.post(&format!("{ACCOUNTS}/bot/token"), JSON, body)
}

fn token_text(http: &Http<'_>, spec: &Value) -> String {
    token(http, spec).json()["status"]["token"].as_str().unwrap().to_owned()
}

fn get_as(http: &Http<'_>, token: &str, path: &str) -> Answered {
    http.get_with(path, &[("authorization", &format!("Bearer {token}"))])
}

#[test]
fn a_binding_opens_and_its_absence_closes() {
    let world = world_with_bot(None);
    let http = Http::new(&world);
    let jane = [("impersonate-user", "jane")];
    let refused = http.get_with(PODS, &jane).is_status(403, "Forbidden");
    let text = r#"pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default""#;
    assert_eq!(refused["message"], json!(text));
    assert_eq!(refused["details"], json!({"kind": "pods"}));
    let_read(&world, &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}));
    assert_eq!(http.get_with(PODS, &jane).code, 200);
    http.get_with("/api/v1/pods", &jane).is_status(403, "Forbidden");
    let request = Request::delete(format!("{PODS}/x")).header("impersonate-user", "jane");
    let refused = http.send(request.body(Body::empty()).unwrap()).is_status(403, "Forbidden");
    let text = r#"pods "x" is forbidden: User "jane" cannot delete resource "pods" in API group "" in the namespace "default""#;
    assert_eq!(refused["message"], json!(text));
    let binding = target("rbac.authorization.k8s.io", "rolebindings", Some("read"), None);
    world.write(&binding, Write::Delete(engine_store::DeleteOptions::default()));
    http.get_with(PODS, &jane).is_status(403, "Forbidden");
}

#[test]
fn a_rule_for_one_name_lets_list_and_watch_that_one() {
    let world = world_with_bot(None);
    let http = Http::new(&world);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["list"]}]);
    let rbac = |resource: &str| target("rbac.authorization.k8s.io", resource, None, None);
    world.write(&rbac("roles"), Write::Create(json!({"metadata": {"name": "one"}, "rules": rules})));
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "one"});
    let jane = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"});
    let binding = json!({"metadata": {"name": "one"}, "roleRef": role, "subjects": [jane]});
    world.write(&rbac("rolebindings"), Write::Create(binding));
    let list = |selector: &str| {
        let path = format!("/api/v1/namespaces/default/configmaps{selector}");
        http.get_with(&path, &[("impersonate-user", "jane")])
    };
    assert_eq!(list("?fieldSelector=metadata.name%3Done").code, 200);
    list("?fieldSelector=metadata.name%3Dtwo").is_status(403, "Forbidden");
    list("").is_status(403, "Forbidden");
}

#[test]
fn acting_as_somebody_else_needs_permission() {
    let world = world_with_bot(None);
    let http = Http::new(&world);
    let token = token_text(&http, &json!({}));
    let anonymous = Http::anonymous(&world);
    let bearer = format!("Bearer {token}");
    let wish = |name: &'static str, value: &'static str| {
        anonymous.get_with(PODS, &[("authorization", &bearer), (name, value)])
    };
    let refused = wish("impersonate-user", "jane").is_status(403, "Forbidden");
    let text = r#"users "jane" is forbidden: User "system:serviceaccount:default:bot" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    assert_eq!(refused["message"], json!(text));
    wish("impersonate-group", "system:masters").is_status(500, "InternalError");
}

#[test]
fn nobody_grants_what_they_do_not_have() {
    let world = world_with_bot(None);
    let http = Http::new(&world);
    let rules = json!([
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create", "patch"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]},
    ]);
    let rbac = |resource: &str| target("rbac.authorization.k8s.io", resource, None, None);
    world.write(&rbac("roles"), Write::Create(json!({"metadata": {"name": "granter"}, "rules": rules})));
    let subject = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "granter"});
    let binding = json!({"metadata": {"name": "jane"}, "roleRef": role, "subjects": [subject]});
    world.write(&rbac("rolebindings"), Write::Create(binding));
    let create = |verbs: &Value| {
        let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
        let body = json!({"metadata": {"name": "made"}, "rules": rules}).to_string();
        let request = Request::post("/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles")
            .header("content-type", JSON)
            .header("impersonate-user", "jane");
        http.send(request.body(Body::from(body.into_bytes())).unwrap())
    };
    let refused = create(&json!(["get", "delete"])).is_status(403, "Forbidden");
    let text = "roles.rbac.authorization.k8s.io \"made\" is forbidden: user \"jane\" (groups=[\"system:authenticated\"]) \
                is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], \
                Verbs:[\"delete\"]}";
    assert_eq!(refused["message"], json!(text));
    assert_eq!(create(&json!(["get"])).code, 201);
}

#[test]
fn roles_gather_others() {
    let world = World::start();
    let http = Http::new(&world);
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let edit = http.get(&format!("{roles}/edit")).json();
    assert_eq!(edit["metadata"]["labels"]["kubernetes.io/bootstrapping"], "rbac-defaults");
    let count = edit["rules"].as_array().unwrap().len();
    let more = json!({
        "metadata": {"name": "widgets", "labels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}},
        "rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": ["get"]}],
    });
    assert_eq!(http.post(roles, JSON, more.to_string()).code, 201);
    for name in ["edit", "admin"] {
        let rules = http.get(&format!("{roles}/{name}")).json()["rules"].as_array().unwrap().clone();
        assert!(rules.iter().any(|rule| rule["resources"] == json!(["widgets"])), "{name}");
    }
    http.send(Request::delete(format!("{roles}/widgets")).body(Body::empty()).unwrap());
    let edit = http.get(&format!("{roles}/edit")).json();
    assert_eq!(edit["rules"].as_array().unwrap().len(), count);
}

#[test]
fn a_token_is_its_service_account_until_that_is_gone() {
    let world = world_with_bot(None);
    let (http, stranger) = (Http::new(&world), Http::anonymous(&world));
    let answered = token(&http, &json!({"expirationSeconds": 600}));
    assert_eq!(answered.code, 201, "{}", answered.text);
    let token = answered.json()["status"]["token"].as_str().unwrap().to_owned();
    let refused = get_as(&stranger, &token, PODS).is_status(403, "Forbidden");
    assert!(
        refused["message"].as_str().unwrap().contains("\"system:serviceaccount:default:bot\""),
        "{refused}"
    );
    let_read(&world, &json!({"kind": "ServiceAccount", "name": "bot"}));
    assert_eq!(get_as(&stranger, &token, PODS).code, 200);
    let mut damaged = token.clone();
    damaged.replace_range(token.len() - 4..token.len() - 2, "AA");
    get_as(&stranger, &damaged, PODS).is_status(401, "Unauthorized");
    let bot = target("", "serviceaccounts", Some("bot"), None);
    world.write(&bot, Write::Delete(engine_store::DeleteOptions::default()));
    get_as(&stranger, &token, PODS).is_status(401, "Unauthorized");
    // The next one of that name is somebody else.
    world.write(
        &target("", "serviceaccounts", None, None),
        Write::Create(json!({"metadata": {"name": "bot"}})),
    );
    get_as(&stranger, &token, PODS).is_status(401, "Unauthorized");
}

#[test]
fn a_token_ends_with_the_pod_it_is_bound_to() {
    let world = world_with_bot(None);
    let (http, stranger) = (Http::new(&world), Http::anonymous(&world));
    let pod = |account: &str| {
        json!({"metadata": {"name": format!("of-{account}")},
            "spec": {"serviceAccountName": account, "containers": [{"name": "main", "image": "x"}]}})
    };
    let other = json!({"metadata": {"name": "other"}});
    world.write(&target("", "serviceaccounts", None, None), Write::Create(other));
    for account in ["bot", "other"] {
        world.write(&target("", "pods", None, None), Write::Create(pod(account)));
    }
    let bound = |name: &str| json!({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": name}});
    let refused = token(&http, &bound("of-other")).is_status(400, "BadRequest");
    assert!(refused["message"].as_str().unwrap().starts_with("cannot bind token for serviceaccount \"bot\""));
    token(&http, &bound("gone")).is_status(404, "NotFound");
    let node = json!({"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "x"}});
    token(&http, &node).is_status(400, "BadRequest");
    let text = token_text(&http, &bound("of-bot"));
    assert_eq!(get_as(&stranger, &text, "/api").code, 200);
    let of_bot = target("", "pods", Some("of-bot"), None);
    world.write(&of_bot, Write::Delete(engine_store::DeleteOptions::default()));
    get_as(&stranger, &text, "/api").is_status(401, "Unauthorized");
}

#[test]
fn token_reviews_and_audiences() {
    let world = world_with_bot(None);
    let (http, stranger) = (Http::new(&world), Http::anonymous(&world));
    let text = token_text(&http, &json!({"audiences": ["vault"]}));
    // It is not for the API.
    get_as(&stranger, &text, "/api").is_status(401, "Unauthorized");
    let review = |spec: Value| {
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        http.post(path, JSON, json!({"spec": spec}).to_string()).json()["status"].clone()
    };
    let good = review(json!({"token": text, "audiences": ["vault", "db"]}));
    assert_eq!((&good["authenticated"], &good["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(good["user"]["username"], "system:serviceaccount:default:bot");
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]);
    assert_eq!(good["user"]["groups"], groups);
    let other = review(json!({"token": text}));
    assert_eq!(other["authenticated"], Value::Null);
    assert!(other["error"].as_str().unwrap().contains("invalid for the target audiences"), "{other}");
    let refused = token(&http, &json!({"expirationSeconds": 10})).is_status(422, "Invalid");
    assert!(
        refused["message"].as_str().unwrap().ends_with("may not specify a duration less than 10 minutes")
    );
}

#[test]
fn others_can_check_tokens() {
    let world = world_with_bot(None);
    let (http, stranger) = (Http::new(&world), Http::anonymous(&world));
    let text = token_text(&http, &json!({}));
    let configuration = get_as(&stranger, &text, "/.well-known/openid-configuration").json();
    assert_eq!(configuration["issuer"], "https://kubernetes.default.svc.cluster.local");
    let keys = get_as(&stranger, &text, "/openid/v1/jwks").json();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    stranger.get("/openid/v1/jwks").is_status(403, "Forbidden");
}

#[test]
fn tokens_outlive_a_restart() {
    let directory = std::env::temp_dir().join(format!("sealane-access-{}", std::process::id()));
    let credentials = serve_api::Credentials::load_or_generate(&directory.join("pki")).unwrap();
    let again = serve_api::Credentials::load_or_generate(&directory.join("pki")).unwrap();
    let text = {
        let world = World::start_with(Some(&directory), &credentials);
        world.write(
            &target("", "serviceaccounts", None, None),
            Write::Create(json!({"metadata": {"name": "bot"}})),
        );
        token_text(&Http::new(&world), &json!({}))
    };
    let world = World::start_with(Some(&directory), &again);
    assert_eq!(get_as(&Http::anonymous(&world), &text, "/api").code, 200);
    // What the first start made is left as it is.
    let roles = Http::new(&world).get("/apis/rbac.authorization.k8s.io/v1/clusterroles/view").json();
    assert_eq!(roles["metadata"]["generation"], Value::Null);
    drop(world);
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn kubectl_asks_about_itself_and_others() {
    let world = world_with_bot(None);
    let Some(kubectl) = world.kubectl("kubectl_asks_about_itself_and_others") else { return };
    let_read(&world, &json!({"kind": "ServiceAccount", "name": "bot"}));
    let bot = "--as=system:serviceaccount:default:bot";
    assert_eq!(kubectl.ok(&format!("auth can-i list pods {bot}")), "yes\n");
    assert_eq!(kubectl.run(&format!("auth can-i delete pods {bot}")).out, "no\n");
    assert_eq!(kubectl.run(&format!("auth can-i list pods -n kube-system {bot}")).out, "no\n");
    assert_eq!(kubectl.ok(&format!("auth can-i get /version {bot}")), "yes\n");
    let list = kubectl.ok(&format!("auth can-i --list {bot}"));
    assert!(list.lines().any(|line| line.starts_with("pods") && line.ends_with("[get list]")), "{list}");
    assert!(list.contains("[/version]"), "{list}");
    let all = kubectl.ok("auth can-i --list");
    assert!(all.lines().any(|line| line.starts_with("*.*")), "{all}");
    let who = kubectl.ok(&format!("auth whoami {bot}"));
    assert!(who.contains("system:serviceaccounts:default"), "{who}");
    let refused = kubectl.run(&format!("delete pods --all {bot}")).ok();
    assert!(refused.contains("No resources found"), "{refused}");
    let refused = kubectl.run(&format!("get secrets {bot}")).fails();
    assert!(refused.contains("Error from server (Forbidden): secrets is forbidden"), "{refused}");
    let made = kubectl.ok("create clusterrole x --verb=get --resource=pods");
    assert_eq!(made, "clusterrole.rbac.authorization.k8s.io/x created\n");
    use_a_token(&world, &kubectl);
}

/// What `kubectl create token` prints lets another kubectl in.
fn use_a_token(world: &World, kubectl: &Kubectl<'_>) {
    let text =
        kubectl.ok("create token bot --duration=20m --audience=https://kubernetes.default.svc.cluster.local");
    let admin = std::fs::read_to_string(world.directory.join("kubeconfig")).unwrap();
    let kept: Vec<&str> = admin.lines().filter(|line| !line.contains("client-")).collect();
    let user = format!("  user:\n    token: {}\n", text.trim());
    let path = world.directory.join("bot.kubeconfig");
    std::fs::write(&path, kept.join("\n").replace("  user:\n", &user)).unwrap();
    let mut command = kubectl.command("auth whoami -o json");
    let output = command.env("KUBECONFIG", &path).output().unwrap();
    let who: Value = serde_json::from_slice(&output.stdout).unwrap();
    let info = &who["status"]["userInfo"];
    assert_eq!(info["username"], "system:serviceaccount:default:bot");
    assert!(
        info["extra"]["authentication.kubernetes.io/credential-id"][0].as_str().unwrap().starts_with("JTI=")
    );
    let mut command = kubectl.command("get pods");
    assert!(command.env("KUBECONFIG", &path).output().unwrap().status.success());
    let reviewed = kubectl.ok_with(
        "create -o json -f -",
        &json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {"name": "x"},
            "spec": {"token": text.trim()}})
        .to_string(),
    );
    assert!(reviewed.contains("\"authenticated\": true"), "{reviewed}");
}

#[test]
fn reviews_answer_by_the_same_rule() {
    let world = world_with_bot(None);
    let http = Http::new(&world);
    let_read(&world, &json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"}));
    let ask = |path: &str, spec: Value| http.post(path, JSON, json!({"spec": spec}).to_string());
    let pods = |namespace: &str| json!({"verb": "list", "resource": "pods", "namespace": namespace});
    let all = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = ask(all, json!({"user": "x", "groups": ["dev"], "resourceAttributes": pods("default")}));
    let reason = r#"RBAC: allowed by RoleBinding "read/default" of Role "reader" to Group "dev""#;
    assert_eq!(answer.json()["status"], json!({"allowed": true, "reason": reason}));
    let answer = ask(all, json!({"user": "x", "groups": ["dev"], "resourceAttributes": pods("")}));
    assert_eq!(answer.json()["status"], json!({"allowed": false}));
    ask(all, json!({"resourceAttributes": pods("default")})).is_status(422, "Invalid");
    let local = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let spec =
        |namespace: &str| json!({"user": "x", "groups": ["dev"], "resourceAttributes": pods(namespace)});
    assert_eq!(ask(local, spec("default")).json()["status"]["allowed"], true);
    let refused = ask(local, spec("other")).is_status(422, "Invalid");
    assert!(refused["message"].as_str().unwrap().ends_with("must match metadata.namespace"), "{refused}");
}
