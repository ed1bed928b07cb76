"""The Python client on a cluster: objects, patches, watches, streams, the dynamic client.

Each function below is a check; its name is an argument. Prints a line per check and ends with 1 if one failed.
"""

import sys
import time
import traceback

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward, stream

NAMESPACE = "default"
PATIENCE = 60


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"check": name}), data=data)


def until(what, holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited too long: " + what
        time.sleep(0.02)


def refused(status, call):
    try:
        call()
    except ApiException as error:
        assert error.status == status, f"{error.status} instead of {status}: {error.body}"
        return error
    raise AssertionError(f"not refused with {status}")


def objects(core):
    made = core.create_namespaced_config_map(NAMESPACE, config_map("objects", a="1"))
    assert made.metadata.uid and made.metadata.creation_timestamp.tzinfo
    refused(409, lambda: core.create_namespaced_config_map(NAMESPACE, config_map("objects")))
    read = core.read_namespaced_config_map("objects", NAMESPACE)
    stale = core.read_namespaced_config_map("objects", NAMESPACE)
    read.data["b"] = "2"
    core.replace_namespaced_config_map("objects", NAMESPACE, read)
    refused(409, lambda: core.replace_namespaced_config_map("objects", NAMESPACE, stale))
    names = [item.metadata.name for item in core.list_namespaced_config_map(NAMESPACE, label_selector="check=objects").items]
    assert names == ["objects"], names
    first = core.list_namespaced_config_map(NAMESPACE, limit=1)
    assert first.metadata._continue and len(first.items) == 1
    rest = core.list_namespaced_config_map(NAMESPACE, _continue=first.metadata._continue)
    assert rest.metadata.resource_version == first.metadata.resource_version and rest.items
    gone = core.delete_namespaced_config_map("objects", NAMESPACE)
    assert gone["status"] == "Success", gone
    refused(404, lambda: core.read_namespaced_config_map("objects", NAMESPACE))


def patches(core):
    apps = client.AppsV1Api()
    labels = {"app": "patches"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="a", image="a:1"), client.V1Container(name="b", image="b:1")]),
    )
    spec = client.V1DeploymentSpec(replicas=0, selector=client.V1LabelSelector(match_labels=labels), template=template)
    apps.create_namespaced_deployment(NAMESPACE, client.V1Deployment(metadata=client.V1ObjectMeta(name="patches"), spec=spec))
    container = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}}}
    patched = apps.patch_namespaced_deployment("patches", NAMESPACE, container)
    images = [item.image for item in patched.spec.template.spec.containers]
    # A patch without a content type is strategic; its items go before those it does not name.
    assert sorted(images) == ["a:1", "b:2"], images
    steps = [{"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}}]
    patched = apps.patch_namespaced_deployment("patches", NAMESPACE, steps)
    assert patched.metadata.annotations["x"] == "y"

    def scale_up():
        # The controller writes the status meanwhile: a version that is not the newest is refused, as it should be.
        scale = apps.read_namespaced_deployment_scale("patches", NAMESPACE)
        scale.spec.replicas = 1
        try:
            return apps.replace_namespaced_deployment_scale("patches", NAMESPACE, scale).spec.replicas == 1
        except ApiException as error:
            assert error.status == 409, error
            return False

    until("the Deployment is scaled", scale_up)
    refused(422, lambda: apps.patch_namespaced_deployment("patches", NAMESPACE, {"spec": {"replicas": -1}}))
    apps.delete_namespaced_deployment("patches", NAMESPACE, propagation_policy="Foreground")
    until("the Deployment is gone", lambda: not apps.list_namespaced_deployment(NAMESPACE, field_selector="metadata.name=patches").items)


def apply(core):
    wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1", "b": "2"}}
    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    maps = dynamic_client.resources.get(api_version="v1", kind="ConfigMap")
    maps.server_side_apply(wanted, namespace=NAMESPACE, field_manager="one")
    other = dict(wanted, data={"a": "3"})
    error = refused(409, lambda: maps.server_side_apply(other, namespace=NAMESPACE, field_manager="two"))
    assert 'conflict with \\"one\\": .data.a' in error.body, error.body
    maps.server_side_apply(other, namespace=NAMESPACE, field_manager="two", force_conflicts=True)
    maps.server_side_apply(dict(wanted, data={}), namespace=NAMESPACE, field_manager="one")
    assert core.read_namespaced_config_map("applied", NAMESPACE).data == {"a": "3"}
    core.delete_namespaced_config_map("applied", NAMESPACE)


def watches(core):
    core.create_namespaced_config_map(NAMESPACE, config_map("watched", a="1"))
    seen = []
    for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, label_selector="check=watched", timeout_seconds=20):
        seen.append((event["type"], event["object"].data))
        if len(seen) == 1:
            core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "2"}})
        if len(seen) == 2:
            core.delete_namespaced_config_map("watched", NAMESPACE)
        if len(seen) == 3:
            break
    assert seen == [("ADDED", {"a": "1"}), ("MODIFIED", {"a": "2"}), ("DELETED", {"a": "2"})], seen


def forgotten(core):
    """A watch from a version that is forgotten ends with 410; the usual loop lists again and goes on."""
    version, relisted, seen = "1", 0, []
    while not seen:
        try:
            if version is None:
                version = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
                core.create_namespaced_config_map(NAMESPACE, config_map("remembered"))
            arguments = dict(resource_version=version, timeout_seconds=20, label_selector="check=remembered")
            for event in watch.Watch().stream(core.list_namespaced_config_map, NAMESPACE, **arguments):
                seen.append(event["object"].metadata.name)
                break
        except ApiException as error:
            assert error.status == 410, error
            version, relisted = None, relisted + 1
    assert (relisted, seen) == (1, ["remembered"]), (relisted, seen)
    core.delete_namespaced_config_map("remembered", NAMESPACE)


def untyped(core):
    dynamic_client = dynamic.DynamicClient(client.ApiClient())
    services = dynamic_client.resources.get(api_version="v1", kind="Service")
    body = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "untyped"}, "spec": {"ports": [{"port": 80}]}}
    made = services.create(body=body, namespace=NAMESPACE)
    assert made.spec.clusterIP and made.spec.ports[0].protocol == "TCP"
    services.patch(body={"metadata": {"labels": {"a": "b"}}}, name="untyped", namespace=NAMESPACE, content_type="application/merge-patch+json")
    assert services.get(name="untyped", namespace=NAMESPACE).metadata.labels.a == "b"
    events = services.watch(namespace=NAMESPACE, name="untyped", timeout=1)
    assert [event["type"] for event in events] == ["ADDED"]
    assert services.get(namespace=NAMESPACE, label_selector="a=b").items[0].metadata.name == "untyped"
    services.delete(name="untyped", namespace=NAMESPACE)


def manifests(core):
    text = """
apiVersion: v1
kind: Service
metadata: {name: manifest}
spec: {selector: {app: manifest}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: manifest}
spec: {podSelector: {}}
"""
    for document in yaml.safe_load_all(text):
        utils.create_from_dict(client.ApiClient(), document)
    client.NetworkingV1Api().delete_namespaced_network_policy("manifest", NAMESPACE)
    gone = core.delete_namespaced_service("manifest", NAMESPACE)
    assert gone.metadata.name == "manifest", gone


def pod(core, name):
    container = client.V1Container(name="c", image="web", ports=[client.V1ContainerPort(container_port=8080)])
    core.create_namespaced_pod(NAMESPACE, client.V1Pod(metadata=client.V1ObjectMeta(name=name), spec=client.V1PodSpec(containers=[container])))

    def ready():
        conditions = core.read_namespaced_pod(name, NAMESPACE).status.conditions or []
        return any(item.type == "Ready" and item.status == "True" for item in conditions)

    until("the Pod is ready", ready)


def exec(core):
    pod(core, "remote")
    attach = core.connect_get_namespaced_pod_exec
    said = stream(attach, "remote", NAMESPACE, command=["sh", "-c", "echo out; echo err >&2"], stdout=True, stderr=True)
    assert sorted(said.split()) == ["err", "out"], said
    live = stream(attach, "remote", NAMESPACE, command=["sh", "-c", "read line; echo said $line; exit 7"], stdin=True, stdout=True, stderr=True, _preload_content=False)
    live.write_stdin("hello\n")
    live.run_forever(timeout=20)
    assert live.read_stdout() == "said hello\n" and live.returncode == 7, live.returncode
    assert core.read_namespaced_pod_log("remote", NAMESPACE) is not None
    core.delete_namespaced_pod("remote", NAMESPACE, grace_period_seconds=0)


def forward(core):
    pod(core, "forwarded")
    tunnel = portforward(core.connect_get_namespaced_pod_portforward, "forwarded", NAMESPACE, ports="8080")
    socket = tunnel.socket(8080)
    socket.setblocking(True)
    socket.sendall(b"GET / HTTP/1.1\r\nHost: forwarded\r\nConnection: close\r\n\r\n")
    answer = b""
    while chunk := socket.recv(4096):
        answer += chunk
    assert answer.startswith(b"HTTP/1.1 200") and b"forwarded" in answer, answer
    assert tunnel.error(8080) is None
    core.delete_namespaced_pod("forwarded", NAMESPACE, grace_period_seconds=0)


def reviews(core):
    attributes = client.V1ResourceAttributes(namespace=NAMESPACE, verb="get", resource="pods")
    review = client.V1SelfSubjectAccessReview(spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    assert client.AuthorizationV1Api().create_self_subject_access_review(review).status.allowed
    assert client.VersionApi().get_code().major == "1"


CHECKS = [objects, patches, apply, watches, forgotten, untyped, manifests, exec, forward, reviews]


def main():
    config.load_kube_config()
    wanted, failed = sys.argv[1:], False
    for check in CHECKS:
        if wanted and check.__name__ not in wanted:
            continue
        try:
            check(client.CoreV1Api())
            print(f"{check.__name__}: ok", flush=True)
        except Exception:
            failed = True
            print(f"{check.__name__}: FAILED", flush=True)
            traceback.print_exc(file=sys.stdout)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
