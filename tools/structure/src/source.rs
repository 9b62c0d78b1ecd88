//! Reads the modules of a crate, and what each refers to.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, UseTree};

/// The names of modules from the root of a crate.
pub(crate) type ModulePath = Vec<String>;

/// The modules of a crate.
#[derive(Debug)]
pub struct Crate {
    pub(crate) modules: BTreeMap<ModulePath, Module>,
}

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Module {
    /// The names that it brings in, and the paths that these lead to, as they are written.
    pub(crate) uses: HashMap<String, Vec<String>>,
    /// The paths that it names.
    pub(crate) paths: Vec<Vec<String>>,
}

/// Why a crate was not read.
#[derive(Debug)]
pub struct SourceError {
    file: PathBuf,
    what: String,
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl std::error::Error for SourceError {}

impl Crate {
    /// Reads a crate from its root, `lib.rs` or `main.rs`.
    ///
    /// # Errors
    /// For a file that is not there or is no Rust.
    pub fn read(root: &Path) -> Result<Self, SourceError> {
        let mut modules = BTreeMap::new();
        let folder = root.parent().unwrap_or(Path::new("."));
        read_module(root, folder, Vec::new(), &mut modules)?;
        Ok(Self { modules })
    }

    pub(crate) fn contains(&self, path: &[String]) -> bool {
        self.modules.contains_key(path)
    }
}

/// Reads a file whose child modules are in `folder`.
fn read_module(
    file: &Path,
    folder: &Path,
    path: ModulePath,
    modules: &mut BTreeMap<ModulePath, Module>,
) -> Result<(), SourceError> {
    let wrong = |what: String| SourceError { file: file.to_owned(), what };
    let text = fs::read_to_string(file).map_err(|error: io::Error| wrong(error.to_string()))?;
    let parsed = syn::parse_file(&text).map_err(|error| wrong(error.to_string()))?;
    let mut reader = Reader::default();
    reader.visit_file(&parsed);
    for child in reader.children {
        let flat = folder.join(format!("{child}.rs"));
        let below = folder.join(&child);
        let file = if flat.exists() { flat } else { below.join("mod.rs") };
        let path = path.iter().cloned().chain([child]).collect();
        read_module(&file, &below, path, modules)?;
    }
    modules.insert(path, reader.module);
    Ok(())
}

#[derive(Default)]
struct Reader {
    module: Module,
    /// The modules that have files of their own.
    children: Vec<String>,
}

/// Whether something is there in tests alone.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let cfg = attribute.path().is_ident("cfg");
        cfg && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

impl Reader {
    fn use_tree(&mut self, tree: &UseTree, mut before: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.use_tree(&path.tree, before);
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                let path = if name == "self" { before } else { [before, vec![name]].concat() };
                self.brings(path.last().cloned().unwrap_or_default(), path);
            }
            UseTree::Rename(renamed) => {
                let name = renamed.ident.to_string();
                let path = if name == "self" { before } else { [before, vec![name]].concat() };
                self.brings(renamed.rename.to_string(), path);
            }
            UseTree::Glob(_) => self.module.paths.push(before),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.use_tree(tree, before.clone()));
            }
        }
    }

    fn brings(&mut self, name: String, path: Vec<String>) {
        self.module.paths.push(path.clone());
        self.module.uses.insert(name, path);
    }

    /// Paths in what a macro is called with.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut end = |path: &mut Vec<String>| {
            if path.len() > 1 {
                self.module.paths.push(std::mem::take(path));
            }
            path.clear();
        };
        let mut groups = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        end(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' && !path.is_empty() => colons += 1,
                other => {
                    end(&mut path);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        groups.push(group.stream());
                    }
                }
            }
        }
        end(&mut path);
        groups.into_iter().for_each(|group| self.tokens(group));
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        match module.content {
            None => self.children.push(module.ident.to_string()),
            Some(_) => visit::visit_item_mod(self, module),
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&item.tree, Vec::new());
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.module.paths.push(names);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }
}
