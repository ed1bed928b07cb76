//! The query of a request: percent-decoding and the parameters every verb shares.

use engine_store::{Cause, FieldValidation, IncludeObject, ListOptions, Status, WatchOptions, WriteOptions};

/// Longest field manager name (apimachinery `FieldManagerMaxLength`).
const FIELD_MANAGER_MAX: usize = 128;

/// The parameters of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`; empty parts are skipped, as kube-rs sends `?&limit=1`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|part| !part.is_empty()).map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name, Plus::IsSpace), decode(value, Plus::IsSpace))
        });
        Self(pairs.collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    /// A flag as apimachinery reads it: present means true, unless the value is `false` or `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    fn optional_flag(&self, name: &str) -> Option<bool> {
        self.get(name).map(|value| value != "false" && value != "0")
    }

    /// A number; 400 when it is none.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!(
                    "invalid value for {name}: \"{text}\" is not a non-negative integer"
                ))
            }),
        }
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).filter(|value| !value.is_empty()).map(str::to_owned)
    }

    /// The parameters of a list.
    pub(crate) fn list_options(&self) -> Result<ListOptions, Status> {
        if self.text("sendInitialEvents").is_some() {
            let why = "Forbidden: sendInitialEvents is forbidden for list";
            return Err(option_error("ListOptions", "sendInitialEvents", "FieldValueForbidden", why));
        }
        Ok(ListOptions {
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            limit: self.number("limit")?,
            continue_token: self.text("continue"),
            resource_version: self.text("resourceVersion"),
            resource_version_match: self.text("resourceVersionMatch"),
        })
    }

    /// The parameters of a watch.
    pub(crate) fn watch_options(&self) -> WatchOptions {
        WatchOptions {
            label_selector: self.text("labelSelector"),
            field_selector: self.text("fieldSelector"),
            resource_version: self.text("resourceVersion"),
            resource_version_match: self.text("resourceVersionMatch"),
            allow_bookmarks: self.flag("allowWatchBookmarks"),
            send_initial_events: self.optional_flag("sendInitialEvents"),
        }
    }

    /// The parameters of a write; the manager defaults to the client's program name.
    pub(crate) fn write_options(&self, user_agent: &str) -> Result<WriteOptions, Status> {
        let dry_run = self.all("dryRun");
        if let Some(other) = dry_run.iter().find(|stage| *stage != "All") {
            return Err(Status::bad_request(format!(
                "dryRun: Unsupported value: \"{other}\": supported values: \"All\""
            )));
        }
        Ok(WriteOptions {
            dry_run: !dry_run.is_empty(),
            field_manager: self.field_manager(user_agent)?,
            field_validation: match self.get("fieldValidation") {
                None | Some("" | "Warn") => FieldValidation::Warn,
                Some("Strict") => FieldValidation::Strict,
                Some("Ignore") => FieldValidation::Ignore,
                Some(other) => {
                    return Err(Status::bad_request(format!(
                        "fieldValidation: Unsupported value: \"{other}\": supported values: \"Ignore\", \"Strict\", \"Warn\""
                    )));
                }
            },
            force: self.flag("force"),
            duplicates: Vec::new(),
        })
    }

    fn field_manager(&self, user_agent: &str) -> Result<String, Status> {
        match self.get("fieldManager") {
            None | Some("") => {
                let program = user_agent.split('/').next().unwrap_or_default();
                Ok(program.chars().filter(|letter| !letter.is_control()).take(FIELD_MANAGER_MAX).collect())
            }
            Some(name) if name.len() > FIELD_MANAGER_MAX || name.chars().any(char::is_control) => {
                Err(Status::bad_request(format!(
                    "fieldManager: Invalid value: at most {FIELD_MANAGER_MAX} printable characters are allowed"
                )))
            }
            Some(name) => Ok(name.to_owned()),
        }
    }

    /// How much of each object a table carries.
    pub(crate) fn include_object(&self) -> Result<IncludeObject, Status> {
        match self.get("includeObject") {
            None | Some("" | "Metadata") => Ok(IncludeObject::Metadata),
            Some("Object") => Ok(IncludeObject::Object),
            Some("None") => Ok(IncludeObject::None),
            Some(other) => Err(Status::bad_request(format!(
                "includeObject: Invalid value: \"{other}\": must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// 422 about a parameter (upstream: apimachinery `apis/meta/v1/validation` and `internalversion/validation`).
pub(crate) fn option_error(options: &str, field: &str, reason: &'static str, message: &str) -> Status {
    let cause = Cause { reason, message: message.to_owned(), field: field.to_owned() };
    Status::invalid("meta.k8s.io", options, "", vec![cause])
}

/// What a plus sign stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// A space, as in queries.
    IsSpace,
    /// Itself, as in paths.
    IsPlus,
}

/// Undoes percent-encoding; what is not valid stays as it stands.
pub(crate) fn decode(text: &str, plus: Plus) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match (bytes[at], escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 3;
                continue;
            }
            (b'+', None) if plus == Plus::IsSpace => out.push(b' '),
            (byte, None) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query =
            Query::parse("&labelSelector=a%3Db%2Cc+in+%28d%29&command=sh&command=-c&watch&limit=5&x=%zz");
        assert_eq!(query.get("labelSelector"), Some("a=b,c in (d)"));
        assert_eq!(query.all("command"), ["sh", "-c"]);
        assert!(query.flag("watch"));
        assert!(!query.flag("follow"));
        assert_eq!(query.list_options().unwrap().limit, Some(5));
        assert_eq!(query.get("x"), Some("%zz"));
        assert!(!Query::parse("watch=0").flag("watch"));
    }

    #[test]
    fn the_manager_defaults_to_the_program() {
        let options = Query::parse("dryRun=All").write_options("helm/4.1 (linux)").unwrap();
        assert!(options.dry_run);
        assert_eq!(options.field_manager, "helm");
        assert_eq!(Query::parse("fieldManager=me").write_options("x").unwrap().field_manager, "me");
    }

    #[test]
    fn unknown_values_are_refused() {
        for text in ["dryRun=Some", "fieldValidation=Maybe", "fieldManager=a%0Ab"] {
            assert_eq!(Query::parse(text).write_options("x").unwrap_err().code, 400, "{text}");
        }
        assert_eq!(Query::parse("limit=-1").list_options().unwrap_err().code, 400);
        assert_eq!(
            Query::parse("sendInitialEvents=true").list_options().unwrap_err().message,
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"
        );
    }
}
