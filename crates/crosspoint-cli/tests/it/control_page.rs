//! The page of the control center, in Chromium. `./check` installs what this needs.

use crate::interop::node;

/// Each view and action, and the conditions under which a page lives.
#[test]
fn the_page_shows_a_hub_and_acts_on_it() {
    let program = env!("CARGO_BIN_EXE_crosspoint");
    let output = node("control_page.mjs", &[program]).output().unwrap();
    let [said, cried] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said}\n{cried}");
    assert_eq!(said.lines().count(), 18, "{said}");
}
