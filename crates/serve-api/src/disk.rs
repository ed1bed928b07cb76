//! Keeps the store on disk: every change in one database, committed before it is acknowledged.
//!
//! A thread of its own writes; changes that arrive while it writes go into the next transaction together.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine_store::{Record, Store, StoreConfig};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition};
use tokio::sync::{oneshot, watch};

use crate::error::ApiServerError;

/// `group/resource/namespace/name` to the record that wrote the object.
const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
/// `revision` to the last one committed.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const REVISION: &str = "revision";
const FORMAT: &str = "format";
/// Raised when the tables change their meaning.
const FORMAT_VERSION: u64 = 1;

/// How far the revision jumps at a restart. A watch may have shown changes that never reached the disk;
/// their revisions must not come to mean something else.
const RESTART_GAP: u64 = 100_000;

/// How long to wait for another server to let go of the database, and how often to look.
const LOCK_LIMIT: Duration = Duration::from_secs(3);
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// Memory for pages of the database, in bytes. Objects are read at the start only, so more would hold them twice.
const CACHE: usize = 16 * 1024 * 1024;

/// The database and the thread that writes it.
pub(crate) struct Disk {
    batches: Option<Sender<Batch>>,
    writer: Option<JoinHandle<()>>,
}

struct Batch {
    records: Vec<Record>,
    revision: u64,
    done: oneshot::Sender<Result<(), String>>,
}

/// A change on its way to the disk.
pub(crate) struct Pending(oneshot::Receiver<Result<(), String>>);

impl Pending {
    /// Waits until it has arrived.
    pub(crate) async fn done(self) -> Result<(), String> {
        self.0.await.unwrap_or_else(|_| Err("the disk writer has stopped".to_owned()))
    }
}

impl Disk {
    /// Opens the database, restores the store from it, and starts the writer, which announces every
    /// revision that has reached the disk.
    pub(crate) fn open(
        directory: &Path,
        config: StoreConfig,
        announce: watch::Sender<u64>,
    ) -> Result<(Store, Self), ApiServerError> {
        // Nobody else's business: Secrets are in there.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| {
            ApiServerError::File { action: "create", path: directory.to_owned(), source }
        })?;
        let path = directory.join("objects.redb");
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(|source| ApiServerError::File { action: "create", path: path.clone(), source })?;
        let failed = |source| ApiServerError::Database { path: path.clone(), source: Box::new(source) };
        let database = open_when_free(&path).map_err(|error| failed(error.into()))?;
        let store = restore(&database, config, &path).map_err(|error| match error {
            Unreadable::Database(source) => failed(source),
            Unreadable::Content(reason) => ApiServerError::Restore { path: path.clone(), reason },
        })?;
        let (batches, inbox) = channel();
        let writer = std::thread::Builder::new()
            .name("api-disk".to_owned())
            .spawn(move || write_batches(&database, &inbox, &announce, &path))
            .map_err(|source| ApiServerError::File {
                action: "start the writer of",
                path: directory.to_owned(),
                source,
            })?;
        Ok((store, Self { batches: Some(batches), writer: Some(writer) }))
    }

    /// Queues changes. Must be called in the order of their revisions: under the store's lock.
    pub(crate) fn keep(&self, records: Vec<Record>, revision: u64) -> Pending {
        let (done, receiver) = oneshot::channel();
        if let Some(batches) = &self.batches {
            // A writer that is gone drops the sender, which the receiver reports.
            let _ = batches.send(Batch { records, revision, done });
        }
        Pending(receiver)
    }
}

impl Drop for Disk {
    /// Lets the writer finish what is queued, so that the database is closed when this returns.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Opens the database; a server that was killed a moment ago may still hold it while the kernel takes it down.
fn open_when_free(path: &Path) -> Result<Database, DatabaseError> {
    let deadline = Instant::now() + LOCK_LIMIT;
    loop {
        match Database::builder().set_cache_size(CACHE).create(path) {
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < deadline => {
                std::thread::sleep(LOCK_LOOK);
            }
            other => return other,
        }
    }
}

/// Why a database gives no store.
enum Unreadable {
    Database(redb::Error),
    Content(String),
}

impl<E: Into<redb::Error>> From<E> for Unreadable {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

fn restore(database: &Database, config: StoreConfig, path: &Path) -> Result<Store, Unreadable> {
    // Makes the tables of a new database.
    let begin = database.begin_write()?;
    begin.open_table(OBJECTS)?;
    let format = {
        let mut meta = begin.open_table(META)?;
        let format = meta.get(FORMAT)?.map(|value| value.value());
        if format.is_none() {
            meta.insert(FORMAT, FORMAT_VERSION)?;
        }
        format.unwrap_or(FORMAT_VERSION)
    };
    begin.commit()?;
    if format != FORMAT_VERSION {
        return Err(Unreadable::Content(format!(
            "it has format {format}, this version reads {FORMAT_VERSION}"
        )));
    }
    let transaction = database.begin_read()?;
    let revision = transaction.open_table(META)?.get(REVISION)?.map(|value| value.value());
    let Some(revision) = revision else { return Ok(Store::new(config)) };
    let mut records = Vec::new();
    for entry in transaction.open_table(OBJECTS)?.iter()? {
        let (key, value) = entry?;
        let record = Record::parse(value.value())
            .map_err(|error| Unreadable::Content(format!("{}: {error}", key.value())))?;
        records.push(record);
    }
    tracing::info!(path = %path.display(), objects = records.len(), revision, "restored the API's objects");
    records.push(Record::of_revision(revision.saturating_add(RESTART_GAP)));
    Store::restore(config, records.into_iter()).map_err(|error| Unreadable::Content(error.to_string()))
}

/// The writer: takes what is queued, commits it in one transaction, and says so to everyone who waits.
fn write_batches(database: &Database, inbox: &Receiver<Batch>, announce: &watch::Sender<u64>, path: &Path) {
    while let Ok(first) = inbox.recv() {
        let batches: Vec<Batch> = std::iter::once(first).chain(inbox.try_iter()).collect();
        let outcome = commit(database, &batches).map_err(|error| {
            tracing::error!(path = %path.display(), %error, "cannot keep the API's objects");
            format!("cannot write to {}: {error}", path.display())
        });
        for batch in batches {
            if outcome.is_ok() {
                announce.send_modify(|revision| *revision = batch.revision.max(*revision));
            }
            // Nobody waits for a client that has left.
            let _ = batch.done.send(outcome.clone());
        }
    }
}

fn commit(database: &Database, batches: &[Batch]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for record in batches.iter().flat_map(|batch| &batch.records) {
            let key = format!("{}/{}/{}", record.group, record.resource, record.key);
            match record.to_json() {
                None => objects.remove(key.as_str())?,
                Some(text) => objects.insert(key.as_str(), text.as_bytes())?,
            };
        }
        let last = batches.iter().map(|batch| batch.revision).max().unwrap_or_default();
        transaction.open_table(META)?.insert(REVISION, last)?;
    }
    transaction.commit()?;
    Ok(())
}
