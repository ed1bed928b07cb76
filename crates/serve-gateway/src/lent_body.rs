//! A request body that can be had back as long as nothing of it was sent.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// Holds a body between attempts to send it.
#[derive(Clone, Debug)]
pub(crate) struct Lender {
    body: Arc<Mutex<Option<Incoming>>>,
    /// Counts parts that were passed on, so that a slow upload can be told from a dead backend.
    progress: Arc<AtomicU64>,
    size: SizeHint,
    is_empty: bool,
}

/// The body, lent to one attempt; it is taken from the lender when the first part is asked for.
#[derive(Debug)]
pub(crate) struct LentBody {
    lender: Lender,
    taken: Option<Incoming>,
}

impl Lender {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            size: body.size_hint(),
            is_empty: body.is_end_stream(),
            body: Arc::new(Mutex::new(Some(body))),
            progress: Arc::default(),
        }
    }

    pub(crate) fn lend(&self) -> LentBody {
        LentBody { lender: self.clone(), taken: None }
    }

    /// Whether nothing of the body has been asked for.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How many parts were passed on.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }
}

impl Body for LentBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.taken = this.lender.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        // An attempt that lost the body to another is given up, and nobody reads its end.
        let Some(body) = &mut this.taken else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if frame.is_ready() {
            this.lender.progress.fetch_add(1, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.taken.as_ref().map_or(self.lender.is_empty, Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.taken.as_ref().map_or_else(|| self.lender.size, Body::size_hint)
    }
}
