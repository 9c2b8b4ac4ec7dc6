// Every step on the CPU: the steps with fixed bits through a kernel set, float products by oneDNN.
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "runtime/backend.h"
#include "runtime/base/aligned_buffer.h"
#include "runtime/cpu/attention.h"
#include "runtime/cpu/emulated_linear.h"
#include "runtime/cpu/float_gemm.h"
#include "runtime/cpu/int8_linear.h"
#include "runtime/cpu/kernels.h"

namespace w8a8 {

// What PackInt8() and PackEmulated() make.
struct Int8Weights final : PackedWeights {
  explicit Int8Weights(Int8Linear packed) : linear(std::move(packed)) {}
  Int8Linear linear;
};
struct EmulatedWeights final : PackedWeights {
  explicit EmulatedWeights(EmulatedLinear packed) : linear(std::move(packed)) {}
  EmulatedLinear linear;
};

// Runs on the calling thread only; one object per worker, because it owns the scratch memory.
// Integer and element-wise steps take all rows of the arena at once, float products and attention
// one image at a time: no result depends on the batch.
class CpuBackend : public Backend {
 public:
  explicit CpuBackend(const Kernels& kernels) : kernels_(kernels) {}

  std::string_view kernels_name() const override { return kernels_.name; }

  PackedPtr PackFloat(MatView<const float> weight) override;
  PackedPtr PackInt8(const QuantizedLinear& linear) override;
  PackedPtr PackEmulated(const QuantizedLinear& linear) override;

  void Run(const EmbedStep& step, Arena& arena) override;
  void Run(const NormStep& step, Arena& arena) override;
  void Run(const QkNormStep& step, Arena& arena) override;
  void Run(const ActivationStep& step, Arena& arena) override;
  void Run(const GateStep& step, Arena& arena) override;
  void Run(const AttentionStep& step, Arena& arena) override;
  void Run(const AddStep& step, Arena& arena) override;
  void Run(const BroadcastStep& step, Arena& arena) override;
  void Run(const SelectRowStep& step, Arena& arena) override;
  void Run(const MeanRowsStep& step, Arena& arena) override;
  void Run(const AverageStep& step, Arena& arena) override;
  void Run(const ConvertStep& step, Arena& arena) override;
  void Run(const GemmF16Step& step, Arena& arena) override;
  void Run(const GemmFakeStep& step, Arena& arena) override;
  void Run(const QuantizeStep& step, Arena& arena) override;
  void Run(const GemmS8Step& step, Arena& arena) override;
  void Run(const GemmCodesStep& step, Arena& arena) override;

  // Everything this worker holds beside the arena; constant once the largest shape was seen.
  int64_t scratch_bytes() const;

 private:
  template <class T>
  void EmbedImage(const EmbedStep& step, MatView<const float> pixels, MatView<T> out);
  template <class T>
  void Norm(const NormStep& step, MatView<T> x, MatView<Half> y);
  void NormRowRange(const NormStep& step, Arena& arena, int64_t first, int64_t count);
  void GateRowRange(const GateStep& step, Arena& arena, int64_t first, int64_t count);
  struct Codes {
    CodeRows rows;
    Quantizer quantizer;
  };
  // Makes room for the codes of slot `from`, to be filled by rows.
  Codes& BeginCodes(const CodesOutput& to, SlotId from, const Arena& arena);
  // Calls produce(first_row, count) until all rows of slot `out` are made: all at once, or a block
  // of rows at a time and quantizes each.
  template <class Produce>
  void Make(SlotId out, const std::optional<CodesOutput>& codes, Arena& arena,
            const Produce& produce);
  void Activate(ActivationKind kind, MatView<const Half> x, MatView<Half> y) const;
  void FloatLinear(MatView<const float> x, const PackedWeights& weight, const FloatsPtr& bias,
                   MatView<Half> y);

  const Kernels& kernels_;
  FloatGemm gemm_;
  Attention attention_;
  AlignedBuffer<float> x_, product_;   // of one image
  AlignedBuffer<Half> patch_;          // one patch row
  AlignedBuffer<float> ones_, zeros_;  // where a norm has no weight or bias
  std::vector<Codes> codes_;           // by slot
  EmulatedScratch emulated_;
  AlignedBuffer<int8_t> trace_codes_;
  AlignedBuffer<float> trace_scale_;
  AlignedBuffer<int32_t> trace_acc_;
};

// With the kernel set that Select(`forced`) gives. Throws as it does.
std::unique_ptr<Backend> MakeCpuBackend(std::string_view forced);

}  // namespace w8a8
