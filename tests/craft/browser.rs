//! The part of the library that exists in a browser, read from the sources: all modules and items that no `cfg`
//! excludes for wasm, without tests, and without features that are off by default.

use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};

/// The files of this part of the library, with every path, method and word of a macro in them.
pub fn names(directory: &Path) -> Vec<(PathBuf, Vec<String>)> {
    let mut files = Vec::new();
    add(&mut files, &directory.join("src/lib.rs"), &directory.join("src"));
    files
}

fn add(files: &mut Vec<(PathBuf, Vec<String>)>, path: &Path, children: &Path) {
    let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut names = Names::default();
    names.visit_file(&file);
    for child in names.modules {
        let (flat, deep) = (children.join(format!("{child}.rs")), children.join(&child).join("mod.rs"));
        add(files, if flat.is_file() { &flat } else { &deep }, &children.join(child));
    }
    files.push((path.to_owned(), names.found));
}

#[derive(Default)]
struct Names {
    found: Vec<String>,
    /// Child modules in separate files.
    modules: Vec<String>,
}

/// Whether these attributes exclude an item from browsers.
fn is_excluded(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let list = attribute.meta.require_list().expect("cfg(…)").tokens.to_string();
        list == "test" || list.starts_with("feature") || list == "not (target_arch = \"wasm32\")"
    })
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a syn::Item) {
        let attributes = match item {
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Struct(item) => &item.attrs,
            syn::Item::Const(item) => &item.attrs,
            syn::Item::Type(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_excluded(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if item.content.is_none() {
            self.modules.push(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        if !is_excluded(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_local(&mut self, local: &'a syn::Local) {
        if !is_excluded(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string());
        self.found.push(segments.collect::<Vec<_>>().join("::"));
        visit::visit_path(self, path);
    }

    fn visit_use_path(&mut self, path: &'a syn::UsePath) {
        self.found.push(path.ident.to_string());
        visit::visit_use_path(self, path);
    }

    fn visit_use_name(&mut self, name: &'a syn::UseName) {
        self.found.push(name.ident.to_string());
    }

    fn visit_expr_method_call(&mut self, call: &'a syn::ExprMethodCall) {
        self.found.push(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, invocation: &'a syn::Macro) {
        let text = invocation.tokens.to_string().replace(" :: ", "::");
        let words = text.split(|c: char| !c.is_alphanumeric() && !"_:".contains(c)).filter(|word| !word.is_empty());
        self.found.extend(words.map(str::to_owned));
        visit::visit_macro(self, invocation);
    }
}
