"""The machine code of the sm_90a product, which needs no GPU: wgmma_sass_test.py NVCC HOST_COMPILER.

Every instance of the kernel keeps its sums in registers, its products are not serialised, and it
multiplies and loads with the instructions of Hopper.
"""
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

NVCC, HOST_COMPILER = sys.argv[1:3]
SOURCE = pathlib.Path(os.environ["W8A8_SOURCE"])
KERNEL = SOURCE / "runtime/cuda/wgmma_product.cu"
TILES, EPILOGUES = 4, 3
#The lowest 12 bits of an instruction of 16 bytes, as cuobjdump names them.
IGMMA, STSM, LDL, STL = 0x9F1, 0x844, 0x983, 0x387
UTMALDG, UTMALDG_MULTICAST = 0x5B4, 0x3B4
MEMBAR, CCTL = 0x992, 0x98F


def compiled(source, folder):
    """The cubin and what ptxas said."""
    cubin = pathlib.Path(folder) / "kernel.cubin"
    done = subprocess.run(
        [NVCC, "-ccbin", HOST_COMPILER, "-std=c++20", "-O3", "-gencode=arch=compute_90a,code=sm_90a",
         "--fmad=false", "--expt-relaxed-constexpr", "-Xptxas", "-v", "-I", SOURCE, "-cubin", "-o", cubin, source],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stdout)
    return cubin.read_bytes(), done.stdout


def sections(cubin):
    """Name and bytes of each section of a 64-bit ELF file."""
    at, = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", cubin, at + i * size) for i in range(count)]
    texts = headers[names][4]
    for name, _, _, _, offset, length in headers:
        end = cubin.index(b"\0", texts + name)
        yield cubin[texts + name:end].decode(), cubin[offset:offset + length]


def opcodes(code):
    """How often each opcode stands in a kernel."""
    counts = {}
    for at in range(0, len(code), 16):
        opcode = struct.unpack_from("<H", code, at)[0] & 0xFFF
        counts[opcode] = counts.get(opcode, 0) + 1
    return counts


class MachineCode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory(prefix="w8a8-sass-") as folder:
            cubin, cls.said = compiled(KERNEL, folder)
        cls.kernels = {name: opcodes(code) for name, code in sections(cubin)
                       if name.startswith(".text.") and "WgmmaProductKernel" in name}

    def test_holds_every_instance(self):
        self.assertEqual(len(self.kernels), TILES * EPILOGUES, sorted(self.kernels))

    def test_spills_nothing(self):
        spilled = re.findall(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", self.said)
        self.assertEqual(spilled, [("0", "0", "0")] * (TILES * EPILOGUES), self.said)
        for name, counts in self.kernels.items():
            self.assertNotIn(LDL, counts, name)
            self.assertNotIn(STL, counts, name)

    def test_is_launched_with_registers_for_its_warpgroups(self):
# 384 threads x 168 = 64, 512 of 65, 536, which setmaxnreg hands round.
        self.assertEqual(set(re.findall(r"Used (\d+) registers", self.said)), {"168"})

    def test_is_not_serialised_and_has_no_warning(self):
        self.assertNotRegex(self.said, r"C75\d\d|[Ww]arning|serializ|ignored")

    def test_multiplies_and_loads_with_hopper_instructions(self):
        for name, counts in self.kernels.items():
# 4 steps of 32 for each slab, once for a tile's first block of K and once in the loop.
            self.assertIn(counts.get(IGMMA), (8, 16), name)
            self.assertEqual((counts.get(UTMALDG), counts.get(UTMALDG_MULTICAST)), (1, 1), name)
            self.assertGreaterEqual(counts.get(STSM, 0), 8, name)

    def test_waits_for_all_memory_at_its_two_cluster_barriers_alone(self):
#Each is a fence of the block and one of the GPU, then an emptied L1 cache.A barrier of a stage
#with a scope of the cluster would bring the same into the loop over K.
        for name, counts in self.kernels.items():
            self.assertEqual((counts.get(MEMBAR), counts.get(CCTL)), (4, 2), name)

    def test_would_show_a_spill(self):
        with tempfile.TemporaryDirectory(prefix="w8a8-sass-") as folder:
            planted = pathlib.Path(folder) / "planted.cu"
            planted.write_text(
                "__global__ void Planted(int* p, int n) {\n"
                "  int held[512];\n"  # more than registers
                "  for (int i = 0; i < 512; ++i) held[i] = p[i];\n"
                "  p[n] = held[p[n]];\n"
                "}\n")
            cubin, said = compiled(planted, folder)
        code, = [code for name, code in sections(cubin) if name.startswith(".text.")]
        self.assertIn(LDL, opcodes(code))
        self.assertIn("2048 bytes stack frame", said)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
