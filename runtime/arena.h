// The memory of one worker on a device, and the steps that run on it. The host writes to it with
// Upload() and reads it with HostView(); nothing else of it is the host's.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quant/quantize_counts.h"
#include "quant/row_scales.h"
#include "runtime/base/half.h"
#include "runtime/base/mat_view.h"
#include "runtime/base/matrix.h"
#include "runtime/base/parallel.h"
#include "runtime/encoder/graph.h"
#include "runtime/row_counter.h"
#include "runtime/steps.h"

namespace w8a8 {

// The images that a program runs on at once.
struct BatchInputs {
  int64_t images = 1;
  PatchGrid grid = {};  // of all of them, where the graph's is variable
  // [images * tokens]: 0 where a token is no key of any attention (padding); empty: all tokens are.
  // At least one key of each image is left.
  std::vector<uint8_t> key_mask = {};
};

// Whose a row is.
struct RowOwner {
  int32_t sample = 0;  // index into the images of the batch
  int32_t token = 0;   // of the sample
  friend auto operator<=>(const RowOwner&, const RowOwner&) = default;
};

// What a caller wants to see of a step beside its slots. Each costs a pass or memory.
struct Wanted {
  bool trace = false;      // of quantized linear steps
  bool attention = false;  // probabilities: memory quadratic in the tokens
};

// How a quantized linear step came to its output.
struct LinearTrace {
  // [rows + second, K], in [-128, 127]; `second` of them: the second codes of each image's first
  // row, after all rows, where the plan codes it twice. Empty for weight-only.
  Matrix<int8_t> codes;
  RowScales input_scale;  // of the rows, with their zero points
  // [groups * (rows + second), N], group by group; the exact products, zero points taken off. Empty
  // for fake and weight-only.
  Matrix<int32_t> acc;
  Matrix<float> transformed;    // [rows, K]: what the quantizer saw; empty where that is the input
  Matrix<int8_t> output_codes;  // [rows, N]; empty where the output is not quantized
  uint64_t output_saturated = 0;
  QuantizeCounts counts = {};  // of the rows that were quantized
  // [N]: sum over k of the weight codes; as the runtime holds it (int8), or summed anew (emulated);
  // empty for fake.
  std::vector<int32_t> weight_code_sum;
};

// What a step left of what was wanted, the caller's to keep; empty where the step has none.
struct StepResult {
  std::shared_ptr<const LinearTrace> trace = {};
  Matrix<float> attention = {};  // [images * heads * queries, keys]
  // Of a product of codes: what it took to quantize them, a part of the time of the step that did.
  double codes_seconds = 0;
};

class Arena {
 public:
  virtual ~Arena() = default;

  // Room for `slots` of the images of `inputs`, with values that nobody should rely on, but for an
  // FP16 or FP32 slot of the storage, shape and images that it had: its rows stay. Regrown for
  // larger shapes, never shrunk: cheap when nothing grows.
  void Prepare(std::vector<Slot> slots, BatchInputs inputs);

  // Runs the step on all images. Float products never mix images, so results do not depend on the
  // batch.
  virtual StepResult Run(const Step& step, const Wanted& wanted) = 0;

  // Runs a program's steps with nothing wanted. Afterwards the slots `kept` hold what the steps
  // leave in them; others may hold anything, so that a device may do several steps at once.
  virtual void RunAll(const Program& program, std::span<const SlotId> kept);
  // True if the last RunAll() was one call of the device for all steps.
  virtual bool RanAsGraph() const { return false; }

  // Steps may be shared with those workers of the pool that are idle, from now on: Run() is called
  // by its `worker`, from within a body. Results are the same. Nothing where a device does the
  // work.
  virtual void ShareWith(ThreadPool& /*pool*/, int /*worker*/) {}

  // What all steps so far took, by the device's own clock.
  virtual double Seconds() const = 0;

  // Writes rows of an FP16 or FP32 slot, of all images, from `first_row` on, as they lie in memory
  // without gaps.
  virtual void Upload(SlotId id, int64_t first_row, std::span<const std::byte> rows) = 0;

  // All rows of an FP16 or FP32 slot, until the next Prepare(), Run() or Upload(). A copy where the
  // device's memory is not the host's.
  virtual std::span<const std::byte> HostView(SlotId id) = 0;
  // Of this arena's slots; nullptr where rows lie in the host's memory, which counts them itself.
  virtual RowCounter* row_counter() { return nullptr; }
  MatView<const Half> HostHalf(SlotId id);
  MatView<const float> HostFloats(SlotId id);

  // Whose the rows of the routed slots are, ascending; until the next call or Prepare(), which
  // leaves none. A GatherStep makes this call for its expert.
  void SetRouted(std::vector<RowOwner> owners);
  std::span<const RowOwner> routed() const { return routed_; }

  const BatchInputs& inputs() const { return inputs_; }
  const Slot& slot(SlotId id) const { return slots_[static_cast<size_t>(id)]; }
  int64_t rows(SlotId id) const;  // of all images
  // An image's rows, which lie together.
  int64_t FirstRow(SlotId id, int64_t image) const;
  int64_t RowsOf(SlotId id, int64_t image) const;
  size_t row_bytes(SlotId id) const;  // FP16 or FP32 slots

 protected:
  const std::vector<Slot>& slots() const { return slots_; }

 private:
  virtual void Reserve() = 0;  // makes room for slots()

  std::vector<Slot> slots_;
  BatchInputs inputs_;
  std::vector<RowOwner> routed_;
  std::vector<int64_t> routed_before_;  // [images + 1]: routed rows of the images before
};

}  // namespace w8a8
