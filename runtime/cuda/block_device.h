// runtime/cuda/block.h on the device. Compiled by nvcc alone.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <type_traits>

#include "runtime/cuda/cuda_error.h"
#include "runtime/cuda/queue.h"

#define W8A8_KERNEL __global__
#define W8A8_DEVICE __device__ inline

namespace w8a8 {

W8A8_DEVICE int ThreadIndex() { return static_cast<int>(threadIdx.x); }
W8A8_DEVICE int BlockThreads() { return static_cast<int>(blockDim.x); }
W8A8_DEVICE int64_t BlockIndex() { return static_cast<int64_t>(blockIdx.x); }
W8A8_DEVICE int64_t BlockIndexY() { return static_cast<int64_t>(blockIdx.y); }
W8A8_DEVICE int64_t GridBlocks() { return static_cast<int64_t>(gridDim.x); }
W8A8_DEVICE int Lane() { return static_cast<int>(threadIdx.x) % kWarpLanes; }
W8A8_DEVICE int Warp() { return static_cast<int>(threadIdx.x) / kWarpLanes; }

template <class T>
W8A8_DEVICE std::remove_const_t<T> Load(T* from) {
  if constexpr (std::is_same_v<std::remove_const_t<T>, Vec16>) {
    const uint4 v = *reinterpret_cast<const uint4*>(from);
    return {{v.x, v.y, v.z, v.w}};
  } else {
    return *from;
  }
}
template <class T>
W8A8_DEVICE void Store(T* to, std::type_identity_t<T> value) {
  if constexpr (std::is_same_v<T, Vec16>) {
    const uint32_t(&w)[4] = value.words;
    *reinterpret_cast<uint4*>(to) = make_uint4(w[0], w[1], w[2], w[3]);
  } else {
    *to = value;
  }
}

template <class T>
W8A8_DEVICE T* SharedAs(size_t byte_offset) {
  extern __shared__ __align__(16) unsigned char w8a8_shared_memory[];
  return reinterpret_cast<T*>(w8a8_shared_memory + byte_offset);
}

W8A8_DEVICE void SyncThreads() { __syncthreads(); }
W8A8_DEVICE void SyncWarp() { __syncwarp(); }

template <class T>
W8A8_DEVICE T ShuffleXor(T value, int lane_mask) {
  return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}
template <class T>
W8A8_DEVICE T ShuffleFrom(T value, int lane) {
  return __shfl_sync(0xffffffffu, value, lane);
}
W8A8_DEVICE uint32_t Ballot(bool predicate) { return __ballot_sync(0xffffffffu, predicate); }

W8A8_DEVICE int32_t Dp4a(uint32_t a, uint32_t b, int32_t c) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), c);
}

W8A8_DEVICE void MmaS8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

W8A8_DEVICE void MmaU8S8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

W8A8_DEVICE void MmaHalf(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

W8A8_DEVICE void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

W8A8_DEVICE float Widen(Half value) { return __half2float(__ushort_as_half(value.bits)); }
W8A8_DEVICE Half Narrow(float value) { return Half{__half_as_ushort(__float2half_rn(value))}; }
W8A8_DEVICE float SquareRoot(float value) { return __fsqrt_rn(value); }
W8A8_DEVICE float Exp2Near(float value) {
  float power;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(value));
  return power;
}
W8A8_DEVICE void AtomicAdd(uint64_t* to, uint64_t value) {
  static_assert(sizeof(unsigned long long) == sizeof(uint64_t));
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

// A device gives a block 48 KiB of shared memory unless it is asked for more.
constexpr size_t kUnaskedSharedBytes = 48 * 1024;

template <class... Args>
void Launch(Queue queue, const LaunchShape& shape, void (*kernel)(Args...),
            std::type_identity_t<Args>... args) {
  if (shape.blocks == 0 || shape.blocks_y == 0) return;
  if (shape.shared_bytes > kUnaskedSharedBytes) {
    CheckCuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shape.shared_bytes)),
              "asking for shared memory");
  }
  const dim3 grid(static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.blocks_y));
  kernel<<<grid, static_cast<unsigned>(shape.threads), shape.shared_bytes, queue>>>(args...);
  CheckCuda(cudaGetLastError(), "launching a kernel");
}

}  // namespace w8a8
