"""Images with rich .eh_frame sections: the corpus with this package's clang, C and C++ with the host's compilers."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from lab.arch import arch_by_name
from lab.images.build import build
from lab.images.image import Image, load_image
from lab.images.workloads import workload_by_name

#: Host compilers of static programs, by (architecture, language).
HOST = {
    ("x86_64", "c"): "gcc",
    ("x86_64", "c++"): "g++",
    ("aarch64", "c"): "aarch64-linux-gnu-gcc",
    ("aarch64", "c++"): "aarch64-linux-gnu-g++",
}

C_SOURCE = """
#include <stdio.h>
#include <stdlib.h>
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int main(int argc, char **argv)
{
    int values[64], total = 0;
    for (int i = 0; i < 64; i++) values[i] = (i * 37 + argc) % 64;
    qsort(values, 64, sizeof values[0], compare);
    for (int i = 0; i < 64; i++) total += values[i] * i;
    printf("%d %.3f\\n", total, total / 7.0);
    return 0;
}
"""

CXX_SOURCE = """
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>
struct Guard {
    const char *name;
    explicit Guard(const char *n) : name(n) {}
    ~Guard() { std::printf("leave %s\\n", name); }
};
__attribute__((noinline)) int deep(int n)
{
    Guard guard("deep");
    if (n == 0) throw std::runtime_error("bottom");
    return deep(n - 1) + 1;
}
__attribute__((noinline)) int filter(int n)
{
    try {
        return deep(n);
    } catch (const std::logic_error &) {
        return -1;
    }
}
__attribute__((noinline)) int outer(int n)
{
    std::vector<std::string> kept(3, std::string(40, 'x'));
    try {
        return filter(n);
    } catch (const std::exception &error) {
        std::printf("caught %s with %zu kept\\n", error.what(), kept.size());
        if (n == 3) throw;
        return n;
    } catch (int) {
        return -2;
    }
}
int main()
{
    int total = outer(1) + outer(2);
    try {
        outer(3);
    } catch (...) {
        std::puts("caught anything");
    }
    try {
        throw 5;
    } catch (int value) {
        total += value;
    }
    std::printf("total %d\\n", total);
    return total == 8 ? 0 : 1;
}
"""
CXX_LINES = 14

#: Exception specifications: filters with negative numbers, and tables behind the type table.
SPEC_SOURCE = """
#include <cstdio>
#include <exception>
struct Other {};
__attribute__((noinline)) void throws(int n)
{
    if (n == 1) throw 7;
    if (n == 2) throw Other();
    if (n == 3) throw 2.5;
}
__attribute__((noinline)) void promised(int n) throw(int, std::bad_exception) { throws(n); std::puts("kept"); }
__attribute__((noinline)) void narrower(int n) throw(double, int, std::bad_exception) { promised(n); std::puts("so"); }
__attribute__((noinline)) int guarded(int n)
{
    try {
        narrower(n);
    } catch (int value) {
        return value;
    } catch (const std::bad_exception &) {
        return 100;
    }
    return 1;
}
int main()
{
    std::set_unexpected([] { throw std::bad_exception(); });
    int total = 0;
    for (int n = 0; n < 4; n++) total += guarded(n);
    std::printf("total %d\\n", total);
    return total == 208 ? 0 : 1;
}
"""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="unwindlab-cfi-")


@cache
def host_program(arch: str, language: str, source: str, flags: tuple[str, ...]) -> Image:
    """A program of the host's compiler; skips by name where there is none."""
    compiler = HOST[arch, language]
    found = shutil.which(compiler)
    if found is None:
        pytest.skip(f"needs {compiler}, which is not installed")
    folder = Path(tempfile.mkdtemp(dir=_folder().name))
    (folder / "source").write_text(source)
    output = folder / "main.elf"
    command = [found, "-O2", "-g0", *flags, "-o", output, "-x", language, folder / "source"]
    subprocess.run(command, check=True, capture_output=True)
    return load_image(output)


def host_image(arch: str, language: str = "c", flags: tuple[str, ...] = ("-static",)) -> Image:
    """C_SOURCE or CXX_SOURCE, built."""
    return host_program(arch, language, CXX_SOURCE if language == "c++" else C_SOURCE, flags)


@cache
def corpus_image(name: str, arch: str, flags: tuple[str, ...] = ()) -> Image:
    """A workload of the lab's own corpus."""
    return load_image(build(workload_by_name(name), arch_by_name(arch), flags))
