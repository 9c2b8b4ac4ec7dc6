// The step menu: what a lowered program is made of. Each step reads and writes slots of an Arena
// and points at weights that somebody else keeps alive for the length of the run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "quant/spec.h"
#include "runtime/encoder/graph.h"

namespace w8a8 {

// A backend's own layout of one weight matrix; made by Backend::Pack*, opaque to everyone else.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
};
using PackedPtr = std::shared_ptr<const PackedWeights>;
using FloatsPtr = std::shared_ptr<const std::vector<float>>;

struct EmbedStep {
  SlotId pixels, out;
  PackedPtr patch_weight;  // PackFloat of FP16-rounded [width, channels * patch * patch]
  FloatsPtr patch_bias;    // empty: none
  FloatsPtr prefix;        // [prefix tokens, width] or empty
  FloatsPtr position;      // [tokens, width]
  int64_t channels, image_height, image_width, patch;
  // Set for a variable grid: image size and `position`, then the stored table, are AtGrid()'s.
  std::shared_ptr<const EncoderConfig> variable = nullptr;
};
// The step for images of `grid`; a step of one image size as it is.
EmbedStep AtGrid(const EmbedStep& step, PatchGrid grid);
struct NormStep {
  SlotId in, out;
  NormKind kind;
  float eps;
  FloatsPtr weight, bias;  // empty: 1 and 0
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
};
struct GateStep {  // out = fp16(activation(gate) * value), in = [gate, value] by columns
  SlotId in, out;
  ActivationKind kind;
};
struct AttentionStep {
  SlotId q, kv, out;
  int64_t q_col, k_col, v_col, heads, head_dim;
};
struct AddStep {  // stream = fma(layer_scale, y, stream), rounded to the stream's storage
  SlotId stream, y;
  FloatsPtr layer_scale;  // empty: 1
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
struct ConvertStep {  // either slot is FP16 or FP32, not both FP16; towards FP16 it rounds once
  SlotId in, out;
};

// Where the linear steps of one node leave what taps want to see.
struct LinearInfo {
  int32_t node = -1;  // index into Graph::nodes
  std::string site;   // empty for a linear layer that is no site
};

// FP16 operands widened exactly, binary32 accumulation and bias, one rounding to FP16.
struct GemmF16Step {
  LinearInfo info;
  SlotId in, out;
  PackedPtr weight;  // PackFloat of FP16-rounded values
  FloatsPtr bias;    // empty: none
};
// fake: quantize-dequantize of the input, then a float product. One step, because the values
// between the two are never a slot (flavour ideal keeps them in binary32).
struct GemmFakeStep {
  LinearInfo info;
  SlotId in, out;
  Quantizer spec;
  FakeFlavour flavour;
  PackedPtr weight;  // PackFloat of the dequantized weights
  FloatsPtr bias;
};
// FP16 rows to codes and scales in the arena's code buffers.
struct QuantizeStep {
  LinearInfo info;
  SlotId in;
  Quantizer spec;
};
// Fused by FuseQuantization(): rows are quantized while they are still in cache. The bits are those
// of the two steps one after the other, and the first one's output slot is written as well.
struct NormQuantizeStep {
  NormStep norm;
  QuantizeStep quantize;
};
struct ActivationQuantizeStep {
  ActivationStep activation;
  QuantizeStep quantize;
};
// The codes of the preceding QuantizeStep times the packed INT8 weights, dequantized to FP16.
struct GemmS8Step {
  LinearInfo info;
  SlotId out;
  PackedPtr weight;  // PackInt8
};
// emulated: scalar quantizer, unpacked codes, float products in K-chunks <= 1,024 added as int32,
// scalar dequantize. Shares no packing, shift, kernel or epilogue with GemmS8Step.
struct GemmCodesStep {
  LinearInfo info;
  SlotId in, out;
  Quantizer spec;
  PackedPtr weight;  // PackEmulated
};

using Step = std::variant<EmbedStep, NormStep, QkNormStep, ActivationStep, GateStep, AttentionStep,
                          AddStep, BroadcastStep, SelectRowStep, MeanRowsStep, AverageStep,
                          ConvertStep, GemmF16Step, GemmFakeStep, QuantizeStep, NormQuantizeStep,
                          ActivationQuantizeStep, GemmS8Step, GemmCodesStep>;

}  // namespace w8a8
