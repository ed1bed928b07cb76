//! k9s on a terminal of its own: lists, watches, descriptions, logs, a shell's output, deletion.

use std::process::Command;

use crate::bed::can_run;
use crate::lab::Lab;
use crate::screen::Screen;
use crate::tools;

const ESCAPE: &str = "\x1b";
const CONTROL_D: &str = "\x04";

#[test]
fn k9s_does_not_notice() {
    let test = "k9s_does_not_notice";
    let Some(program) = tools::find(test, "k9s").filter(|_| can_run(test)) else { return };
    let Some(kubectl) = tools::find(test, "kubectl-1.34") else { return };
    let lab = Lab::up(test, "1");
    lab.prepare("everyday", &[("kubectl", &kubectl)]);
    let pod = "kubectl run sailor --image=boat --labels=crew=first --command -- sh -c 'echo ahoy; sleep 600'";
    lab.all(&[(pod, "created"), ("kubectl wait --for=condition=Ready pod/sailor --timeout=60s", "met")]);

    let mut command = Command::new(program);
    command.args(["--command", "pods", "--namespace", "default", "--refresh", "1", "--logoless"]);
    command.env("KUBECONFIG", lab.kubeconfig()).env("HOME", lab.folder()).current_dir(lab.folder());
    let mut screen = Screen::start(command);
    // The server's version stands in the head, the Pod's row below.
    screen.wait_for("v1.34.0+sealane|pods(default)|sailor|1/1|Running");

    lab.all(&[("kubectl run stowaway --image=boat", "created")]);
    screen.wait_for("stowaway");
    lab.all(&[("kubectl delete pod stowaway --now", "deleted")]);
    screen.wait_until("no stowaway", |text| !text.contains("stowaway"));

    screen.press("d");
    screen.wait_for("Describe(default/sailor)|Service Account:|crew=first");
    screen.press(ESCAPE);
    screen.wait_for("pods(default)|1/1");
    screen.press("y");
    screen.wait_for("YAML(default/sailor)|apiVersion: v1|kind: Pod");
    screen.press(ESCAPE);
    screen.wait_for("pods(default)|1/1");
    screen.press("l");
    screen.wait_for("Logs(default/sailor|ahoy");
    screen.press(ESCAPE);
    screen.wait_for("pods(default)|1/1");

    for (resource, shown) in [
        ("svc", "services(default)|kubernetes|10.96.0.1"),
        ("nodes", "nodes(all)|node-a|Ready"),
        ("ns", "namespaces(all)|kube-system|Active"),
        ("events", "events(default)|pod/sailor|Started"),
        ("crd", "customresourcedefinitions(all)"),
        ("pods", "pods(default)|sailor|Running"),
    ] {
        screen.press(&format!(":{resource}\r"));
        screen.wait_for(shown);
    }
    screen.press(CONTROL_D);
    screen.wait_for("Delete pods default/sailor?");
    screen.press("\t\r");
    screen.wait_until("no sailor", |text| !text.contains("Running"));
    lab.all(&[(
        "kubectl wait --for=delete pod/sailor --timeout=60s; kubectl get pods",
        "No resources found",
    )]);
    screen.press(":q\r");
    assert!(screen.wait_for_end().success());
}
