//! `pods/NAME/log`: a container's output as text, as long as the client stays.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine_store::Status;
use futures_util::stream::unfold;
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use types::NamespacedName;

use crate::answer::{self, Answer};
use crate::query::Query;
use crate::runtime::{ByteReader, LogRequest, PodRuntime};

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
    Ok(LogRequest {
        container: super::container(pod, query.get("container"))?,
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: query.number("tailLines")?,
        since_seconds: query.number("sinceSeconds")?,
        since_time: query.get("sinceTime").filter(|time| !time.is_empty()).map(str::to_owned),
        limit_bytes: query.number("limitBytes")?,
    })
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
