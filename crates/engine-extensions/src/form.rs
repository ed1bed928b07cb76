//! One version of a definition, ready to work with: its schema compiled, its columns and paths read.

use engine_kinds::object::name;
use engine_kinds::{Cause, CustomForm, Findings, Header, ScalePaths, human_duration};
use engine_schema::{Type, custom_type, decode::decode, type_of};
use engine_structural::{JsonPath, Problem, Schema, check, compile_rules, drop_nulls, prune};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::definition::{owned, pointer};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// What the objects of a version look like.
pub(crate) struct VersionForm {
    schema: Schema,
    document: Value,
    ty: Type,
    columns: Vec<(Header, JsonPath)>,
    selectable: Vec<(String, String)>,
    scale: Option<ScalePaths>,
}

impl VersionForm {
    pub(crate) fn new(kind: &str, version: &Value) -> Self {
        let json = &version["schema"]["openAPIV3Schema"];
        let mut schema = Schema::parse(json);
        // What cannot be compiled was refused when the definition came.
        compile_rules(&mut schema, "");
        let columns = version["additionalPrinterColumns"].as_array().into_iter().flatten();
        let selectable = version["selectableFields"].as_array().into_iter().flatten();
        Self {
            ty: custom_type(kind, json),
            document: document(json),
            columns: columns.filter_map(column).collect(),
            selectable: selectable.filter_map(|field| selectable_field(&field["jsonPath"])).collect(),
            scale: scale(&version["subresources"]["scale"]),
            schema,
        }
    }
}

/// The schema with what every object has.
fn document(schema: &Value) -> Value {
    let mut document = if schema.is_object() { schema.clone() } else { json!({"type": "object"}) };
    let properties = &mut document["properties"];
    if !properties.is_object() {
        *properties = Value::Object(Map::new());
    }
    let meta = format!("#/components/schemas/{OBJECT_META}");
    // Upstream: `pkg/controller/openapi/builder`.
    properties["apiVersion"] = json!({"type": "string", "description": "APIVersion defines the versioned schema of this representation of an object."});
    properties["kind"] = json!({"type": "string", "description": "Kind is a string value representing the REST resource this object represents."});
    properties["metadata"] = json!({"allOf": [{"$ref": meta}], "description": "Standard object's metadata."});
    document
}

fn column(column: &Value) -> Option<(Header, JsonPath)> {
    let text = |field: &str| column[field].as_str().unwrap_or_default();
    let path = JsonPath::parse(text("jsonPath")).ok()?;
    // Upstream: `tableconvertor.New`.
    let description = match text("description") {
        "" => format!("Custom resource definition column (in JSONPath format): {}", text("jsonPath")),
        own => own.to_owned(),
    };
    let priority = column["priority"].as_i64().and_then(|priority| priority.try_into().ok()).unwrap_or(0);
    let header = Header {
        name: owned(text("name")),
        kind: owned(text("type")),
        format: owned(text("format")),
        description: description.into(),
        priority,
    };
    Some((header, path))
}

/// Label and pointer of a field that selectors may use.
fn selectable_field(path: &Value) -> Option<(String, String)> {
    let path = path.as_str()?;
    Some((path.strip_prefix('.')?.to_owned(), pointer(path)?))
}

fn scale(scale: &Value) -> Option<ScalePaths> {
    Some(ScalePaths {
        spec_replicas: pointer(scale["specReplicasPath"].as_str()?)?,
        status_replicas: pointer(scale["statusReplicasPath"].as_str()?)?,
        selector: scale["labelSelectorPath"].as_str().and_then(pointer),
    })
}

impl CustomForm for VersionForm {
    fn ty(&self) -> Type {
        self.ty.clone()
    }

    fn decode(&self, object: &mut Value) -> Result<Vec<String>, String> {
        let mut unknown = Vec::new();
        if let Some(metadata) = object.get_mut("metadata") {
            let findings = decode(metadata, &type_of(OBJECT_META));
            if let Some(error) = findings.error {
                return Err(error);
            }
            unknown.extend(findings.unknown.iter().map(|path| format!("metadata.{path}")));
        }
        unknown.extend(prune(object, &self.schema));
        Ok(unknown)
    }

    fn default(&self, object: &mut Value) {
        engine_structural::default(object, &self.schema);
        drop_nulls(object, &self.schema);
    }

    fn validate(&self, object: &Value, old: Option<&Value>, findings: &mut Findings) {
        for Problem { path, reason, message } in check(&self.schema, object, old) {
            findings.found(Cause { reason: reason.text(), message, field: path });
        }
    }

    fn columns(&self) -> Vec<Header> {
        let plain = engine_kinds::plain_columns();
        if self.columns.is_empty() {
            return plain;
        }
        let name = plain.into_iter().take(1);
        name.chain(self.columns.iter().map(|(header, _)| header.clone())).collect()
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        if self.columns.is_empty() {
            return engine_kinds::plain_cells(object, now);
        }
        let cells = self.columns.iter().map(|(header, path)| {
            path.find(object).first().map_or(Value::Null, |value| cell(&header.kind, value, now))
        });
        std::iter::once(Value::from(name(object))).chain(cells).collect()
    }

    fn selectable(&self, label: &str) -> Option<String> {
        self.selectable.iter().find(|(known, _)| known == label).map(|(_, pointer)| pointer.clone())
    }

    fn scale(&self) -> Option<&ScalePaths> {
        self.scale.as_ref()
    }

    fn document(&self) -> Value {
        self.document.clone()
    }
}

/// A value as a cell of a column's type; null where it does not fit (upstream: `cellForJSONValue`).
fn cell(kind: &str, value: &Value, now: Timestamp) -> Value {
    match (kind, value) {
        ("integer", Value::Number(number)) => {
            #[expect(clippy::cast_possible_truncation, reason = "a column of integers shows the whole part")]
            let whole = number.as_i64().or_else(|| number.as_f64().map(|float| float as i64));
            whole.map_or(Value::Null, Value::from)
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("string", Value::String(_)) => value.clone(),
        ("string", Value::Null) => Value::Null,
        ("string", other) => other.to_string().into(),
        ("date", Value::String(text)) => match text.parse::<Timestamp>() {
            Ok(time) => human_duration(now.as_second() - time.as_second()).into(),
            Err(_) => "<invalid>".into(),
        },
        _ => Value::Null,
    }
}
