#!/usr/bin/env python3
"""Prints statistics of NVIDIA's compiler back end for the kernels, without a GPU, as a Markdown table.

naga translates a kernel to the language of Metal, and a few substitutions and `metal.cuh` turn that into CUDA C++.
NVRTC compiles it, and NVIDIA's tools analyse the result. This is an approximation: the Vulkan driver has a different
front end, but compiles for the same machine, with much the same register allocation. The exit code is 1 if a kernel is
not compiled. Needs only the standard library. `scripts/inspect-kernels` fetches PACKAGES and builds PROGRAM, the Rust
program in this folder.

Usage:
  python3 benches/compilers/nvidia.py hopper --packages PACKAGES --program PROGRAM [--kernels NAME,…] [--assembly DIR]
"""

from __future__ import annotations

import argparse
import ctypes
import re
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

HERE = Path(__file__).resolve().parent
HEADER = "metal.cuh"
ENTRY = "main_"
LANES = 32
SCHEDULERS = 4
SYSTEM_SHARED = 1024


class Failure(Exception):
    """The reason why a kernel has no statistics."""


@dataclass(frozen=True)
class Gpu:
    """A streaming multiprocessor according to the CUDA C++ Programming Guide."""

    heading: str
    architecture: str
    subgroups: int
    workgroups: int
    shared_bytes: int
    # Whether cuobjdump includes the shared memory that the system reserves for each workgroup.
    system_counted: bool
    registers: int = 64 * 1024

    def workgroups_at_once(self, invocations: int, registers: int, shared_bytes: int) -> int:
        """The number of workgroups that fit on a multiprocessor. The scheduler allocates registers to a subgroup in
        units of 256, and the system reserves 1 KiB of shared memory for each workgroup."""
        subgroups = -(-invocations // LANES)
        for_each = self.registers // SCHEDULERS // (rounded_up(registers, 8) * LANES)
        return min(
            self.workgroups,
            min(self.subgroups, for_each * SCHEDULERS) // subgroups,
            self.shared_bytes // (rounded_up(shared_bytes, 128) + SYSTEM_SHARED),
        )


GPUS = {
    "ada": Gpu("NVIDIA's Ada", "sm_89", 48, 24, 100 * 1024, system_counted=False),
    "hopper": Gpu("NVIDIA's Hopper", "sm_90", 64, 32, 228 * 1024, system_counted=True),
}


def rounded_up(value: int, unit: int) -> int:
    """`value` rounded up to a multiple of `unit`."""
    return -(-value // unit) * unit


# Translation from the language of Metal to CUDA C++.


@dataclass(frozen=True)
class Translated:
    """A kernel in CUDA C++."""

    text: str
    invocations: int


# Replacements of the kernel parameters with attributes in Metal.
BUILTINS = {
    "threadgroup_position_in_grid": "metal::uint3(blockIdx.x, blockIdx.y, blockIdx.z)",
    "thread_index_in_threadgroup": "threadIdx.x",
    "threadgroups_per_grid": "metal::uint3(gridDim.x, gridDim.y, gridDim.z)",
}
SIGNATURE = re.compile(
    r"\[\[max_total_threads_per_threadgroup\((\d+)\)\]\] kernel void " + ENTRY + r"\(\n(.*?)\n\) \{\n", re.DOTALL
)
BUILTIN = re.compile(r"([\w:]+) (\w+) \[\[(\w+)\]\]")
UNIFORMS = re.compile(r"constant (\w+)& (\w+) \[\[buffer\(\d+\)\]\]")
STORAGE = re.compile(r"device (\w+)( const)?& (\w+) \[\[buffer\(\d+\)\]\]")
SHARED = re.compile(r"threadgroup (\w+)& (\w+)")
SHARED_ARRAY = r"(?<=^struct {} \{{\n    )metal::float4 inner\[(\d+)\]"
# In this order. Literals in Metal are floats.
SUBSTITUTIONS = [
    (re.compile(r"^#include .*\n", re.MULTILINE), ""),
    (re.compile(r"^constant (?=\w+ \w+ = )", re.MULTILINE), "static constexpr "),
    (re.compile(r"\bdevice (\w+(?: const)?&)"), r"\1 __restrict__"),
    (re.compile(r"\bconstant (\w+)&"), r"\1 const&"),
    (re.compile(r"\bthreadgroup (\w+&)"), r"\1"),
    (re.compile(r"(?<![\w.])(\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+)(?![\w.])"), r"\1f"),
]


def translate(metal: str) -> Translated:
    """Translates a kernel of naga to CUDA C++. Uniforms become parameters, in a constant bank as in Vulkan."""
    signature = SIGNATURE.search(metal)
    if not signature:
        raise Failure(f"there is no kernel '{ENTRY}' in the Metal source")
    parameters, locals_, above = [], [], metal[: signature.start()]
    for parameter in re.split(r"\n?, ", signature.group(2).strip()):
        if match := BUILTIN.fullmatch(parameter):
            kind, name, attribute = match.groups()
            if attribute not in BUILTINS:
                raise Failure(f"unknown attribute [[{attribute}]]")
            locals_.append(f"{kind} {name} = {BUILTINS[attribute]};")
        elif match := UNIFORMS.fullmatch(parameter):
            parameters.append("const __grid_constant__ {} {}".format(*match.groups()))
        elif match := STORAGE.fullmatch(parameter):
            kind, const, name = match.group(1), match.group(2) or "", match.group(3)
            parameters.append(f"{kind}{const}* __restrict__ {name}_pointer")
            locals_.append(f"{kind}{const}& __restrict__ {name} = *{name}_pointer;")
        elif match := SHARED.fullmatch(parameter):
            locals_.append("__shared__ {} {};".format(*match.groups()))
            array = SHARED_ARRAY.format(match.group(1))
            above = re.sub(array, r"metal::Shared<\1> inner", above, flags=re.MULTILINE)
        else:
            raise Failure(f"unknown parameter '{parameter}'")
    head = f'extern "C" __global__ void __launch_bounds__({signature.group(1)}) {ENTRY}(\n    '
    head += ",\n    ".join(parameters) + "\n) {\n" + "".join(f"    {line}\n" for line in locals_)
    return Translated(
        f'#include "{HEADER}"\n{substituted(above)}{head}{substituted(metal[signature.end() :])}',
        int(signature.group(1)),
    )


def substituted(metal: str) -> str:
    """Applies the substitutions to the code outside of the kernel's signature."""
    for pattern, replacement in SUBSTITUTIONS:
        metal = pattern.sub(replacement, metal)
    return metal


# The compiler and the tools.


class Nvrtc:
    """NVIDIA's compiler for CUDA C++, as a library."""

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def version(self) -> str:
        """The CUDA version of the compiler."""
        major, minor = ctypes.c_int(), ctypes.c_int()
        self.check(self.library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
        return f"{major.value}.{minor.value}"

    def compile(self, text: str, header: str, architecture: str) -> bytes:
        """Compiles to machine code in the cubin format."""
        program = ctypes.c_void_p()
        sources, names = (ctypes.c_char_p * 1)(header.encode()), (ctypes.c_char_p * 1)(HEADER.encode())
        self.check(
            self.library.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 1, sources, names)
        )
        try:
            options = [f"--gpu-architecture={architecture}", "--std=c++17", "--device-as-default-execution-space"]
            array = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
            if self.library.nvrtcCompileProgram(program, len(options), array) != 0:
                raise Failure(first_error(self.text(program, "ProgramLog").decode(errors="replace")))
            return self.text(program, "CUBIN")
        finally:
            self.library.nvrtcDestroyProgram(ctypes.byref(program))

    def text(self, program: ctypes.c_void_p, what: str) -> bytes:
        """An output of the compilation of a program."""
        size = ctypes.c_size_t()
        self.check(getattr(self.library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self.check(getattr(self.library, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    def check(self, result: int) -> None:
        """Raises the error of a result that is not 0."""
        if result != 0:
            raise Failure(self.library.nvrtcGetErrorString(result).decode())


def first_error(log: str) -> str:
    """The first error in the log of a compiler."""
    lines = [line.strip() for line in log.strip("\0").splitlines() if line.strip()]
    return next((line for line in lines if "error" in line), lines[0] if lines else "it was not compiled")


def output_of(*command: str | Path) -> str:
    """Runs a program and returns its output."""
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise Failure(first_error(result.stderr) if result.stderr else f"{command[0]}: exit code {result.returncode}")
    return result.stdout


# Analysis of the machine code.


@dataclass(frozen=True)
class Usage:
    """The registers and the stack of an invocation, and the shared memory of a workgroup."""

    registers: int
    stack: int
    shared: int


def usage(text: str) -> Usage:
    """Parses the output of `cuobjdump --dump-resource-usage`."""
    found = re.search(rf"Function {ENTRY}:\s*(.*)", text)
    if not found:
        raise Failure("cuobjdump does not report the kernel")
    numbers = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", found.group(1))}
    return Usage(numbers["REG"], numbers["STACK"], numbers["SHARED"])


@dataclass(frozen=True)
class Instruction:
    """An instruction: its name without suffixes, and its branch target, if it branches."""

    name: str
    target: Optional[str] = None


@dataclass(frozen=True)
class Program:
    """The instructions of a kernel, and the positions of labels."""

    instructions: list[Instruction]
    labels: dict[str, int]

    def product_loop(self) -> list[Instruction]:
        """The smallest of the loops with the most multiply-adds. A loop extends from a target to a branch back."""
        loops = []
        for last, instruction in enumerate(self.instructions):
            first = self.labels.get(instruction.target or "", last + 1)
            if first <= last:
                loops.append(self.instructions[first : last + 1])
        return max(loops, key=lambda loop: (multiply_adds(loop), -len(loop)), default=[])


LABEL = re.compile(r"\s*\.?(L_\w+):")
LINE = re.compile(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)(.*)")
TARGET = re.compile(r"\(\.?(L_\w+)\)")


def program(text: str) -> Program:
    """Parses the output of `nvdisasm`. The padding at the end is left out."""
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        if match := LABEL.match(line):
            labels[match.group(1)] = len(instructions)
        elif match := LINE.match(line):
            name, rest = match.groups()
            target = TARGET.search(rest) if name == "BRA" else None
            instructions.append(Instruction(name, target and target.group(1)))
    while instructions and instructions[-1].name == "NOP":
        instructions.pop()
    return Program(instructions, labels)


def multiply_adds(instructions: list[Instruction]) -> int:
    """The number of multiply-adds of floats."""
    return sum(instruction.name == "FFMA" for instruction in instructions)


# The table.

COLUMNS = [
    "kernel",
    "subgroup",
    "registers",
    "spills",
    "fills",
    "scratch bytes",
    "instructions",
    "FFMA",
    "LDG",
    "STG",
    "LDS",
    "instructions in the inner loop",
    "FFMA in the inner loop",
    "workgroups per SM",
    "subgroups per scheduler",
    "workgroup memory",
]


def row(name: str, gpu: Gpu, invocations: int, used: Usage, code: Program) -> list[str]:
    """The cells of a kernel. The inner loop is only of interest for kernels that multiply from workgroup memory."""
    names = Counter(instruction.name for instruction in code.instructions)
    shared = used.shared - SYSTEM_SHARED if gpu.system_counted and used.shared else used.shared
    workgroups = gpu.workgroups_at_once(invocations, used.registers, shared)
    subgroups = workgroups * -(-invocations // LANES) / SCHEDULERS
    loop = code.product_loop() if "_tiled" in name else []
    counts = [used.registers, names["STL"], names["LDL"], used.stack, len(code.instructions)]
    counts += [names[counted] for counted in ("FFMA", "LDG", "STG", "LDS")]
    return [
        name,
        str(LANES),
        *map(str, counts),
        str(len(loop)) if loop else "",
        f"{100 * multiply_adds(loop) / len(loop):.0f} %" if loop else "",
        str(workgroups),
        f"{subgroups:g}",
        str(shared),
    ]


def table(rows: list[list[str]]) -> str:
    """A Markdown table. All columns except the first are right-aligned."""
    lines = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass(frozen=True)
class Tools:
    """The tools of the packages, and the directory for their output."""

    nvrtc: Nvrtc
    programs: Path
    directory: Path

    def inspect(self, name: str, metal: str, gpu: Gpu) -> list[str]:
        """The row of a kernel. Writes KERNEL.cu, .cubin and .sass."""
        translated = translate(metal)
        files = {kind: self.directory / f"{name}.{kind}" for kind in ("cu", "cubin", "sass")}
        files["cu"].write_text(translated.text, encoding="utf-8")
        header = (HERE / HEADER).read_text(encoding="utf-8")
        files["cubin"].write_bytes(self.nvrtc.compile(translated.text, header, gpu.architecture))
        used = usage(output_of(self.programs / "cuobjdump", "--dump-resource-usage", files["cubin"]))
        assembly = output_of(self.programs / "nvdisasm", "--print-code", files["cubin"])
        files["sass"].write_text(assembly, encoding="utf-8")
        return row(name, gpu, translated.invocations, used, program(assembly))


def metals(translator: Path, kernels: Optional[str], directory: Path) -> list[Path]:
    """The kernels for GPUs in the language of Metal, in the order of the Rust program that writes them."""
    command = [translator, "--metal", directory, *(["--kernels", kernels] if kernels else [])]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise Failure(f"{translator.name}: exit code {result.returncode}")
    return [Path(line) for line in result.stdout.splitlines()]


def arguments() -> argparse.Namespace:
    """The arguments of the command line."""
    description = "Statistics of NVIDIA's compiler back end for resnet3d's kernels. Nothing is run."
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("gpu", choices=GPUS)
    parser.add_argument("--packages", type=Path, required=True, metavar="DIR", help="unpacked packages of NVIDIA")
    parser.add_argument("--program", type=Path, required=True, help="the Rust program in this folder")
    parser.add_argument("--kernels", metavar="NAME,…", help="only these kernels")
    parser.add_argument("--assembly", type=Path, metavar="DIR", help="keep compiled files and assembly here")
    parser.add_argument("--no-robustness", action="store_true", help="no effect: there is never robust access")
    return parser.parse_args()


def found(packages: Path, pattern: str) -> Path:
    """Finds a file in a package."""
    file = next(iter(sorted(packages.glob(pattern))), None)
    if not file:
        raise Failure(f"there is no {pattern} in {packages}")
    return file


def run(args: argparse.Namespace, temporary: Path) -> int:
    """Prints the table. Returns 1 if a kernel failed."""
    gpu = GPUS[args.gpu]
    directory = args.assembly / gpu.architecture if args.assembly else temporary
    directory.mkdir(parents=True, exist_ok=True)
    files = metals(args.program, args.kernels, temporary)
    nvrtc = Nvrtc(found(args.packages, "nvidia/cuda_nvrtc/lib/libnvrtc.so.*"))
    tools = Tools(nvrtc, found(args.packages, "nvidia/*/bin/nvdisasm").parent, directory)
    rows, failed = [], 0
    for file in files:
        try:
            rows.append(tools.inspect(file.stem, file.read_text(encoding="utf-8"), gpu))
        except Failure as failure:
            print(f"error: {gpu.heading}: {file.stem}: {failure}", file=sys.stderr)
            reason = str(failure).replace("|", "\\|")
            rows.append([f"FAILED: {file.stem}: {reason}", *[""] * (len(COLUMNS) - 1)])
            failed = 1
    print(f"## {gpu.heading} ({gpu.architecture}), approximately\n")
    print(f"NVRTC {nvrtc.version()}, from CUDA C++ translated from Metal; no robust access\n")
    print(table(rows), end="")
    return failed


def main() -> int:
    """The program."""
    args = arguments()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            return run(args, Path(temporary))
    except (Failure, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
