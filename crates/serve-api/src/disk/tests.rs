//! Cuts of power at every step of many commits.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

use super::*;

/// What was done to a disk, in order.
#[derive(Clone, Debug)]
enum Step {
    Write(usize, Vec<u8>),
    Length(usize),
    Sync,
    Acknowledged,
}

/// A disk in memory that notes every step.
#[derive(Clone, Debug, Default)]
struct Noted(Arc<Mutex<(Vec<u8>, Vec<Step>)>>);

impl Noted {
    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new((bytes, Vec::new()))))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<u8>, &mut Vec<Step>) -> T) -> T {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, steps) = &mut *state;
        act(bytes, steps)
    }

    fn note(&self, step: Step) {
        self.with(|bytes, steps| {
            apply(bytes, &step);
            steps.push(step);
        });
    }
}

impl StorageBackend for Noted {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.with(|bytes, _| bytes.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let begin = usize::try_from(offset).unwrap();
        self.with(|bytes, _| {
            let part = bytes.get(begin..begin + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(part);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.note(Step::Length(usize::try_from(length).unwrap()));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.note(Step::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.note(Step::Write(usize::try_from(offset).unwrap(), data.to_vec()));
        Ok(())
    }
}

fn apply(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::Write(at, data) => bytes[*at..*at + data.len()].copy_from_slice(data),
        Step::Length(length) => bytes.resize(*length, 0),
        Step::Sync | Step::Acknowledged => {}
    }
}

/// Numbers that are the same in every run.
struct Draws(u64);

impl Draws {
    /// A number below the limit (Knuth's MMIX generator).
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// What a disk may hold when the power goes after some steps: all that was synced, and of what came after it any
/// part; the last write may be torn between two sectors.
fn cut(steps: &[Step], draws: &mut Draws) -> Vec<u8> {
    const SECTOR: usize = 512;
    let synced = steps.iter().rposition(|step| matches!(step, Step::Sync)).unwrap_or(0);
    let mut bytes = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Write(at, data) if number > synced => match draws.below(3) {
                0 => {}
                1 => apply(&mut bytes, step),
                _ => {
                    let torn = draws.below(data.len() / SECTOR + 1) * SECTOR;
                    apply(&mut bytes, &Step::Write(*at, data[..torn].to_vec()));
                }
            },
            step => apply(&mut bytes, step),
        }
    }
    bytes
}

type Contents = (u64, BTreeMap<String, Record>);

fn contents(database: &Database) -> Option<Contents> {
    match read(database) {
        Ok(found) => found.map(|(revision, records)| {
            (revision, records.into_iter().map(|record| (record.key.clone(), record)).collect())
        }),
        Err(Unreadable::Database(error)) => panic!("{error}"),
        Err(Unreadable::Content(reason)) => panic!("{reason}"),
    }
}

/// Changes as a store makes them: objects of many sizes come, change and go.
fn changes(count: usize, draws: &mut Draws) -> Vec<Record> {
    let record = |number: usize, draws: &mut Draws| {
        let (name, size) = (draws.below(12), draws.below(9000));
        let text = format!(
            "{{\"revision\":{number},\"group\":\"\",\"resource\":\"configmaps\",\"deleted\":false,\"object\":\
             {{\"metadata\":{{\"name\":\"m{name}\"}},\"data\":{{\"k\":\"{}\"}}}}}}",
            "v".repeat(size)
        );
        let mut record = Record::parse(&format!("default/m{name}"), &text).unwrap();
        if draws.below(4) == 0 {
            record.object = None;
        }
        record
    };
    (1..=count).map(|number| record(number, draws)).collect()
}

/// After every single step of many commits the power goes: what was acknowledged is there, what was not is there
/// whole or not at all.
#[test]
fn no_cut_loses_what_was_acknowledged() {
    let mut draws = Draws(11);
    let disk = Noted::default();
    let database = Database::builder().create_with_backend(disk.clone()).unwrap();
    make_tables(&database).unwrap();
    let begin = disk.with(|_, steps| steps.len());
    let mut states: Vec<Option<Contents>> = vec![contents(&database)];
    for (number, change) in changes(30, &mut draws).into_iter().enumerate() {
        writer::commit(&database, &[change], number as u64 + 2).unwrap();
        disk.note(Step::Acknowledged);
        states.push(contents(&database));
    }
    let steps = disk.with(|_, steps| steps.clone());
    drop(database);
    for end in begin..steps.len() {
        let steps = &steps[..end];
        let acknowledged = steps.iter().filter(|step| matches!(step, Step::Acknowledged)).count();
        let left = Noted::holding(cut(steps, &mut draws));
        let database = Database::builder().create_with_backend(left).unwrap();
        let found = contents(&database);
        let is_next = states.get(acknowledged + 1).is_some_and(|next| *next == found);
        assert!(
            is_next || found == states[acknowledged],
            "cut after {end} steps, {acknowledged} acknowledged"
        );
    }
}
