"""Kernels compiled for processors other than this one, by LLVM alone."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numpy.typing import NDArray

from edgebig.kernels.vector import I64

X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()

_MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
void kernel(%(types)s);
int main(int count, char **names) {
    int64_t addresses[16], tasks = atoll(names[1]);
    long size = 0;
    for (int i = 2; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        fseek(file, 0, SEEK_END);
        size = ftell(file);
        rewind(file);
        addresses[i] = (int64_t) malloc(size + 1);
        if (fread((void *) addresses[i], 1, size, file) != size) return 1;
        fclose(file);
    }
    for (int64_t task = 0; task < tasks; task++) kernel(%(values)s, task);
    FILE *file = fopen(names[count - 1], "wb");
    return fwrite((void *) addresses[count - 1], 1, size, file) != size || fclose(file);
}
"""


def compile_body(emit: Any, arguments: int, triple: str, cpu: str) -> tuple[str, bytes]:
    """Assembly and object of a function `kernel` of so many integers."""
    module = ir.Module()
    module.triple = triple
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [I64] * arguments), "kernel")
    b = ir.IRBuilder(function.append_basic_block())
    emit(b, *function.args)
    b.ret_void()
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3, reloc="pic")
    compiled = llvm.parse_assembly(str(module))
    compiled.verify()
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(3))
    passes.getModulePassManager().run(compiled, passes)
    return machine.emit_assembly(compiled), machine.emit_object(compiled)


def hottest_block(assembly: str, instruction: str) -> str:
    """The code between a label and the next branch in which an instruction comes most often: the inner loop."""
    blocks = re.split(r"^\.?\w+:.*$|^\t(?:j[a-z]+|b\.[a-z]+|cbn?z|b)\t.*$", assembly, flags=re.MULTILINE)
    return max(blocks, key=lambda block: len(re.findall(rf"\b{instruction}\b", block)))


def run_on_arm(code: bytes, operands: list[NDArray[Any]], tasks: int, folder: Path) -> NDArray[Any]:
    """Run the function `kernel` of an aarch64 object under qemu; gives its last operand. Skips without the tools."""
    compiler, emulator = shutil.which("aarch64-linux-gnu-gcc"), shutil.which("qemu-aarch64")
    emulator = emulator or shutil.which("qemu-aarch64-static")
    if compiler is None or emulator is None:
        pytest.skip("needs qemu-aarch64 and aarch64-linux-gnu-gcc (Debian: qemu-user, gcc-aarch64-linux-gnu)")
    (folder / "kernel.o").write_bytes(code)
    types = ", ".join(["int64_t"] * (len(operands) + 1))
    values = ", ".join(f"addresses[{i + 2}]" for i in range(len(operands)))
    (folder / "main.c").write_text(_MAIN % {"types": types, "values": values})
    subprocess.run([compiler, "-static", "-O1", "main.c", "kernel.o", "-o", "main"], cwd=folder, check=True)
    for i, operand in enumerate(operands):
        operand.tofile(folder / str(i))
    names = [str(i) for i in range(len(operands))]
    subprocess.run([emulator, "-cpu", "max", "./main", str(tasks), *names], cwd=folder, check=True)
    last = operands[-1]
    return np.fromfile(folder / names[-1], last.dtype).reshape(last.shape)
