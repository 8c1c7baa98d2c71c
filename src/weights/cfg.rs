//! Settings from a project's configuration that the tensors of a checkpoint cannot show.
//!
//! Detectron and PySlowFast store the training configuration in the checkpoint, as YAML. Counts and widths are more
//! reliable in the tensors, because a checkpoint that was fine-tuned from another may contain a stale configuration. So
//! only a few settings are looked up, each a plain value or a list of numbers under the name of its section. This needs
//! no YAML parser, and tags of Python classes, anchors and tuples elsewhere in the text cannot make it fail.

/// The settings found in a configuration.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cfg {
    /// `RESNETS.STRIDE_1X1`.
    pub stride_1x1: Option<bool>,
    /// `VIDEO.TIME_STRIDE_ON`.
    pub time_stride_on: Option<bool>,
    /// `MODEL.DILATION`, or `RESNETS.RES5_DILATION`, its later name in Detectron.
    pub dilation: Option<usize>,
    /// Whether `MODEL.CONV_BODY` names a body with res5.
    pub conv5: bool,
    /// PySlowFast's `MODEL.ARCH`.
    pub arch: Option<String>,
    /// `SLOWFAST.ALPHA`: frames of the fast pathway per frame of the slow one.
    pub alpha: Option<usize>,
    /// PySlowFast's `DATA.NUM_FRAMES`.
    pub frames: Option<usize>,
    /// `DATA.SAMPLING_RATE`: the distance between frames.
    pub step: Option<usize>,
    /// `TEST.NUM_ENSEMBLE_VIEWS`: the number of clips per video in testing.
    pub clips: Option<usize>,
    /// `TEST.NUM_SPATIAL_CROPS`: 1 or 3.
    pub crops: Option<usize>,
    /// `DATA.MEAN`.
    pub mean: Option<Vec<f64>>,
    /// `DATA.STD`.
    pub std: Option<Vec<f64>>,
    /// `DATA.REVERSE_INPUT_CHANNEL`: whether blue comes first.
    pub reversed: Option<bool>,
}

impl Cfg {
    /// Reads the settings from `yaml`. Other text contains none.
    pub fn new(yaml: &str) -> Self {
        let find = |section, key| lookup(yaml, section, key);
        let number =
            |section, key| find(section, key).and_then(|text: &str| text.parse().ok()).filter(|&n: &usize| n > 0);
        let boolean = |text: &str| match text {
            "true" | "True" => Some(true),
            "false" | "False" => Some(false),
            _ => None,
        };
        Self {
            stride_1x1: find("RESNETS", "STRIDE_1X1").and_then(boolean),
            time_stride_on: find("VIDEO", "TIME_STRIDE_ON").and_then(boolean),
            dilation: find("MODEL", "DILATION")
                .or_else(|| find("RESNETS", "RES5_DILATION"))
                .and_then(|text| text.parse().ok())
                .filter(|n| (1..=64).contains(n)),
            conv5: find("MODEL", "CONV_BODY").is_some_and(|body| body.contains("conv5")),
            alpha: number("SLOWFAST", "ALPHA"),
            arch: find("MODEL", "ARCH").filter(|arch| !arch.is_empty()).map(str::to_owned),
            frames: number("DATA", "NUM_FRAMES"),
            step: number("DATA", "SAMPLING_RATE"),
            clips: number("TEST", "NUM_ENSEMBLE_VIEWS"),
            crops: number("TEST", "NUM_SPATIAL_CROPS").filter(|crops| matches!(crops, 1 | 3)),
            mean: numbers(yaml, "DATA", "MEAN").filter(|numbers| numbers.len() == 3),
            std: numbers(yaml, "DATA", "STD").filter(|numbers| numbers.len() == 3),
            reversed: find("DATA", "REVERSE_INPUT_CHANNEL").and_then(boolean),
        }
    }
}

/// The lines of `section` without their indentation, and the text after its name, which may be in braces.
fn lines<'a>(yaml: &'a str, section: &str) -> impl Iterator<Item = &'a str> {
    // The indentation of the section's name while the lines are inside the section.
    let mut inside: Option<usize> = None;
    yaml.lines().filter_map(move |line| {
        let text = line.trim_start();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let depth = line.len() - text.len();
        if inside.is_some_and(|outer| depth <= outer) {
            inside = None;
        }
        let mut content = text;
        if let Some(value) = value_of(text, section) {
            inside = Some(depth);
            content = value;
        }
        inside.map(|_| content)
    })
}

/// The numbers of the list `key` in `section`, in brackets or one per line; `None` unless there is exactly one such
/// list.
fn numbers(yaml: &str, section: &str, key: &str) -> Option<Vec<f64>> {
    let mut lines = lines(yaml, section).peekable();
    let mut found = None;
    while let Some(line) = lines.next() {
        let Some(value) = value_of(line, key) else { continue };
        let mut items: Vec<&str> = Vec::new();
        match value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(list) => items.extend(list.split(',').map(str::trim)),
            None if value.is_empty() => {
                while let Some(item) = lines.peek().and_then(|line| line.strip_prefix("- ")) {
                    items.push(item.trim());
                    lines.next();
                }
            }
            None => return None,
        }
        let numbers: Option<Vec<f64>> = items.into_iter().map(|item| item.parse().ok()).collect();
        if found.replace(numbers?).is_some() {
            return None;
        }
    }
    found
}

/// The plain value of `key` in the lines or the braces of `section`; `None` unless there is exactly one.
fn lookup<'a>(yaml: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut found = None;
    for line in lines(yaml, section) {
        for part in line.split(['{', '}', ',']) {
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

/// The text after `key:`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let value = text.strip_prefix(key)?.strip_prefix(':')?;
    (value.is_empty() || value.starts_with(' ')).then_some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_every_notation_of_a_section() {
        let want = Cfg {
            stride_1x1: Some(false),
            time_stride_on: Some(true),
            dilation: Some(2),
            conv5: true,
            ..Cfg::default()
        };
        let block = "MODEL:\n  CONV_BODY: FPN3D.add_fpn_ResNet101_conv5_body\n  DILATION: 2\nMRCNN:\n  DILATION: 4\n\
                     RESNETS: {NUM_GROUPS: 1, STRIDE_1X1: false}\nVIDEO:\n  TIME_KERNEL_DIM:\n    BODY: 3\n  \
                     TIME_STRIDE_ON: true\n";
        assert_eq!(Cfg::new(block), want);
        let tagged = "!!python/object/new:utils.collections.AttrDict\ndictitems:\n  MODEL: &id001 \
                      !!python/object/new:utils.collections.AttrDict\n    dictitems:\n      CONV_BODY: \
                      !!python/str 'ResNet3D.conv5'\n      DILATION: 2\n  MRCNN:\n    dictitems:\n      \
                      DILATION: 4\n  RESNETS:\n    dictitems: {STRIDE_1X1: False}\n  VIDEO:\n    dictitems:\n      \
                      # a comment\n\n      TIME_STRIDE_ON: True\n";
        assert_eq!(Cfg::new(tagged), want);
    }

    #[test]
    fn detectron_s_later_name_of_the_dilation_is_known() {
        assert_eq!(Cfg::new("RESNETS:\n  RES5_DILATION: 2\n").dilation, Some(2));
    }

    #[test]
    fn pyslowfast_s_frames_are_found_in_block_and_flow_notation() {
        let want = Cfg {
            arch: Some("slow".to_owned()),
            frames: Some(16),
            step: Some(4),
            clips: Some(5),
            crops: Some(1),
            mean: Some(vec![0.45, 0.4, 0.5]),
            std: Some(vec![0.225; 3]),
            reversed: Some(true),
            ..Cfg::default()
        };
        let block = "AUG:\n  NUM_SAMPLE: 1\nDATA:\n  CROP_SIZE: 224\n  MEAN:\n  - 0.45\n  - 0.4\n  - 0.5\n  \
                     NUM_FRAMES: 16\n  REVERSE_INPUT_CHANNEL: true\n  SAMPLING_RATE: 4\n  STD:\n    - 0.225\n    \
                     - 0.225\n    - 0.225\nMODEL:\n  ARCH: slow\nTEST:\n  NUM_ENSEMBLE_VIEWS: 5\n  \
                     NUM_SPATIAL_CROPS: 1\n";
        assert_eq!(Cfg::new(block), want);
        let flow = "DATA:\n  MEAN: [0.45, 0.4, 0.5]\n  NUM_FRAMES: 16\n  REVERSE_INPUT_CHANNEL: True\n  \
                    SAMPLING_RATE: 4\n  STD: [0.225, 0.225, 0.225]\nMODEL: {ARCH: slow, MEAN: 1}\n\
                    TEST: {NUM_ENSEMBLE_VIEWS: 5, NUM_SPATIAL_CROPS: 1}\n";
        assert_eq!(Cfg::new(flow), want);
        for text in ["DATA:\n  MEAN: [0.45, x]", "DATA:\n  MEAN: 0.45", "DATA:\n  MEAN: [1]\n  MEAN: [1]", "MEAN: [1]"]
        {
            assert_eq!(Cfg::new(text).mean, None, "{text:?}");
        }
        assert_eq!(Cfg::new("TEST:\n  NUM_SPATIAL_CROPS: 2\n  NUM_ENSEMBLE_VIEWS: 0"), Cfg::default());
    }

    #[test]
    fn missing_and_complex_values_are_none() {
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
