use std::collections::BTreeMap;

/// UTF-16 units that one chunk of a string holds at most, as Java cuts them.
const CHUNK: usize = 0x8000;

/// Writes one answer.
#[derive(Debug, Default)]
pub(in crate::services::starter) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(in crate::services::starter) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(in crate::services::starter) fn bool(&mut self, is_true: bool) {
        self.out.push(if is_true { b'T' } else { b'F' });
    }

    /// An int in its shortest form.
    pub(in crate::services::starter) fn int(&mut self, n: i32) {
        let bytes = n.to_be_bytes();
        match n {
            -0x10..=0x2F => self.out.push((0x90 + n) as u8),
            -0x800..=0x7FF => self.out.extend([(0xC8 + (n >> 8)) as u8, bytes[3]]),
            -0x4_0000..=0x3_FFFF => self.out.extend([(0xD4 + (n >> 16)) as u8, bytes[2], bytes[3]]),
            _ => {
                self.out.push(b'I');
                self.out.extend(bytes);
            }
        }
    }

    /// A string, or null.
    pub(in crate::services::starter) fn text(&mut self, text: Option<&str>) {
        let Some(text) = text else { return self.out.push(b'N') };
        let mut rest = text;
        loop {
            let (mut units, mut end) = (0, rest.len());
            for (at, char) in rest.char_indices() {
                if units + char.len_utf16() > CHUNK {
                    end = at;
                    break;
                }
                units += char.len_utf16();
            }
            let (chunk, after) = rest.split_at(end);
            match units {
                _ if !after.is_empty() => self.out.extend([b'R', (units >> 8) as u8, units as u8]),
                0..=0x1F => self.out.push(units as u8),
                0x20..=0x3FF => self.out.extend([0x30 | (units >> 8) as u8, units as u8]),
                _ => self.out.extend([b'S', (units >> 8) as u8, units as u8]),
            }
            chunk.chars().for_each(|char| self.char(char));
            if after.is_empty() {
                return;
            }
            rest = after;
        }
    }

    /// What is beyond 16 bits is two surrogates: Java reads no four bytes.
    fn char(&mut self, char: char) {
        let mut units = [0; 2];
        if char.len_utf16() == 1 {
            self.out.extend(char.encode_utf8(&mut [0; 4]).as_bytes());
            return;
        }
        for unit in char.encode_utf16(&mut units) {
            let byte = |shift: u16| 0x80 | (*unit >> shift & 0x3F) as u8;
            self.out.extend([0xE0 | (*unit >> 12) as u8, byte(6), byte(0)]);
        }
    }

    /// The head of a list of so many values, of no type: what Java makes of an `ArrayList`.
    pub(in crate::services::starter) fn list(&mut self, len: usize) {
        if len <= 7 {
            self.out.push(0x78 + len as u8);
        } else {
            self.out.push(0x58);
            self.int(i32::try_from(len).unwrap_or(i32::MAX));
        }
    }

    /// A map of no type: what Java makes of a `HashMap`.
    pub(in crate::services::starter) fn map(&mut self, map: &BTreeMap<String, String>) {
        self.out.push(b'H');
        for (key, value) in map {
            self.text(Some(key));
            self.text(Some(value));
        }
        self.out.push(b'Z');
    }

    /// Defines the class of the objects that follow, the only one of this answer.
    pub(in crate::services::starter) fn class(&mut self, name: &str, fields: &[&str]) {
        self.out.push(b'C');
        self.text(Some(name));
        self.int(fields.len() as i32);
        fields.iter().for_each(|field| self.text(Some(field)));
    }

    /// The head of an object of that class; its fields follow.
    pub(in crate::services::starter) fn object(&mut self) {
        self.out.push(0x60);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Value, arguments};
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::default();
        write(&mut writer);
        writer.finish()
    }

    #[test]
    fn numbers_texts_lists_and_maps_are_what_java_writes() {
        for (n, bytes) in [
            (1, &[0x91][..]),
            (-1, &[0x8F]),
            (0, &[0x90]),
            (47, &[0xBF]),
            (48, &[0xC8, 48]),
            (-2048, &[0xC0, 0]),
            (9999, &[0xD4, 0x27, 0x0F]),
            (-262_144, &[0xD0, 0, 0]),
            (262_144, &[b'I', 0, 4, 0, 0]),
        ] {
            assert_eq!(written(|writer| writer.int(n)), bytes, "{n}");
        }
        assert_eq!(written(|writer| writer.text(None)), b"N");
        assert_eq!(written(|writer| writer.text(Some(""))), b"\0");
        assert_eq!(written(|writer| writer.text(Some("😀"))), b"\x02\xed\xa0\xbd\xed\xb8\x80");
        assert_eq!(written(|writer| writer.text(Some(&"x".repeat(40))))[..3], [0x30, 40, b'x']);
        assert_eq!(written(|writer| writer.text(Some(&"x".repeat(1024))))[..4], [b'S', 4, 0, b'x']);
        let long = written(|writer| writer.text(Some(&"x".repeat(0x8001))));
        assert_eq!((&long[..3], &long[0x8003..]), (&[b'R', 0x80, 0][..], &b"\x01x"[..]));
        assert_eq!(written(|writer| writer.list(7)), [0x7F]);
        assert_eq!(written(|writer| writer.list(8)), [0x58, 0x98]);
        let map = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(written(|writer| writer.map(&map)), b"H\x01a\x01bZ");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_is_written_is_read_again(n: i32, short in "\\PC{0,4}", repeat in prop_oneof![0..20usize, 11_000..12_000usize]) {
            prop_assert_eq!(arguments(&written(|writer| writer.int(n))), Ok(vec![Value::Int(n)]));
            let text = format!("é😀{short}").repeat(repeat);
            prop_assert_eq!(arguments(&written(|writer| writer.text(Some(&text)))), Ok(vec![Value::Text(text)]));
        }
    }
}
