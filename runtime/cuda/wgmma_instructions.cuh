// The instructions of sm_90a that the INT8 product uses, one function each. The PTX ISA is their
// specification; addresses are of shared memory, 32 bits. Included by wgmma_product.cuh alone.
#pragma once

#include <cuda.h>

#include <cstdint>

#define W8A8_PTX __device__ __forceinline__

namespace w8a8::ptx {

W8A8_PTX uint32_t ClusterRank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// All threads of both blocks, warp by warp converged.
W8A8_PTX void ClusterSync() {
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// ---- registers: a pool of 64 K that warpgroups return to and take from ----

template <int kRegisters>
W8A8_PTX void GiveRegisters() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
W8A8_PTX void TakeRegisters() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// ---- mbarriers ----

W8A8_PTX void InitBarrier(uint32_t barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}
// Makes initialized barriers known to the other block and to TMA; a cluster barrier follows.
W8A8_PTX void FenceBarrierInit() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// The one arrival of a `full` barrier: `bytes` will be written by TMA.
W8A8_PTX void ArriveExpecting(uint32_t barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
}
// At the barrier at the same place in block `rank` of the cluster. Without a scope: what it orders
// are reads of wgmma, complete by then, before writes of TMA. With .release.cluster nvcc waits for
// all of the GPU's memory (MEMBAR.ALL.GPU) at every stage.
W8A8_PTX void ArriveAt(uint32_t barrier, uint32_t rank) {
  asm volatile(
      "{\n.reg .b32 there;\nmapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n}\n" ::"r"(barrier),
      "r"(rank)
      : "memory");
}
// Returns once the phase of this parity is complete. Without a scope, too: .acquire.cluster empties
// the L1 cache (CCTL.IVALL) every time.
W8A8_PTX void WaitFor(uint32_t barrier, uint32_t parity) {
  uint32_t complete = 0;
  while (complete == 0) {
    asm volatile(
        "{\n.reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n}\n"
        : "=r"(complete)
        : "r"(barrier), "r"(parity)
        : "memory");
  }
}

// ---- TMA: a box at column `k` and row `row` of a matrix, bytes counted at `barrier` ----

W8A8_PTX void PrefetchMap(const CUtensorMap* map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
W8A8_PTX void LoadBox(uint32_t to, const CUtensorMap* map, uint32_t barrier, int32_t k,
                      int32_t row) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%3, %4}], [%2];" ::"r"(to),
      "l"(map), "r"(barrier), "r"(k), "r"(row)
      : "memory");
}
// Into both blocks of the cluster, at the same place, and counted at the barrier of each.
W8A8_PTX void LoadBoxForBoth(uint32_t to, const CUtensorMap* map, uint32_t barrier, int32_t k,
                             int32_t row) {
  constexpr uint16_t kBoth = 3;
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(to),
      "l"(map), "r"(barrier), "r"(k), "r"(row), "h"(kBoth)
      : "memory");
}

// ---- named barriers: 0 is __syncthreads ----

W8A8_PTX void SyncNamed(int32_t barrier, int32_t threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
W8A8_PTX void ArriveNamed(int32_t barrier, int32_t threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

// ---- small asynchronous copies and staging ----

// 4 bytes, or 4 bytes of zero where `bytes` is 0 (`from` is not read then).
W8A8_PTX void CopyWord(uint32_t to, const void* from, uint32_t bytes) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes)
               : "memory");
}
W8A8_PTX void WaitForCopies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

W8A8_PTX void StoreMatrices(uint32_t address, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(address),
               "r"(a), "r"(b), "r"(c), "r"(d)
               : "memory");
}
W8A8_PTX uint4 LoadShared16(uint32_t address) {
  uint4 value;
  asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "r"(address)
               : "memory");
  return value;
}
W8A8_PTX float2 LoadShared8(uint32_t address) {
  float2 value;
  asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];"
               : "=f"(value.x), "=f"(value.y)
               : "r"(address)
               : "memory");
  return value;
}
W8A8_PTX void StoreShared4(uint32_t address, float value) {
  asm volatile("st.shared.f32 [%0], %1;" ::"r"(address), "f"(value) : "memory");
}

// ---- wgmma ----

// Before the first products of a warpgroup, and where registers of sums were touched in between.
W8A8_PTX void FenceSums() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
W8A8_PTX void CommitProducts() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
// Returns when at most `kPending` committed groups of this warp are incomplete.
template <int kPending>
W8A8_PTX void WaitForProducts() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

// After that wait: the compiler, which sees no tie between it and the sums, reads none of them
// before.
template <int kSums>
W8A8_PTX void HoldSums(int32_t (&sums)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) asm volatile("" : "+r"(sums[i])::"memory");
}

// sums = x * w (+ sums where `add` is not 0): 64 rows by as many columns as twice the sums, 32 of
// K.
#define W8A8_SUM(i) "+r"(sums[i])
#define W8A8_SUMS_4(i) W8A8_SUM(i), W8A8_SUM(i + 1), W8A8_SUM(i + 2), W8A8_SUM(i + 3)
#define W8A8_SUMS(i) W8A8_SUMS_4(i), W8A8_SUMS_4(i + 4), W8A8_SUMS_4(i + 8), W8A8_SUMS_4(i + 12)

W8A8_PTX void MultiplySlab(int32_t (&sums)[64], uint64_t x, uint64_t w, int32_t add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
      "}, %64, %65, p;\n}\n"
      : W8A8_SUMS(0), W8A8_SUMS(16), W8A8_SUMS(32), W8A8_SUMS(48)
      : "l"(x), "l"(w), "r"(add));
}

W8A8_PTX void MultiplySlab(int32_t (&sums)[128], uint64_t x, uint64_t w, int32_t add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %130, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n256k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127"
      "}, %128, %129, p;\n}\n"
      : W8A8_SUMS(0), W8A8_SUMS(16), W8A8_SUMS(32), W8A8_SUMS(48), W8A8_SUMS(64), W8A8_SUMS(80),
        W8A8_SUMS(96), W8A8_SUMS(112)
      : "l"(x), "l"(w), "r"(add));
}

#undef W8A8_SUM
#undef W8A8_SUMS_4
#undef W8A8_SUMS

}  // namespace w8a8::ptx

#undef W8A8_PTX
