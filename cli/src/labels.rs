//! The names of classes.

use crate::failure::Failure;
use anyhow::Result;
use resnet3d_wgpu::ErrorKind;
use resnet3d_wgpu::low_level::content::read_json;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The names of Kinetics-400, in alphabetical order, which is the numbering of torchvision (`models/_meta.py`) and the
/// other projects.
const KINETICS_400: &str = include_str!("labels/kinetics400.txt");

/// The number of classes of Kinetics-400.
const KINETICS_400_CLASSES: usize = 400;

/// The names of the classes of a network, if they are known.
#[derive(Debug)]
pub struct Labels(Vec<String>);

impl Labels {
    /// The names of `classes` classes: from the file at `path`, or those of Kinetics-400 if the number fits, or none.
    pub fn new(path: Option<&Path>, classes: usize) -> Result<Self> {
        let Some(path) = path else {
            let known = if classes == KINETICS_400_CLASSES { KINETICS_400 } else { "" };
            return Ok(Self(known.lines().map(str::to_owned).collect()));
        };
        let wrong = |wanted: &str, given: &str| {
            let next_step = "--labels takes one name per line, a JSON list of names, or a JSON dictionary of names and \
                             numbers from 0 on";
            anyhow::Error::from(Failure::format(path, wanted, given, next_step))
        };
        let text = read_json(path).map_err(|error| match (error.kind(), error.given()) {
            (ErrorKind::Format, Some(given)) => wrong("names of classes", given),
            _ => error.into(),
        })?;
        let names = of_text(&text).map_err(|given| wrong("names of classes", &given))?;
        if names.len() != classes {
            let wanted = format!("the names of the {classes} classes of the network");
            return Err(wrong(&wanted, &format!("{} names", names.len())));
        }
        Ok(Self(names))
    }

    /// The name of a class.
    pub fn name(&self, class: usize) -> Option<&str> {
        self.0.get(class).map(String::as_str)
    }
}

/// The names in a text: a JSON list of names, a JSON dictionary of numbers by name or of names by number, or lines. The
/// error says what is wrong with the text.
fn of_text(text: &str) -> Result<Vec<String>, String> {
    if !text.trim_start().starts_with(['[', '{']) {
        return Ok(text.trim_end().lines().map(|line| line.trim().to_owned()).collect());
    }
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let plain = |name: &str| name.trim_matches('"').to_owned();
    match value {
        Value::Array(names) => {
            let name = |name: &Value| name.as_str().map(plain).ok_or_else(|| format!("{name} in the list"));
            names.iter().map(name).collect()
        }
        Value::Object(members) => {
            let mut by_number = BTreeMap::new();
            for (key, value) in &members {
                let (number, name) = match value {
                    Value::String(name) => (key.parse().ok(), name),
                    number => (number.as_u64(), key),
                };
                let number: u64 = number.ok_or_else(|| format!("{key:?}: {value}, neither of which is a number"))?;
                if by_number.insert(number, plain(name)).is_some() {
                    return Err(format!("two names of class {number}"));
                }
            }
            match by_number.keys().zip(0..).find(|(number, wanted)| *number != wanted) {
                None => Ok(by_number.into_values().collect()),
                Some((_, wanted)) => Err(format!("no name of class {wanted}")),
            }
        }
        _ => Err("other JSON".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lines_or_json() {
        for text in [
            "skiing\n playing cards \nyoga\n\n",
            r#"["skiing", "playing cards", "yoga"]"#,
            r#"{"playing cards": 1, "\"yoga\"": 2, "skiing": 0}"#,
            r#"{"2": "yoga", "0": "skiing", "1": "playing cards"}"#,
        ] {
            assert_eq!(of_text(text).unwrap(), ["skiing", "playing cards", "yoga"], "{text}");
        }
        for (text, says) in [
            (r#"["a", 1]"#, "1 in the list"),
            (r#"{"a": "b"}"#, "neither of which is a number"),
            (r#"{"a": 0, "b": 0}"#, "two names of class 0"),
            (r#"{"a": 0, "b": 2}"#, "no name of class 1"),
            ("[", "EOF"),
        ] {
            let error = of_text(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn names_of_kinetics_are_for_400_classes() {
        let labels = Labels::new(None, 400).unwrap();
        assert_eq!(labels.0.len(), 400);
        assert!(labels.0.is_sorted() && labels.0.iter().all(|name| !name.is_empty()));
        assert_eq!([0, 5, 399].map(|class| labels.name(class).unwrap()), ["abseiling", "archery", "zumba"]);
        assert_eq!(Labels::new(None, 399).unwrap().name(0), None);
    }
}
