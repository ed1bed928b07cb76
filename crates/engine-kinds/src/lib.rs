//! What a kind of the Kubernetes API is: its names and rules, defaults, validation, table cells, error answers.
//!
//! A built-in kind is a row of data ([`Row`]); a custom one is read from its definition ([`CustomForm`]). Which objects
//! there are, and how they change, is `engine-store`'s.

mod age;
mod autoscaler;
mod columns;
mod cron_schedule;
mod defaults;
mod events;
mod kind;
mod kinds;
mod label_selector;
pub mod object;
mod part;
mod row;
mod selector_text;
mod status;
mod time_zone;
mod validate;

pub use age::{age_of, human_duration};
pub use cron_schedule::CronSchedule;
pub use kind::{
    CustomForm, FieldValue, Form, Header, Kind, SCALE_SCHEMA, ScalePaths, VERBS, plain_cells, plain_columns,
};
pub use kinds::built_in;
pub use label_selector::selects;
pub use part::Part;
pub use row::{Column, DeleteAnswer, Generation, NameRule, Row, Selectable, Spoken, Subresource, Text, View};
pub use selector_text::selector_text;
pub use status::{Cause, Details, Status, deleted};
pub use time_zone::time_zone_named;
pub use validate::{Findings, name_problems, new_object, service_addresses, update};
