//! Lists on their way to clients: written piece by piece as they are read, and taken back from who reads too slowly.
//!
//! What a list holds on to is one reference per object; an object that has changed since lives on only for it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use engine_store::{List, Stored};
use futures_util::Stream;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio_util::sync::DropGuard;

use crate::answer::{self, Answer};
use crate::negotiate::JSON;
use crate::present::partial_metadata;

/// Text made at a time.
const CHUNK: usize = 64 * 1024;
/// How long a client may take to read a list (apiserver `--request-timeout`).
const READ_LIMIT: Duration = Duration::from_secs(60);

/// What of each item is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Items {
    /// The objects.
    Whole,
    /// Their metadata.
    Metadata,
}

/// A list that is being read; nothing once it was taken back.
type Shelf = Arc<Mutex<Option<List>>>;

/// Where a reader is.
struct Reader {
    shelf: Shelf,
    items: Items,
    place: Place,
    /// Ends the watch over the reader when it is dropped.
    _watched: DropGuard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Opening,
    Item(usize),
    End,
}

/// Answers with a list: at once where it is short.
pub(crate) fn answer(list: List, items: Items) -> Answer {
    let mut place = Place::Opening;
    let first = chunk(&list, items, &mut place);
    if place == Place::End {
        return answer::full(http::StatusCode::OK, JSON, first);
    }
    let shelf = Arc::new(Mutex::new(Some(list)));
    let watched = take_back_after(READ_LIMIT, Arc::clone(&shelf));
    let reader = Reader { shelf, items, place, _watched: watched };
    answer::body(JSON, StreamBody::new(frames(first, reader)).boxed_unsync())
}

fn frames(first: Bytes, reader: Reader) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    unfold((Some(first), Some(reader)), |(first, reader)| async move {
        if let Some(first) = first {
            return Some((Ok(Frame::data(first)), (None, reader)));
        }
        let mut reader = reader?;
        match reader.next()? {
            Ok(text) => Some((Ok(Frame::data(text)), (None, Some(reader)))),
            Err(error) => Some((Err(error), (None, None))),
        }
    })
}

impl Reader {
    /// The next piece; none at the end, an error when the list is gone.
    fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.place == Place::End {
            return None;
        }
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = || io::Error::new(io::ErrorKind::TimedOut, "the client took too long to read the list");
        Some(shelf.as_ref().ok_or_else(gone).map(|list| chunk(list, self.items, &mut self.place)))
    }
}

/// Empties the shelf after a while, unless the guard is dropped before.
///
/// The reader itself cannot: while its client does not read, nobody asks it for more.
fn take_back_after(limit: Duration, shelf: Shelf) -> DropGuard {
    let ended = tokio_util::sync::CancellationToken::new();
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        if tokio::time::timeout(limit, ended.cancelled()).await.is_err() {
            *shelf.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    });
    guard
}

/// The text from a place on, as much as makes a chunk; the place moves on.
fn chunk(list: &List, items: Items, place: &mut Place) -> Bytes {
    let mut text = BytesMut::new();
    if *place == Place::Opening {
        text.put_slice(opening(list, items).as_bytes());
        *place = Place::Item(0);
    }
    while let Place::Item(number) = *place {
        let Some(item) = list.items.get(number) else {
            text.put_slice(b"]}");
            *place = Place::End;
            break;
        };
        if text.len() >= CHUNK {
            break;
        }
        if number > 0 {
            text.put_u8(b',');
        }
        put_item(&mut text, list, item, items);
        *place = Place::Item(number + 1);
    }
    text.freeze()
}

fn opening(list: &List, items: Items) -> String {
    match items {
        Items::Whole => list.opening(),
        Items::Metadata => {
            let (kind, metadata) = ("PartialObjectMetadataList", list.metadata());
            format!(
                "{{\"kind\":\"{kind}\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":{metadata},\"items\":["
            )
        }
    }
}

fn put_item(text: &mut BytesMut, list: &List, item: &Stored, items: Items) {
    match items {
        Items::Whole => list.item_text(item).iter().for_each(|piece| text.put_slice(piece.as_bytes())),
        Items::Metadata => {
            partial_metadata(item.metadata()).iter().for_each(|piece| text.put_slice(piece.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests;
