//! See the parent.

use super::*;
use proptest::prelude::*;

fn files() -> impl Strategy<Value = FileId> {
    let kinds = prop::sample::select(Kind::ALL.map(|(kind, _)| kind).to_vec());
    (kinds, 0..1u64 << 44, any::<u64>()).prop_map(|(kind, id, seed)| FileId { kind, id, seed })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_and_a_first_page_say_the_same(file in files(), other in files(), bit in 0usize..8 * 36) {
        prop_assert_eq!(Named::read(&file.to_string()), Named::Ours(file));
        let mut page = page(file);
        prop_assert!(is_page_of(&page, file) && (other == file || !is_page_of(&page, other)));
        page[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!is_page_of(&page, file));
    }

    #[test]
    fn any_other_name_is_none_of_ours(name in "\\PC{0,40}", file in files(), version in 2u32..9) {
        if let Named::Ours(file) = Named::read(&name) {
            prop_assert_eq!(file.to_string(), name);
        }
        let newer = file.to_string().replace(".v1", &format!(".v{version}"));
        prop_assert_eq!(Named::read(&newer), Named::Version(version));
    }
}
