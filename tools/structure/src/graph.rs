//! Finds modules that depend on each other in a circle.

use crate::source::{Crate, ModulePath};
use std::collections::{BTreeMap, BTreeSet};

/// Modules next to each other of which each depends on each, over others or directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// Their parent, as `a::b`; empty for the root of the crate.
    pub parent: String,
    /// Their names, in order.
    pub modules: Vec<String>,
    /// Which of them name which, and an example of where.
    pub edges: Vec<String>,
}

type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// All circles of a crate.
pub fn circles(source: &Crate) -> Vec<Circle> {
    let mut levels: BTreeMap<ModulePath, Edges> = BTreeMap::new();
    for (from, module) in &source.modules {
        for path in &module.paths {
            let Some(to) = resolve(source, from, path, 0) else { continue };
            let common = from.iter().zip(&to).take_while(|(from, to)| from == to).count();
            // A module, what is above it and what is below it are not next to each other.
            let (Some(one), Some(other)) = (from.get(common), to.get(common)) else { continue };
            let level = levels.entry(from[..common].to_vec()).or_default();
            let example = format!("{} names {}", from.join("::"), path.join("::"));
            level.entry(one.clone()).or_default().entry(other.clone()).or_insert(example);
        }
    }
    levels.iter().flat_map(|(parent, edges)| circles_of(parent, edges)).collect()
}

/// The module that a path leads to, if it is one of this crate.
fn resolve(source: &Crate, from: &[String], path: &[String], depth: usize) -> Option<ModulePath> {
    const DEPTH_MAX: usize = 16;
    let (first, rest) = path.split_first()?;
    if depth > DEPTH_MAX {
        return None;
    }
    let (module, rest) = match first.as_str() {
        "crate" => (Vec::new(), rest),
        "self" => (from.to_vec(), rest),
        "super" => {
            let supers = path.iter().take_while(|name| *name == "super").count();
            (from[..from.len().checked_sub(supers)?].to_vec(), &path[supers..])
        }
        name => {
            if let Some(used) = source.modules[from].uses.get(name)
                && used != path
            {
                let path: Vec<_> = used.iter().chain(rest).cloned().collect();
                return resolve(source, from, &path, depth + 1);
            }
            let child: ModulePath = from.iter().chain([first]).cloned().collect();
            return source
                .contains(&child)
                .then_some(child)
                .and_then(|child| follow(source, child, rest, depth));
        }
    };
    follow(source, module, rest, depth)
}

/// Goes on from a module.
fn follow(
    source: &Crate,
    mut module: ModulePath,
    mut rest: &[String],
    depth: usize,
) -> Option<ModulePath> {
    while let Some((next, behind)) = rest.split_first() {
        let child: ModulePath = module.iter().chain([next]).cloned().collect();
        if source.contains(&child) {
            (module, rest) = (child, behind);
            continue;
        }
        // What it brings in belongs to another.
        if let Some(used) = source.modules[&module].uses.get(next) {
            let path: Vec<_> = used.iter().chain(behind).cloned().collect();
            return resolve(source, &module, &path, depth + 1);
        }
        break;
    }
    Some(module)
}

fn circles_of(parent: &[String], edges: &Edges) -> Vec<Circle> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|module| (module, reachable(edges, module))).collect();
    let mut circles: Vec<Circle> = Vec::new();
    for (module, there) in &reached {
        let known = circles.iter().any(|circle| circle.modules.contains(module));
        if known || !there.contains(module) {
            continue;
        }
        let back =
            |other: &&&String| reached.get(*other).is_some_and(|there| there.contains(module));
        let modules: Vec<String> = there.iter().filter(back).map(|name| (*name).clone()).collect();
        let within = |name: &String| modules.contains(name);
        let edges = edges.iter().filter(|(from, _)| within(from)).flat_map(|(from, to)| {
            let to = to.iter().filter(|(to, _)| within(to));
            to.map(move |(to, example)| format!("{from} -> {to}: {example}"))
        });
        let edges = edges.collect();
        circles.push(Circle { parent: parent.join("::"), modules, edges });
    }
    circles
}

fn reachable<'a>(edges: &'a Edges, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = edges.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(edges.get(module).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}
