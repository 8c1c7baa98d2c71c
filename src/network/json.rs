//! Networks as JSON.

use super::{Block, Description, FastPathway, Network, Pool, Shortcut, Stage, Stem, Unit, is_one, one, presets};
use crate::config::BackboneConfig;
use crate::error::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The maximum number of blocks in a stage. No network needs as many; the limit keeps a typing error from using all
/// memory.
pub(super) const MAX_BLOCKS: usize = 1000;

/// The keys of a [`Description`] that a [`BackboneConfig`] does not have.
const DESCRIPTION_KEYS: [&str; 5] = ["stem", "stages", "fast", "alpha", "classes"];

/// The JSON of a description. Every key is optional if there is a preset; unknown keys are refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Overrides {
    preset: Option<String>,
    stem: Option<Stem>,
    stages: Option<Vec<Stage>>,
    fast: Option<Box<FastPathway>>,
    /// `alpha` of the fast pathway.
    alpha: Option<usize>,
    classes: Option<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageKeys {
    blocks: Vec<BlockKeys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pool: Option<Pool>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    stop_gradient: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockKeys {
    branch: Vec<Unit>,
    #[serde(default = "identity", skip_serializing_if = "is_identity")]
    shortcut: Shortcut,
    /// How many times the block is repeated.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    repeat: usize,
}

fn identity() -> Shortcut {
    Shortcut::Identity
}

fn is_identity(shortcut: &Shortcut) -> bool {
    *shortcut == Shortcut::Identity
}

impl Serialize for Stage {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let blocks = self.blocks.chunk_by(|a, b| a == b).map(|equal| {
            let Block { branch, shortcut } = equal[0].clone();
            BlockKeys { branch, shortcut, repeat: equal.len() }
        });
        let keys = StageKeys { blocks: blocks.collect(), pool: self.pool.clone(), stop_gradient: self.stop_gradient };
        keys.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Stage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let keys = StageKeys::deserialize(deserializer)?;
        let mut blocks = Vec::new();
        for BlockKeys { branch, shortcut, repeat } in keys.blocks {
            if repeat == 0 || repeat > MAX_BLOCKS - blocks.len() {
                let message = format!("repeat {repeat}: a stage has 1 to {MAX_BLOCKS} blocks");
                return Err(serde::de::Error::custom(message));
            }
            blocks.extend(std::iter::repeat_n(Block { branch, shortcut }, repeat));
        }
        Ok(Self { blocks, pool: keys.pool, stop_gradient: keys.stop_gradient })
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Reference(config) => config.serialize(serializer),
            Self::Described(description) => description.serialize(serializer),
        }
    }
}

impl Network {
    /// The preset `name`, one of [`BackboneConfig::PRESETS`] or [`presets::NAMES`].
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if there is no such preset.
    pub fn preset(name: &str) -> Result<Self> {
        if BackboneConfig::PRESETS.contains(&name) {
            return BackboneConfig::preset(name).map(Self::Reference);
        }
        presets::described(name).map(Self::Described).ok_or_else(|| {
            let wanted = format!("one of {}", presets::all().collect::<Vec<_>>().join(", "));
            Error::config("preset", wanted, format!("{name:?}"))
        })
    }

    /// Parses and validates a network.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for text that is not a JSON object, an unknown key, a value of
    /// the wrong type, or a network that cannot be built.
    pub fn from_json(json: &str) -> Result<Self> {
        let keys: Value = serde_json::from_str(json)
            .map_err(|e| Error::config("JSON", "an object of known keys, all optional", e))?;
        let preset = keys.get("preset").and_then(Value::as_str);
        let described = preset.map_or_else(
            || DESCRIPTION_KEYS.iter().any(|key| keys.get(key).is_some()),
            |preset| !BackboneConfig::PRESETS.contains(&preset),
        );
        if !described {
            return BackboneConfig::from_json(json).map(Self::Reference);
        }
        let overrides: Overrides = serde_json::from_str(json).map_err(|e| {
            Error::config(
                "JSON",
                "an object with the keys preset, stem, stages, fast, alpha and classes, all optional with a preset",
                e,
            )
        })?;
        let mut description = match &overrides.preset {
            Some(name) => match Self::preset(name)? {
                Self::Described(description) => description,
                Self::Reference(_) => unreachable!("these presets are parsed as a BackboneConfig above"),
            },
            None => match (&overrides.stem, &overrides.stages) {
                (Some(stem), Some(stages)) => {
                    Description { stem: stem.clone(), stages: stages.clone(), fast: None, classes: None }
                }
                _ => {
                    let wanted = format!("one of {}, or both stem and stages", presets::NAMES.join(", "));
                    return Err(Error::config("preset", wanted, "none"));
                }
            },
        };
        if let Some(stem) = overrides.stem {
            description.stem = stem;
        }
        if let Some(stages) = overrides.stages {
            description.stages = stages;
        }
        description.fast = overrides.fast.or(description.fast);
        match (overrides.alpha, &mut description.fast) {
            (Some(alpha), Some(fast)) => fast.alpha = alpha,
            (Some(_), None) => {
                return Err(Error::config("alpha", "in a network with two pathways", "a network with one pathway"));
            }
            (None, _) => {}
        }
        description.classes = overrides.classes.or(description.classes);
        description.validate()?;
        Ok(Self::Described(description))
    }

    /// The network as JSON, which [`Network::from_json`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("structs of numbers, strings and lists always serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_survives_json() {
        for name in presets::all() {
            let network = Network::preset(name).unwrap();
            assert_eq!(Network::from_json(&network.to_json()).unwrap(), network, "{name}");
            let json = format!(r#"{{"preset": "{name}"}}"#);
            assert_eq!(Network::from_json(&json).unwrap(), network, "{name}");
        }
    }

    #[test]
    fn repeated_blocks_are_written_once() {
        let json = Network::preset("r3d_18").unwrap().to_json();
        assert_eq!(json.matches(r#""repeat":2"#).count(), 1, "{json}");
        let deep = Network::preset("r3d200").unwrap().to_json();
        assert!(deep.contains(r#""repeat":35"#) && deep.len() < 3000, "{deep}");
    }

    #[test]
    fn keys_modify_a_preset() {
        let network = Network::from_json(r#"{"preset": "slow_r50", "classes": 7}"#).unwrap();
        assert_eq!(network.classes(), Some(7));
        assert!(Network::from_json(r#"{"preset": "r3d_18", "classes": 1048576}"#).is_ok());
        let json = r#"{"preset": "slow_r50", "stem": {"convs": [{"width": 64, "kernel": [5, 7, 7]}]}}"#;
        let Network::Described(changed) = Network::from_json(json).unwrap() else { panic!("a description") };
        assert_eq!((changed.stem.convs[0].kernel, changed.stem.pool), ([5, 7, 7], None));
        assert_eq!(changed.stages.len(), 4);
    }

    #[test]
    fn refuses_invalid_networks() {
        let with = |branch: &str, shortcut: &str| {
            let stem = r#""stem": {"convs": [{"width": 8, "kernel": [1, 7, 7]}]}"#;
            let block = format!(r#"{{"branch": [{branch}], "shortcut": {shortcut}}}"#);
            format!(r#"{{{stem}, "stages": [{{"blocks": [{block}]}}]}}"#)
        };
        let identity = r#""identity""#;
        assert!(Network::from_json(&with(r#"{"width": 8}"#, identity)).is_ok());
        let cases = [
            (r#"{"classes": 400}"#.to_owned(), "stem and stages"),
            (r#"{"preset": "r50-conv5", "classes": 400}"#.to_owned(), "classes"),
            (r#"{"preset": "r3d_18", "dilation": 2}"#.to_owned(), "dilation"),
            (r#"{"preset": "r3d_19"}"#.to_owned(), "r3d_18"),
            (r#"{"preset": "r3d_18", "classes": 0}"#.to_owned(), "classes"),
            (r#"{"preset": "r3d_18", "classes": 1048577}"#.to_owned(), "1 to 1048576"),
            (r#"{"preset": "r3d_18", "alpha": 4}"#.to_owned(), "two pathways"),
            (r#"{"preset": "slowfast_r50", "alpha": 0}"#.to_owned(), "alpha"),
            (r#"{"preset": "slowfast_r50", "stages": [{"blocks": [{"branch": [{"width": 80}]}]}]}"#.to_owned(), "fast"),
            (r#"{"preset": "r3d_18", "stages": []}"#.to_owned(), "stages"),
            (r#"{"preset": "r3d_18", "stages": [{"blocks": []}]}"#.to_owned(), "blocks"),
            (with(r#"{"width": 0}"#, identity), "width"),
            (with(r#"{"width": 1048577}"#, identity), "width"),
            (with(r#"{"width": 8, "kernel": [2, 1, 1]}"#, identity), "odd"),
            (with(r#"{"width": 8, "kernel": [1, 1]}"#, identity), "JSON"),
            (with(r#"{"width": 8, "stride": [1, 0, 1]}"#, identity), "stride"),
            (with(r#"{"width": 8, "groups": 3}"#, identity), "groups"),
            (with(r#"{"width": 8, "tap": 3}"#, identity), "tap"),
            (with(r#"{"width": 9}"#, identity), "shortcut"),
            (with(r#"{"width": 8, "stride": [1, 2, 2]}"#, identity), "shortcut"),
            (with(r#"{"width": 8}"#, r#"{"projection": {"width": 9}}"#), "projection"),
            (
                with(r#"{"width": 8}, {"width": 8}"#, r#"{"projection": {"width": 8, "stride": [2, 1, 1]}}"#),
                "projection",
            ),
            (with("", identity), "branch"),
            (with(r#"{"width": 8}"#, identity).replace("[1, 7, 7]", "[1, 999999, 999999]"), "2^30"),
        ];
        for (json, names) in cases {
            let error = Network::from_json(&json).expect_err(&json).to_string();
            assert!(error.contains(names), "{json}: {error}");
        }
        let many = with(r#"{"width": 8}"#, identity).replace("}]}]}", r#", "repeat": 1001}]}]}"#);
        assert!(Network::from_json(&many).is_err_and(|e| e.to_string().contains("1000")), "{many}");
    }
}
