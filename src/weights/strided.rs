//! Tensors with strides: transposed tensors, parts of larger tensors, and broadcast values.

/// The number of values from the first to the last of a tensor; `None` if it overflows or the ranks differ.
pub(crate) fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.len() != strides.len() {
        return None;
    }
    if shape.contains(&0) {
        return Some(0);
    }
    let mut axes = shape.iter().zip(strides);
    axes.try_fold(1usize, |span, (&n, &stride)| span.checked_add((n - 1).checked_mul(stride)?))
}

/// The strides of row-major order without gaps; `None` if one overflows.
pub(crate) fn dense(shape: &[usize]) -> Option<Vec<usize>> {
    let mut strides = vec![0; shape.len()];
    let mut next = 1usize;
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = next;
        // An axis of 0 counts as 1.
        next = next.checked_mul(n.max(1))?;
    }
    Some(strides)
}

/// `strides`, or `None` if they address the same values as row-major order without gaps. The strides of axes of 1, and
/// of empty tensors, make no difference.
pub(crate) fn unless_dense(shape: &[usize], strides: Vec<usize>) -> Option<Vec<usize>> {
    let is_same = |dense: Vec<usize>| {
        let axes = shape.iter().zip(strides.iter().zip(&dense));
        shape.contains(&0) || axes.into_iter().all(|(&n, (stride, dense))| n == 1 || stride == dense)
    };
    let is_dense = dense(shape).is_some_and(is_same);
    (!is_dense).then_some(strides)
}

/// Gathers the values of a tensor into row-major order and applies `value` to each. Neighbours along an axis are its
/// stride apart in `values`. `None` if there are too few values.
pub(crate) fn row_major<A, T>(
    values: &[A],
    shape: &[usize],
    strides: &[usize],
    value: impl Fn(&A) -> T,
) -> Option<Vec<T>> {
    if span(shape, strides)? > values.len() {
        return None;
    }
    let len = shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n))?;
    let mut sorted = Vec::new();
    // With strides of 0 a file may claim any number of values.
    sorted.try_reserve_exact(len).ok()?;
    let (mut index, mut at) = (vec![0; shape.len()], 0);
    while sorted.len() < len {
        sorted.push(value(values.get(at)?));
        for (axis, i) in index.iter_mut().enumerate().rev() {
            *i += 1;
            // An axis of 1 may have any stride. Wrapping is harmless, because the subtraction below undoes the
            // addition.
            at = at.wrapping_add(strides[axis]);
            if *i < shape[axis] {
                break;
            }
            at = at.wrapping_sub(i.wrapping_mul(strides[axis]));
            *i = 0;
        }
    }
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_from_the_first_value_to_the_last() {
        assert_eq!(span(&[], &[]), Some(1));
        assert_eq!(span(&[2, 3], &[3, 1]), Some(6));
        assert_eq!(span(&[2, 3], &[10, 2]), Some(15));
        assert_eq!(span(&[5, 7], &[0, 0]), Some(1));
        assert_eq!(span(&[0, 7], &[9, 9]), Some(0));
        assert_eq!(span(&[2], &[1, 1]), None);
        assert_eq!(span(&[3, 3], &[usize::MAX / 2, 2]), None);
        assert_eq!(span(&[usize::MAX], &[2]), None);
    }

    #[test]
    fn dense_strides_are_none() {
        assert_eq!(dense(&[2, 3, 4]), Some(vec![12, 4, 1]));
        assert_eq!(dense(&[usize::MAX, 2, 2]), None);
        assert_eq!(unless_dense(&[2, 3], vec![3, 1]), None);
        assert_eq!(unless_dense(&[2, 3], vec![1, 2]), Some(vec![1, 2]));
        // PyTorch keeps whatever stride an axis of one has.
        assert_eq!(unless_dense(&[7, 3, 1, 2], vec![6, 2, 99, 1]), None);
        assert_eq!(unless_dense(&[1, 1], vec![0, 5]), None);
        assert_eq!(unless_dense(&[0, 3], vec![1, 1]), None);
        assert_eq!(unless_dense(&[3], vec![0]), Some(vec![0]));
    }

    #[test]
    fn values_come_row_by_row() {
        let values: Vec<u8> = (0..12).collect();
        let row_major = |shape: &[usize], strides: &[usize]| row_major(&values, shape, strides, |&value| value);
        assert_eq!(row_major(&[3, 4], &[1, 3]).unwrap(), [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]);
        assert_eq!(row_major(&[2, 1, 2], &[6, usize::MAX, 2]).unwrap(), [0, 2, 6, 8]);
        assert_eq!(row_major(&[2, 2], &[0, 1]).unwrap(), [0, 1, 0, 1]);
        assert_eq!(row_major(&[], &[]).unwrap(), [0]);
        assert!(row_major(&[0, 2], &[1, 1]).unwrap().is_empty());
        assert_eq!(row_major(&[13], &[1]), None);
        assert_eq!(row_major(&[usize::MAX], &[0]), None);
    }
}
