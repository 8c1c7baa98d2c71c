//! Measured choices of methods, which the planner prefers to its fixed table.

use crate::dtype::DType;
use crate::graph::{Conv, Epilogue, OpKind, Window};
use crate::kernels::Method;
use crate::shape::Shape;
use std::collections::BTreeMap;

/// Methods by operator signature, see [`signature`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices(BTreeMap<String, Method>);

impl Choices {
    /// The method chosen for operators of that signature.
    pub fn get(&self, signature: &str) -> Option<Method> {
        self.0.get(signature).copied()
    }

    /// Chooses `method` for operators of that signature.
    pub fn insert(&mut self, signature: String, method: Method) {
        self.0.insert(signature, method);
    }

    /// All choices, by signature.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Method)> {
        self.0.iter().map(|(signature, &method)| (signature.as_str(), method))
    }

    /// The number of choices.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no choices.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The properties of an operator that its time depends on, for example `f32 conv 3x3x3 stride 1x1x1 pad 1x1x1 dilation
/// 1x1x1 groups 1, 128x8x28x28 to 128x8x28x28, relu`; `None` if there is no choice of methods. A projection is included
/// with its input width and its strides.
///
/// Shapes are those of a single clip, so a choice does not depend on the batch.
pub fn signature(kind: &OpKind, input: Shape, output: Shape, dtype: DType) -> Option<String> {
    let OpKind::Conv(Conv { window, groups, epilogue, .. }) = kind else { return None };
    let Window { kernel, stride, pad, dilation } = window;
    let Epilogue { affine: _, residual, projection, relu, pool } = epilogue;
    let axes = |values: &[usize]| values.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let blob = |shape: Shape| axes(&[shape.c, shape.t, shape.h, shape.w]);
    let mut text = format!("{dtype} conv {} stride {} pad {}", axes(kernel), axes(stride), axes(pad));
    text += &format!(" dilation {} groups {groups}, {} to {}", axes(dilation), blob(input), blob(output));
    if let Some(Conv { dim_in, window, .. }) = projection.as_deref() {
        text += &format!(", projection of {dim_in} stride {}", axes(&window.stride));
    }
    for (name, there) in [("residual", residual), ("relu", relu)] {
        if *there {
            text += ", ";
            text += name;
        }
    }
    if let Some(Window { kernel, stride, .. }) = pool.as_deref() {
        text += &format!(", pool {} stride {}", axes(kernel), axes(stride));
    }
    Some(text)
}
