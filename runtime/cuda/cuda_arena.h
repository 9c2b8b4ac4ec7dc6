// Every step on a CUDA device, through a queue of its own: arenas of several workers run side by
// side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quant/reference_quantizer.h"
#include "runtime/arena.h"
#include "runtime/cuda/attention_kernels.h"
#include "runtime/cuda/cuda_kernels.h"
#include "runtime/cuda/cuda_weights.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/device_vectors.h"
#include "runtime/cuda/pinned_memory.h"
#include "runtime/cuda/plain_codes.h"
#include "runtime/cuda/program_graphs.h"
#include "runtime/cuda/quantize_kernels.h"
#include "runtime/emulated_linear.h"
#include "runtime/fuse_products.h"

namespace w8a8 {

class CudaArena : public Arena, private RowCounter {
 public:
  // `products` (nullptr: the kernels for every GPU) and `vectors` outlive the arena.
  CudaArena(int device_index, CudaProducts* products, DeviceVectors& vectors);

  StepResult Run(const Step& step, const Wanted& wanted) override;
  void RunAll(const Program& program, std::span<const SlotId> kept) override;
  bool RanAsGraph() const override { return ran_as_graph_; }
  double Seconds() const override;
  void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) override;
  std::span<const std::byte> HostView(SlotId id) override;
  RowCounter* row_counter() override { return this; }

 protected:
  // RunAll() without a graph.
  void RunSteps(const Program& program, std::span<const SlotId> kept);
  // Of RunAll(): step i, and those behind it that it does along with it. How many it did.
  virtual size_t RunFrom(const Program& program, size_t i, ProductFusion fusion,
                         std::span<const SlotId> kept);
  Queue queue() const { return queue_.get(); }
  const float* Vector(const FloatsPtr& values) { return vectors_.Get(values); }
  MatView<Half> half(SlotId id) const;
  MatView<float> floats(SlotId id) const;
  bool IsFloat(SlotId id) const { return slot(id).storage == SlotStorage::kFloat; }
  const uint8_t* KeyMask() const;
  // Without probabilities and scratch.
  BatchAttentionArgs AttentionArgsOf(const AttentionStep& step);
  // Counts what `work` queues among the seconds; in a graph, which is timed as a whole, just
  // queues.
  template <class Work>
  void Timed(const Work& work) {
    if (capturing_) return work();
    Stopwatch& stopwatch = NextStopwatch();
    stopwatch.Start(queue());
    work();
    stopwatch.Stop(queue());
  }

 private:
  // Codes on the device, how they are made and of which rows.
  struct Codes {
    InputSteps input;
    SlotId from = kNoSlot;
    int64_t rows = 0, second = 0, cols = 0;
    int64_t group = 0;         // inputs of a product's accumulator
    int64_t scale_groups = 1;  // scales of a row
    DeviceMemory<int8_t> codes;
    DeviceMemory<float> scale;
    DeviceMemory<int32_t> zero_point, code_sum;
    int64_t stride() const { return PaddedCodes(cols); }
    int64_t groups() const { return (cols + group - 1) / group; }
    bool asymmetric() const { return !input.quantizer->symmetric; }
  };
  struct SlotMemory {
    DeviceMemory<Half> half;
    DeviceMemory<float> floats;
    Codes codes;
    PinnedMemory host;  // what HostView() gave
  };

  std::vector<uint64_t> CountPatterns(SlotId id) override;
  RowMoments MomentsOf(SlotId id) override;
  Matrix<Half> CopyRows(SlotId id, std::span<const int32_t> rows) override;

  void Reserve() override;
  std::byte* Bytes(SlotId id) const;
  Stopwatch& NextStopwatch();
  bool CanFuse(const GemmS8Step& product) const;
  bool RunFused(const GemmS8Step& product, const Step& next);
  const EmbedStep& AtThisGrid(const EmbedStep& step);
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
  void ListRouted(SlotId routing);
  void Do(const MixStep& step);
  void Do(const MixSharedStep& step);
  StepResult Do(const GemmF16Step& step, const Wanted& wanted);
  StepResult Do(const GemmFakeStep& step, const Wanted& wanted);
  void Do(const QuantizeStep& step);
  StepResult Do(const GemmS8Step& step, const Wanted& wanted);
  StepResult Do(const GemmW8Step& step, const Wanted& wanted);
  StepResult Do(const GemmCodesStep& step, const Wanted& wanted);

  // Room for the codes of slot `from`; nullptr where `to` is none.
  Codes* BeginCodes(const std::optional<CodesOutput>& to, SlotId from);
  void ReserveCodes(const InputSteps& input, int64_t group, SlotId from, Codes* codes);
  // What a fused kernel makes of the codes; none where a kernel of its own must.
  PlainCodes FusedCodes(const Codes* codes) const;
  void QuantizeUnlessFused(Codes* codes);
  // The codes of the rows in their slot. `counts` are added to, `values` [rows, cols] get what the
  // quantizer saw; nullptr: not wanted.
  void Quantize(Codes* codes, uint64_t* counts, float* values);
  RowTransform TransformOn(const TransformPtr& transform, int64_t cols);
  std::shared_ptr<LinearTrace> TraceOf(const Codes& codes);
  RowScales ScalesOf(const Codes& codes) const;
  ProductArgs ArgsOf(const CudaInt8& linear, const Codes& x, MatView<Half> y, int32_t* acc) const;
  void MultiplyPlain(ProductArgs args);
  void Multiply(const CudaInt8& linear, const Codes& x, MatView<Half> y, int32_t* acc);
  // The rows of a layer that does not quantize them, transformed and rounded to FP16.
  MatView<const Half> RoundedTransform(const TransformPtr& transform, MatView<const Half> x,
                                       LinearTrace* trace);
  // The output through its codes, where it is quantized; `trace` (nullptr: nobody asks) keeps them.
  void QuantizeOutput(const std::optional<Quantizer>& output, MatView<Half> y, LinearTrace* trace);
  void MultiplyFloats(Elements x, MatView<const float> shape, const CudaFloats& weight,
                      const float* bias, MatView<Half> to_half, MatView<float> to_floats);
  MultiplyFloatFn HostMultiplier();
  bool RunIdealOnDevice(const GemmFakeStep& step, const Wanted& wanted);
  void FakeOperand(const InputSteps& input, FakeFlavour flavour, int64_t rows_per_image,
                   MatView<const Half> x, MatView<float> operand, LinearTrace* trace);
  void RunEmulated(const GemmCodesStep& step, const EmulatedLinear& linear, MatView<const Half> x,
                   MatView<Half> y, LinearTrace* trace);

  const int device_index_;
  CudaProducts* const products_;
  DeviceVectors& vectors_;
  OwnQueue queue_;
  std::vector<SlotMemory> memory_;  // by slot
  Staging staging_;
  DeviceMemory<Half> rows_;     // of one step: patches, rows rounded to FP16
  DeviceMemory<float> values_;  // of one step: a product, an operand
  DeviceMemory<float> product_;
  DeviceMemory<std::byte> scratch_;
  DeviceMemory<float> probabilities_;
  DeviceMemory<int32_t> acc_;
  DeviceMemory<uint64_t> counts_, patterns_;
  DeviceMemory<double> sums_;
  DeviceMemory<Half> largest_;
  DeviceMemory<int64_t> first_rows_;
  DeviceMemory<int32_t> copied_rows_;
  DeviceMemory<int8_t> output_codes_;
  DeviceMemory<uint8_t> key_mask_;
  // The rows of the routing `listed_` (kNoSlot: none), expert by expert; and the last gather's.
  SlotId listed_ = kNoSlot;
  DeviceMemory<int32_t> lists_, list_counts_;
  std::vector<int32_t> expert_rows_;
  const int32_t* routed_rows_ = nullptr;
  Codes again_;  // made once more, for their counts; and those of the ideal flavour
  EmulatedScratch emulated_;
  ReferenceRows reference_;
  std::vector<float> host_values_;
  EmbedStep embedded_, at_grid_;  // the last step of a variable grid, as it came and AtGrid()
  PatchGrid grid_;                // its
  ProgramGraphs graphs_;
  bool capturing_ = false, ran_as_graph_ = false;
  // Points of the queue that were not read yet.
  mutable std::vector<std::unique_ptr<Stopwatch>> running_, idle_;
  mutable double seconds_ = 0;
};

}  // namespace w8a8
