//! A network as a graph.

use super::described::add_network;
use super::resnet::add_resnet_convx_body;
use super::{Graph, GraphBuilder};
use crate::error::Result;
use crate::network::Network;

/// A network's graph, and the other results of the reference's builder.
#[derive(Clone, Debug)]
pub struct Body {
    /// Blobs and operators.
    pub graph: Graph,
    /// Width of the last blob.
    pub dim_out: usize,
    /// Scale of the last blob's height and width relative to the clip's. For a body of the reference it is the nominal
    /// one, see [`crate::BackboneConfig::spatial_scale`]; otherwise it follows from the strides.
    pub spatial_scale: f64,
}

impl Body {
    /// The graph of `network`: a [`Network`], or a [`crate::BackboneConfig`].
    ///
    /// # Errors
    /// The errors of [`crate::BackboneConfig::validate`] and [`crate::network::Description::validate`].
    pub fn new(network: impl Into<Network>) -> Result<Self> {
        let mut model = GraphBuilder::new();
        match network.into() {
            Network::Reference(config) => {
                config.validate()?;
                let (last, dim_out, spatial_scale) = add_resnet_convx_body(&mut model, &config);
                Ok(Self { graph: model.finish(last), dim_out, spatial_scale })
            }
            Network::Described(description) => {
                description.validate()?;
                let last = add_network(&mut model, &description);
                let [_, height, _] = description.stride();
                let dim_out = model.channels(last);
                Ok(Self { graph: model.finish(last), dim_out, spatial_scale: 1.0 / height as f64 })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{BackboneConfig, Transformation};

    /// The description of a body gives the reference's graph, blob for blob, for any configuration.
    #[test]
    fn bodies_expand_into_the_same_graph() {
        let rng = &mut fastrand::Rng::with_seed(19);
        let drawn = (0..200).map(|_| {
            let stages = rng.usize(3..=4);
            BackboneConfig {
                transformation: *rng.choice([&Transformation::Basic, &Transformation::Bottleneck]).unwrap(),
                block_counts: (0..stages).map(|_| rng.usize(1..=3)).collect(),
                feat_dims: (0..=stages).map(|_| 8 * rng.usize(1..=2)).collect(),
                num_groups: rng.usize(1..=2),
                width_per_group: rng.usize(1..=4),
                stride_1x1: rng.bool(),
                time_kernel_dim: 1 + 2 * rng.usize(0..=1),
                time_stride_on: rng.bool(),
                dilation: rng.usize(1..=3),
                freeze_at: *rng.choice(&[0, 2, 3, 4, 5]).unwrap(),
            }
        });
        let presets = BackboneConfig::PRESETS.iter().map(|name| BackboneConfig::preset(name).unwrap());
        for config in presets.chain(drawn.collect::<Vec<_>>()) {
            let reference = Body::new(&config).unwrap();
            let described = Body::new(Network::from(&config).description().unwrap()).unwrap();
            assert_eq!(described.graph, reference.graph, "{config:?}");
            assert_eq!(described.dim_out, reference.dim_out);
        }
    }

    #[test]
    fn scales_are_those_of_the_strides() {
        for (name, scale) in [("r3d_18", 16.0), ("slow_r50", 32.0), ("r2plus1d_r50", 32.0), ("r3d50", 32.0)] {
            let body = Body::new(Network::preset(name).unwrap()).unwrap();
            assert_eq!(body.spatial_scale, 1.0 / scale, "{name}");
        }
    }
}
