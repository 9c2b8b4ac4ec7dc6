// The step menu: what a lowered program is made of. Each step reads and writes slots of an Arena
// and points at weights that it shares with whoever else uses them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "quant/spec.h"
#include "quant/transform.h"
#include "runtime/base/error.h"
#include "runtime/base/precision.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// A backend's own layout of one weight matrix; made by Backend::Pack*, opaque to everyone else.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
};
using PackedPtr = std::shared_ptr<const PackedWeights>;

// `weight` in the layout of the device that runs the step, which must be the one that packed it.
template <class Layout>
const Layout& PackedAs(const PackedWeights& weight) {
  const auto* layout = dynamic_cast<const Layout*>(&weight);
  W8A8_CHECK(layout != nullptr);
  return *layout;
}

using FloatsPtr = std::shared_ptr<const std::vector<float>>;

using TransformPtr = std::shared_ptr<const InputTransform>;  // nullptr: v = x

// What a layer does with its FP16 rows before the product (numerics.md section 6).
struct InputSteps {
  std::optional<Quantizer> quantizer;  // none: the rows stay FP16
  TransformPtr transform = nullptr;
  bool first_row_twice = false;  // of each image
};

// Rows as codes: the kCodes slot that holds them and how they are made.
struct CodesOutput {
  SlotId slot = kNoSlot;
  InputSteps input;
  // Inputs whose product has an accumulator of its own (ProductGroup): codes of such a piece lie
  // together, and the sums of codes are those of the pieces.
  int64_t group = 0;
};

struct EmbedStep {
  SlotId pixels, out;
  PackedPtr patch_weight;  // PackFloat of FP16 values [width, channels * patch * patch]
  FloatsPtr patch_bias;    // empty: none
  FloatsPtr prefix;        // [prefix tokens, width] or empty
  FloatsPtr position;      // [tokens, width]
  int64_t channels, image_height, image_width, patch;
  // Set for a variable grid: image size and `position`, then the stored table, are AtGrid()'s.
  std::shared_ptr<const EncoderConfig> variable = nullptr;
};
// The step for images of `grid`; a step of one image size as it is.
EmbedStep AtGrid(const EmbedStep& step, PatchGrid grid);
struct AddStep {  // stream = fma(layer_scale, y, stream), rounded to the stream's storage
  SlotId stream, y;
  FloatsPtr layer_scale;  // empty: 1
};
struct NormStep {
  SlotId in, out;
  NormKind kind;
  float eps;
  FloatsPtr weight, bias;  // empty: 1 and 0
  // Set by FuseRowSteps(): the rows of `in`, which is its stream, get the residual first, and those
  // of `out` are quantized too, while they are still in cache.
  std::optional<AddStep> add = {};
  std::optional<CodesOutput> codes = {};
};
struct QkNormStep {
  SlotId in_out;
  int64_t q_col, k_col, width;
  float eps;
  FloatsPtr q_weight, k_weight;
};
struct ActivationStep {
  SlotId in, out;
  ActivationKind kind;
  std::optional<CodesOutput> codes = {};  // as NormStep's
};
struct GateStep {  // out = fp16(activation(gate) * value), in = [gate, value] by columns
  SlotId in, out;
  ActivationKind kind;
  std::optional<CodesOutput> codes = {};  // as NormStep's
};
struct AttentionStep {
  SlotId q, kv, out;
  int64_t q_col, k_col, v_col, heads, head_dim;
  AttentionPrecision precision = AttentionPrecision::kFp32;
  bool emulated = false;  // INT8 products by the kernel that defines their bits, in every set
};
struct BroadcastStep {
  SlotId out;
  FloatsPtr row;
};
struct SelectRowStep {
  SlotId in, out;
  int64_t row;
};
struct MeanRowsStep {
  SlotId in, out;
  int64_t first_row;
};
struct AverageStep {  // out = fp16((a + b) / 2)
  SlotId a, b, out;
};
struct ConcatStep {  // out = [a, b] by columns
  SlotId a, b, out;
};
struct TanhStep {  // out = fp16(tanh(in)), of the nearest binary64 value
  SlotId in, out;
};
struct ConvertStep {  // either slot is FP16 or FP32, not both FP16; towards FP16 it rounds once
  SlotId in, out;
};

struct ClearStep {  // an FP32 slot
  SlotId out;
};
// The experts of each token and their weights (moe.md section 4, 1 to 3): out [rows, experts] is
// the weight, or kNotRouted where the expert is not one of the `chosen`. Padding goes to none.
struct RouteStep {
  SlotId in, out;
  FloatsPtr weight;  // [experts, width], FP16-rounded
  int64_t experts, chosen;
  bool renormalized;
};
// The rows of `in` whose tokens went to `expert` become those of `out`; all routed slots of the
// arena have as many from now on.
struct GatherStep {
  SlotId in, routing, out;
  int64_t expert;
  std::optional<CodesOutput> codes = {};  // as NormStep's
};
// out = fma(weight, in, out) in binary32, at the rows whose tokens went to `expert`.
struct MixStep {
  SlotId in, routing, out;
  int64_t expert;
};
// The same at all rows; the weight is the sigmoid of the row sum of `x` and `gate`.
struct MixSharedStep {
  SlotId in, x, out;
  FloatsPtr gate;  // [width], FP16-rounded
};

// FP16 operands widened exactly, binary32 accumulation and bias, one rounding to FP16.
struct GemmF16Step {
  SlotId in, out;
  PackedPtr weight;  // PackFloat of FP16 values
  FloatsPtr bias;    // empty: none
  std::optional<Quantizer> output = {};
};
// fake: quantize-dequantize of the input, then a float product. One step, because the values
// between the two are never a slot (flavour ideal keeps them in binary32). `out` may be an FP32
// slot where a flavour's outputs are not FP16 (vllm-static-bf16): in an encoder they are made FP16.
struct GemmFakeStep {
  SlotId in, out;
  InputSteps input;
  FakeFlavour flavour;
  PackedPtr weight;  // PackFloat of the dequantized weights
  FloatsPtr bias;
  std::optional<Quantizer> output = {};
};
// FP16 rows to codes and the scale of each row.
struct QuantizeStep {
  SlotId in;
  CodesOutput codes;
};
// Codes times the packed INT8 weights, dequantized to FP16.
struct GemmS8Step {
  SlotId codes, out;
  PackedPtr weight;                      // PackInt8
  std::optional<Quantizer> output = {};  // static: the FP16 output through its codes
};
// Weight-only: FP16 rows times codes that stay INT8 in memory and are widened in registers,
// binary32 accumulation, dequantized with scale_x = 1. A transformed row is rounded to FP16 first.
struct GemmW8Step {
  SlotId in, out;
  TransformPtr transform;
  PackedPtr weight;  // PackInt8
  std::optional<Quantizer> output = {};
};
// emulated: scalar quantizer, unpacked codes, float products in K-chunks <= 1,024 added as int32,
// scalar dequantize. Shares no packing, shift, kernel or epilogue with GemmS8Step.
// Without an input quantizer (weight-only): float products of the rows with the codes.
struct GemmCodesStep {
  SlotId in, out;
  InputSteps input;
  PackedPtr weight;  // PackEmulated
  std::optional<Quantizer> output = {};
};

using Step =
    std::variant<EmbedStep, NormStep, QkNormStep, ActivationStep, GateStep, AttentionStep, AddStep,
                 BroadcastStep, SelectRowStep, MeanRowsStep, AverageStep, ConcatStep, TanhStep,
                 ConvertStep, ClearStep, RouteStep, GatherStep, MixStep, MixSharedStep, GemmF16Step,
                 GemmFakeStep, QuantizeStep, GemmS8Step, GemmW8Step, GemmCodesStep>;

// What no two programs have in common, not even one that lives where another died. Copies are
// others.
class ProgramIdentity {
 public:
  ProgramIdentity() : value_(Next()) {}
  ProgramIdentity(const ProgramIdentity&) : ProgramIdentity() {}
  ProgramIdentity& operator=(const ProgramIdentity&) {
    value_ = Next();
    return *this;
  }
  uint64_t value() const { return value_; }

 private:
  static uint64_t Next();
  uint64_t value_;
};

// The steps of one stage, or of one layer, for one arm, with the node that each came from. The last
// step of a node writes the node's output.
struct Program {
  std::vector<Slot> slots;  // of the graph, then those that lowering added
  std::vector<Step> steps;
  std::vector<int32_t> nodes;  // per step: index into Graph::nodes
  // Devices remember programs that they ran by it: who changes the steps after that gives another.
  ProgramIdentity identity = {};
};

}  // namespace w8a8
