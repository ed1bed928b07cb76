//! The thread that commits: what is queued goes into one transaction, and what failed goes into the next.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use engine_store::Record;
use redb::Database;
use tokio::sync::watch;

use super::{Batch, META, OBJECTS, REVISION, open_when_free};

/// The database as its thread holds it. After a failure it is opened anew, and what could not be kept goes into the
/// next commit: the store in memory has these changes already.
pub(super) struct Writer {
    path: PathBuf,
    database: Option<Database>,
    owed: Vec<Record>,
    revision: u64,
    failing: Arc<AtomicBool>,
}

impl Writer {
    pub(super) fn new(path: PathBuf, database: Database, failing: Arc<AtomicBool>) -> Self {
        Self { path, database: Some(database), owed: Vec::new(), revision: 0, failing }
    }

    /// Takes what is queued, commits it in one transaction, and says so to everyone who waits.
    pub(super) fn run(mut self, inbox: &Receiver<Batch>, announce: &watch::Sender<u64>) {
        while let Ok(first) = inbox.recv() {
            let mut waiting = Vec::new();
            for batch in std::iter::once(first).chain(inbox.try_iter()) {
                self.owed.extend(batch.records);
                self.revision = self.revision.max(batch.revision);
                waiting.push(batch.done);
            }
            let outcome = self.commit().map_err(|error| {
                tracing::error!(path = %self.path.display(), %error, "cannot keep the API's objects");
                format!("cannot write to {}: {error}", self.path.display())
            });
            self.failing.store(outcome.is_err(), Ordering::Release);
            if outcome.is_ok() {
                announce.send_modify(|revision| *revision = self.revision.max(*revision));
            }
            for done in waiting {
                // Nobody waits for a client that has left.
                let _ = done.send(outcome.clone());
            }
        }
    }

    fn commit(&mut self) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_when_free(&self.path)?,
        };
        commit(&database, &self.owed, self.revision)?;
        self.owed.clear();
        self.database = Some(database);
        Ok(())
    }
}

/// Keeps changes and the revision they lead to; they are on the disk when this returns.
pub(super) fn commit(database: &Database, records: &[Record], revision: u64) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut objects = transaction.open_table(OBJECTS)?;
        for record in records {
            let key = format!("{}/{}/{}", record.group, record.resource, record.key);
            match record.to_json() {
                None => objects.remove(key.as_str())?,
                Some(text) => objects.insert(key.as_str(), text.as_bytes())?,
            };
        }
        transaction.open_table(META)?.insert(REVISION, revision)?;
    }
    transaction.commit()?;
    Ok(())
}
