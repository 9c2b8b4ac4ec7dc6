// What a kernel may use of the block that runs it, under names of our own: the device's (compiled
// by nvcc), or in tests a model of one block in plain C++ (tests/cuda/block_model.h), which checks
// every access and every barrier. A kernel file includes this and nothing of CUDA, and so compiles
// as both.
//
//   W8A8_KERNEL, W8A8_DEVICE       how kernels and their functions are declared
//   ThreadIndex(), BlockThreads()  of the block; blocks have one dimension of whole warps
//   BlockIndex(), BlockIndexY(), GridBlocks()
//   Lane(), Warp()                 ThreadIndex() % 32, ThreadIndex() / 32
//   Load(p), Store(p, value)       global or shared memory; p is aligned to sizeof(T)
//   SharedAs<T>(bytes)             shared memory from an offset on, 16-byte aligned at 0
//   SyncThreads(), SyncWarp()      all threads of the block, of the warp
//   ShuffleXor(v, mask), ShuffleFrom(v, lane), Ballot(p)  by all lanes of a warp
//   Dp4a(a, b, c)                  c + four products of int8, packed from the lowest byte on
//   MmaS8(c, a, b), MmaU8S8(c, a, b)  mma.sync.m16n8k32.row.col.s32.s8.s8.s32, .u8.s8. of a warp,
//   no
//                                  saturation
//   MmaHalf(c, a, b), MmaBf16(c, a, b)  mma.sync.m16n8k16.row.col.f32.f16.f16.f32, .bf16.bf16.; the
//                                  order of the sums is undefined
//   Widen(half), Narrow(value)     FP16 to binary32 and back, to nearest even
//   SquareRoot(x)                  IEEE; so is the quotient of floats
//   Exp2Near(x)                    2^x to 2^-21, 0 below 2^-126: where no contract fixes the bits
//   AtomicAdd(p, n)                of uint64_t; order-free
//   Launch(queue, shape, kernel, args...)  on the host: what runs a kernel, and what a test runs
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/numerics.h"
#include "runtime/base/half.h"

namespace w8a8 {

constexpr int kWarpLanes = 32;

// One dimension of threads; two of blocks.
struct LaunchShape {
  int64_t blocks = 1;
  int64_t blocks_y = 1;
  int threads = kWarpLanes;  // of a block: whole warps, at most 1,024
  size_t shared_bytes = 0;
};

// Sixteen bytes that travel as one access.
struct alignas(16) Vec16 {
  uint32_t words[4];
};

}  // namespace w8a8

#if defined(__CUDACC__)
#include "runtime/cuda/block_device.h"
#elif defined(W8A8_BLOCK_MODEL)
#include W8A8_BLOCK_MODEL
#else
#error "a kernel file is compiled by nvcc, or by a test that names its model of a block"
#endif
