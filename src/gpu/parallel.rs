//! Parallel work of the host: on all cores natively, on one thread in a browser, where wgpu's objects cannot move to
//! another thread.

#[cfg(not(target_arch = "wasm32"))]
mod threads {
    use rayon::prelude::*;

    /// The results of `work` for all items, in order, computed several at a time.
    pub fn each<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Send + Sync) -> Vec<R> {
        items.into_par_iter().with_max_len(1).map(work).collect()
    }

    /// The results of both, computed at the same time.
    pub fn both<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
        rayon::join(a, b)
    }
}

#[cfg(target_arch = "wasm32")]
mod threads {
    pub fn each<T, R>(items: Vec<T>, work: impl Fn(T) -> R) -> Vec<R> {
        items.into_iter().map(work).collect()
    }

    pub fn both<A, B>(a: impl FnOnce() -> A, b: impl FnOnce() -> B) -> (A, B) {
        (a(), b())
    }
}

pub(super) use threads::{both, each};
