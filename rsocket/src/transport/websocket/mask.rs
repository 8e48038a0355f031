use std::hash::{BuildHasher, RandomState};

/// XORs `bytes` with the mask and turns the mask, so that the next call goes on where this one ended.
pub(super) fn apply(mask: &mut [u8; 4], bytes: &mut [u8]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip([a, b, c, d].iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(rest.len() % 4);
}

/// Masks nobody can foretell (RFC 6455, 10.3): a keyed hash of a counter, its key from the system's entropy.
#[derive(Debug, Default)]
pub(super) struct Masks {
    key: RandomState,
    drawn: u64,
}

impl Masks {
    pub(super) fn draw(&mut self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.bytes();
        [a, b, c, d]
    }

    pub(super) fn bytes(&mut self) -> [u8; 8] {
        self.drawn += 1;
        self.key.hash_one(self.drawn).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_goes_on_across_any_cut() {
        let mask = [1, 20, 128, 255];
        let plain: Vec<u8> = (0..100).collect();
        let masked: Vec<u8> = plain.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect();
        for step in 1..=plain.len() {
            let (mut bytes, mut turning) = (plain.clone(), mask);
            bytes.chunks_mut(step).for_each(|part| apply(&mut turning, part));
            assert_eq!(bytes, masked, "cut every {step} bytes");
        }
    }

    #[test]
    fn no_two_masks_in_a_row_are_equal() {
        let mut masks = Masks::default();
        let drawn: Vec<_> = (0..4).map(|_| masks.draw()).collect();
        assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]), "{drawn:?}");
        assert_ne!(Masks::default().bytes(), Masks::default().bytes());
    }
}
