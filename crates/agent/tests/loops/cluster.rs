//! The cluster loop: addresses, statuses and Events appear in the API.

use std::collections::BTreeSet;
use std::path::PathBuf;

use apply_kube::{Target, Writer};
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::api::core::v1::Service;
use sealane_agent::cluster::ClusterSettings;
use sealane_agent::ingress_controllers;
use sealane_agent::node::NodeMask;
use serde_json::json;
use types::Prefix;
use watch::{Client, ObjectBatch, Selection, Watched};

use crate::server::{TestServer, in_time};

pub(crate) fn mk_settings(kubeconfig: PathBuf) -> ClusterSettings {
    let prefix = |text: &str| Prefix::try_from(text.to_owned()).expect("prefix");
    ClusterSettings {
        kubeconfig: Some(kubeconfig),
        pod_cidrs: vec![prefix("10.244.0.0/16")],
        node_mask: NodeMask::default(),
        service_cidrs: BTreeSet::from([prefix("10.96.0.0/16")]),
        dns_addresses: BTreeSet::from(["10.96.0.10".parse().expect("address")]),
        ingress_controllers: ingress_controllers(),
        lb_pools: vec!["192.0.2.200-192.0.2.210".parse().expect("range")],
        lb_class: None,
        admin: None,
    }
}

/// The first object that is as wanted.
async fn first<K: Watched>(client: &Client, what: &str, is_wanted: impl Fn(&K) -> bool) -> K {
    let mut batches = Box::pin(watch::objects::<K>(client, Selection::default()));
    loop {
        let objects = match in_time(what, batches.next()).await.expect("endless") {
            ObjectBatch::Replace(list) => list,
            ObjectBatch::Put(object) => vec![object],
            ObjectBatch::Remove(_) => Vec::new(),
        };
        if let Some(object) = objects.into_iter().find(&is_wanted) {
            return object;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_balancer_gets_an_address_and_a_node_a_pod_range() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let running = tokio::spawn(sealane_agent::cluster::run(mk_settings(server.kubeconfig.clone())));
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "node-a" } });
    writer.create(&node).await.expect("created");
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": { "type": "LoadBalancer", "ports": [{ "port": 80 }] },
    });
    writer.create(&service).await.expect("created");
    let address = |service: &Service| {
        let ingress = service.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref()?;
        ingress.first()?.ip.clone()
    };
    let service = first(&server.client, "an address", |service| address(service).is_some()).await;
    assert!(address(&service).expect("address").starts_with("192.0.2.2"), "{service:?}");
    let is_ranged = |node: &k8s_openapi::api::core::v1::Node| {
        node.spec.as_ref().is_some_and(|spec| spec.pod_cidr.as_deref() == Some("10.244.0.0/24"))
    };
    first(&server.client, "a Pod range", is_ranged).await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_honoured_is_told_on_the_object() {
    let server = TestServer::start().await;
    let writer = Writer::new(server.client.clone());
    let class = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": { "name": "sealane" }, "spec": { "controller": "sealane.dev/ingress" },
    });
    writer.create(&class).await.expect("created");
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": { "name": "shop", "namespace": "default" },
        "spec": {
            "ingressClassName": "sealane",
            "tls": [{ "hosts": ["shop.example.com"], "secretName": "missing" }],
            "defaultBackend": { "service": { "name": "nobody", "port": { "number": 80 } } },
        },
    });
    writer.create(&ingress).await.expect("created");
    let running = tokio::spawn(sealane_agent::cluster::run(mk_settings(server.kubeconfig.clone())));
    let is_about_secret = |event: &Event| {
        event.involved_object.name.as_deref() == Some("shop")
            && event.message.as_deref().is_some_and(|message| message.contains("missing"))
    };
    let event = first(&server.client, "an Event about the Secret", is_about_secret).await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.source.and_then(|source| source.component).as_deref(), Some("sealane"));
    let target = Target::namespaced("networking.k8s.io/v1", "Ingress", "default", "shop");
    let ingress = writer.merge_patch(&target, &json!({})).await.expect("there");
    assert_eq!(event.involved_object.uid.as_deref(), ingress["metadata"]["uid"].as_str());
    running.abort();
}
