//! In which form a client wants its answer, and in which form it sent its body.

use engine_store::{PatchKind, Status};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};

/// The media type of nearly every answer.
pub(crate) const JSON: &str = "application/json";
/// The media type of aggregated discovery (KEP-3352).
pub(crate) const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Taken, but never answered in.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The objects themselves.
    Objects,
    /// Columns and rows for people.
    Table,
    /// Metadata only.
    Metadata,
    /// All resources of all groups in one document.
    AggregatedDiscovery,
}

/// The form of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyForm {
    /// JSON; also taken when the client names no form.
    Json,
    /// YAML.
    Yaml,
    /// The API's protobuf form, which Go clients send objects of built-in kinds in.
    Protobuf,
}

/// Picks the first acceptable form; `None` when the client takes nothing we have.
pub(crate) fn accepted(headers: &HeaderMap) -> Option<Form> {
    let mut clauses = values(headers, &ACCEPT).peekable();
    if clauses.peek().is_none() {
        return Some(Form::Objects);
    }
    clauses.find_map(|clause| form_of(&clause))
}

/// All comma-separated parts of a header that may come several times.
fn values(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = String> {
    let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).filter(|part| !part.is_empty())
}

fn form_of(clause: &str) -> Option<Form> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    if !matches!(media_type.as_str(), "application/json" | "application/*" | "*/*") {
        return None;
    }
    let (mut group, mut version, mut kind) = ("", "", "");
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name {
            "g" => group = value,
            "v" => version = value,
            "as" => kind = value,
            _ => {}
        }
    }
    match (kind, group, version) {
        ("", _, _) => Some(Form::Objects),
        ("Table", "meta.k8s.io", "v1") => Some(Form::Table),
        ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => Some(Form::Metadata),
        ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Some(Form::AggregatedDiscovery),
        _ => None,
    }
}

/// 406, in the words of apimachinery.
pub(crate) fn not_acceptable() -> Status {
    Status::new(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json, application/json;as=Table;v=v1;g=meta.k8s.io, \
         application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, \
         application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    )
}

fn unsupported(accepted: &str) -> Status {
    Status::new(
        415,
        "UnsupportedMediaType",
        format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        ),
    )
}

/// The media type of the body without its parameters; empty when the client names none.
fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The form of the body of a create, update or delete.
pub(crate) fn body_form(headers: &HeaderMap) -> Result<BodyForm, Status> {
    match content_type(headers).as_str() {
        "" | "application/json" => Ok(BodyForm::Json),
        "application/yaml" => Ok(BodyForm::Yaml),
        PROTOBUF => Ok(BodyForm::Protobuf),
        _ => Err(unsupported("application/json, application/yaml, application/vnd.kubernetes.protobuf")),
    }
}

/// The kind of a patch, and the form its body is in.
pub(crate) fn patch_form(headers: &HeaderMap) -> Result<(PatchKind, BodyForm), Status> {
    match content_type(headers).as_str() {
        "application/json-patch+json" => Ok((PatchKind::Json, BodyForm::Json)),
        "application/merge-patch+json" => Ok((PatchKind::Merge, BodyForm::Json)),
        "application/strategic-merge-patch+json" => Ok((PatchKind::StrategicMerge, BodyForm::Json)),
        "application/apply-patch+yaml" => Ok((PatchKind::Apply, BodyForm::Yaml)),
        _ => Err(unsupported(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
             application/strategic-merge-patch+json",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(text: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, text.parse().unwrap());
        accepted(&headers)
    }

    #[test]
    fn what_real_clients_send() {
        assert_eq!(accepted(&HeaderMap::new()), Some(Form::Objects));
        assert_eq!(accepting("application/json, */*"), Some(Form::Objects));
        assert_eq!(accepting("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Objects));
        assert_eq!(accepting("application/json;stream=watch"), Some(Form::Objects));
        assert_eq!(
            accepting(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io"
            ),
            Some(Form::Table)
        );
        assert_eq!(
            accepting("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"),
            Some(Form::Metadata)
        );
        assert_eq!(
            accepting(
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json"
            ),
            Some(Form::AggregatedDiscovery)
        );
        assert_eq!(accepting("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(accepting("text/html"), None);
    }

    #[test]
    fn body_forms() {
        let mut headers = HeaderMap::new();
        assert_eq!(body_form(&headers).unwrap(), BodyForm::Json);
        headers.insert(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        assert_eq!(body_form(&headers).unwrap(), BodyForm::Json);
        assert_eq!(patch_form(&headers).unwrap_err().code, 415);
        headers.insert(CONTENT_TYPE, "application/vnd.kubernetes.protobuf".parse().unwrap());
        assert_eq!(body_form(&headers).unwrap(), BodyForm::Protobuf);
        assert_eq!(patch_form(&headers).unwrap_err().code, 415);
        headers.insert(CONTENT_TYPE, "application/cbor".parse().unwrap());
        assert_eq!(body_form(&headers).unwrap_err().code, 415);
        headers.insert(CONTENT_TYPE, "application/apply-patch+yaml".parse().unwrap());
        assert_eq!(patch_form(&headers).unwrap(), (PatchKind::Apply, BodyForm::Yaml));
    }
}
