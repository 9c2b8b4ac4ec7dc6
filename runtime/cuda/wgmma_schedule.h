// Who does what, when, in a block of the sm_90a INT8 product: the order of tiles, the ring of
// stages with its phases, the turns of ping-pong. Produce and Consume are the loops of the kernel
// itself; `Machine` is the GPU there, and a recorder in the test that runs them against a model of
// the barriers.
//
// A stage has two mbarriers in each block. `full`: one arrival (the block's own producer, with the
// bytes of the whole stage), completed by the bytes that both blocks' loads bring. `empty`: an
// arrival from each warp, of either block, that multiplied out of the stage: this block's load
// writes half of the rows of w into the other's stage, which has to be free as well.
#pragma once

#include "runtime/cuda/wgmma_tiles.h"

#if defined(__CUDACC__)
#define W8A8_KERNEL_CODE __device__ __forceinline__
#else
#define W8A8_KERNEL_CODE inline
#endif

namespace w8a8 {

// The next stage and the parity of the ring's round, which is the phase of its barriers. A barrier
// counts as one round ahead before its first completion: the producer waits for `phase ^ 1`.
struct StageState {
  uint32_t stage = 0;
  uint32_t phase = 0;
};

W8A8_HOST_DEVICE constexpr StageState Advanced(StageState state, uint32_t stages, uint32_t steps) {
  const uint32_t sum = state.stage + steps;
  return {sum % stages, state.phase ^ ((sum / stages) & 1u)};
}

W8A8_HOST_DEVICE constexpr StageState Next(StageState state, uint32_t stages) {
  const bool wraps = state.stage + 1 == stages;
  return {wraps ? 0 : state.stage + 1, state.phase ^ (wraps ? 1u : 0u)};
}

// Arrivals that complete a phase of an `empty` barrier.
W8A8_HOST_DEVICE constexpr uint32_t EmptyArrivals(WgmmaTileShape shape) {
  const int warps = kWarpgroupThreads / 32 * (shape.ping_pong ? 1 : kWgmmaConsumers);
  return static_cast<uint32_t>(warps * kWgmmaClusterSize);
}

// Bytes that complete a phase of a `full` barrier: boxes count whole, also where they reach beyond
// the matrix and are filled with zeros.
W8A8_HOST_DEVICE constexpr uint32_t StageBytes(WgmmaTileShape shape) {
  return static_cast<uint32_t>((shape.rows + shape.columns) * kStageDepth);
}

// What one cluster does: tiles first, first + step, ... of the grid.
struct ClusterWork {
  WgmmaGrid grid;
  int32_t rank;   // of the block in its cluster
  int32_t first;  // the cluster's index
  int32_t step;   // clusters
};

W8A8_HOST_DEVICE constexpr int32_t LocalTiles(ClusterWork work) {
  return (ClusterTiles(work.grid) - work.first + work.step - 1) / work.step;
}

W8A8_HOST_DEVICE constexpr TileOrigin LocalOrigin(WgmmaTileShape shape, ClusterWork work,
                                                  int32_t local) {
  return OriginOf(shape, work.grid, work.first + local * work.step, work.rank);
}

// In ping-pong, local tile i's products begin when those of i - 1 have all been issued. Without
// these turns a consumer could be two rounds of the ring behind a barrier's one bit of phase.
W8A8_HOST_DEVICE constexpr bool WaitsForTurn(int32_t local) { return local > 0; }
W8A8_HOST_DEVICE constexpr bool GivesTurn(int32_t local, int32_t tiles) {
  return local + 1 < tiles;
}

// One thread of the producer.
template <WgmmaTiles kTiles, class Machine>
W8A8_KERNEL_CODE void Produce(ClusterWork work, Machine& machine) {
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  const int32_t tiles = LocalTiles(work);
  StageState state;
  for (int32_t local = 0; local < tiles; ++local) {
    const TileOrigin origin = LocalOrigin(shape, work, local);
    for (int32_t block = 0; block < work.grid.k_blocks; ++block) {
      machine.WaitEmpty(state.stage, state.phase ^ 1u);
      machine.Load(state.stage, block * kStageDepth, origin);
      state = Next(state, shape.stages);
    }
  }
}

// After the last products of a tile have been issued.
struct Issued {
  StageState next;
  uint32_t last;  // the stage that is still being read
};

// The products of one tile: a stage is given back when the products out of it are complete, that is
// after those of the next stage have been issued.
template <WgmmaTiles kTiles, class Machine>
W8A8_KERNEL_CODE Issued IssueProducts(int32_t k_blocks, StageState state, Machine& machine) {
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  machine.WaitFull(state.stage, state.phase);
  machine.Multiply(state.stage, 0);
  uint32_t last = state.stage;
  state = Next(state, shape.stages);
  for (int32_t block = 1; block < k_blocks; ++block) {
    machine.WaitFull(state.stage, state.phase);
    machine.Multiply(state.stage, block);
    machine.WaitAllButLast();
    machine.Release(last);
    last = state.stage;
    state = Next(state, shape.stages);
  }
  return {state, last};
}

// One consumer: every thread of warpgroup `consumer`.
template <WgmmaTiles kTiles, class Machine>
W8A8_KERNEL_CODE void Consume(ClusterWork work, int consumer, Machine& machine) {
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  constexpr int kEvery = shape.ping_pong ? kWgmmaConsumers : 1;
  const int32_t tiles = LocalTiles(work);
  const int32_t k_blocks = work.grid.k_blocks;
  const int32_t first = shape.ping_pong ? consumer : 0;
  StageState state = Advanced({}, shape.stages, static_cast<uint32_t>(first * k_blocks));
  for (int32_t local = first; local < tiles; local += kEvery) {
    machine.BeginTile(LocalOrigin(shape, work, local));
    if (shape.ping_pong && WaitsForTurn(local)) machine.WaitTurn(consumer);
    const Issued issued = IssueProducts<kTiles>(k_blocks, state, machine);
    if (shape.ping_pong && GivesTurn(local, tiles)) machine.GiveTurn(1 - consumer);
    machine.WaitAll();
    machine.Release(issued.last);
    machine.FinishTile();
    state = issued.next;
    if (shape.ping_pong) state = Advanced(state, shape.stages, static_cast<uint32_t>(k_blocks));
  }
}

}  // namespace w8a8

#undef W8A8_KERNEL_CODE
