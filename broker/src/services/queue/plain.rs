//! Most calls of `publish`, read where they lie: in MessagePack, a topic and a message that is a body and nothing else.
//!
//! ```text
//!  [topic, message]   [topic, message, nil]   {"topic": topic, "message": message}       message  {"body": bytes}
//! ```
//! All other forms, and what is no form at all, are for the general reader: this one only knows what it takes.

/// The topic and the body of a call in MessagePack, if it is one of these.
pub(super) fn read(arguments: &[u8]) -> Option<(&str, &[u8])> {
    let mut at = Cursor { bytes: arguments, at: 0 };
    let form = at.byte()?;
    let is_named = match form {
        0x92 | 0x93 => false,
        0x82 => true,
        _ => return None,
    };
    at.is_named(is_named, "topic")?;
    let topic = str::from_utf8(at.text()?).ok()?;
    at.is_named(is_named, "message")?;
    let body = at.body()?;
    if form == 0x93 {
        (at.byte()? == 0xc0).then_some(())?;
    }
    (at.at == arguments.len()).then_some((topic, body))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at)?;
        self.at += 1;
        Some(*byte)
    }

    /// A length of so many bytes.
    fn length(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.length(1)?,
            0xda => self.length(2)?,
            _ => return None,
        };
        self.take(length)
    }

    /// Where it says that its values are named, this name.
    fn is_named(&mut self, is_named: bool, name: &str) -> Option<()> {
        (!is_named || self.text()? == name.as_bytes()).then_some(())
    }

    /// The bytes of a message that is nothing else.
    fn body(&mut self) -> Option<&'a [u8]> {
        (self.byte()? == 0x81 && self.text()? == b"body").then_some(())?;
        let bytes = match self.byte()? {
            0xc4 => 1,
            0xc5 => 2,
            0xc6 => 4,
            _ => return None,
        };
        let length = self.length(bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;
    use towline_service_api::__private::{ArgumentWriter, Incoming};
    use towline_service_api::builtin::{Blob, Durability, Message, QueueServer};
    use towline_service_api::{Encoding, Interaction, Request};

    /// What the general reader makes of them.
    fn general(arguments: &Bytes) -> Option<(String, Message, Option<Durability>)> {
        let contract = QueueServer::<super::super::Topics>::CONTRACT;
        let publish = contract.methods.iter().position(|method| method.name == "publish")?;
        let request = Request {
            encoding: Encoding::MessagePack,
            accept: Default::default(),
            arguments: arguments.clone(),
            items: None,
        };
        let incoming = Incoming::open(contract, publish, Interaction::RequestResponse, request).ok()?;
        let mut arguments = incoming.arguments::<3>().ok()?;
        Some((arguments.take(0).ok()?, arguments.take(1).ok()?, arguments.take(2).ok()?))
    }

    fn written<T: serde::Serialize>(value: &T) -> Bytes {
        Encoding::MessagePack.encode(value).expect("it has a form")
    }

    /// As generated clients write it.
    fn named(topic: &str, message: &Message) -> Bytes {
        let contract = QueueServer::<super::super::Topics>::CONTRACT;
        let publish = contract.methods.iter().find(|method| method.name == "publish").expect("it is in the contract");
        let mut writer = ArgumentWriter::new(contract, publish, Encoding::MessagePack);
        writer.put(topic).expect("it has a form");
        writer.put(message).expect("it has a form");
        writer.put(&None::<Durability>).expect("it has a form");
        writer.finish()
    }

    #[test]
    fn what_clients_write_is_read() {
        for (topic, size) in [("t", 0), ("orders", 128), (&*"long".repeat(20), 300), ("large", 70_000)] {
            let body = vec![7; size];
            let message = Message::new(body.clone());
            let forms =
                [written(&(topic, &message)), written(&(topic, &message, None::<Durability>)), named(topic, &message)];
            for form in forms {
                assert_eq!(read(&form), Some((topic, &*body)));
                assert_eq!(general(&form), Some((topic.to_owned(), message.clone(), None)));
                // Neither less nor more.
                assert_eq!(read(&form.slice(..form.len() - 1)), None);
                let more = [&form[..], &[0xc0]].concat();
                assert_eq!(read(&more), None);
            }
        }
    }

    #[test]
    fn other_messages_are_left_to_the_general_reader() {
        let plain = Message { body: Some(Blob(Bytes::from_static(b"x"))), ..Message::default() };
        let keyed = Message { key: Some("k".to_owned()), ..plain.clone() };
        for form in [
            written(&("t", &keyed)),
            written(&("t", Message::text("x"))),
            written(&("t", &plain, Some(Durability::Disk))),
            written(&("t", Message::default())),
            written(&("t",)),
            Bytes::new(),
        ] {
            assert_eq!(read(&form), None, "{form:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever it takes, the general reader reads the same.
        #[test]
        fn it_says_what_the_general_reader_says(
            form in 0usize..3,
            body in prop::collection::vec(any::<u8>(), 0..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let message = Message::new(body);
            let mut bytes = match form {
                0 => written(&("topic", &message)),
                1 => written(&("topic", &message, None::<Durability>)),
                _ => named("topic", &message),
            }
            .to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let bytes = Bytes::from(bytes);
            if let Some((topic, body)) = read(&bytes) {
                prop_assert_eq!(general(&bytes), Some((topic.to_owned(), Message::new(body.to_vec()), None)));
            }
        }
    }
}
