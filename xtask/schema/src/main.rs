//! Writes `crates/engine-schema/src/v1.34.json.gz`, the OpenAPI schemas of every kind the store knows, and
//! `v1.34.protobuf` beside it, the protobuf field numbers of all of them.
//!
//! Run from the repository's root: `cargo run --manifest-path xtask/schema/Cargo.toml`.
//! Names, types and descriptions come from the k8s-openapi crate; merge keys, list types and
//! group-version-kinds are not in there and are kept by hand in `engine-schema` (`overlay.rs`).

mod protobuf;

use std::io::Write;

use k8s_openapi::Resource;
use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, authentication::v1 as authentication,
    authorization::v1 as authorization, autoscaling::v1 as autoscaling, autoscaling::v2 as autoscaling_v2,
    batch::v1 as batch, certificates::v1 as certificates, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
    events::v1 as events, networking::v1 as networking, node::v1 as node, policy::v1 as policy, rbac::v1 as rbac,
    scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use protobuf::Root;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// Where the schemas go, from the repository's root.
const OUTPUT: &str = "crates/engine-schema/src/v1.34.json.gz";
/// Where the protobuf table goes.
const PROTOBUF_OUTPUT: &str = "crates/engine-schema/src/v1.34.protobuf";

/// Adds kinds to the schemas and, as what may be sent as a body, to the protobuf table.
macro_rules! add_all {
    ($generator:expr, $roots:expr, $($kind:ty),+ $(,)?) => { $(
        $generator.subschema_for::<$kind>();
        $roots.push(Root {
            api_version: <$kind as Resource>::API_VERSION,
            kind: <$kind as Resource>::KIND,
            schema: <$kind as JsonSchema>::schema_name().into_owned(),
        });
    )+ };
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut roots = Vec::new();
    add_all!(
        generator, roots,
        core::Binding, core::ConfigMap, core::Endpoints, core::Event, core::LimitRange, core::Namespace, core::Node,
        core::PersistentVolume, core::PersistentVolumeClaim, core::Pod, core::PodTemplate,
        core::ReplicationController, core::ResourceQuota, core::Secret, core::Service, core::ServiceAccount,
        apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet, apps::StatefulSet,
        batch::CronJob, batch::Job, certificates::CertificateSigningRequest, coordination::Lease, discovery::EndpointSlice, events::Event,
        networking::IPAddress, networking::Ingress, networking::IngressClass, networking::NetworkPolicy,
        networking::ServiceCIDR, node::RuntimeClass, policy::Eviction, policy::PodDisruptionBudget,
        rbac::ClusterRole, rbac::ClusterRoleBinding, rbac::Role, rbac::RoleBinding, scheduling::PriorityClass,
        storage::CSIDriver, storage::CSINode, storage::StorageClass, storage::VolumeAttachment,
        autoscaling::Scale, autoscaling::HorizontalPodAutoscaler, autoscaling_v2::HorizontalPodAutoscaler,
        admission::MutatingWebhookConfiguration, admission::ValidatingAdmissionPolicy,
        admission::ValidatingAdmissionPolicyBinding, admission::ValidatingWebhookConfiguration,
        authentication::SelfSubjectReview, authentication::TokenRequest, authentication::TokenReview,
        authorization::LocalSubjectAccessReview, authorization::SelfSubjectAccessReview,
        authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview,
        apiextensions::CustomResourceDefinition,
        meta::Status,
    );
    generator.subschema_for::<meta::DeleteOptions>();
    // Registered in every group-version.
    let schema = <meta::DeleteOptions as JsonSchema>::schema_name().into_owned();
    roots.push(Root { api_version: "*", kind: "DeleteOptions", schema });
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.values_mut().for_each(tidy);
    let text = serde_json::to_vec(&schemas)?;
    let mut encoder = flate2::GzBuilder::new()
        .mtime(0)
        .write(std::fs::File::create(OUTPUT)?, flate2::Compression::best());
    encoder.write_all(&text)?;
    encoder.finish()?;
    std::fs::write(PROTOBUF_OUTPUT, protobuf::table(&roots, &schemas)?)?;
    println!("{} schemas, {} bytes before compression, written to {OUTPUT}", schemas.len(), text.len());
    Ok(())
}

/// Drops what no reader uses and keeps references in the form `OpenAPI` v3 asks for.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("$schema").is_some_and(Value::is_string) {
                map.remove("$schema");
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        _ => {}
    }
}
