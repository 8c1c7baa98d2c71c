// The window of an operator, which slides over time, height and width. It is the first member of the parameters of
// every shader that has a window.
//
// Padding is in front of the first frame, row and column. It is negative if a dispatch computes a range of frames or
// rows and the bound input begins before the first frame or row that it needs.

struct Window {
    kernel_t: u32,
    kernel_h: u32,
    kernel_w: u32,
    stride_t: u32,
    stride_h: u32,
    stride_w: u32,
    pad_t: i32,
    pad_h: i32,
    pad_w: i32,
    dilation_t: u32,
    dilation_h: u32,
    dilation_w: u32,
}

