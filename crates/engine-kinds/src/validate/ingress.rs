//! Rules for Ingresses and IngressClasses (upstream: `pkg/apis/networking/validation`).

use serde_json::{Value, json};

use super::{Findings, names};
use crate::object::{integer, list, text};

/// Texts no path may hold (upstream: `invalidPathSequences`, `invalidPathSuffixes`).
const BAD_SEQUENCES: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const BAD_SUFFIXES: &[&str] = &["/..", "/."];

pub(crate) fn ingress(object: &Value, _: Option<&Value>, findings: &mut Findings) {
    let rules = list(object, "/spec/rules");
    let default = object.pointer("/spec/defaultBackend");
    if rules.is_empty() && default.is_none() {
        findings.invalid("spec", &json!([]), "either `defaultBackend` or `rules` must be specified");
    }
    if let Some(backend) = default {
        self::backend(backend, "spec.defaultBackend", findings);
    }
    for (index, rule) in rules.iter().enumerate() {
        let field = format!("spec.rules[{index}]");
        host(text(rule, "/host"), &format!("{field}.host"), findings);
        let Some(http) = rule.get("http") else { continue };
        let paths = list(http, "/paths");
        if paths.is_empty() {
            findings.required(&format!("{field}.http.paths"), "");
        }
        for (index, entry) in paths.iter().enumerate() {
            path(entry, &format!("{field}.http.paths[{index}]"), findings);
        }
    }
    for (index, tls) in list(object, "/spec/tls").iter().enumerate() {
        for (number, name) in list(tls, "/hosts").iter().enumerate() {
            let field = format!("spec.tls[{index}].hosts[{number}]");
            host(name.as_str().unwrap_or_default(), &field, findings);
        }
        let secret = text(tls, "/secretName");
        if !secret.is_empty() {
            let field = format!("spec.tls[{index}].secretName");
            names::subdomain(secret).iter().for_each(|why| findings.invalid(&field, &json!(secret), why));
        }
    }
    let class = text(object, "/spec/ingressClassName");
    if !class.is_empty() {
        names::subdomain(class)
            .iter()
            .for_each(|why| findings.invalid("spec.ingressClassName", &json!(class), why));
    }
}

fn host(host: &str, field: &str, findings: &mut Findings) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        return findings.invalid(field, &json!(host), "must be a DNS name, not an IP address");
    }
    let wrong = if host.contains('*') { names::wildcard_subdomain(host) } else { names::subdomain(host) };
    wrong.iter().for_each(|why| findings.invalid(field, &json!(host), why));
}

fn path(entry: &Value, field: &str, findings: &mut Findings) {
    let path = text(entry, "/path");
    match text(entry, "/pathType") {
        "" => findings.required(&format!("{field}.pathType"), "pathType must be specified"),
        "Exact" | "Prefix" => {
            let field = format!("{field}.path");
            if !path.starts_with('/') {
                findings.invalid(&field, &json!(path), "must be an absolute path");
            }
            for bad in BAD_SEQUENCES.iter().filter(|bad| path.contains(**bad)) {
                findings.invalid(&field, &json!(path), &format!("must not contain '{bad}'"));
            }
            for bad in BAD_SUFFIXES.iter().filter(|bad| path.ends_with(**bad)) {
                findings.invalid(&field, &json!(path), &format!("cannot end with '{bad}'"));
            }
        }
        "ImplementationSpecific" => {
            if !path.is_empty() && !path.starts_with('/') {
                findings.invalid(&format!("{field}.path"), &json!(path), "must be an absolute path");
            }
        }
        other => findings.not_supported(
            &format!("{field}.pathType"),
            other,
            &["Exact", "ImplementationSpecific", "Prefix"],
        ),
    }
    match entry.get("backend") {
        Some(backend) => self::backend(backend, &format!("{field}.backend"), findings),
        None => findings.required(&format!("{field}.backend"), ""),
    }
}

fn backend(backend: &Value, field: &str, findings: &mut Findings) {
    let (service, resource) = (backend.get("service"), backend.get("resource"));
    match (service, resource) {
        (None, None) => findings.required(field, "resource or service backend is required"),
        (Some(_), Some(_)) => {
            findings.invalid(field, &json!(""), "cannot set both resource and service backends");
        }
        (None, Some(_)) => {}
        (Some(service), None) => {
            let name = text(service, "/name");
            if name.is_empty() {
                findings.required(&format!("{field}.service.name"), "");
            } else {
                let field = format!("{field}.service.name");
                names::label_1035(name).iter().for_each(|why| findings.invalid(&field, &json!(name), why));
            }
            backend_port(service, &format!("{field}.service.port"), findings);
        }
    }
}

fn backend_port(service: &Value, field: &str, findings: &mut Findings) {
    let name = text(service, "/port/name");
    let number = integer(service, "/port/number").unwrap_or(0);
    match (name.is_empty(), number) {
        (true, 0) => findings.required(field, "port name or number is required"),
        (false, 0) => {
            names::port_name(name)
                .iter()
                .for_each(|why| findings.invalid(&format!("{field}.name"), &json!(name), why));
        }
        (false, _) => findings.invalid(field, &json!(""), "cannot set both port name & port number"),
        (true, number) => {
            if let Some(why) = names::port_number(number) {
                findings.invalid(&format!("{field}.number"), &number.into(), why);
            }
        }
    }
}

pub(crate) fn ingress_class(object: &Value, old: Option<&Value>, findings: &mut Findings) {
    let controller = text(object, "/spec/controller");
    if old.is_none() {
        if controller.is_empty() {
            findings.required("spec.controller", "");
        } else if controller.len() > 250 {
            findings.too_long("spec.controller", 250);
        } else if !controller
            .split_once('/')
            .is_some_and(|(domain, path)| names::subdomain(domain).is_empty() && !path.is_empty())
        {
            let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            findings.invalid("spec.controller", &json!(controller), why);
        }
    }
    if let Some(old) = old {
        findings.immutable(
            "spec.controller",
            old.pointer("/spec/controller"),
            object.pointer("/spec/controller"),
        );
    }
}
