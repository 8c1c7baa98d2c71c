//! Assembly of a shader: extensions, types and constants, then shared code, then the kernel's file with its marked
//! loops unrolled.
//!
//! Some drivers do not unroll loops over register tiles well (`docs/experiments.md`). A loop of the form
//!
//! ```wgsl
//! // unroll
//! for (var j = 0u; j < TILE_N; j++) {
//!     ...
//! }
//! ```
//!
//! is written out once for each value of `j`, in separate braces and with the number in place of `j`. The bound is a
//! constant of the prelude or a literal. Nothing else is generated.
//!
//! A marker in front of anything else changes nothing, so a shader stays valid whatever is marked in it. It is reported
//! as [`Misplaced`], and a test asserts that no shader has one.

use crate::dtype::{DType, Wgsl};
use std::fmt;

/// The declarations in front of a shader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prelude<'a> {
    /// Extensions: `enable NAME;`.
    pub enables: &'a [&'static str],
    /// Types: `alias NAME = TYPE;`.
    pub aliases: Vec<(&'static str, &'static str)>,
    /// Constants: `const NAME: u32 = VALUE;`.
    pub constants: &'a [(&'static str, usize)],
}

impl<'a> Prelude<'a> {
    /// A prelude that has only constants.
    #[cfg(any(test, not(target_arch = "wasm32")))]
    pub fn constants(constants: &'a [(&'static str, usize)]) -> Self {
        Self { constants, ..Self::default() }
    }

    /// The prelude for a shader of that number format: the types of values, the type of textures if it reads
    /// `textures`, and `constants`.
    pub fn of(dtype: DType, textures: bool, constants: &'a [(&'static str, usize)]) -> Self {
        let Wgsl { enables, values: [one, two, four], texture } = dtype.wgsl();
        let mut aliases = vec![("Value", one), ("Value2", two), ("Value4", four)];
        // Only if a texture is read: otherwise a shader would require a feature that it does not use.
        aliases.extend(textures.then_some(("ValueTexture", texture)));
        Self { enables, aliases, constants }
    }
}

/// The functions that load and store values of that number format. They come after the prelude and before all other
/// files.
pub(crate) fn values(dtype: DType) -> Source {
    match dtype {
        DType::F32 => wgsl!("shared/values_f32"),
    }
}

/// A file below `shaders/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its path there, without extension.
    pub name: &'static str,
    pub text: &'static str,
}

/// The file of that name below `shaders/`.
macro_rules! wgsl {
    ($name:literal) => {
        $crate::kernels::Source { name: $name, text: include_str!(concat!("../../shaders/", $name, ".wgsl")) }
    };
}
pub(crate) use wgsl;

/// The text of a shader with its marked loops unrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    /// The text that the device is given.
    pub text: String,
    /// Markers without a loop that can be unrolled.
    pub misplaced: Vec<Misplaced>,
}

/// A marker without a loop that can be unrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The file, for example `shaders/conv_gemm.wgsl`.
    pub file: String,
    /// Its line in the file, from 1.
    pub line: usize,
    /// The reason why nothing is unrolled.
    pub reason: String,
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.reason)
    }
}

/// The whole text of a shader.
pub(crate) fn assemble(prelude: &Prelude<'_>, shared: &[Source], kernel: Source) -> Expanded {
    let Prelude { enables, aliases, constants } = prelude;
    let mut text = String::new();
    text.extend(enables.iter().map(|name| format!("enable {name};\n")));
    text.extend(aliases.iter().map(|(name, ty)| format!("alias {name} = {ty};\n")));
    text.extend(constants.iter().map(|(name, value)| format!("const {name}: u32 = {value}u;\n")));
    text.extend(shared.iter().map(|source| source.text));
    let mut misplaced = Vec::new();
    for source in shared {
        // Shared code consists of small functions. Their loops are not unrolled.
        let marked = numbered(source.text).into_iter().filter(|(_, line)| is_marker(line));
        misplaced.extend(marked.map(|(line, _)| (source.name, line, "shared code is not unrolled".to_owned())));
    }
    let mut faults = Vec::new();
    unroll(&numbered(kernel.text), constants, &mut text, &mut faults);
    // An inner loop is visited once for each value of the outer loop.
    faults.sort();
    faults.dedup_by_key(|(line, _)| *line);
    misplaced.extend(faults.into_iter().map(|(line, reason)| (kernel.name, line, reason)));
    let misplaced = misplaced
        .into_iter()
        .map(|(name, line, reason)| Misplaced { file: format!("shaders/{name}.wgsl"), line, reason })
        .collect();
    Expanded { text, misplaced }
}

/// The lines of a text with their numbers.
fn numbered(text: &str) -> Vec<(usize, String)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.to_owned())).collect()
}

/// Whether a line is a marker, or looks like one.
fn is_marker(line: &str) -> bool {
    let comment = line.find("//").map(|at| line[at..].trim_start_matches('/'));
    comment.is_some_and(|comment| comment.trim().trim_end_matches([':', '.']).eq_ignore_ascii_case("unroll"))
}

/// Appends `lines` to `out` with every marked loop unrolled. Appends markers without such a loop to `faults`.
fn unroll(lines: &[(usize, String)], constants: &Constants, out: &mut String, faults: &mut Vec<(usize, String)>) {
    let mut at = 0;
    while at < lines.len() {
        let (number, line) = &lines[at];
        at += 1;
        let parsed = match line.trim() == MARKER {
            true => parse(&lines[at..], constants),
            false if is_marker(line) => Err(format!("a marker is a line of `{MARKER}` and nothing else")),
            false => Ok(None),
        };
        match parsed {
            Ok(None) => {
                *out += line;
                *out += "\n";
            }
            Ok(Some(Loop { variable, count, body })) => {
                let inside = &lines[at + 1..at + 1 + body];
                for value in 0..count {
                    let number = format!("{value}u");
                    let replaced: Vec<_> =
                        inside.iter().map(|(line, text)| (*line, replace_word(text, variable, &number))).collect();
                    *out += "{\n";
                    unroll(&replaced, constants, out, faults);
                    *out += "}\n";
                }
                // Skips the head, the body and the closing brace.
                at += body + 2;
            }
            Err(reason) => {
                faults.push((*number, reason));
                *out += line;
                *out += "\n";
            }
        }
    }
}

/// Constants of the prelude, by name.
type Constants = [(&'static str, usize)];

/// The marker of a loop.
const MARKER: &str = "// unroll";

/// A loop that can be unrolled.
struct Loop<'a> {
    variable: &'a str,
    count: usize,
    /// The number of lines of its body.
    body: usize,
}

/// The loop at the start of `lines`.
fn parse<'a>(lines: &'a [(usize, String)], constants: &Constants) -> Result<Option<Loop<'a>>, String> {
    let head = lines.first().map_or("", |(_, line)| line.as_str());
    let not_a_loop = || {
        format!(
            "`for (var i = 0u; i < COUNT; i++) {{` has to follow, where COUNT is a constant of the prelude or a \
             literal, not `{}`",
            head.trim()
        )
    };
    let (variable, count) = loop_of(head, constants).ok_or_else(not_a_loop)?;
    let mut depth = 1usize;
    for (body, (_, line)) in lines[1..].iter().enumerate() {
        let after = (depth + line.matches('{').count()).checked_sub(line.matches('}').count());
        depth = after.ok_or("braces of its body do not match")?;
        if depth == 0 {
            return match line.trim() {
                "}" => Ok(Some(Loop { variable, count, body })),
                line => Err(format!("its last line has to be a closing brace, not `{line}`")),
            };
        }
    }
    Err("its body does not end".to_owned())
}

/// Variable and count of `for (var j = 0u; j < TILE_N; j++) {`.
fn loop_of<'a>(head: &'a str, constants: &Constants) -> Option<(&'a str, usize)> {
    let (variable, rest) = head.trim().strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(variable)?.strip_prefix(" < ")?.strip_suffix("++) {")?;
    let bound = bound.strip_suffix(variable)?.strip_suffix("; ")?;
    let named = constants.iter().find(|(name, _)| *name == bound).map(|(_, value)| *value);
    Some((variable, named.or_else(|| bound.strip_suffix('u')?.parse().ok())?))
}

/// `text` with the identifier `word` replaced wherever it is a whole identifier.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let alone = !before.ends_with(in_word) && !after.starts_with(in_word);
        // A member of that name, `.j`, is not the variable.
        let member = before.ends_with('.');
        out += before;
        out += if alone && !member { by } else { word };
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &'static str) -> Expanded {
        assemble(&Prelude::constants(&[("N", 2)]), &[], Source { name: "test", text })
    }

    #[test]
    fn a_prelude_is_extensions_then_types_then_constants() {
        let prelude = Prelude { enables: &["f16"], aliases: vec![("Value", "f16")], constants: &[("N", 2)] };
        let shared = Source { name: "shared/test", text: "fn f() {}\n" };
        let text = assemble(&prelude, &[shared], Source { name: "test", text: "fn g() {}\n" }).text;
        assert_eq!(text, "enable f16;\nalias Value = f16;\nconst N: u32 = 2u;\nfn f() {}\nfn g() {}\n");
    }

    #[test]
    fn marked_loops_unroll_and_others_stay() {
        let source = "\
for (var i = 0u; i < N; i++) {
    // unroll
    for (var j = 0u; j < N; j++) {
        // unroll
        for (var k = 0u; k < 1u; k++) {
            sum[j][k] += jk * v.j;
        }
    }
}
";
        let want = "\
const N: u32 = 2u;
for (var i = 0u; i < N; i++) {
{
{
            sum[0u][0u] += jk * v.j;
}
}
{
{
            sum[1u][0u] += jk * v.j;
}
}
}
";
        assert_eq!(expand(source), Expanded { text: want.to_owned(), misplaced: Vec::new() });
    }

    #[test]
    fn what_cannot_be_unrolled_stays_and_is_told_with_its_line() {
        let cases = [
            ("let a = 1u;\n// unroll\nlet b = 2u;\n", 2, "not `let b = 2u;`"),
            ("// unroll\nfor (var i = 0u; i < M; i++) {\n}\n", 1, "constant of the prelude"),
            ("// unroll\nfor (var i = 1u; i < N; i++) {\n}\n", 1, "has to follow"),
            ("// unroll\nfor (var i = 0u; i < N; i++) {\n    a();\n", 1, "does not end"),
            ("// unroll\nfor (var i = 0u; i < N; i++) {\n    a();\n} b();\n", 1, "closing brace, not `} b();`"),
            ("// unroll\nfor (var i = 0u; i < N; i++) {\n}}\n", 1, "do not match"),
            ("\n\n// unroll", 3, "not ``"),
            ("//unroll\nfor (var i = 0u; i < N; i++) {\n}\n", 1, "and nothing else"),
            ("a(); // Unroll:\nfor (var i = 0u; i < N; i++) {\n}\n", 1, "and nothing else"),
        ];
        for (text, line, reason) in cases {
            let Expanded { text: got, misplaced } = expand(text);
            assert_eq!(got.trim_end(), format!("const N: u32 = 2u;\n{}", text.trim_end()), "nothing is changed");
            let [one] = &misplaced[..] else { panic!("{text:?}: {misplaced:?}") };
            assert!(one.to_string().starts_with(&format!("shaders/test.wgsl:{line}: ")), "{text:?}: {one}");
            assert!(one.reason.contains(reason), "{text:?}: {one}");
        }
    }

    #[test]
    fn an_inner_marker_is_told_once() {
        let text = "// unroll\nfor (var i = 0u; i < N; i++) {\n    // unroll\n    a(i);\n}\n";
        assert_eq!(expand(text).misplaced.iter().map(|one| one.line).collect::<Vec<_>>(), [3]);
        let shared = Source { name: "shared/test", text: "// unroll\nfor (var i = 0u; i < N; i++) {\n}\n" };
        let expanded = assemble(&Prelude::constants(&[("N", 2)]), &[shared], Source { name: "test", text: "" });
        assert_eq!(expanded.misplaced[0].to_string(), "shaders/shared/test.wgsl:1: shared code is not unrolled");
    }
}
