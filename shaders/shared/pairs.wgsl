// Winograd's transforms with two channels for each invocation, for GPUs with few registers: F(4, 3) has 36 parts at hand,
// which are 144 registers with four channels.

alias Part = vec2<f32>;
