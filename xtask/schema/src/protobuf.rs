//! Finds the protobuf field numbers of the schemas' fields and writes them as a table, one message a line.
//!
//! The numbers stand in the source of the k8s-pb crate, which was generated from the API's own `.proto` files; the
//! JSON names stand in the schemas. They are matched by what is left of a name without case and punctuation, and
//! the generator fails when a field of a schema finds no number.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value};

/// A kind that may be sent as a body of its own.
pub struct Root {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub schema: String,
}

/// A message as k8s-pb has it.
struct Message {
    /// `api.core.v1`
    module: String,
    name: String,
    fields: Vec<Field>,
}

struct Field {
    name: String,
    number: u32,
    shape: Shape,
    /// `string`, `int32`, or `message`.
    wire: String,
    /// Key of the message, if it is one.
    message: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    One,
    Many,
    Map,
}

/// Fields of the schemas that are in no message: all of them come from the envelope.
const NOT_IN_MESSAGES: &[&str] = &["apiVersion", "kind"];

/// What the first lines of the table say.
const HEAD: &str = "# Written by xtask/schema. A kind: @ apiVersion kind message. A message: its name (of an embedded one: the
# message around it, a slash, its own), then its fields: JSON name, colon, number, * for lists or % for maps, and the
# type: s string, i int32, l int64, b bool, d double, y bytes, q Quantity, o IntOrString, t Time, m MicroTime,
# u Duration, j embedded JSON, e list of strings in a message, A, B and S JSON schema or list, bool, strings; else a
# dot and a message, whose package is left out when it is that of the line. Without a JSON name: embedded.
";

/// The whole table.
pub fn table(roots: &[Root], schemas: &Map<String, Value>) -> Result<String, Box<dyn Error>> {
    let messages = read_messages(&source_directory()?)?;
    let names: BTreeMap<String, &str> = schemas.keys().map(|name| (key_of_schema(name), name.as_str())).collect();
    let mut writer = Writer { messages, names, schemas, done: BTreeSet::new(), lines: BTreeMap::new() };
    let mut text = HEAD.to_owned();
    for root in roots {
        writeln!(text, "@ {} {} {}", root.api_version, root.kind, short(&root.schema))?;
        writer.message(&key_of_schema(&root.schema))?;
    }
    for (name, fields) in &writer.lines {
        writeln!(text, "{name}{fields}")?;
    }
    Ok(text)
}

/// Where cargo keeps the source of k8s-pb.
fn source_directory() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output =
        Command::new("cargo").args(["metadata", "--format-version", "1", "--manifest-path", manifest]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    let package = packages.iter().find(|package| package["name"] == "k8s-pb").ok_or("k8s-pb is no dependency")?;
    let manifest = package["manifest_path"].as_str().ok_or("k8s-pb has no manifest")?;
    Ok(Path::new(manifest).with_file_name("src"))
}

fn read_messages(root: &Path) -> Result<BTreeMap<String, Message>, Box<dyn Error>> {
    let mut messages = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.file_name().is_some_and(|name| name == "mod.rs") {
                let module = directory.strip_prefix(root)?.to_string_lossy().replace('/', ".");
                read_module(&module, &std::fs::read_to_string(&path)?, &mut messages)?;
            }
        }
    }
    Ok(messages)
}

fn read_module(
    module: &str,
    text: &str,
    messages: &mut BTreeMap<String, Message>,
) -> Result<(), Box<dyn Error>> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let mut message: Option<Message> = None;
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("pub struct ") {
            let name = name.trim_end_matches([' ', '{', '}']).to_owned();
            message = Some(Message { module: module.to_owned(), name, fields: Vec::new() });
        } else if let (Some(attribute), Some(message)) = (line.strip_prefix("#[prost("), message.as_mut()) {
            let mut declaration = String::new();
            for line in lines.by_ref() {
                declaration.push_str(line);
                let closed = declaration.matches('<').count() == declaration.matches('>').count();
                if line.ends_with(',') && closed {
                    break;
                }
            }
            message.fields.push(read_field(module, attribute, &declaration)?);
        }
        if line.ends_with('}')
            && let Some(message) = message.take()
        {
            messages.insert(format!("{module}.{}", message.name).to_lowercase(), message);
        }
    }
    Ok(())
}

/// Reads `string, optional, tag = "1")]` and `pub name: Option<String>,`.
fn read_field(module: &str, attribute: &str, declaration: &str) -> Result<Field, Box<dyn Error>> {
    let bad = || format!("not understood: {attribute} {declaration}");
    let number = attribute.rsplit("tag = \"").next().and_then(|rest| rest.split('"').next()).ok_or_else(bad)?;
    let (shape, wire) = match attribute.strip_prefix("btree_map = \"string, ") {
        Some(rest) => (Shape::Map, rest.split('"').next().ok_or_else(bad)?),
        None if attribute.contains(" repeated,") => (Shape::Many, attribute),
        None => (Shape::One, attribute),
    };
    let wire = wire.split([',', ' ']).next().unwrap_or_default().to_owned();
    let (name, ty) =
        declaration.strip_prefix("pub ").and_then(|rest| rest.split_once(':')).ok_or_else(bad)?;
    let path = ty.split(['<', '>', ',']).map(str::trim).rfind(|part| !part.is_empty()).ok_or_else(bad)?;
    let message = (wire == "message").then(|| resolve(module, path));
    Ok(Field { name: name.trim_start_matches("r#").to_owned(), number: number.parse()?, shape, wire, message })
}

/// `super::super::core::v1::Pod` seen from `api.apps.v1` → `api.core.v1.pod`.
fn resolve(module: &str, path: &str) -> String {
    let mut parts: Vec<&str> = module.split('.').collect();
    for step in path.split("::").filter(|step| !step.is_empty()) {
        match step {
            "super" => drop(parts.pop()),
            step => parts.push(step),
        }
    }
    parts.join(".").to_lowercase()
}

struct Writer<'a> {
    messages: BTreeMap<String, Message>,
    /// Schema names by the key of their message.
    names: BTreeMap<String, &'a str>,
    schemas: &'a Map<String, Value>,
    done: BTreeSet<String>,
    lines: BTreeMap<String, String>,
}

impl Writer<'_> {
    /// Writes the message of a schema and all that it leads to.
    fn message(&mut self, key: &str) -> Result<(), Box<dyn Error>> {
        if !self.done.insert(key.to_owned()) {
            return Ok(());
        }
        let schema = *self.names.get(key).ok_or_else(|| format!("message {key} has no schema"))?;
        let mut open = properties(&self.schemas[schema]);
        self.line(key, schema, short(schema), &mut open)?;
        let left: Vec<&String> = open.values().filter(|name| !NOT_IN_MESSAGES.contains(&name.as_str())).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{schema}: no field numbers for {left:?}").into()) }
    }

    /// Writes one line; `open` are the fields of the schema that have no number yet.
    fn line(
        &mut self,
        key: &str,
        schema: &str,
        name: String,
        open: &mut BTreeMap<String, String>,
    ) -> Result<(), Box<dyn Error>> {
        let message = self.messages.remove(key).ok_or_else(|| format!("{schema}: no message {key}"))?;
        let package = name.rsplit_once('.').map_or("", |(package, _)| package);
        let mut text = String::new();
        for field in &message.fields {
            let number = field.number;
            if let Some(json) = open.remove(&bare(&field.name)) {
                let mark = match field.shape {
                    Shape::One => "",
                    Shape::Many => "*",
                    Shape::Map => "%",
                };
                let ty = self.type_text(field, package)?;
                write!(text, " {json}:{number}{mark}{ty}")?;
            } else if let Some(inner) = field.message.as_ref().filter(|inner| self.is_embedded(inner, open)) {
                let outer = name.split('/').next().unwrap_or_default();
                let inner_name = format!("{outer}/{}", self.messages[inner].name);
                let inner_line = inner_name.rsplit('.').next().unwrap_or_default().to_owned();
                write!(text, " :{number}.{inner_line}")?;
                self.line(inner, schema, inner_name, open)?;
            } else {
                println!("left out, newer or older than the schemas: {name} {} {number}", field.name);
            }
        }
        self.lines.insert(name, text);
        self.messages.insert(format!("{}.{}", message.module, message.name).to_lowercase(), message);
        Ok(())
    }

    /// Whether the fields of a message stand in the schema around it.
    fn is_embedded(&self, key: &str, open: &BTreeMap<String, String>) -> bool {
        let fields = self.messages.get(key).map(|message| &message.fields);
        fields.is_some_and(|fields| {
            fields.iter().any(|field| {
                let inner = field.message.as_ref();
                open.contains_key(&bare(&field.name)) || inner.is_some_and(|inner| self.is_embedded(inner, open))
            })
        })
    }

    fn type_text(&mut self, field: &Field, package: &str) -> Result<String, Box<dyn Error>> {
        let Some(key) = &field.message else {
            return Ok(match field.wire.as_str() {
                "string" => "s",
                "int32" => "i",
                "int64" => "l",
                "bool" => "b",
                "double" => "d",
                "bytes" => "y",
                other => return Err(format!("{}: unknown type {other}", field.name).into()),
            }
            .to_owned());
        };
        let special = match key.rsplit('.').next().unwrap_or_default() {
            "quantity" => "q",
            "intorstring" => "o",
            "time" => "t",
            "microtime" => "m",
            "duration" => "u",
            "fieldsv1" | "rawextension" | "json" => "j",
            "extravalue" => "e",
            "jsonschemapropsorarray" => "A",
            "jsonschemapropsorbool" => "B",
            "jsonschemapropsorstringarray" => "S",
            _ => {
                self.message(key)?;
                let name = short(self.names[key]);
                let local = name.strip_prefix(package).and_then(|name| name.strip_prefix('.'));
                return Ok(format!(".{}", local.unwrap_or(&name)));
            }
        };
        Ok(special.to_owned())
    }
}

/// JSON names of a schema's fields by their bare names.
fn properties(schema: &Value) -> BTreeMap<String, String> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties.map(|(name, _)| (bare(name), name.clone())).collect()
}

/// What two spellings of a field have in common: `$ref` and `ref`, `clusterIPs` and `cluster_ips`.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `io.k8s.api.core.v1.Pod` → `api.core.v1.pod`.
fn key_of_schema(name: &str) -> String {
    name.trim_start_matches("io.k8s.").replace('-', "_").to_lowercase()
}

/// `io.k8s.api.core.v1.Pod` → `core.v1.Pod`.
fn short(schema: &str) -> String {
    let parts: Vec<&str> = schema.rsplitn(4, '.').take(3).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(".")
}
