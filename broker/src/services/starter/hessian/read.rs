/// A value that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Int(i32),
    Text(String),
}

/// The bytes are no Hessian, or of a kind that is not read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not readable at byte {0}")]
pub(crate) struct Unreadable(usize);

/// Reads the arguments of a call: nothing, a list of up to 7 values (typed or not), or one bare value.
pub(crate) fn arguments(data: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let mut reader = Reader { data, at: 0 };
    let count = match data.first() {
        None => return Ok(Vec::new()),
        Some(tag @ 0x70..=0x77) => {
            reader.at += 1;
            reader.text()?;
            tag - 0x70
        }
        Some(tag @ 0x78..=0x7F) => {
            reader.at += 1;
            tag - 0x78
        }
        Some(_) => 1,
    };
    let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
    if reader.at == data.len() { Ok(values) } else { Err(Unreadable(reader.at)) }
}

struct Reader<'a> {
    data: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let byte = self.data.get(self.at).copied().ok_or(Unreadable(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn value(&mut self) -> Result<Value, Unreadable> {
        let start = self.at;
        match self.byte()? {
            b'N' => Ok(Value::Null),
            tag @ 0x80..=0xBF => Ok(Value::Int(i32::from(tag) - 0x90)),
            tag @ 0xC0..=0xCF => Ok(Value::Int((i32::from(tag) - 0xC8) << 8 | i32::from(self.byte()?))),
            tag @ 0xD0..=0xD7 => {
                let high = (i32::from(tag) - 0xD4) << 16;
                Ok(Value::Int(high | i32::from(self.byte()?) << 8 | i32::from(self.byte()?)))
            }
            b'I' => {
                let bytes = [self.byte()?, self.byte()?, self.byte()?, self.byte()?];
                Ok(Value::Int(i32::from_be_bytes(bytes)))
            }
            0x00..=0x1F | 0x30..=0x33 | b'S' | b'R' => {
                self.at = start;
                self.text().map(Value::Text)
            }
            _ => Err(Unreadable(start)),
        }
    }

    /// A string: its length is counted in UTF-16 units. Its content is UTF-8, in which Java writes what is beyond 16 bits as
    /// two surrogates of three bytes each.
    fn text(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            let tag = self.byte()?;
            let units = match tag {
                0x00..=0x1F => usize::from(tag),
                0x30..=0x33 => usize::from(tag - 0x30) << 8 | usize::from(self.byte()?),
                b'S' | b'R' => usize::from(self.byte()?) << 8 | usize::from(self.byte()?),
                _ => return Err(Unreadable(self.at - 1)),
            };
            self.chars(units, &mut text)?;
            if tag != b'R' {
                return Ok(text);
            }
        }
    }

    fn chars(&mut self, mut units: usize, text: &mut String) -> Result<(), Unreadable> {
        while units > 0 {
            let rest = &self.data[self.at..];
            if let Some(char) = surrogates(rest) {
                units = units.checked_sub(2).ok_or(Unreadable(self.at))?;
                text.push(char);
                self.at += 6;
                continue;
            }
            let len = match rest.first() {
                Some(0x00..=0x7F) => 1,
                Some(0xC0..=0xDF) => 2,
                Some(0xE0..=0xEF) => 3,
                Some(0xF0..=0xF7) => 4,
                _ => return Err(Unreadable(self.at)),
            };
            let char =
                rest.get(..len).and_then(|bytes| str::from_utf8(bytes).ok()).and_then(|text| text.chars().next());
            let char = char.ok_or(Unreadable(self.at))?;
            units = units.checked_sub(char.len_utf16()).ok_or(Unreadable(self.at))?;
            text.push(char);
            self.at += len;
        }
        Ok(())
    }
}

/// A character written as two surrogates.
fn surrogates(bytes: &[u8]) -> Option<char> {
    let unit = |bytes: &[u8]| match *bytes {
        [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF] => {
            Some(0xD000 | u16::from(second & 0x3F) << 6 | u16::from(third & 0x3F))
        }
        _ => None,
    };
    let (high, low) = bytes.get(..6)?.split_at(3);
    char::decode_utf16([unit(high)?, unit(low)?]).next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn arguments_are_read_as_the_starters_write_them() {
        assert_eq!(arguments(b""), Ok(vec![]));
        assert_eq!(arguments(b"\x71\x07[object\x92"), Ok(vec![Value::Int(2)]));
        assert_eq!(arguments(b"\x71\x07[object\x01*"), Ok(vec![text("*")]));
        assert_eq!(arguments(b"\x71\x07[objectN"), Ok(vec![Value::Null]));
        assert_eq!(arguments(b"\x92"), Ok(vec![Value::Int(2)]), "a stock Spring client sends bare values");
        assert_eq!(arguments(b"\x7a\x01aN"), Ok(vec![text("a"), Value::Null]));
        let long = [&[0x30, 40][..], &[b'x'; 40]].concat();
        assert_eq!(arguments(&long), Ok(vec![text(&"x".repeat(40))]));
        assert_eq!(arguments("R\0\u{2}\u{670d}\u{52a1}S\0\u{2}😀".as_bytes()), Ok(vec![text("服务😀")]));
        let java = b"\x05a\xed\xa0\xbd\xed\xb8\x80\xe6\x9c\x8db";
        assert_eq!(arguments(java), Ok(vec![text("a😀服b")]), "two surrogates of three bytes");
        assert!(arguments(b"\x01\xed\xa0\xbd\xed\xb8\x80").is_err(), "the second one is not of this text");
        assert!(arguments(b"\x01\xed\xa0\xbd").is_err(), "a surrogate alone");
        assert_eq!(arguments(b"I\x7f\xff\xff\xff"), Ok(vec![Value::Int(i32::MAX)]));
        assert_eq!(arguments(&[0xC7, 0,]), Ok(vec![Value::Int(-256)]));
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_unreadable() {
        let whole = b"\x71\x07[object\x05hello";
        for cut in 1..whole.len() {
            assert!(arguments(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(arguments(b"\x92\x92").is_err());
        assert!(arguments(b"H\x01a\x92Z").is_err(), "a map is not read here");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = arguments(&bytes);
        }
    }
}
