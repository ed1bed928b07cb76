//! A container's environment variables, as the kubelet puts them together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvFromSource, EnvVarSource, ObjectFieldSelector, PersistentVolume,
    PersistentVolumeClaim, Pod, Secret, Service,
};

use crate::volumes::TokenWish;

/// Environment variables by name.
pub type Variables = BTreeMap<String, String>;

/// What variables may refer to: the objects of the Pod's Namespace.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// ConfigMaps by name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Secret>,
    /// Services of the Namespace, and `default/kubernetes`.
    pub services: Vec<Service>,
    /// Tokens of the Pod's service account.
    pub tokens: BTreeMap<TokenWish, String>,
    /// PersistentVolumeClaims by name, each with the volume it is bound to.
    pub claims: BTreeMap<String, (PersistentVolumeClaim, Option<PersistentVolume>)>,
    /// Where the lab keeps what claims hold.
    pub storage: PathBuf,
}

/// What is known of the Pod besides its object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The Pod's addresses.
    pub pod_ips: Vec<IpAddr>,
    /// The node's addresses.
    pub host_ips: Vec<IpAddr>,
}

/// Why the environment cannot be made; the text the kubelet uses.
pub type ConfigError = String;

/// The environment of one container.
///
/// # Errors
/// When something referred to is missing and not optional.
pub fn environment(
    pod: &Pod,
    container: &Container,
    sources: &Sources,
    place: &Place,
) -> Result<Variables, ConfigError> {
    let links = pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut variables = Variables::new();
    for service in &sources.services {
        if links && service.metadata.namespace.as_deref() == Some(namespace) || is_master(service) {
            variables.extend(service_variables(service));
        }
    }
    for source in container.env_from.iter().flatten() {
        variables.extend(all_of(source, sources)?);
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (_, Some(from)) => match referred(from, pod, sources, place)? {
                Some(value) => value,
                None => continue,
            },
            (Some(value), None) => expand(value, &variables),
            (None, None) => String::new(),
        };
        variables.insert(variable.name.clone(), value);
    }
    Ok(variables)
}

fn is_master(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default")
        && service.metadata.name.as_deref() == Some("kubernetes")
}

/// `$(NAME)` replaced by its value; `$$` is one `$`, an unknown name stays as it is.
#[must_use]
pub fn expand(text: &str, variables: &Variables) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => result.push_str(value),
                None => result.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            result.push('$');
        }
    }
    result.push_str(rest);
    result
}

/// The variables of Docker links that every Service gives to later Pods of its Namespace.
fn service_variables(service: &Service) -> Variables {
    let mut variables = Variables::new();
    let (Some(name), Some(spec)) = (&service.metadata.name, &service.spec) else { return variables };
    let Some(address) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else {
        return variables;
    };
    let prefix = name.to_uppercase().replace('-', "_");
    variables.insert(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    for (index, port) in spec.ports.iter().flatten().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        // As Go's `net.JoinHostPort` does: an IPv6 address stands in brackets.
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            variables.insert(format!("{prefix}_SERVICE_PORT"), port.port.to_string());
            variables.insert(format!("{prefix}_PORT"), url.clone());
        }
        if let Some(port_name) = &port.name {
            let port_name = port_name.to_uppercase().replace('-', "_");
            variables.insert(format!("{prefix}_SERVICE_PORT_{port_name}"), port.port.to_string());
        }
        let link = format!("{prefix}_PORT_{}_{protocol}", port.port);
        variables.insert(format!("{link}_PROTO"), protocol.to_lowercase());
        variables.insert(format!("{link}_PORT"), port.port.to_string());
        variables.insert(format!("{link}_ADDR"), address.to_owned());
        variables.insert(link, url);
    }
    variables
}

fn all_of(source: &EnvFromSource, sources: &Sources) -> Result<Variables, ConfigError> {
    let prefix = source.prefix.clone().unwrap_or_default();
    let named =
        |data: Variables| data.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect();
    if let Some(reference) = &source.config_map_ref {
        return match sources.config_maps.get(&reference.name) {
            Some(found) => Ok(named(found.data.clone().unwrap_or_default())),
            None if reference.optional == Some(true) => Ok(Variables::new()),
            None => Err(format!("configmap \"{}\" not found", reference.name)),
        };
    }
    if let Some(reference) = &source.secret_ref {
        return match sources.secrets.get(&reference.name) {
            Some(found) => Ok(named(secret_texts(found))),
            None if reference.optional == Some(true) => Ok(Variables::new()),
            None => Err(format!("secret \"{}\" not found", reference.name)),
        };
    }
    Ok(Variables::new())
}

fn secret_texts(secret: &Secret) -> Variables {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

fn referred(
    from: &EnvVarSource,
    pod: &Pod,
    sources: &Sources,
    place: &Place,
) -> Result<Option<String>, ConfigError> {
    if let Some(field) = &from.field_ref {
        return field_value(field, pod, place).map(Some);
    }
    if let Some(key) = &from.config_map_key_ref {
        let found = sources.config_maps.get(&key.name);
        let missing = || format!("configmap \"{}\" not found", key.name);
        let value = found.map(|map| map.data.as_ref().and_then(|data| data.get(&key.key).cloned()));
        return one_of(value, key.optional, missing, &key.key, &format!("ConfigMap {}", key.name));
    }
    if let Some(key) = &from.secret_key_ref {
        let found = sources.secrets.get(&key.name);
        let missing = || format!("secret \"{}\" not found", key.name);
        let value = found.map(|secret| secret_texts(secret).remove(&key.key));
        return one_of(value, key.optional, missing, &key.key, &format!("Secret {}", key.name));
    }
    Err("the lab serves `fieldRef`, `configMapKeyRef` and `secretKeyRef` in `valueFrom`, nothing else"
        .to_owned())
}

fn one_of(
    value: Option<Option<String>>,
    optional: Option<bool>,
    missing: impl Fn() -> String,
    key: &str,
    holder: &str,
) -> Result<Option<String>, ConfigError> {
    match value {
        Some(Some(value)) => Ok(Some(value)),
        _ if optional == Some(true) => Ok(None),
        Some(None) => Err(format!("couldn't find key {key} in {holder}")),
        None => Err(missing()),
    }
}

/// The value a `fieldRef` names (the downward API).
///
/// # Errors
/// When the field is not one of those the API allows.
pub fn field_value(field: &ObjectFieldSelector, pod: &Pod, place: &Place) -> Result<String, ConfigError> {
    let (meta, spec) = (&pod.metadata, pod.spec.clone().unwrap_or_default());
    let subscript = |prefix: &str| {
        field.field_path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']").map(ToOwned::to_owned)
    };
    if let Some(key) = subscript("metadata.labels") {
        return Ok(meta.labels.as_ref().and_then(|labels| labels.get(&key).cloned()).unwrap_or_default());
    }
    if let Some(key) = subscript("metadata.annotations") {
        let value = meta.annotations.as_ref().and_then(|annotations| annotations.get(&key).cloned());
        return Ok(value.unwrap_or_default());
    }
    match field.field_path.as_str() {
        "metadata.name" => Ok(meta.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(meta.namespace.clone().unwrap_or_default()),
        "metadata.uid" => Ok(meta.uid.clone().unwrap_or_default()),
        "metadata.labels" => Ok(as_lines(meta.labels.as_ref())),
        "metadata.annotations" => Ok(as_lines(meta.annotations.as_ref())),
        "spec.nodeName" => Ok(spec.node_name.unwrap_or_default()),
        "spec.serviceAccountName" => Ok(spec.service_account_name.unwrap_or_default()),
        "status.podIP" => Ok(first(&place.pod_ips)),
        "status.podIPs" => Ok(joined(&place.pod_ips)),
        "status.hostIP" => Ok(first(&place.host_ips)),
        "status.hostIPs" => Ok(joined(&place.host_ips)),
        other => Err(format!("fieldPath \"{other}\" is not supported")),
    }
}

fn first(addresses: &[IpAddr]) -> String {
    addresses.first().map(ToString::to_string).unwrap_or_default()
}

/// As the kubelet joins them (`podFieldSelectorRuntimeValue`).
fn joined(addresses: &[IpAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn as_lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMapKeySelector, EnvVar, ServicePort, ServiceSpec};

    fn mk_variable(name: &str, value: &str) -> EnvVar {
        EnvVar { name: name.into(), value: Some(value.into()), value_from: None }
    }

    fn mk_sources() -> Sources {
        let mut service = Service::default();
        service.metadata.name = Some("echo-web".into());
        service.metadata.namespace = Some("default".into());
        let port = ServicePort { port: 80, name: Some("http".into()), ..ServicePort::default() };
        let spec = ServiceSpec {
            cluster_ip: Some("10.96.0.7".into()),
            ports: Some(vec![port]),
            ..Default::default()
        };
        service.spec = Some(spec);
        let settings = ConfigMap {
            data: Some([("colour".to_owned(), "blue".to_owned())].into()),
            ..ConfigMap::default()
        };
        Sources {
            config_maps: [("settings".to_owned(), settings)].into(),
            services: vec![service],
            ..Sources::default()
        }
    }

    fn mk_pod() -> Pod {
        let mut pod = Pod::default();
        pod.metadata.namespace = Some("default".into());
        pod.metadata.name = Some("web-1".into());
        pod
    }

    #[test]
    fn references_expand_and_unknown_ones_stay() {
        let variables = Variables::from([("A".to_owned(), "1".to_owned())]);
        assert_eq!(expand("$(A)-$(B)-$$(A)-$A-$", &variables), "1-$(B)-$(A)-$A-$");
    }

    #[test]
    fn variables_come_from_everywhere_in_order() {
        let key = ConfigMapKeySelector { name: "settings".into(), key: "colour".into(), optional: None };
        let field =
            ObjectFieldSelector { field_path: "status.podIP".into(), ..ObjectFieldSelector::default() };
        let from = |source| EnvVar { name: "REF".into(), value: None, value_from: Some(source) };
        let colour = from(EnvVarSource { config_map_key_ref: Some(key), ..EnvVarSource::default() });
        let mut ip = from(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() });
        ip.name = "IP".into();
        let field =
            ObjectFieldSelector { field_path: "status.podIPs".into(), ..ObjectFieldSelector::default() };
        let mut ips = from(EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() });
        ips.name = "IPS".into();
        let url = mk_variable("URL", "http://$(ECHO_WEB_SERVICE_HOST):$(ECHO_WEB_SERVICE_PORT_HTTP)/$(REF)");
        let container = Container { env: Some(vec![colour, ip, ips, url]), ..Container::default() };
        let place = Place {
            pod_ips: vec!["10.244.0.9".parse().unwrap(), "fd00:10:244::9".parse().unwrap()],
            host_ips: vec!["192.0.2.1".parse().unwrap()],
        };
        let variables = environment(&mk_pod(), &container, &mk_sources(), &place).unwrap();
        assert_eq!(variables["URL"], "http://10.96.0.7:80/blue");
        assert_eq!(variables["IP"], "10.244.0.9");
        assert_eq!(variables["IPS"], "10.244.0.9,fd00:10:244::9");
        assert_eq!(variables["ECHO_WEB_PORT_80_TCP_ADDR"], "10.96.0.7");
    }

    #[test]
    fn a_missing_reference_is_an_error_unless_optional() {
        let mk = |optional| {
            let key = ConfigMapKeySelector { name: "nothing".into(), key: "k".into(), optional };
            let source = EnvVarSource { config_map_key_ref: Some(key), ..EnvVarSource::default() };
            let variable = EnvVar { name: "X".into(), value: None, value_from: Some(source) };
            Container { env: Some(vec![variable]), ..Container::default() }
        };
        let run = |container: &Container| environment(&mk_pod(), container, &mk_sources(), &Place::default());
        assert_eq!(run(&mk(None)), Err("configmap \"nothing\" not found".to_owned()));
        assert!(!run(&mk(Some(true))).unwrap().contains_key("X"));
    }
}
