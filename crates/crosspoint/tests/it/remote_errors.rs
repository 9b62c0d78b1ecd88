//! What cannot be called remotely is refused with a reason.

#[test]
fn traits_that_cannot_be_remote_are_refused_with_a_reason() {
    trybuild::TestCases::new().compile_fail("tests/remote_errors/*.rs");
}
