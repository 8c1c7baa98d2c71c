//! Names in VMZ's networks in Caffe2's form, and the blob names that they correspond to.
//!
//! VMZ numbers the blocks through the whole network, `comp_7_conv_1_w`, so a name alone does not show its stage. Each
//! block with a projection, `shortcut_projection_7_w`, begins a stage; res2 begins with block 0, with or without a
//! projection (VMZ `c2/lib/models/builder/video_model.py`). The convolutions of a block are numbered from 1, but in
//! ir-CSN the second has the number 3 and the third the number 4.

use std::collections::{BTreeMap, BTreeSet};

/// The first convolution of the first block, which identifies the naming.
pub(crate) const FIRST: [&str; 2] = ["comp_0_conv_1_w", "comp_0_conv_1_middle_w"];

/// Suffixes of the parts of a batch norm.
const NORM: [&str; 4] = ["s", "b", "rm", "riv"];

/// The names in the file by blob name. `names` lists the names in the file and `has` looks one up. Names outside of the
/// network and names of stages beyond res5 are left out.
pub(crate) fn file_names<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    has: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut file_names = BTreeMap::new();
    let mut add = |blob: String, name: String| {
        if has(&name) {
            file_names.insert(blob, name);
        }
    };
    for (theirs, ours) in [("conv1_middle", "conv1_mid"), ("conv1", "conv1")] {
        add(format!("{ours}_w"), format!("{theirs}_w"));
        for part in NORM {
            let blob = if theirs == ours { format!("res_{ours}_bn_{part}") } else { format!("{ours}_bn_{part}") };
            add(blob, format!("{theirs}_spatbn_relu_{part}"));
        }
    }
    for name in names.clone() {
        if let Some(rest) = name.strip_prefix("last_out_L")
            && let Some((classes, part @ ("w" | "b"))) = rest.split_once('_')
            && classes.bytes().all(|byte| byte.is_ascii_digit())
        {
            add(format!("pred_{part}"), name.to_owned());
        }
    }
    let blocks = blocks(names);
    let [mut stage, mut block] = [2, 0];
    for (index, convolutions) in &blocks {
        if *index > 0 && has(&format!("shortcut_projection_{index}_w")) {
            (stage, block) = (stage + 1, 0);
        }
        if stage > 5 {
            break;
        }
        let prefix = format!("res{stage}_{block}");
        add(format!("{prefix}_branch1_w"), format!("shortcut_projection_{index}_w"));
        for part in NORM {
            add(format!("{prefix}_branch1_bn_{part}"), format!("shortcut_projection_{index}_spatbn_{part}"));
        }
        for (letter, number) in ('a'..='c').zip(convolutions) {
            for (theirs, ours) in [("_middle", "_mid"), ("", "")] {
                let blob = format!("{prefix}_branch2{letter}{ours}");
                add(format!("{blob}_w"), format!("comp_{index}_conv_{number}{theirs}_w"));
                for part in NORM {
                    add(format!("{blob}_bn_{part}"), format!("comp_{index}_spatbn_{number}{theirs}_{part}"));
                }
            }
        }
        block += 1;
    }
    file_names
}

/// The numbers of the convolutions in every block, in order.
fn blocks<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut blocks: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for name in names {
        let Some(rest) = name.strip_prefix("comp_").and_then(|rest| rest.strip_suffix("_w")) else { continue };
        let Some((index, number)) = rest.split_once("_conv_") else { continue };
        let number = number.strip_suffix("_middle").unwrap_or(number);
        if let (Ok(index), Ok(number)) = (index.parse(), number.parse()) {
            blocks.entry(index).or_default().insert(number);
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob_of(names: &[&str]) -> impl Fn(&str) -> Option<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        move |name| {
            let has = |name: &str| names.iter().any(|other| other == name);
            let file_names = file_names(names.iter().map(String::as_str), has);
            file_names.into_iter().find(|(_, file_name)| file_name == name).map(|(blob, _)| blob)
        }
    }

    #[test]
    fn blocks_are_counted_over_all_stages() {
        let of = blob_of(&[
            "conv1_middle_w",
            "conv1_middle_spatbn_relu_rm",
            "conv1_w",
            "conv1_spatbn_relu_s",
            "comp_0_conv_1_middle_w",
            "comp_0_spatbn_1_middle_b",
            "comp_0_conv_1_w",
            "comp_0_conv_2_w",
            "comp_0_spatbn_2_riv",
            "comp_1_conv_1_w",
            "comp_2_conv_1_w",
            "comp_2_conv_2_middle_w",
            "comp_10_conv_1_w",
            "shortcut_projection_2_w",
            "shortcut_projection_2_spatbn_b",
            "last_out_L400_w",
            "last_out_L400_b",
            "last_out_L400_w_momentum",
            "final_avg",
        ]);
        for (name, blob) in [
            ("conv1_middle_w", Some("conv1_mid_w")),
            ("conv1_middle_spatbn_relu_rm", Some("conv1_mid_bn_rm")),
            ("conv1_w", Some("conv1_w")),
            ("conv1_spatbn_relu_s", Some("res_conv1_bn_s")),
            ("comp_0_conv_1_middle_w", Some("res2_0_branch2a_mid_w")),
            ("comp_0_spatbn_1_middle_b", Some("res2_0_branch2a_mid_bn_b")),
            ("comp_0_conv_2_w", Some("res2_0_branch2b_w")),
            ("comp_0_spatbn_2_riv", Some("res2_0_branch2b_bn_riv")),
            ("comp_1_conv_1_w", Some("res2_1_branch2a_w")),
            ("comp_2_conv_1_w", Some("res3_0_branch2a_w")),
            ("comp_2_conv_2_middle_w", Some("res3_0_branch2b_mid_w")),
            ("comp_10_conv_1_w", Some("res3_1_branch2a_w")),
            ("shortcut_projection_2_w", Some("res3_0_branch1_w")),
            ("shortcut_projection_2_spatbn_b", Some("res3_0_branch1_bn_b")),
            ("last_out_L400_w", Some("pred_w")),
            ("last_out_L400_b", Some("pred_b")),
            ("last_out_L400_w_momentum", None),
            ("final_avg", None),
        ] {
            assert_eq!(of(name).as_deref(), blob, "{name}");
        }
    }

    #[test]
    fn ir_csn_numbers_its_convolutions_1_3_and_4() {
        let of = blob_of(&[
            "comp_0_conv_1_w",
            "comp_0_conv_3_w",
            "comp_0_conv_4_w",
            "comp_0_spatbn_3_s",
            "comp_0_spatbn_4_s",
            "shortcut_projection_0_w",
        ]);
        for (name, blob) in [
            ("comp_0_conv_3_w", "res2_0_branch2b_w"),
            ("comp_0_conv_4_w", "res2_0_branch2c_w"),
            ("comp_0_spatbn_3_s", "res2_0_branch2b_bn_s"),
            ("comp_0_spatbn_4_s", "res2_0_branch2c_bn_s"),
            ("shortcut_projection_0_w", "res2_0_branch1_w"),
        ] {
            assert_eq!(of(name).as_deref(), Some(blob), "{name}");
        }
    }
}
