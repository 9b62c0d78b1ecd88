//! Modules that depend on each other in a circle cannot be understood one after the other.

#![allow(clippy::unwrap_used, reason = "the lint knows test functions, not their helpers")]

use std::path::Path;
use structure::{Circle, Crate, circles};

/// A circle that is known.
#[derive(Debug)]
struct Accepted {
    /// The root of the crate.
    root: &'static str,
    /// The parent of the modules.
    parent: &'static str,
    /// The modules, in order.
    modules: &'static [&'static str],
    /// Why it is there.
    why: &'static str,
}

impl Accepted {
    fn is(&self, root: &str, circle: &Circle) -> bool {
        let Self { root: accepted, parent, modules, why } = self;
        assert!(!why.is_empty(), "a circle is accepted for a reason");
        *accepted == root && *parent == circle.parent && *modules == circle.modules
    }
}

const ACCEPTED: &[Accepted] = &[];

#[test]
fn modules_form_no_circles_but_those_that_are_accepted() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(workspace.join("crates")).unwrap() {
        let folder = folder.unwrap().path();
        let roots = ["src/lib.rs", "src/main.rs"].map(|root| folder.join(root));
        for root in roots.iter().filter(|root| root.exists()) {
            let name = root.strip_prefix(&workspace).unwrap().display().to_string();
            for circle in circles(&Crate::read(root).unwrap()) {
                found.push((name.clone(), circle));
            }
        }
    }
    let strange: Vec<_> = found
        .iter()
        .filter(|(root, circle)| !ACCEPTED.iter().any(|accepted| accepted.is(root, circle)))
        .collect();
    assert!(strange.is_empty(), "modules form circles: {strange:#?}");
    for accepted in ACCEPTED {
        let there = found.iter().any(|(root, circle)| accepted.is(root, circle));
        assert!(there, "this circle is accepted, and there is none: {accepted:?}");
    }
}

/// The modules `one` and `two` of a crate that is made up.
fn made_up(name: &str, one: &str, two: &str) -> Vec<Circle> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let files = [("lib.rs", "mod one; mod two; mod three;"), ("one.rs", one), ("two.rs", two)];
    for (file, text) in files.into_iter().chain([("three.rs", "pub use crate::one::One;")]) {
        std::fs::write(folder.join(file), text).unwrap();
    }
    circles(&Crate::read(&folder.join("lib.rs")).unwrap())
}

#[test]
fn a_circle_is_found_through_what_another_module_hands_on() {
    let one = "use crate::two::Two; pub struct One;";
    let circles = made_up("circle", one, "pub struct Two; fn f() { vec![super::three::One]; }");
    assert_eq!(circles.len(), 1);
    assert_eq!(
        (circles[0].parent.as_str(), &circles[0].modules[..]),
        ("", &["one", "two"].map(String::from)[..])
    );
}

#[test]
fn tests_and_a_chain_of_modules_are_no_circle() {
    let two = "pub struct Two; #[cfg(test)] mod tests { use crate::one::One; }";
    assert_eq!(made_up("chain", "use crate::two::Two; pub struct One;", two), []);
}
