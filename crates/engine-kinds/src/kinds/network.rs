//! Rows of networking kinds, EndpointSlices and Leases.

use super::{BASE, STATUS};
use crate::columns;
use crate::defaults;
use crate::row::{Generation, NameRule, Row};
use crate::validate;

pub(super) const KINDS: &[&Row] = &[
    &Row {
        group: "networking.k8s.io",
        kind: "Ingress",
        plural: "ingresses",
        singular: "ingress",
        short_names: &["ing"],
        subresources: &[STATUS],
        generation: Generation::Spec,
        columns: columns::INGRESS,
        schema: "io.k8s.api.networking.v1.Ingress",
        validate: validate::ingress,
        ..BASE
    },
    &Row {
        group: "networking.k8s.io",
        kind: "IngressClass",
        plural: "ingressclasses",
        singular: "ingressclass",
        namespaced: false,
        generation: Generation::Spec,
        columns: columns::INGRESS_CLASS,
        schema: "io.k8s.api.networking.v1.IngressClass",
        defaults: defaults::ingress_class,
        validate: validate::ingress_class,
        ..BASE
    },
    &Row {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        generation: Generation::Spec,
        columns: columns::NETWORK_POLICY,
        schema: "io.k8s.api.networking.v1.NetworkPolicy",
        defaults: defaults::network_policy,
        validate: validate::network_policy,
        ..BASE
    },
    &Row {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        plural: "servicecidrs",
        singular: "servicecidr",
        namespaced: false,
        subresources: &[STATUS],
        columns: columns::SERVICE_CIDR,
        schema: "io.k8s.api.networking.v1.ServiceCIDR",
        validate: validate::service_cidr,
        ..BASE
    },
    &Row {
        group: "networking.k8s.io",
        kind: "IPAddress",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
        namespaced: false,
        names: NameRule::Address,
        columns: columns::IP_ADDRESS,
        schema: "io.k8s.api.networking.v1.IPAddress",
        validate: validate::ip_address,
        ..BASE
    },
    &Row {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        plural: "endpointslices",
        singular: "endpointslice",
        generation: Generation::Content,
        columns: columns::ENDPOINT_SLICE,
        schema: "io.k8s.api.discovery.v1.EndpointSlice",
        defaults: defaults::endpoint_slice,
        validate: validate::endpoint_slice,
        ..BASE
    },
    &Row {
        group: "coordination.k8s.io",
        kind: "Lease",
        plural: "leases",
        singular: "lease",
        create_on_update: true,
        update_needs_version: true,
        columns: columns::LEASE,
        schema: "io.k8s.api.coordination.v1.Lease",
        validate: validate::lease,
        ..BASE
    },
];
