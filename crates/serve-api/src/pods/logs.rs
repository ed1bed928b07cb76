//! `pods/NAME/log`: a container's output as text, as long as the client stays.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine_store::{Cause, Status};
use futures_util::stream::unfold;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use types::NamespacedName;

use crate::answer::{self, Answer};
use crate::query::Query;
use crate::runtime::{ByteReader, LogRequest, LogSource, PodRuntime};

/// Size of the pieces a log is sent in.
const CHUNK: usize = 16 * 1024;

/// Answers a request for the log of `pod`, which is the object of that `name`.
pub(crate) async fn logs(
    runtime: &Arc<dyn PodRuntime>,
    name: NamespacedName,
    pod: &Value,
    query: &Query,
    closing: CancellationToken,
) -> Result<Answer, Status> {
    let request = request(pod, query)?;
    let log = runtime.logs(name, request).await?;
    Ok(answer::stream("text/plain", chunks(log.output, closing)))
}

fn request(pod: &Value, query: &Query) -> Result<LogRequest, Status> {
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let causes = problems(query);
    if !causes.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", name, causes));
    }
    Ok(LogRequest {
        container: super::container(pod, query.get("container"))?,
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: query.number("tailLines")?,
        since_seconds: query.number("sinceSeconds")?,
        since_time: given(query, "sinceTime").map(str::to_owned),
        limit_bytes: query.number("limitBytes")?,
        source: match given(query, "stream") {
            Some("Stdout") => LogSource::Stdout,
            Some("Stderr") => LogSource::Stderr,
            _ => LogSource::All,
        },
    })
}

fn given<'a>(query: &'a Query, name: &str) -> Option<&'a str> {
    query.get(name).filter(|text| !text.is_empty())
}

/// What upstream's `ValidatePodLogOptions` finds wrong, in its words.
fn problems(query: &Query) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut problem = |reason, field: &str, message: String| {
        causes.push(Cause { reason, field: field.to_owned(), message });
    };
    let least = [
        ("tailLines", 0, "must be greater than or equal to 0"),
        ("limitBytes", 1, "must be greater than 0"),
        ("sinceSeconds", 1, "must be greater than 0"),
    ];
    for (name, least, text) in least {
        let number = given(query, name).and_then(|text| text.parse::<i64>().ok());
        if let Some(number) = number.filter(|number| *number < least) {
            problem("FieldValueInvalid", name, format!("Invalid value: {number}: {text}"));
        }
    }
    if given(query, "sinceSeconds").is_some() && given(query, "sinceTime").is_some() {
        let text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        problem("FieldValueForbidden", "", text.to_owned());
    }
    match given(query, "stream") {
        None | Some("All") => {}
        Some("Stdout" | "Stderr") if given(query, "tailLines").is_some() => {
            let text = "Forbidden: `tailLines` and specific `stream` are mutually exclusive for now";
            problem("FieldValueForbidden", "", text.to_owned());
        }
        Some("Stdout" | "Stderr") => {}
        Some(other) => {
            let text =
                format!("Unsupported value: \"{other}\": supported values: \"All\", \"Stderr\", \"Stdout\"");
            problem("FieldValueNotSupported", "stream", text);
        }
    }
    causes
}

fn chunks(
    output: ByteReader,
    closing: CancellationToken,
) -> impl futures_util::Stream<Item = Bytes> + Send + 'static {
    unfold((output, closing), |(mut output, closing)| async move {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        let read = tokio::select! {
            () = closing.cancelled() => return None,
            read = output.read_buf(&mut buffer) => read,
        };
        match read {
            Ok(0) => None,
            Ok(_) => Some((buffer.freeze(), (output, closing))),
            Err(error) => {
                tracing::warn!(%error, "reading a container's log failed");
                None
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_checked_in_upstreams_words() {
        let pod =
            json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "a"}]}});
        let read = |text| request(&pod, &Query::parse(text)).map_err(|status| (status.code, status.message));
        assert_eq!(read("stream=Stderr&limitBytes=5").unwrap().source, LogSource::Stderr);
        assert_eq!(read("tailLines=0").unwrap().tail_lines, Some(0));
        let wrong = [
            ("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0"),
            ("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0"),
            ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", "at most one of `sinceTime` or `sinceSeconds`"),
            ("stream=Both", "stream: Unsupported value: \"Both\""),
            ("stream=Stdout&tailLines=1", "mutually exclusive"),
        ];
        for (text, expected) in wrong {
            let (code, message) = read(text).unwrap_err();
            assert_eq!(code, 422, "{text}");
            assert!(message.starts_with("PodLogOptions \"p\" is invalid: "), "{message}");
            assert!(message.contains(expected), "{message}");
        }
    }
}
