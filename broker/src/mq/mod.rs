//! Durable topics: what is published is kept until every group has settled it.
//!
//! ```text
//!  folder     opens the store when it is first needed           names  settings  refusal   rules of what may be asked
//!  topic      takes messages, gives them up                     message  dead_letter       a message as it is stored
//!  dispatcher hands a topic's messages to a group's members     schedule                   messages that are not due yet
//!  group      what was handed over, and what became of it (pure)           report    all of it, for who scrapes
//! ```
//! Invariant: nothing here knows a frame, and nothing in `relay/` knows a topic; both meet in `services/`.

mod by_name;
mod clock;
mod dead_letter;
mod dispatcher;
mod filter;
mod folder;
mod group;
mod message;
mod names;
mod queues;
mod redrive;
mod refusal;
mod report;
mod schedule;
mod settings;
mod shared;
mod topic;

pub(crate) use dispatcher::{Ack, Dispatcher, Member, Settling};
pub(crate) use folder::Folder;
pub(crate) use message::Content;
pub(crate) use queues::Queues;
pub(crate) use refusal::{code, invalid_options, typed};
pub(crate) use topic::{Coming, Incoming, Spare, Stored, Together, Topic};
