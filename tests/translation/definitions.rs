//! The definitions at the top level of a translated shader, read without a compiler.

use std::collections::HashSet;

/// The definitions in `text`, which is HLSL, MSL or GLSL, in order: functions by name and types of parameters, since
/// all three languages have overloads; types, buffers and constants by their whole head.
pub fn definitions(text: &str) -> Vec<String> {
    heads(text).iter().map(|head| key(head)).collect()
}

/// The definitions that repeat an earlier one.
pub fn repeated(definitions: &[String]) -> Vec<&String> {
    let mut seen = HashSet::new();
    definitions.iter().filter(|definition| !seen.insert(*definition)).collect()
}

/// The head of every item at the top level: the text up to its body, or up to its end if it has none, with single
/// spaces as white space.
fn heads(text: &str) -> Vec<String> {
    let code =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split("//").next().unwrap_or_default());
    let (mut heads, mut head, mut depth) = (Vec::new(), String::new(), 0usize);
    for c in code.flat_map(|line| line.chars().chain(['\n'])) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 0 => head.push(c),
            _ => {}
        }
        // A body ends an item, and so does a semicolon. The one after `struct { … }` ends an empty item.
        if depth == 0 && matches!(c, '}' | ';') {
            let item = head.split_whitespace().collect::<Vec<_>>().join(" ");
            head.clear();
            if item.chars().any(char::is_alphanumeric) {
                heads.push(item);
            }
        }
    }
    heads
}

/// `name(type, type)` for a function, and the unchanged head for anything else.
fn key(head: &str) -> String {
    let signature = || {
        // HLSL's attributes are in brackets in front of a function.
        let head = head.strip_prefix('[').and_then(|rest| rest.split_once("] ")).map_or(head, |(_, head)| head);
        let (before, parameters) = head.strip_suffix(')')?.split_once('(')?;
        let (_, name) = before.rsplit_once(' ')?;
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let is_function = plain(name) && !before.split(' ').any(|word| word == ":");
        let type_of =
            |parameter: &str| parameter.trim().rsplit_once(' ').map_or_else(String::new, |(ty, _)| ty.to_owned());
        let types = || parameters.split(',').map(type_of).collect::<Vec<_>>().join(", ");
        is_function.then(|| format!("{name}({})", types()))
    };
    signature().unwrap_or_else(|| head.to_owned())
}

#[test]
fn what_is_defined_twice_is_found() {
    let once = "\
        #include <metal_stdlib>\n\
        struct type_1 {\n    metal::float4 inner[4];\n};\n\
        cbuffer p : register(b0) { Params p; }\n\
        cbuffer q : register(b1) { Params q; }\n\
        typedef float4 ret_ZeroValue[4];\n\
        ret_ZeroValue ZeroValue() {\n    return (float4[4])0;\n}\n\
        int naga_mod(int a, int b) { return a; }\n\
        uint naga_mod(uint a, uint b) { return a; } // int naga_mod(int a, int b) {}\n\
        [numthreads(64, 1, 1)]\nvoid main(uint3 id : SV_DispatchThreadID)\n{\n    ZeroValue();\n}\n";
    let repeat = |more: &str| {
        let definitions = definitions(&format!("{once}{more}"));
        repeated(&definitions).into_iter().cloned().collect::<Vec<_>>()
    };
    assert_eq!(repeat(""), [""; 0]);
    assert_eq!(repeat("float4 ZeroValue()\n{ return 0; }"), ["ZeroValue()"]);
    assert_eq!(repeat("int naga_mod(int x,\n    int y) { return x; }"), ["naga_mod(int, int)"]);
    assert_eq!(repeat("typedef float4 ret_ZeroValue[4];"), ["typedef float4 ret_ZeroValue[4];"]);
    assert_eq!(repeat("struct type_1 { int x; };"), ["struct type_1"]);
}
