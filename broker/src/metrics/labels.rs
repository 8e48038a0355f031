//! The enums that are label values.

use super::families::Label;

/// An enum that is the values of one label, each with its text.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident = $label:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const NAME: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// What kind of peer a link leads to.
    LinkKind = "kind" {
        /// An application.
        App = "app",
        /// A service of the broker itself.
        Memory = "memory",
    }
}

label! {
    /// Why a link was closed.
    CloseReason = "reason" {
        /// The peer ended the connection, or the network did.
        Peer = "peer",
        /// The peer broke the protocol.
        Protocol = "protocol",
        /// No byte came for its lifetime.
        Keepalive = "keepalive",
        /// It took too little of what was queued for it.
        Stalled = "stalled",
        /// Its unfinished frame grew too slowly.
        SlowFrame = "slow_frame",
        /// The broker was over its byte budget, and this link stalled.
        Budget = "budget",
        /// It did not read the refusals it caused.
        Refusals = "refusals",
        /// It sent more than was asked, and `relay.strict_credit` is on.
        Credit = "credit",
        /// Its instance has newer links, as many as it may have.
        Replaced = "replaced",
        /// It sent KEEPALIVE or METADATA_PUSH without end.
        Flood = "flood",
        /// The broker drained.
        Drain = "drain",
        /// The broker failed.
        Internal = "internal",
    }
}

label! {
    /// Why a connection did not become a link.
    SetupRefusal = "reason" {
        /// No whole SETUP within `listen.setup_timeout`.
        Timeout = "timeout",
        /// TLS or WebSocket did not come about, or it was another protocol.
        Opening = "opening",
        /// It spoke TLS, and this broker has no certificate.
        NoCertificate = "no_certificate",
        /// It spoke plaintext to a listener for TLS.
        Plaintext = "plaintext",
        /// Larger than `listen.setup_max`.
        TooLarge = "too_large",
        /// Not a SETUP, or not a valid one.
        Invalid = "invalid",
        /// A version or an ability this broker does not have.
        Unsupported = "unsupported",
        /// Well formed, but this app may not connect, or not like this.
        Rejected = "rejected",
        /// The broker drains.
        Draining = "draining",
    }
}

label! {
    /// The four ways to ask.
    Interaction = "interaction" {
        FireAndForget = "fire_and_forget",
        Response = "request_response",
        Stream = "request_stream",
        Channel = "request_channel",
    }
}

label! {
    /// Why a request was not passed on.
    RequestRefusal = "reason" {
        /// No instance serves what it names.
        NoRoute = "no_route",
        /// The caller may not.
        Refused = "refused",
        /// Whoever could serve it has too much to do.
        Rejected = "rejected",
        /// Its frames or its metadata make no sense.
        Invalid = "invalid",
        /// Its deadline had passed.
        Deadline = "deadline",
    }
}

label! {
    /// What became of an event that an app pushed.
    EventOutcome = "outcome" {
        Taken = "taken",
        /// Of a type that means nothing here.
        Ignored = "ignored",
        /// Not readable.
        Malformed = "malformed",
        /// About another app, or from one that did not name itself.
        Foreign = "foreign",
        /// Too long, or one too many.
        Limited = "limited",
    }
}

label! {
    /// What became of an event for an app.
    PushOutcome = "outcome" {
        /// Queued for it.
        Sent = "sent",
        /// No such app is connected.
        Unknown = "unknown",
        /// The app has not taken what waits for it.
        Full = "full",
    }
}
