//! What the public types promise beyond their functions.

use resnet3d_wgpu::{
    BackboneConfig, Checkpoint, Clip, ClipView, ContextOptions, Error, ErrorKind, FeatureLayout, FeatureMaps,
    GpuBackbone, GpuContext, Network, Options, Pending, Profile, Shape, Weights,
};

/// Does not compile if one of the types cannot be sent to other threads or shared with them.
#[test]
fn everything_can_be_sent_and_shared() {
    fn check<T: Send + Sync + 'static>() {}
    check::<BackboneConfig>();
    check::<Checkpoint>();
    check::<Clip>();
    check::<ClipView<'static>>();
    check::<ContextOptions>();
    check::<FeatureLayout>();
    check::<Pending>();
    check::<Error>();
    check::<FeatureMaps>();
    check::<GpuBackbone>();
    check::<GpuContext>();
    check::<Network>();
    check::<Options>();
    check::<Profile>();
    check::<Weights>();
}

#[test]
fn an_error_is_small_and_its_clones_say_the_same() {
    assert_eq!(size_of::<Error>(), size_of::<usize>());
    let error = Weights::load("no/such/file.safetensors", BackboneConfig::r18_conv4()).unwrap_err();
    let clone = error.clone();
    assert_eq!((clone.kind(), clone.path()), (ErrorKind::File, Some("no/such/file.safetensors".as_ref())));
    assert_eq!(clone.to_string(), "cannot read no/such/file.safetensors");
    let source = std::error::Error::source(&clone).unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    assert!(std::ptr::eq(source, error.io().unwrap()), "they share what they hold");
}

#[test]
fn a_borrowed_clip_is_checked_as_an_owned_one() {
    let values = [0.0; 48];
    let shape = Shape::new(1, 3, 1, 4, 4);
    let clip = Clip::new(shape, values.to_vec()).unwrap();
    assert_eq!(ClipView::new(shape, &values).unwrap(), clip.view());
    assert_eq!(ClipView::new(shape, &values[1..]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(clip.into_data(), values);
}

#[test]
fn clones_of_weights_share_their_values() {
    let weights = Weights::random(BackboneConfig::r18_conv4(), 0).unwrap();
    let clone = weights.clone();
    assert_eq!(weights.tensors().count(), clone.tensors().count());
    for ((_, one), (_, other)) in weights.tensors().zip(clone.tensors()) {
        assert!(std::ptr::eq(one.data(), other.data()));
    }
}
