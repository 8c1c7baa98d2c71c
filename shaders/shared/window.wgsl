// How a kernel slides over time, height and width: the first member of the parameters of whatever slides.

struct Window {
    kernel_t: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_t: u32,
    stride_h: u32,
    stride_w: u32,
    pad_t: u32,
    pad_h: u32,
    pad_w: u32,
    dilation_t: u32,
    dilation_h: u32,
    dilation_w: u32,
}

