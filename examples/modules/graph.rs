//! The dependencies between the modules of the library, read from the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// The path of a module from the root of the crate. The path of the root is empty.
pub type Module = Vec<String>;

/// The dependencies between the children of each module: `graph[parent][user]` holds the children that `user` uses. A
/// parent and its child count as one.
pub type Graph = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

/// A file of the library, without its tests.
struct Source {
    file: syn::File,
    /// The paths that its `use` declarations import, by their local name.
    names: BTreeMap<String, Vec<String>>,
}

/// Reads the graph of the library with the root `src/lib.rs` in `directory`.
pub fn read(directory: &Path) -> Graph {
    let mut sources = BTreeMap::new();
    add(&mut sources, Vec::new(), &directory.join("src/lib.rs"), &directory.join("src"));
    let mut graph = Graph::new();
    for (module, source) in &sources {
        for used in uses(source) {
            let Some(used) = module_of(&sources, module, &used, 0) else { continue };
            let shared = module.iter().zip(&used).take_while(|(a, b)| a == b).count();
            if let (Some(user), Some(used)) = (module.get(shared), used.get(shared)) {
                let siblings = graph.entry(module[..shared].to_vec()).or_default();
                siblings.entry(user.clone()).or_default().insert(used.clone());
            }
        }
    }
    graph
}

/// A cycle in `edges`, if there is one.
pub fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        edges: &BTreeMap<String, BTreeSet<String>>,
        at: &str,
        path: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(start) = path.iter().position(|visited| visited == at) {
            return Some(path[start..].to_vec());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        path.push(at.to_owned());
        let found = edges.get(at).into_iter().flatten().find_map(|next| walk(edges, next, path, done));
        path.pop();
        found
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| walk(edges, start, &mut Vec::new(), &mut done))
}

/// Reads a module and its descendants.
fn add(sources: &mut BTreeMap<Module, Source>, module: Module, path: &Path, children: &Path) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.items.retain(|item| !attributes(item).iter().any(is_for_tests));
    let mut names = BTreeMap::new();
    for item in &file.items {
        match item {
            syn::Item::Use(item) => flatten(&item.tree, Vec::new(), &mut names),
            syn::Item::Mod(item) if item.content.is_none() => {
                let name = item.ident.to_string();
                let (flat, deep) = (children.join(format!("{name}.rs")), children.join(&name).join("mod.rs"));
                let path: PathBuf = if flat.is_file() { flat } else { deep };
                let child = module.iter().cloned().chain([name.clone()]).collect();
                add(sources, child, &path, &children.join(name));
            }
            _ => {}
        }
    }
    sources.insert(module, Source { file, names });
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| list.tokens.to_string() == "test")
}

/// Adds the paths of a `use` by their local names. A glob import gets a name that no item has.
fn flatten(tree: &syn::UseTree, mut before: Vec<String>, names: &mut BTreeMap<String, Vec<String>>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, names);
        }
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(tree, before.clone(), names)),
        syn::UseTree::Name(name) => {
            if name.ident != "self" {
                before.push(name.ident.to_string());
            }
            if let Some(last) = before.last().cloned() {
                names.insert(last, before);
            }
        }
        syn::UseTree::Rename(rename) => {
            before.push(rename.ident.to_string());
            let name = rename.rename.to_string();
            let name = if name == "_" { before.join("::") } else { name };
            names.insert(name, before);
        }
        syn::UseTree::Glob(_) => drop(names.insert(before.join("::") + "::*", before)),
    }
}

/// Every path in a file that begins at the root or at a parent, including those of its `use` declarations.
fn uses(source: &Source) -> Vec<Vec<String>> {
    struct Paths(Vec<Vec<String>>);
    impl<'a> Visit<'a> for Paths {
        fn visit_path(&mut self, path: &'a syn::Path) {
            self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
            visit::visit_path(self, path);
        }
        fn visit_macro(&mut self, invocation: &'a syn::Macro) {
            // The tokens of a macro are not parsed, so everything that looks like a path counts.
            let text = invocation.tokens.to_string().replace(" :: ", "::");
            let words = text.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
            let paths =
                words.filter(|word| word.contains("::")).map(|word| word.split("::").map(str::to_owned).collect());
            self.0.extend(paths);
            visit::visit_macro(self, invocation);
        }
        fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
            if !item.attrs.iter().any(is_for_tests) {
                visit::visit_item_mod(self, item);
            }
        }
        fn visit_item_use(&mut self, _: &'a syn::ItemUse) {}
    }
    let mut paths = Paths(source.names.values().cloned().collect());
    paths.visit_file(&source.file);
    paths.0.retain(|path| matches!(path[0].as_str(), "crate" | "super"));
    paths.0
}

/// The module that contains the item `path`, resolved from `module`; `None` for an item outside of the library.
fn module_of(sources: &BTreeMap<Module, Source>, module: &Module, path: &[String], depth: usize) -> Option<Module> {
    let (mut at, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (module.clone(), &path[1..]),
        "super" => (module[..module.len().checked_sub(1)?].to_vec(), &path[1..]),
        _ => (module.clone(), path),
    };
    while rest.first().is_some_and(|name| name == "super") {
        at.pop()?;
        rest = &rest[1..];
    }
    while let Some((name, further)) = rest.split_first() {
        let child: Module = at.iter().cloned().chain([name.clone()]).collect();
        if sources.contains_key(&child) {
            (at, rest) = (child, further);
            continue;
        }
        // An imported item belongs to the module that it is imported from.
        let from = sources.get(&at)?.names.get(name).filter(|from| depth < 8 && from.as_slice() != path);
        return from.and_then(|from| module_of(sources, &at, from, depth + 1)).or(Some(at));
    }
    Some(at)
}
