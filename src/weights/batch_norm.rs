//! Batch norm with fixed statistics, folded into an affine channel.

/// `eps` of Caffe2's networks (`MODEL.BN_EPSILON` of the reference).
pub(crate) const EPS_CAFFE2: f64 = 1.000_000_1e-5;

/// `eps` of PyTorch's `BatchNorm2d`, torchvision's and Detectron2's `FrozenBatchNorm2d`.
pub(crate) const EPS_PYTORCH: f64 = 1e-5;

/// `eps` of VMZ's networks, and of the networks that mmaction2 took over from VMZ.
pub(crate) const EPS_VMZ: f64 = 1e-3;

/// One batch norm. Every vector has one value per channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BatchNorm {
    pub scale: Vec<f64>,
    pub bias: Vec<f64>,
    pub mean: Vec<f64>,
    /// The variance. Caffe2's suffix `_riv` reads like "inverse variance", but the values are not inverted.
    pub variance: Vec<f64>,
    pub eps: f64,
}

impl BatchNorm {
    /// The affine channel's scale, `scale / sqrt(variance + eps)`.
    pub fn affine_scale(&self) -> Vec<f32> {
        self.factors().map(|factor| factor as f32).collect()
    }

    /// The affine channel's bias, `bias - mean * scale / sqrt(variance + eps)`.
    pub fn affine_bias(&self) -> Vec<f32> {
        let channels = self.factors().zip(&self.bias).zip(&self.mean);
        channels.map(|((factor, bias), mean)| (bias - mean * factor) as f32).collect()
    }

    fn factors(&self) -> impl Iterator<Item = f64> {
        self.scale.iter().zip(&self.variance).map(|(scale, variance)| scale / (variance + self.eps).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variance_is_not_inverted_and_eps_is_added() {
        let norm = BatchNorm {
            scale: vec![2.0, 3.0],
            bias: vec![0.5, -1.0],
            mean: vec![10.0, 4.0],
            variance: vec![4.0 - 1e-5, 0.0],
            eps: 1e-5,
        };
        assert_eq!(norm.affine_scale(), [1.0, (3.0 / 1e-5f64.sqrt()) as f32]);
        assert_eq!(norm.affine_bias(), [-9.5, (-1.0 - 12.0 / 1e-5f64.sqrt()) as f32]);
    }
}
