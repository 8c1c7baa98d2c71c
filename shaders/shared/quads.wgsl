// Winograd's transforms with four channels for each invocation.

alias Part = vec4<f32>;
