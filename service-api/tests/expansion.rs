//! The macros from the outside: in a crate of its own, where every refusal has its message and its place.

#[test]
fn a_foreign_crate_uses_the_macros_and_is_told_what_is_wrong() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_pass/*.rs");
    cases.compile_fail("tests/compile_fail/*.rs");
}
