//! Requester.
