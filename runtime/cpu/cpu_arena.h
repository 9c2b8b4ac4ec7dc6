// Every step on the CPU through a kernel set; the emulated arm's products by oneDNN.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/arena.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/base/parallel.h"
#include "runtime/cpu/attention.h"
#include "runtime/cpu/code_rows.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/packed_floats.h"
#include "runtime/emulated_linear.h"

namespace w8a8 {

// Runs on the calling thread, and shares rows of the norms, activations, quantizers and products of
// FP16, fake and INT8, and heads of attention, with idle workers of its pool. Steps take all rows
// at once, attention and the emulated arm's products one image at a time: no result depends on the
// batch or on who made it.
class CpuArena final : public Arena {
 public:
  explicit CpuArena(const Kernels& kernels) : kernels_(kernels) {}

  StepResult Run(const Step& step, const Wanted& wanted) override;
  double Seconds() const override { return seconds_; }
  void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) override;
  std::span<const std::byte> HostView(SlotId id) override;
  void ShareWith(ThreadPool& pool, int worker) override;

  // All slots and all scratch; constant once the largest shape was seen. Without that of threads
  // that help.
  int64_t bytes() const;
  // Of steps: that were made by others than the arena's worker.
  int64_t pieces_by_helpers() const { return pieces_by_helpers_; }

 private:
  struct SlotMemory {           // what the slot's storage needs of it
    AlignedBuffer<Half> half;   // rows StrideOf() apart
    AlignedBuffer<Half> dense;  // what HostView() gave of rows that lie apart
    AlignedBuffer<float> floats;
    CodeRows codes;
    InputSteps input;       // what made the codes,
    SlotId from = kNoSlot;  // and of which rows
    double codes_seconds = 0;
  };

  using Clock = std::chrono::steady_clock;
  static double SecondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  // What each who makes a piece needs to itself.
  struct Scratch {
    OperandScratch operand;
    AttentionScratch attention;
  };

  void Reserve() override;
  // The calling thread's, for pieces of any arena.
  static Scratch& HelpersScratch();
  // Calls run(first, count, scratch) until all of [0, total) are covered, in pieces of whole
  // `least` (but the last) where somebody is idle, else in one piece.
  template <class DoPiece>
  void InPieces(int64_t total, int64_t least, const DoPiece& run);
  // From one row of an FP16 slot to the next. An odd number of cache lines where a product stores
  // its results: rows a power of two apart meet in the same cache sets (1,025 x 3,072, K = 1,024 on
  // AMX: 0.64 of the tdpbusd peak, 0.72 with 97 lines for 96).
  int64_t StrideOf(SlotId id) const;
  bool IsSpaced(SlotId id) const;  // FP16, with gaps between rows
  std::span<std::byte> Values(SlotId id) const;

  // All images' rows of a slot, or one image's.
  MatView<Half> half(SlotId id) const;
  MatView<Half> half(SlotId id, int64_t image) const;
  MatView<float> floats(SlotId id) const;
  MatView<float> floats(SlotId id, int64_t image) const;

  void Do(const EmbedStep& step);
  void Do(const NormStep& step);
  void Do(const QkNormStep& step);
  void Do(const ActivationStep& step);
  void Do(const GateStep& step);
  StepResult Do(const AttentionStep& step, const Wanted& wanted);
  void AttendHeads(const AttentionStep& step, int64_t image, int64_t first, int64_t count,
                   MatView<float> probabilities, AttentionScratch* scratch) const;
  void Do(const AddStep& step);
  void Do(const BroadcastStep& step);
  void Do(const SelectRowStep& step);
  void Do(const MeanRowsStep& step);
  void Do(const AverageStep& step);
  void Do(const ConcatStep& step);
  void Do(const TanhStep& step);
  void Do(const ConvertStep& step);
  void Do(const ClearStep& step);
  void Do(const RouteStep& step);
  void Do(const GatherStep& step);
  void Do(const MixStep& step);
  void Do(const MixSharedStep& step);
  StepResult Do(const GemmF16Step& step, const Wanted& wanted);
  StepResult Do(const GemmFakeStep& step, const Wanted& wanted);
  void Do(const QuantizeStep& step);
  StepResult Do(const GemmS8Step& step, const Wanted& wanted);
  StepResult Do(const GemmW8Step& step, const Wanted& wanted);
  StepResult Do(const GemmCodesStep& step, const Wanted& wanted);

  template <class T>
  void EmbedImage(const EmbedStep& step, MatView<const float> pixels, MatView<T> out);
  struct NormVectors {  // [cols]
    const float* weight;
    const float* bias;
  };
  template <class T>
  void Norm(const NormStep& step, const NormVectors& vectors, MatView<T> x, MatView<Half> y) const;
  void NormRowRange(const NormStep& step, const NormVectors& vectors, int64_t first,
                    int64_t count) const;
  void AddRowRange(const AddStep& step, int64_t first, int64_t count) const;
  void GateRowRange(const GateStep& step, int64_t first, int64_t count) const;
  void RouteRow(const RouteStep& step, std::span<const Half> x, std::span<float> weights);
  // The row of a slot of all tokens that belongs to a row of the routed slots.
  int64_t RowOfOwner(SlotId id, int64_t routed_row) const;
  void AddWeighted(float weight, std::span<const Half> y, std::span<float> sum);
  void Activate(ActivationKind kind, MatView<const Half> x, MatView<Half> y) const;
  std::shared_ptr<LinearTrace> TraceOfCodes(const SlotMemory& memory) const;
  // The memory for the codes of slot `from`, to be filled by rows: by QuantizeRange().
  SlotMemory& BeginCodes(const CodesOutput& to, SlotId from);
  void QuantizeRange(MatView<const Half> rows, int64_t first, SlotMemory* to) const;
  // Of a product: whole tiles of AMX, the tallest.
  static constexpr int64_t kLeastRows = 16;
  // 32 KiB of FP16: rows stay in the first-level cache.
  static constexpr int64_t kBlockElements = 16'384;
  // Calls produce(first_row, count) until all rows of slot `out` are made, a block of rows at a
  // time, and quantizes each where `codes` are wanted. Side by side where somebody is idle, so
  // `produce` writes to nothing but its rows.
  template <class Produce>
  void Make(SlotId out, const std::optional<CodesOutput>& codes, const Produce& produce);
  // The FP16 rows of an image as a layer takes them that does not quantize them: transformed, then
  // rounded to FP16. `trace` (nullptr: nobody asks) keeps what they were before the rounding.
  MatView<float> UnquantizedRows(MatView<const Half> x, const InputTransform* transform,
                                 int64_t first_row, LinearTrace* trace);
  // The ideal flavour's rows by the set's own quantizer, which equals the scalar one in every bit.
  MatView<const float> IdealOperand(const InputSteps& input, MatView<const Half> x);
  MatView<const float> FakeOperand(const GemmFakeStep& step, int64_t image, LinearTrace* trace);
  template <class X, class Y>
  void MultiplyFloats(const PackedFloats& linear, MatView<const X> x, const float* bias,
                      MatView<Y> y);
  void StoreProduct(MatView<const float> product, SlotId out, int64_t image);
  void BeginTrace(const GemmFakeStep& step, bool output_codes, LinearTrace& trace) const;
  MultiplyFloatFn Multiplier();
  void RunCodes(const GemmCodesStep& step, MatView<const Half> x, MatView<Half> y,
                LinearTrace* trace);

  const Kernels& kernels_;
  std::vector<SlotMemory> memory_;  // by slot
  FloatGemm gemm_;
  ThreadPool* pool_ = nullptr;  // nullptr: nobody to share with
  int worker_ = 0;              // this arena's, of the pool
  Scratch scratch_;             // its
  std::atomic<int64_t> pieces_by_helpers_ = 0;
  AlignedBuffer<float> x_, product_;   // of one image
  AlignedBuffer<Half> patches_;        // of one image
  AlignedBuffer<float> ones_, zeros_;  // where a norm has no weight or bias
  AlignedBuffer<float> weight_;        // one weight for every column
  EmulatedScratch emulated_;
  CodeRows ideal_;                  // of one image
  AlignedBuffer<int8_t> unpacked_;  // the same as int8
  ProductScratch product_scratch_;
  double seconds_ = 0;
};

template <class Produce>
void CpuArena::Make(SlotId out, const std::optional<CodesOutput>& codes, const Produce& produce) {
  const MatView<Half> made = half(out);
  SlotMemory* to = codes ? &BeginCodes(*codes, out) : nullptr;
  const int64_t block = std::max<int64_t>(1, kBlockElements / std::max<int64_t>(1, made.cols));
  const auto make = [&](int64_t first_row, int64_t rows) {
    for (int64_t first = first_row; first < first_row + rows; first += block) {
      const int64_t count = std::min(block, first_row + rows - first);
      produce(first, count);
      if (to != nullptr) QuantizeRange(made.RowRange(first, count), first, to);
    }
  };
  // Quantizers other than the plain one have one row's scratch in their codes.
  if (to != nullptr && !QuantizesRowsApart(to->codes)) return make(0, made.rows);
  InPieces(made.rows, kLeastRows,
           [&](int64_t first, int64_t count, Scratch&) { make(first, count); });
}

template <class X, class Y>
void CpuArena::MultiplyFloats(const PackedFloats& linear, MatView<const X> x, const float* bias,
                              MatView<Y> y) {
  InPieces(x.rows, kLeastRows, [&](int64_t first, int64_t count, Scratch& scratch) {
    linear.Multiply(x.RowRange(first, count), bias, y.RowRange(first, count), &scratch.operand);
  });
}

template <class DoPiece>
void CpuArena::InPieces(int64_t total, int64_t least, const DoPiece& run) {
  const int64_t helpers = pool_ == nullptr ? 0 : pool_->idle();
  if (helpers == 0 || total <= least) return run(0, total, scratch_);
  // Two pieces for each worker, and what is left over: who comes late, or is slower, takes fewer.
  const int64_t piece = std::max<int64_t>(1, total / (2 * helpers + 2) / least) * least;
  // The time of all who make pieces counts, not that of waiting for them: Seconds() do not depend
  // on who is idle.
  std::atomic<double> made{0};
  const Clock::time_point begin = Clock::now();
  pool_->Share(worker_, (total + piece - 1) / piece, [&](int64_t index, int worker) {
    const int64_t first = index * piece;
    const bool helps = worker != worker_;
    if (helps) ++pieces_by_helpers_;
    const Clock::time_point start = Clock::now();
    run(first, std::min(piece, total - first), helps ? HelpersScratch() : scratch_);
    made += SecondsSince(start);
  });
  seconds_ += made - SecondsSince(begin);
}

}  // namespace w8a8
