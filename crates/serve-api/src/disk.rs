//! Keeps the store on disk: every change in one database, committed before it is acknowledged.
//!
//! A thread of its own writes; changes that arrive while it writes go into the next transaction together.

mod writer;

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine_store::{Record, Store, StoreConfig};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use tokio::sync::{oneshot, watch};

use self::writer::Writer;
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
const CACHE: usize = 4 * 1024 * 1024;

/// The database and the thread that writes it.
pub(crate) struct Disk {
    batches: Option<Sender<Batch>>,
    writer: Option<JoinHandle<()>>,
    failing: Arc<AtomicBool>,
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
        let failed = |source| ApiServerError::Database { path: path.clone(), source: Box::new(source) };
        make_if_missing(directory, &path).map_err(failed)?;
        let database = open_when_free(&path).map_err(|error| failed(error.into()))?;
        let store = restore(&database, config, &path).map_err(|error| match error {
            Unreadable::Database(source) => failed(source),
            Unreadable::Content(reason) => ApiServerError::Restore { path: path.clone(), reason },
        })?;
        let (batches, inbox) = channel();
        let failing = Arc::new(AtomicBool::new(false));
        let writer = Writer::new(path, database, Arc::clone(&failing));
        let writer = std::thread::Builder::new()
            .name("api-disk".to_owned())
            .spawn(move || writer.run(&inbox, &announce))
            .map_err(|source| ApiServerError::File {
                action: "start the writer of",
                path: directory.to_owned(),
                source,
            })?;
        Ok((store, Self { batches: Some(batches), writer: Some(writer), failing }))
    }

    /// Where the last commit failed, another try at what it left; writes wait for it, so that no more is changed in
    /// memory than the disk can take.
    pub(crate) fn retry(&self) -> Option<Pending> {
        self.failing.load(Ordering::Acquire).then(|| self.keep(Vec::new(), 0))
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

/// Makes a new database under another name first: one that is half made, because the process was killed, could
/// never be opened again.
fn make_if_missing(directory: &Path, path: &Path) -> Result<(), redb::Error> {
    let directory = File::open(directory)?;
    // Of two servers that start at the same moment, one makes it.
    directory.lock()?;
    if std::fs::metadata(path).is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let part = path.with_added_extension("part");
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&part)?;
    let database = Database::builder().create_file(file)?;
    make_tables(&database)?;
    drop(database);
    std::fs::rename(&part, path)?;
    Ok(directory.sync_all()?)
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
    match format(database)? {
        None => make_tables(database)?,
        Some(FORMAT_VERSION) => {}
        // Looked at before anything else: what the tables of another format hold is unknown.
        Some(other) => {
            return Err(Unreadable::Content(format!(
                "it has format {other}, this version reads {FORMAT_VERSION}"
            )));
        }
    }
    let Some((revision, mut records)) = read(database)? else { return Ok(Store::new(config)) };
    tracing::info!(path = %path.display(), objects = records.len(), revision, "restored the API's objects");
    records.push(Record::of_revision(revision.saturating_add(RESTART_GAP)));
    Store::restore(config, records.into_iter()).map_err(|error| Unreadable::Content(error.to_string()))
}

/// The last revision and everything that is kept; none before the first commit.
fn read(database: &Database) -> Result<Option<(u64, Vec<Record>)>, Unreadable> {
    let transaction = database.begin_read()?;
    let revision = transaction.open_table(META)?.get(REVISION)?.map(|value| value.value());
    let Some(revision) = revision else { return Ok(None) };
    let mut records = Vec::new();
    for entry in transaction.open_table(OBJECTS)?.iter()? {
        let (address, value) = entry?;
        records.push(read_record(address.value(), value.value()).map_err(Unreadable::Content)?);
    }
    Ok(Some((revision, records)))
}

/// The format of the tables; none in a new database.
fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        table => Ok(table?.get(FORMAT)?.map(|value| value.value())),
    }
}

fn make_tables(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(OBJECTS)?;
    transaction.open_table(META)?.insert(FORMAT, FORMAT_VERSION)?;
    transaction.commit()?;
    Ok(())
}

fn read_record(address: &str, value: &[u8]) -> Result<Record, String> {
    let key = address.splitn(3, '/').nth(2).ok_or_else(|| format!("{address} names no object"))?;
    let text = std::str::from_utf8(value).map_err(|error| format!("{address}: {error}"))?;
    Record::parse(key, text).map_err(|error| format!("{address}: {error}"))
}
