//! What of a project's own configuration the tensors of a checkpoint cannot show.
//!
//! Detectron and PySlowFast keep the configuration that a network was trained with beside its blobs, as YAML. Counts and widths are
//! better read off the tensors (a checkpoint that was fine-tuned from another may carry a stale text), so only five
//! settings are looked up, each a plain value under the name of its section. Nothing else of the text is understood,
//! which is why there is no YAML reader: tags of Python classes, anchors and tuples cannot be in the way.

/// The settings that were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cfg {
    /// `RESNETS.STRIDE_1X1`.
    pub stride_1x1: Option<bool>,
    /// `VIDEO.TIME_STRIDE_ON`.
    pub time_stride_on: Option<bool>,
    /// `MODEL.DILATION`, which Detectron has moved to `RESNETS.RES5_DILATION`.
    pub dilation: Option<usize>,
    /// Whether `MODEL.CONV_BODY` names a body with res5.
    pub conv5: bool,
    /// `MODEL.ARCH` of PySlowFast's.
    pub arch: Option<String>,
}

impl Cfg {
    /// Reads what there is; text that is no such configuration has nothing.
    pub fn new(yaml: &str) -> Self {
        let find = |section, key| lookup(yaml, section, key);
        let truth = |text: &str| match text {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => None,
        };
        Self {
            stride_1x1: find("RESNETS", "STRIDE_1X1").and_then(truth),
            time_stride_on: find("VIDEO", "TIME_STRIDE_ON").and_then(truth),
            dilation: find("MODEL", "DILATION")
                .or_else(|| find("RESNETS", "RES5_DILATION"))
                .and_then(|text| text.parse().ok())
                .filter(|n| (1..=64).contains(n)),
            conv5: find("MODEL", "CONV_BODY").is_some_and(|body| body.contains("conv5")),
            arch: find("MODEL", "ARCH").filter(|arch| !arch.is_empty()).map(str::to_owned),
        }
    }
}

/// The plain value of `key` in the block or the braces of `section`; `None` if it is not there exactly once.
fn lookup<'a>(yaml: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut found = None;
    // How deep the section's own line is indented, while inside of it.
    let mut inside: Option<usize> = None;
    for line in yaml.lines() {
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let depth = line.len() - text.len();
        if inside.is_some_and(|outer| depth <= outer) {
            inside = None;
        }
        let mut rest = text;
        if let Some(own) = value_of(text, section) {
            inside = Some(depth);
            rest = own;
        }
        if inside.is_none() {
            continue;
        }
        for part in rest.split(['{', '}', ',']) {
            if let Some(value) = value_of(part.trim(), key) {
                if found.is_some() {
                    return None;
                }
                found = Some(value.trim_matches(['\'', '"']));
            }
        }
    }
    found
}

/// What stands behind `key:`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.strip_prefix(key)?.strip_prefix(':')?;
    (value.is_empty() || value.starts_with(' ')).then_some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_their_section_however_it_is_written() {
        let want =
            Cfg { stride_1x1: Some(false), time_stride_on: Some(true), dilation: Some(2), conv5: true, arch: None };
        let block = "MODEL:\n  CONV_BODY: FPN3D.add_fpn_ResNet101_conv5_body\n  DILATION: 2\nMRCNN:\n  DILATION: 4\n\
                     RESNETS: {NUM_GROUPS: 1, STRIDE_1X1: false}\nVIDEO:\n  TIME_KERNEL_DIM:\n    BODY: 3\n  \
                     TIME_STRIDE_ON: true\n";
        assert_eq!(Cfg::new(block), want);
        let tagged = "!!python/object/new:utils.collections.AttrDict\ndictitems:\n  MODEL: &id001 \
                      !!python/object/new:utils.collections.AttrDict\n    dictitems:\n      CONV_BODY: \
                      !!python/str 'ResNet3D.conv5'\n      DILATION: 2\n  MRCNN:\n    dictitems:\n      DILATION: 4\n  \
                      RESNETS:\n    dictitems: {STRIDE_1X1: False}\n  VIDEO:\n    dictitems:\n      # a comment\n\n      \
                      TIME_STRIDE_ON: True\n";
        assert_eq!(Cfg::new(tagged), want);
    }

    #[test]
    fn detectron_s_own_name_of_the_dilation_is_known() {
        assert_eq!(Cfg::new("RESNETS:\n  RES5_DILATION: 2\n").dilation, Some(2));
    }

    #[test]
    fn what_is_not_there_or_not_plain_is_nothing() {
        for text in [
            "",
            "MODEL",
            "\u{0}\n\t: : {{{,,,}}}",
            "DILATION: 2",
            "MODEL:\nDILATION: 2",
            "MODEL:\n  DILATION: two",
            "MODEL:\n  DILATION: 0",
            "MODEL:\n  DILATION: 18446744073709551616",
            "MODEL:\n  DILATION: 2\n  X:\n    DILATION: 3",
            "MODEL:\n  DILATION:2",
            "RESNETS: {STRIDE_1X1: *id001}",
        ] {
            assert_eq!(Cfg::new(text), Cfg::default(), "{text:?}");
        }
    }
}
