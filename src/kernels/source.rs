//! Putting a shader together: constants, shared code, the kernel's file with its marked loops unrolled.
//!
//! Not every driver unrolls loops over register tiles as well as it could (`docs/performance.md`). A loop of the form
//!
//! ```wgsl
//! // unroll
//! for (var j = 0u; j < TILE_N; j++) {
//!     ...
//! }
//! ```
//!
//! is repeated once for each value of `j` (which `const TILE_N` or a literal bounds), each time in braces of its own and
//! with the number in place of `j`. Nothing else is generated.

/// The constants in front of a shader: `const NAME: u32 = VALUE;`.
pub(crate) type Prelude = [(&'static str, usize)];

/// The whole text of a shader.
pub(crate) fn assemble(prelude: &Prelude, shared: &[&str], kernel: &str) -> String {
    let mut text = String::new();
    for (name, value) in prelude {
        text += &format!("const {name}: u32 = {value}u;\n");
    }
    text.extend(shared.iter().copied());
    unroll(kernel, prelude, &mut text);
    text
}

/// Appends `source` to `out`, every marked loop unrolled.
fn unroll(source: &str, prelude: &Prelude, out: &mut String) {
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "// unroll" {
            *out += line;
            *out += "\n";
            continue;
        }
        let head = lines.next().unwrap_or_default();
        let (variable, count) = loop_of(head, prelude).unwrap_or_else(|| panic!("not a loop to unroll: {head:?}"));
        let mut depth = 1;
        let body: String = lines
            .by_ref()
            .take_while(|line| {
                depth += line.matches('{').count();
                depth -= line.matches('}').count();
                depth > 0
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        for value in 0..count {
            *out += "{\n";
            unroll(&replace_word(&body, variable, &format!("{value}u")), prelude, out);
            *out += "}\n";
        }
    }
}

/// Variable and count of `for (var j = 0u; j < TILE_N; j++) {`.
fn loop_of<'a>(head: &'a str, prelude: &Prelude) -> Option<(&'a str, usize)> {
    let (variable, rest) = head.trim().strip_prefix("for (var ")?.split_once(" = 0u; ")?;
    let bound = rest.strip_prefix(variable)?.strip_prefix(" < ")?.strip_suffix("++) {")?;
    let bound = bound.strip_suffix(variable)?.strip_suffix("; ")?;
    let named = prelude.iter().find(|(name, _)| *name == bound).map(|(_, value)| *value);
    Some((variable, named.or_else(|| bound.strip_suffix('u')?.parse().ok())?))
}

/// `text` with the identifier `word` replaced wherever it stands alone.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, after) = (&rest[..at], &rest[at + word.len()..]);
        let alone = !before.ends_with(in_word) && !after.starts_with(in_word);
        // A member of that name, `.j`, is something else.
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
        assert_eq!(assemble(&[("N", 2)], &[], source), want);
    }
}
