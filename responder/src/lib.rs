//! Responder.
