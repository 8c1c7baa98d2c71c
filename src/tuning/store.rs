//! The results of tuning for one adapter and number format, as a file of JSON, so that a user can read it.
//!
//! A wrong file can at worst choose another method that supports the operator on this device: the planner accepts no
//! other.

use crate::dtype::DType;
use crate::gpu::GpuContext;
use crate::kernels::Method;
use crate::plan::Choices;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest file that is accepted. It has room for some ten thousand operators.
const LIMIT: u64 = 4 << 20;

/// The file.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    key: Key,
    /// Names of methods by signature.
    choices: BTreeMap<String, String>,
}

/// The configuration for which choices are valid. Another version, adapter, driver or number format has another key.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    version: String,
    backend: String,
    adapter: String,
    driver: String,
    /// Lanes of a subgroup, 0 without subgroups. A device of the same adapter with fewer features has fewer methods to
    /// choose from.
    subgroup: u32,
    /// The compiler of the shaders: FXC generates other code than DXC.
    compiler: String,
    /// The number format of the values that the methods read and write.
    dtype: String,
}

impl Key {
    fn of(gpu: &GpuContext, dtype: DType) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            backend: gpu.backend().to_owned(),
            adapter: gpu.adapter_name().to_owned(),
            driver: gpu.driver(),
            subgroup: gpu.target().subgroup_size.unwrap_or(0),
            compiler: gpu.target().compiler.name().to_owned(),
            dtype: dtype.to_string(),
        }
    }
}

fn file_name(gpu: &GpuContext, dtype: DType) -> String {
    let info = gpu.adapter_info();
    let subgroups = if gpu.target().subgroup_size.is_some() { "" } else { "_plain" };
    format!("tuning_{}_{}_{}{subgroups}_{dtype}.json", gpu.backend(), info.vendor, info.device)
}

/// The stored choices for the adapter of `gpu` and that number format. There are none without a directory, without a
/// file, or if the file has another key.
pub(crate) fn load(gpu: &GpuContext, dtype: DType) -> Choices {
    let bytes = gpu.cache().and_then(|cache| cache.read(&file_name(gpu, dtype), LIMIT));
    bytes.map_or_else(Choices::default, |bytes| parse(&bytes, &Key::of(gpu, dtype)))
}

/// Writes `choices` to the file, if the context has a directory.
pub(super) fn save(gpu: &GpuContext, dtype: DType, choices: &Choices) {
    let Some(cache) = gpu.cache() else { return };
    let choices = choices.iter().map(|(signature, method)| (signature.to_owned(), method.name().to_owned())).collect();
    match serde_json::to_vec_pretty(&Stored { key: Key::of(gpu, dtype), choices }) {
        Ok(bytes) => cache.write(&file_name(gpu, dtype), &bytes),
        Err(error) => log::warn!("the choices of tuning cannot be written: {error}"),
    }
}

/// The choices of a file for `key`. Unknown methods are skipped.
fn parse(bytes: &[u8], key: &Key) -> Choices {
    let mut choices = Choices::default();
    match serde_json::from_slice::<Stored>(bytes) {
        Ok(stored) if stored.key == *key => {
            for (signature, name) in stored.choices {
                match Method::by_name(&name) {
                    Some(method) => choices.insert(signature, method),
                    None => log::debug!("the choices on disk name {name:?}, which is no method"),
                }
            }
        }
        Ok(stored) => log::debug!("the choices on disk are for {:?}", stored.key),
        Err(error) => log::debug!("the choices on disk cannot be read: {error}"),
    }
    choices
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(version: &str) -> Key {
        Key { version: version.to_owned(), adapter: "one".to_owned(), ..Key::default() }
    }

    fn stored() -> Vec<u8> {
        let choices = [("a", "conv_direct_4x8"), ("b", "winograd_4x4_gemm_tiled"), ("c", "none such")];
        let choices = choices.map(|(signature, name)| (signature.to_owned(), name.to_owned())).into();
        serde_json::to_vec_pretty(&Stored { key: key("1"), choices }).unwrap()
    }

    #[test]
    fn what_is_unknown_or_for_another_is_a_miss() {
        let read = parse(&stored(), &key("1"));
        assert_eq!(read.len(), 2);
        assert_eq!(read.get("a"), Method::by_name("conv_direct_4x8"));
        assert_eq!(read.get("c"), None, "a method that is not known");
        assert!(parse(&stored(), &key("2")).is_empty(), "another version");
        assert!(parse(&stored(), &Key { dtype: "f16".to_owned(), ..key("1") }).is_empty(), "another number format");
        let older = String::from_utf8(stored()).unwrap().replace(",\n    \"dtype\": \"\"", "");
        assert!(!older.contains("dtype"));
        assert!(parse(older.as_bytes(), &key("1")).is_empty(), "of before there were number formats");
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "1",
            "{\"key\": 1, \"choices\": {}}",
            "{\"choices\": {}}",
            "\u{0}",
            "{\"key\": {\"version\": \"1\"}, \"choices\": {}}",
        ] {
            assert!(parse(text.as_bytes(), &Key::default()).is_empty(), "{text}");
        }
        let number = String::from_utf8(stored()).unwrap().replace("\"conv_direct_4x8\"", "4");
        assert!(parse(number.as_bytes(), &key("1")).is_empty(), "wrong type");
    }

    #[test]
    fn damaged_files_do_not_hurt() {
        let whole = stored();
        for len in 0..whole.len() {
            assert!(parse(&whole[..len], &key("1")).is_empty(), "cut to {len}");
        }
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..rng.usize(1..=8) {
                let at = rng.usize(..bytes.len());
                match rng.u32(..3) {
                    0 => bytes[at] = rng.u8(..),
                    1 => bytes.insert(at, b"{}[]\",:0"[rng.usize(..8)]),
                    _ => drop(bytes.remove(at)),
                }
            }
            let known = |(_, method): (&str, Method)| Method::by_name(method.name()) == Some(method);
            assert!(parse(&bytes, &key("1")).iter().all(known));
        }
        let deep = [b"[".repeat(100_000), b"{\"key\":".repeat(100_000)];
        assert!(deep.iter().all(|bytes| parse(bytes, &key("1")).is_empty()));
    }
}
