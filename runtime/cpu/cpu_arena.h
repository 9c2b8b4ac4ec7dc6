// Every step on the CPU through a kernel set; the emulated arm's products by oneDNN.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/arena.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/cpu/attention.h"
#include "runtime/cpu/code_rows.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/packed_floats.h"
#include "runtime/emulated_linear.h"

namespace w8a8 {

// Runs on the calling thread only. Steps take all rows at once, attention and the emulated arm's
// products one image at a time: no result depends on the batch.
class CpuArena final : public Arena {
 public:
  explicit CpuArena(const Kernels& kernels) : kernels_(kernels) {}

  StepResult Run(const Step& step, const Wanted& wanted) override;
  double Seconds() const override { return seconds_; }
  void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) override;
  std::span<const std::byte> HostView(SlotId id) override;

  // All slots and all scratch; constant once the largest shape was seen.
  int64_t bytes() const;

 private:
  struct SlotMemory {  // what the slot's storage needs of it
    AlignedBuffer<Half> half;
    AlignedBuffer<float> floats;
    CodeRows codes;
    InputSteps input;       // what made the codes,
    SlotId from = kNoSlot;  // and of which rows
    double codes_seconds = 0;
  };

  void Reserve() override;
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
  template <class T>
  void Norm(const NormStep& step, MatView<T> x, MatView<Half> y);
  void NormRowRange(const NormStep& step, int64_t first, int64_t count);
  void AddRowRange(const AddStep& step, int64_t first, int64_t count);
  void GateRowRange(const GateStep& step, int64_t first, int64_t count);
  void RouteRow(const RouteStep& step, std::span<const Half> x, std::span<float> weights);
  // The row of a slot of all tokens that belongs to a row of the routed slots.
  int64_t RowOfOwner(SlotId id, int64_t routed_row) const;
  void AddWeighted(float weight, std::span<const Half> y, std::span<float> sum);
  void Activate(ActivationKind kind, MatView<const Half> x, MatView<Half> y) const;
  std::shared_ptr<LinearTrace> TraceOfCodes(const SlotMemory& memory) const;
  // The memory for the codes of slot `from`, to be filled by rows: by QuantizeRange().
  SlotMemory& BeginCodes(const CodesOutput& to, SlotId from);
  void QuantizeRange(MatView<const Half> rows, int64_t first, SlotMemory* to) const;
  // 32 KiB of FP16: rows stay in the first-level cache.
  static constexpr int64_t kBlockElements = 16'384;
  // Calls produce(first_row, count) until all rows of slot `out` are made, a block of rows at a
  // time, and quantizes each where `codes` are wanted.
  template <class Produce>
  void Make(SlotId out, const std::optional<CodesOutput>& codes, const Produce& produce);
  // The FP16 rows of an image as a layer takes them that does not quantize them: transformed, then
  // rounded to FP16. `trace` (nullptr: nobody asks) keeps what they were before the rounding.
  MatView<float> UnquantizedRows(MatView<const Half> x, const InputTransform* transform,
                                 int64_t first_row, LinearTrace* trace);
  // The ideal flavour's rows by the set's own quantizer, which equals the scalar one in every bit.
  MatView<const float> IdealOperand(const InputSteps& input, MatView<const Half> x);
  MatView<const float> FakeOperand(const GemmFakeStep& step, int64_t image, LinearTrace* trace);
  void StoreProduct(MatView<const float> product, SlotId out, int64_t image);
  void BeginTrace(const GemmFakeStep& step, bool output_codes, LinearTrace& trace) const;
  MultiplyFloatFn Multiplier();
  void RunCodes(const GemmCodesStep& step, MatView<const Half> x, MatView<Half> y,
                LinearTrace* trace);

  const Kernels& kernels_;
  std::vector<SlotMemory> memory_;  // by slot
  FloatGemm gemm_;
  OperandScratch operand_;
  AttentionScratch attention_;
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
  for (int64_t first = 0; first < made.rows; first += block) {
    const int64_t count = std::min(block, made.rows - first);
    produce(first, count);
    if (to != nullptr) QuantizeRange(made.RowRange(first, count), first, to);
  }
}

}  // namespace w8a8
