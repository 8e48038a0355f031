//! What every engine has to do: one suite, which an engine runs in its tests.
//!
//! Each promise is an async function that opens a store of its own and panics, in words, where the promise is broken. It needs
//! a tokio runtime and takes no more from it than tasks: nothing here looks at a clock or waits for anything but the store.
//!
//! ```text
//!  subject    the store that is looked at, and words to talk to it
//!  messages   order, batches, reading      duplicates   dedup
//!  groups     progress, holes, trimming    lifetime     ids, entries, close, reopen
//! ```
//! Invariant: nothing is asked here that the documentation of [`Store`] and [`Op`](super::Op) does not say.

pub mod duplicates;
pub mod groups;
pub mod lifetime;
pub mod messages;
mod subject;

use super::Store;
use futures::future::BoxFuture;
use std::sync::Arc;

/// What makes stores of one kind.
pub trait Engine: Sync {
    /// A new and empty store.
    fn open(&self) -> BoxFuture<'_, Arc<dyn Store>>;

    /// Closes a store, and opens it again with what it holds. Not called if the engine is not durable.
    fn reopen(&self, store: Arc<dyn Store>) -> BoxFuture<'_, Arc<dyn Store>>;

    /// True if what is confirmed is there after a restart.
    fn is_durable(&self) -> bool;
}

/// A promise: its name, and the function that proves it.
pub type Promise = (&'static str, for<'a> fn(&'a dyn Engine) -> BoxFuture<'a, ()>);

macro_rules! promises {
    ($($module:ident { $($name:ident),* $(,)? })*) => {
        /// Every promise, one by one.
        pub const PROMISES: &[Promise] = &[
            $($((concat!(stringify!($module), "::", stringify!($name)), |engine| Box::pin($module::$name(engine))),)*)*
        ];
    };
}

promises! {
    messages {
        offsets_grow_in_the_order_of_the_appends,
        a_batch_over_many_topics_is_kept_whole,
        a_refused_batch_leaves_nothing,
        operations_that_come_together_are_kept_each_by_itself,
        a_batch_that_is_empty_or_too_large_is_refused,
        what_is_not_there_is_named,
        a_message_is_visible_once_it_is_confirmed,
        a_receipt_says_what_was_reached,
        a_dropped_receipt_takes_nothing_back,
        a_read_keeps_its_limits_but_brings_one_message,
        a_read_goes_on_where_the_last_one_ended,
        timestamps_never_go_back,
        an_offset_is_found_by_time,
        appenders_at_the_same_time_keep_their_own_order,
        contents_come_back_as_they_were,
    }
    duplicates {
        a_sequence_is_stored_once,
        a_gap_is_refused_and_a_skip_fills_it,
        the_last_1024_sequences_have_offsets,
        one_batch_may_carry_many_sequences,
        an_id_is_stored_once,
        producers_are_known_per_topic,
        a_duplicate_is_confirmed_no_earlier_than_its_original,
        publishing_twice_at_the_same_time_stores_once,
    }
    groups {
        a_group_starts_where_it_is_told,
        progress_moves_next_and_keeps_holes,
        what_is_passed_over_is_settled,
        where_progress_does_not_join_nothing_is_settled,
        next_never_goes_back_but_by_a_seek,
        a_seek_drops_holes,
        a_publish_and_a_settle_are_one,
        trimming_gives_up_what_is_below,
        trimming_keeps_holes,
        a_deleted_group_is_gone,
        a_deleted_topic_is_gone,
        settings_change_but_not_durability,
    }
    lifetime {
        ids_are_never_given_twice,
        ids_in_use_are_refused,
        entries_are_kept_in_the_order_of_their_keys,
        topics_are_listed,
        a_closed_store_refuses_appends,
        what_was_appended_before_closing_is_confirmed,
        a_reopened_store_has_everything,
        a_reopened_store_knows_duplicates,
        a_reopened_store_gives_no_offset_twice,
        a_store_may_be_reopened_many_times,
    }
}

/// Runs the whole suite.
///
/// # Panics
/// At the first promise that is broken.
pub async fn every_promise(engine: &dyn Engine) {
    for (_, prove) in PROMISES {
        prove(engine).await;
    }
}
