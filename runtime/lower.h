// Lowering: a graph, a precision and a plan become steps. Arms differ in one function,
// LowerLinear().
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "quant/quantized_linear.h"
#include "quant/spec.h"
#include "runtime/backend.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"
#include "runtime/steps.h"

namespace w8a8 {

// Lowers the stages of one encoder. Holds the packed weights of one stage at a time: every arm of
// the stage shares what is equal (FP16 weights, codes, packings), and BeginStage() lets go of the
// last stage's. Not thread-safe; the programs it returns are immutable and may be run by many
// workers.
class Lowering {
 public:
  static constexpr SlotId kLayerIn = 0;
  static constexpr SlotId kLayerOut = 1;

  // The graph, the weights and the packer outlive this object.
  Lowering(const Graph& graph, const EncoderWeights& weights, Backend& packer);

  void BeginStage(int stage);
  // Throws Error naming the site when the plan cannot be run at this precision.
  Program Lower(Precision precision, const Plan& plan, FakeFlavour flavour);
  // The linear layer of one node of the stage by itself, over slots of its own: from kLayerIn to
  // kLayerOut.
  Program LowerLayer(int32_t node, Precision precision, const Plan& plan, FakeFlavour flavour);

  // The INT8 layer that int8 and emulated run for a site of any stage, as the exporter stores it.
  static QuantizedLinear Quantize(const EncoderWeights& weights, const std::string& site);

 private:
  struct Layer {
    LinearParameters parameters;
    FloatsPtr bias;
    std::shared_ptr<const QuantizedLinear> quantized;
    PackedPtr fp16, int8, emulated;
    std::map<std::tuple<FakeFlavour, int>, PackedPtr> fake;
  };

  void LowerNode(const Node& node, Precision precision, const Plan& plan, FakeFlavour flavour,
                 Program& program);
  void LowerLinear(const Node& node, Precision precision, const Plan& plan, FakeFlavour flavour,
                   Program& program);
  Layer& LayerOf(const std::string& stem);
  PackedPtr Fp16Weights(const std::string& stem);
  PackedPtr FakeWeights(const std::string& stem, const WeightSpec& spec, FakeFlavour flavour);
  const QuantizedLinear& Quantized(const std::string& stem);
  FloatsPtr Positions();
  std::shared_ptr<const EncoderConfig> VariableGrid() const;  // nullptr: one image size
  FloatsPtr Vector(const std::string& stem, const char* part);

  const Graph& graph_;
  const EncoderWeights& weights_;
  Backend& packer_;
  Stage stage_;
  std::map<std::string, Layer> layers_;
  std::map<std::string, FloatsPtr> vectors_;
};

// Throws Error naming the first site of the plan that the graph does not have, or whose entry this
// version cannot run.
void CheckPlan(const Graph& graph, const Plan& plan);

}  // namespace w8a8
