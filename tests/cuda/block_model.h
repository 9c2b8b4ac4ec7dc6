// runtime/cuda/block.h without a GPU: one block of a kernel as fibers, on plain C++, for tests.
//
// What it checks, each an Error that names the kernel's thread and the bytes:
//   - every Load() and Store() lies inside one piece of memory that a test made or inside the
//   block's
//     shared memory, and is aligned;
//   - what is read was written (by the host or a thread);
//   - two threads that touch a byte, one of them writing, have a barrier between them that orders
//     them: SyncThreads() in a block, SyncWarp() in a warp, nothing between blocks;
//   - SyncThreads() is reached by all threads of a block, an operation of a warp by all its lanes.
// Threads and blocks run in an order drawn from a seed. Not modelled: the memory order of relaxed
// accesses, clusters, asynchronous copies, anything that needs sm_90a.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>

#include "runtime/cuda/queue.h"

#define W8A8_KERNEL
#define W8A8_DEVICE inline

namespace w8a8::model {

// ---- memory of the device, made and read by the host ----

// Bytes that kernels may touch, poisoned until they are written; none of it is anybody's yet.
std::byte* Allocate(size_t bytes);
void Release(std::byte* memory);
// The host's own accesses.
void Write(std::byte* to, const void* from, size_t bytes);
// Throws Error naming the first of the bytes that nobody wrote.
void Read(const std::byte* from, void* to, size_t bytes);

// ---- what a test may do to a run ----

struct Faults {
  int64_t skipped_barrier = -1;  // the n-th SyncThreads() or SyncWarp() of each thread does nothing
};
void Plant(const Faults& faults);
// The most barriers that a thread of the last kernel met.
int64_t BarriersOfLastRun();

// ---- what the functions of block.h do ----

struct Position {
  int64_t block = 0, block_y = 0, blocks = 1;
  int thread = 0, threads = 1;
};
const Position& Here();
void CheckAccess(const void* memory, size_t bytes, size_t alignment, bool write);
void Barrier();      // of the block
void WarpBarrier();  // of the warp
std::byte* SharedMemory();

// One operation of a warp: leaves `own` of this lane, waits for all lanes to leave theirs, and
// gives those of every lane. `name` must be the same for all.
constexpr size_t kExchangeWords = 12;
using Exchanged = std::array<uint32_t, kExchangeWords>;
const std::array<Exchanged, 32>& ExchangeInWarp(const char* name, const Exchanged& own);

void Run(int64_t blocks, int64_t blocks_y, int threads, size_t shared_bytes,
         const std::function<void()>& kernel);

// In the order of its queue (model_queues.h).
int64_t Enqueue(Queue queue, std::function<void()> work);

}  // namespace w8a8::model

namespace w8a8 {

W8A8_DEVICE int ThreadIndex() { return model::Here().thread; }
W8A8_DEVICE int BlockThreads() { return model::Here().threads; }
W8A8_DEVICE int64_t BlockIndex() { return model::Here().block; }
W8A8_DEVICE int64_t BlockIndexY() { return model::Here().block_y; }
W8A8_DEVICE int64_t GridBlocks() { return model::Here().blocks; }
W8A8_DEVICE int Lane() { return ThreadIndex() % kWarpLanes; }
W8A8_DEVICE int Warp() { return ThreadIndex() / kWarpLanes; }

template <class T>
W8A8_DEVICE std::remove_const_t<T> Load(T* from) {
  model::CheckAccess(from, sizeof(T), alignof(T), false);
  return *from;
}
template <class T>
W8A8_DEVICE void Store(T* to, std::type_identity_t<T> value) {
  model::CheckAccess(to, sizeof(T), alignof(T), true);
  *to = value;
}
template <class T>
W8A8_DEVICE T* SharedAs(size_t byte_offset) {
  return reinterpret_cast<T*>(model::SharedMemory() + byte_offset);
}

W8A8_DEVICE void SyncThreads() { model::Barrier(); }
W8A8_DEVICE void SyncWarp() { model::WarpBarrier(); }

template <class T>
W8A8_DEVICE T ShuffleFrom(T value, int lane) {
  static_assert(sizeof(T) <= sizeof(model::Exchanged));
  model::Exchanged own{};
  std::memcpy(own.data(), &value, sizeof(T));
  const auto& all = model::ExchangeInWarp("a shuffle", own);
  std::memcpy(&value, all[static_cast<size_t>(lane % kWarpLanes)].data(), sizeof(T));
  return value;
}
template <class T>
W8A8_DEVICE T ShuffleXor(T value, int lane_mask) {
  return ShuffleFrom(value, Lane() ^ lane_mask);
}
W8A8_DEVICE uint32_t Ballot(bool predicate) {
  const auto& all = model::ExchangeInWarp("a ballot", {predicate ? 1u : 0u});
  uint32_t bits = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) bits |= all[lane][0] << lane;
  return bits;
}

W8A8_DEVICE int32_t Dp4a(uint32_t a, uint32_t b, int32_t c) {
  for (int i = 0; i < 4; ++i) {
    c += int32_t{static_cast<int8_t>(a >> (8 * i))} * int32_t{static_cast<int8_t>(b >> (8 * i))};
  }
  return c;
}
// By the PTX manual's layout of fragments, "Matrix Fragments for mma.m16n8k32".
void MmaS8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void MmaU8S8(int32_t (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
// "Matrix Fragments for mma.m16n8k16 with floating point type"; the products are
// exact, their sums as tensor cores make them.
void MmaHalf(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
void MmaBf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

W8A8_DEVICE float Widen(Half value) { return ToFloat(value); }
W8A8_DEVICE Half Narrow(float value) { return ToHalf(value); }
W8A8_DEVICE float SquareRoot(float value) { return std::sqrt(value); }
W8A8_DEVICE float Exp2Near(float value) { return std::exp2(value); }
// Atomic, so in no race with another of its kind.
void AtomicAdd(uint64_t* to, uint64_t value);

template <class... Args>
void Launch(Queue queue, const LaunchShape& shape, void (*kernel)(Args...),
            std::type_identity_t<Args>... args) {
  model::Enqueue(queue, [shape, kernel, args...] {
    model::Run(shape.blocks, shape.blocks_y, shape.threads, shape.shared_bytes,
               [&] { kernel(args...); });
  });
}

}  // namespace w8a8
