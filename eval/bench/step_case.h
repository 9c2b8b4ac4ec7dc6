// One operation of an encoder by itself: the step that a program would have, on made rows, in an
// arena of its own. So what is measured is what runs, whoever's kernels a step takes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quant/quantized_linear.h"
#include "runtime/backend.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/kernels.h"
#include "runtime/steps.h"

namespace w8a8 {

// A linear layer of a model at so many rows.
struct GemmShape {
  std::string where;  // "so400m qkv"
  int64_t m = 0, n = 0, k = 0;
};

// The 16 shapes of so400m at 729 and 2,916 rows, base/16 at 196 and InternViT-300M at 1,025.
std::vector<GemmShape> StandardShapes();
// The layers of a graph, each shape once; `model` begins their names.
std::vector<GemmShape> ShapesOf(const Graph& graph, const std::string& model);

struct AttentionShape {
  std::string where;
  int64_t tokens = 0, heads = 0, head_dim = 0;
};
std::vector<AttentionShape> StandardAttention();
AttentionShape AttentionOf(const Graph& graph, const std::string& model);

// A layer of made codes, with bias; every code occurs, so that saturation would show.
QuantizedLinear MadeLayer(const GemmShape& shape);

class StepCase {
 public:
  // Runs all steps once; the last one is what Run() repeats. Every FP16 slot is filled before.
  // `set` and `backend` outlive this object.
  StepCase(Backend& backend, const std::vector<Slot>& slots, std::vector<Step> steps, SlotId out);

  void Run() { arena_->Run(steps_.back(), {}); }
  // Of the step's output.
  MatView<const Half> Output() { return arena_->HostHalf(out_); }
  // Of any FP16 slot.
  MatView<const Half> Rows(SlotId slot) { return arena_->HostHalf(slot); }
  // What a product of codes was made of: only a check runs one.
  std::shared_ptr<const LinearTrace> Trace(const GemmS8Step& product) {
    return arena_->Run(product, {.trace = true}).trace;
  }

 private:
  std::unique_ptr<Arena> arena_;
  std::vector<Step> steps_;
  SlotId out_;
};

// `rows` of the shape's: few for a comparison. Codes of per-token rows times an INT8 layer.
StepCase GemmS8Case(Backend& backend, const QuantizedLinear& layer, int64_t rows);
// FP16 rows times FP16 weights, the real values of the layer.
StepCase GemmF16Case(Backend& backend, const QuantizedLinear& layer, int64_t rows);
// FP16 rows times the layer's codes (weight-only).
StepCase GemmW8Case(Backend& backend, const QuantizedLinear& layer, int64_t rows);
// Queries, keys and values of one image side by side.
StepCase AttentionCase(Backend& backend, const AttentionShape& shape, AttentionPrecision precision);

// Their slots: the last one is [rows, 1] and nobody's, for a product that shows the codes.
enum RowSlot : SlotId { kRowsIn, kRowsOut, kRowsCodes, kRowsProduct };

// Steps on [rows, cols] of FP16, by the name that reports give them.
struct RowOperation {
  std::string name;  // "layer_norm+quantize"
  StepCase (*make)(Backend& backend, int64_t rows, int64_t cols);
  bool on_hidden_rows = false;  // of the MLP; else of the model's width
  bool makes_codes = true;
};
std::vector<RowOperation> RowOperations();

}  // namespace w8a8
