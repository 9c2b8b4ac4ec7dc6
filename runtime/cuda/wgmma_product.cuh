// The sm_90a INT8 product: one kernel for every tile shape and epilogue. Its loops, addresses and
// arithmetic stand in wgmma_schedule.h, wgmma_smem.h and wgmma_epilogue.h; here they meet the
// instructions. Compiled for sm_90a only (wgmma and setmaxnreg are not in sm_90).
//
// A block has three warpgroups: one thread of the first loads, the other two multiply and finish.
// Order of memory: TMA writes and wgmma reads stages in the async proxy, ordered by the mbarriers
// alone. The epilogue uses ordinary loads and stores only, each warp its own staging, so that it
// needs no proxy fence and, after the columns have arrived, no barrier wider than a warp. (A TMA
// store would need both for every 64 columns; a warp's rows of 128 bytes are whole sectors as they
// are.)
#pragma once

#include "runtime/cuda/wgmma_epilogue.h"
#include "runtime/cuda/wgmma_instructions.cuh"

namespace w8a8 {

// 168 a thread at launch; then 40 and 2 x 232 of 128 threads: 64,512 both ways, of 65,536.
constexpr int kProducerRegisters = 40;
constexpr int kConsumerRegisters = 232;

// Named barriers: one of each consumer's own threads, one for each consumer's turn.
constexpr int kOwnBarrier = 1;
constexpr int kTurnBarrier = 1 + kWgmmaConsumers;

template <WgmmaTiles kTiles>
struct WgmmaProducer {
  static constexpr WgmmaTileShape kShape = ShapeOf(kTiles);
  const CUtensorMap* x;
  const CUtensorMap* w;
  uint32_t shared;
  int32_t rank;

  __device__ __forceinline__ void WaitEmpty(uint32_t stage, uint32_t parity) {
    ptx::WaitFor(shared + LayoutOf(kShape).empty + stage * 8, parity);
  }

  __device__ __forceinline__ void Load(uint32_t stage, int32_t k, TileOrigin origin) {
    const uint32_t full = shared + LayoutOf(kShape).full + stage * 8;
    const uint32_t to_x = shared + StageX(kShape, stage), to_w = shared + StageW(kShape, stage);
    ptx::ArriveExpecting(full, StageBytes(kShape));
    const int32_t half = rank * BoxRowsW(kShape);
    ptx::LoadBox(to_x, x, full, k, origin.row);
    ptx::LoadBoxForBoth(to_w + half * kStageDepth, w, full, k, origin.column + half);
  }
};

// A consumer's columns in shared memory.
struct SharedColumns {
  uint32_t scales, layer_scales;

  __device__ __forceinline__ ColumnScales Scales(int32_t column) const {
    const uint4 both = ptx::LoadShared16(scales + ColumnOffset(column));
    return {__uint_as_float(both.x), __uint_as_float(both.y), __uint_as_float(both.z),
            __uint_as_float(both.w)};
  }
  __device__ __forceinline__ LayerScalePair LayerScales(int32_t column) const {
    const float2 both = ptx::LoadShared8(layer_scales + column * 4);
    return {both.x, both.y};
  }
};

template <WgmmaTiles kTiles, WgmmaEpilogue kEpilogue>
struct WgmmaConsumer {
  static constexpr WgmmaTileShape kShape = ShapeOf(kTiles);
  static constexpr int kSlabs = SlabsOf(kShape);
  static constexpr int kChunks = kShape.columns / kChunkColumns;
  const WgmmaOutputs& outputs;
  uint32_t shared;
  int32_t consumer;
  int32_t thread;  // of the warpgroup
  TileOrigin origin;
  float scale_x[kSlabs][2];
  ResidualPairs residual;
  int32_t sums[kSlabs][kShape.columns / 2];

  __device__ __forceinline__ uint32_t Columns() const {
    return shared + LayoutOf(kShape).columns + consumer * kShape.columns * kColumnBytes;
  }
  __device__ __forceinline__ uint32_t Staging() const {
    return shared + LayoutOf(kShape).staging +
           (consumer * (kWarpgroupThreads / 32) + thread / 32) * kStagingBytes;
  }
  // The first of the two rows (8 apart) of y that this thread has sums of.
  __device__ __forceinline__ int32_t Row(int slab) const {
    return origin.row + SlabRow(kShape, consumer, slab) + PlaceOf(thread, 0).row;
  }

  // The barrier: all warps have read the columns of the tile before.
  __device__ __forceinline__ void BeginTile(TileOrigin tile) {
    origin = tile;
    ptx::SyncNamed(kOwnBarrier + consumer, kWarpgroupThreads);
#pragma unroll
    for (int i = 0; i < kShape.columns / kWarpgroupThreads; ++i) {
      FetchColumn(thread + i * kWarpgroupThreads);
    }
#pragma unroll
    for (int i = 0; i < 2 * kSlabs; ++i) {
      const int32_t row = Row(i / 2) + i % 2 * 8;
      const int64_t place = static_cast<int64_t>(row) * outputs.scale_x_step;
      scale_x[i / 2][i % 2] = row < outputs.m ? __ldg(outputs.scale_x + place) : 0.0f;
    }
  }

  __device__ __forceinline__ void FetchColumn(int column) {
    const int32_t n = origin.column + column;
    const bool inside = n < outputs.n;
    const bool biased = inside && outputs.bias != nullptr;
    const uint32_t to = Columns() + ColumnOffset(column);
    ptx::CopyWord(to, inside ? outputs.scale_w + n : outputs.scale_w, inside ? 4 : 0);
    ptx::CopyWord(to + 4, biased ? outputs.bias + n : outputs.scale_w, biased ? 4 : 0);
    if constexpr (kEpilogue == WgmmaEpilogue::kResidual) {
      const float scale = inside && outputs.layer_scale ? __ldg(outputs.layer_scale + n) : 1.0f;
      ptx::StoreShared4(Columns() + LayerScaleOffset(kShape, column), scale);
    }
  }

  __device__ __forceinline__ void WaitTurn(int of) {
    ptx::SyncNamed(kTurnBarrier + of, kWgmmaConsumers * kWarpgroupThreads);
  }
  __device__ __forceinline__ void GiveTurn(int of) {
    ptx::ArriveNamed(kTurnBarrier + of, kWgmmaConsumers * kWarpgroupThreads);
  }
  __device__ __forceinline__ void WaitFull(uint32_t stage, uint32_t parity) {
    ptx::WaitFor(shared + LayoutOf(kShape).full + stage * 8, parity);
  }

  __device__ __forceinline__ void Multiply(uint32_t stage, int32_t block) {
    const uint64_t x = WgmmaDescriptor(shared + StageX(kShape, stage) +
                                       SlabRow(kShape, consumer, 0) * kStageDepth);
    const uint64_t w = WgmmaDescriptor(shared + StageW(kShape, stage));
    constexpr uint64_t kNextSlab = kWgmmaRows * kStageDepth >> 4;
    ptx::FenceSums();
#pragma unroll
    for (int step = 0; step < kStageDepth / kWgmmaDepth; ++step) {
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        ptx::MultiplySlab(sums[slab], AdvancedK(x, step) + slab * kNextSlab, AdvancedK(w, step),
                          block | step);
      }
    }
    ptx::CommitProducts();
  }

  __device__ __forceinline__ void WaitAllButLast() { ptx::WaitForProducts<1>(); }

  // The first residuals are on their way while the last products are computed.
  __device__ __forceinline__ void WaitAll() {
    if constexpr (kEpilogue == WgmmaEpilogue::kResidual) residual = ResidualOf(0);
    ptx::WaitForProducts<0>();
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) ptx::HoldSums(sums[slab]);
  }

  // Each warp for itself: only its own reads are known to be complete.
  __device__ __forceinline__ void Release(uint32_t stage) {
    const uint32_t lane = thread % 32;
    if (lane < kWgmmaClusterSize) {
      ptx::ArriveAt(shared + LayoutOf(kShape).empty + stage * 8, lane);
    }
    __syncwarp();
  }

  // ---- epilogue ----

  // The barrier: what each thread fetched of the columns has arrived for all.
  __device__ __forceinline__ void FinishTile() {
    ptx::WaitForCopies();
    ptx::SyncNamed(kOwnBarrier + consumer, kWarpgroupThreads);
#pragma unroll
    for (int slab = 0; slab < kSlabs; ++slab) {
#pragma unroll
      for (int chunk = 0; chunk < kChunks; ++chunk) FinishChunk(slab, chunk);
    }
  }

  __device__ __forceinline__ ResidualPairs ResidualOf(int step) const {
    return LoadResidual(outputs, Row(step / kChunks),
                        origin.column + step % kChunks * kChunkColumns, thread % 32);
  }

  // The residuals of the chunk after this one are on their way while this one is computed.
  __device__ __forceinline__ void FinishChunk(int slab, int chunk) {
    const ResidualPairs of_this = residual;
    if constexpr (kEpilogue == WgmmaEpilogue::kResidual) {
      const int next = slab * kChunks + chunk + 1;
      if (next < kSlabs * kChunks) residual = ResidualOf(next);
    }
    if (origin.column + chunk * kChunkColumns >= outputs.n) return;
    const SharedColumns columns = {Columns(), Columns() + LayerScaleOffset(kShape, 0)};
    const uint32_t staging = Staging() + StoreMatrixBegin(thread % 32);
    __syncwarp();  // the pieces of the chunk before have been taken
#pragma unroll
    for (int pair = 0; pair < kChunkPairs; ++pair) {
      const Words words = StageWords<kEpilogue>(sums[slab], scale_x[slab], of_this, columns,
                                                thread % 32, chunk, pair);
      ptx::StoreMatrices(StoreMatrixAddress(staging, pair), words.word[0], words.word[1],
                         words.word[2], words.word[3]);
    }
    __syncwarp();
    StorePieces(slab, chunk);
  }

  __device__ __forceinline__ void StorePieces(int slab, int chunk) {
    if constexpr (kEpilogue == WgmmaEpilogue::kCodes) {
      switch (outputs.activation) {
        case ActivationKind::kGeluErf:
          return StoreAll<ActivationKind::kGeluErf>(slab, chunk);
        case ActivationKind::kGeluTanh:
          return StoreAll<ActivationKind::kGeluTanh>(slab, chunk);
        case ActivationKind::kQuickGelu:
          return StoreAll<ActivationKind::kQuickGelu>(slab, chunk);
        case ActivationKind::kSilu:
          return StoreAll<ActivationKind::kSilu>(slab, chunk);
      }
    } else {
      const bool whole = origin.column + (chunk + 1) * kChunkColumns <= outputs.n;
#pragma unroll
      for (uint32_t turn = 0; turn < kPieceTurns; ++turn) {
        const int32_t row = PieceRow(slab, turn), column = PieceColumn(chunk, turn);
        if (whole) {
          StoreWholeHalves(outputs, row, column, Taken(turn));
        } else {
          StoreHalves(outputs, row, column, Taken(turn));
        }
      }
    }
  }

  // A loop, so that the code of four activation functions stays small.
  template <ActivationKind kActivation>
  __device__ __forceinline__ void StoreAll(int slab, int chunk) {
#pragma unroll 1
    for (uint32_t turn = 0; turn < kPieceTurns; ++turn) {
      StoreCodes<kActivation>(outputs, PieceRow(slab, turn), PieceColumn(chunk, turn), Taken(turn));
    }
  }

  __device__ __forceinline__ int32_t PieceRow(int slab, uint32_t turn) const {
    return origin.row + SlabRow(kShape, consumer, slab) +
           thread / 32 * static_cast<int32_t>(kStagedRows) +
           static_cast<int32_t>(PieceOf(thread % 32, turn).row);
  }
  __device__ __forceinline__ int32_t PieceColumn(int chunk, uint32_t turn) const {
    return origin.column + chunk * kChunkColumns +
           static_cast<int32_t>(PieceOf(thread % 32, turn).piece) * 8;
  }
  __device__ __forceinline__ Words Taken(uint32_t turn) const {
    const uint4 words = ptx::LoadShared16(TakenAddress(Staging() + TakenBegin(thread % 32), turn));
    return {{words.x, words.y, words.z, words.w}};
  }
};

template <WgmmaTiles kTiles>
__device__ __forceinline__ void InitStages(uint32_t shared) {
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  for (int stage = 0; stage < shape.stages; ++stage) {
    ptx::InitBarrier(shared + LayoutOf(shape).full + stage * 8, 1);
    ptx::InitBarrier(shared + LayoutOf(shape).empty + stage * 8, EmptyArrivals(shape));
  }
  ptx::FenceBarrierInit();
}

template <WgmmaTiles kTiles, WgmmaEpilogue kEpilogue>
__global__ void __cluster_dims__(kWgmmaClusterSize, 1, 1) __launch_bounds__(kWgmmaThreads, 1)
    WgmmaProductKernel(const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap w,
                       const __grid_constant__ WgmmaOutputs outputs) {
  constexpr WgmmaTileShape shape = ShapeOf(kTiles);
  static_assert(LayoutOf(shape).end <= kWgmmaSharedMemory);
  extern __shared__ __align__(1024) uint8_t memory[];
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(memory));
  const auto rank = static_cast<int32_t>(ptx::ClusterRank());
  const auto warpgroup = static_cast<int32_t>(threadIdx.x) / kWarpgroupThreads;
  if (threadIdx.x == 0) InitStages<kTiles>(shared);
  __syncwarp();
  ptx::ClusterSync();  // both blocks' barriers exist before anything arrives at them
  const ClusterWork work = {GridOf(shape, outputs.m, outputs.n, outputs.k), rank,
                            static_cast<int32_t>(blockIdx.x) / kWgmmaClusterSize,
                            static_cast<int32_t>(gridDim.x) / kWgmmaClusterSize};
  if (warpgroup == 0) {
    ptx::GiveRegisters<kProducerRegisters>();
    if (threadIdx.x == 0) {
      ptx::PrefetchMap(&x);
      ptx::PrefetchMap(&w);
      WgmmaProducer<kTiles> producer{&x, &w, shared, rank};
      Produce<kTiles>(work, producer);
    }
    __syncwarp();
  } else {
    ptx::TakeRegisters<kConsumerRegisters>();
    WgmmaConsumer<kTiles, kEpilogue> consumer{
        outputs, shared, warpgroup - 1, static_cast<int32_t>(threadIdx.x) % kWarpgroupThreads};
    Consume<kTiles>(work, warpgroup - 1, consumer);
  }
  ptx::ClusterSync();  // no block leaves while the other still writes or arrives in its memory
}

}  // namespace w8a8
