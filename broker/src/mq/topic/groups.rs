//! The groups of a topic: made by their first use, changed, sent elsewhere, deleted.

use super::Topic;
use crate::mq::dispatcher::Dispatcher;
use crate::mq::filter::Filter;
use crate::mq::settings::{self, GroupRest};
use crate::mq::{names, refusal};
use crate::store::{GroupId, Offset, Op};
use std::sync::Arc;
use towline_service_api::builtin::{ConsumeOptions, GroupMode, QueueError, Start};

impl Topic {
    /// A group of these options, which is made if it is not there: then it starts where they say, as of now.
    ///
    /// # Errors
    /// `group-differs`, `invalid-name`, `invalid-filter`, `invalid-offset`, `mode-differs`, or what the store says.
    pub(crate) async fn ensure_group(&self, name: &str, asked: &ConsumeOptions) -> Result<Arc<Dispatcher>, QueueError> {
        names::check_group(name)?;
        self.check_options(name, asked)?;
        // Where it starts is fixed by when it was asked for, whoever is before it at the store.
        let head = self.intake.lock().head;
        let found = self.groups.read().get(name).cloned();
        if let Some(group) = found {
            return self.check_group(group, asked);
        }
        let _one = self.creating.lock().await;
        let found = self.groups.read().get(name).cloned();
        if let Some(group) = found {
            return self.check_group(group, asked);
        }
        self.check_alive()?;
        let start = self.start(asked.start.as_ref().unwrap_or(&Start::Latest), head).await?;
        let rest = GroupRest { name: name.to_owned(), options: settings::group_filled(asked) };
        let group = GroupId(self.shared.store.fresh_id());
        let settings = serde_json::to_vec(&rest).unwrap_or_default().into();
        self.commit(vec![Op::PutGroup { topic: self.id, group, settings, start }]).await?;
        let view = self.shared.store.group(self.id, group);
        let view = view.ok_or_else(|| QueueError::UnknownTopic { topic: self.name.to_string() })?;
        let dispatcher = Dispatcher::open(&self.shared, (self.name.clone(), self.id), group, &view, rest);
        let dispatcher = Arc::new(dispatcher);
        self.groups.write().insert(name.to_owned(), dispatcher.clone());
        self.intake.lock().look_again();
        Ok(dispatcher)
    }

    fn check_options(&self, group: &str, options: &ConsumeOptions) -> Result<(), QueueError> {
        if let Some(why) = settings::group_objection(options) {
            return Err(refusal::invalid_options(why));
        }
        if let Some(filter) = &options.filter {
            let invalid = |why: &str| QueueError::InvalidFilter { filter: filter.clone(), why: why.to_owned() };
            Filter::parse(filter).map_err(invalid)?;
        }
        match options.mode {
            Some(mode @ (GroupMode::KeyOrdered | GroupMode::Broadcast)) => {
                let mode = if mode == GroupMode::Broadcast { "broadcast" } else { "keyOrdered" };
                let why = "this broker has shared and exclusive groups".to_owned();
                let (topic, group) = (self.name.to_string(), group.to_owned());
                Err(QueueError::ModeDiffers { topic, group, mode: mode.to_owned(), why })
            }
            _ => Ok(()),
        }
    }

    fn check_group(&self, group: Arc<Dispatcher>, asked: &ConsumeOptions) -> Result<Arc<Dispatcher>, QueueError> {
        match settings::group_differs(asked, &group.options()) {
            None => Ok(group),
            Some(option) => {
                let (topic, group) = (self.name.to_string(), group.name.clone());
                Err(QueueError::GroupDiffers { topic, group, option: option.to_owned() })
            }
        }
    }

    /// The offset that is meant.
    ///
    /// # Errors
    /// `invalid-offset`, `unknown-group`, or what the store says.
    pub(crate) async fn start(&self, start: &Start, head: Offset) -> Result<Offset, QueueError> {
        let floor = self.shared.store.topic(self.id).map_or(0, |view| view.floor);
        match start {
            Start::Latest => Ok(head),
            Start::Earliest => Ok(floor),
            Start::Offset(offset) if *offset > head => {
                let (topic, why) = (self.name.to_string(), format!("the next message gets {head}"));
                Err(QueueError::InvalidOffset { topic, offset: *offset, why })
            }
            Start::Offset(offset) => Ok((*offset).max(floor)),
            Start::Time(time) => {
                let found = self.shared.store.offset_at(self.id, *time).await;
                found.map_err(|error| refusal::of_store(&self.name, error))
            }
            Start::CopyOf(group) => Ok(self.group(group)?.oldest()),
        }
    }

    /// The offset the next message gets.
    pub(crate) fn head(&self) -> Offset {
        self.intake.lock().head
    }

    /// Changes the options of a group.
    ///
    /// # Errors
    /// `unknown-group`, or as [`Self::ensure_group`].
    pub(crate) async fn alter_group(&self, name: &str, asked: &ConsumeOptions) -> Result<Arc<Dispatcher>, QueueError> {
        let group = self.group(name)?;
        self.check_options(name, asked)?;
        let there = group.options();
        if asked.mode.is_some() && asked.mode != there.mode {
            let (topic, group, option) = (self.name.to_string(), name.to_owned(), "mode".to_owned());
            return Err(QueueError::GroupDiffers { topic, group, option });
        }
        let options = settings::group_over(asked, &there);
        let rest = GroupRest { name: name.to_owned(), options: options.clone() };
        let settings = serde_json::to_vec(&rest).unwrap_or_default().into();
        // What the old filter passed over is recorded before the new one counts.
        group.flush().await?;
        self.commit(vec![Op::PutGroup { topic: self.id, group: group.id, settings, start: 0 }]).await?;
        group.set_options(options);
        Ok(group)
    }

    /// Lets a group go on somewhere else.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) async fn seek(&self, name: &str, to: &Start) -> Result<Arc<Dispatcher>, QueueError> {
        let group = self.group(name)?;
        let next = self.start(to, self.head()).await?;
        group.seek(next).await?;
        self.intake.lock().look_again();
        Ok(group)
    }

    /// Removes a group.
    ///
    /// # Errors
    /// `unknown-group`, or what the store says.
    pub(crate) async fn delete_group(&self, name: &str) -> Result<(), QueueError> {
        let group = self.group(name)?;
        self.groups.write().remove(name);
        group.end(QueueError::UnknownGroup { topic: self.name.to_string(), group: name.to_owned() });
        self.commit(vec![Op::DeleteGroup { topic: self.id, group: group.id }]).await?;
        self.intake.lock().look_again();
        Ok(())
    }
}
