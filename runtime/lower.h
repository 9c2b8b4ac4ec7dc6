// Lowering: a graph, a precision and a plan become steps. Arms differ in one function,
// LowerLinear().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/backend.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"
#include "runtime/prepare.h"
#include "runtime/stage_weights.h"
#include "runtime/steps.h"

namespace w8a8 {

// Lowers the stages of one encoder. Holds the prepared weights of one stage at a time: every arm of
// the stage shares what is equal (stage_weights.h), and BeginStage() lets go of the last stage's.
// Not thread-safe; the programs it returns are immutable and may be run by many workers.
class Lowering {
 public:
  static constexpr SlotId kLayerIn = 0;
  static constexpr SlotId kLayerOut = 1;
  static constexpr SlotId kLayerIn2 = 2;

  // The graph, the weights and the packer outlive this object.
  Lowering(const Graph& graph, const Weights& weights, Backend& packer);

  void BeginStage(int stage);
  // Throws Error naming the site when the plan cannot be run at this precision. `attention` is of
  // quantized arms; the reference's is FP32.
  Program Lower(Precision precision, const Plan& plan, FakeFlavour flavour,
                AttentionPrecision attention = AttentionPrecision::kFp32);
  // One node of the stage that is a linear layer or attention by itself, over slots of its own:
  // from kLayerIn, and kLayerIn2 where it reads two, to kLayerOut.
  Program LowerLayer(int32_t node, Precision precision, const Plan& plan, FakeFlavour flavour,
                     AttentionPrecision attention = AttentionPrecision::kFp32);

  // What the arms of this plan and convention run for a layer of this stage.
  std::shared_ptr<const PreparedLinear> Prepared(const std::string& stem, const SitePlan& plan,
                                                 FakeFlavour convention) {
    return weights_.Prepared(stem, Normalized(plan, weights_.Inputs(stem)), convention);
  }

 private:
  // The step of a node that is the same for every arm: neither a linear layer nor attention.
  Step PlainStep(const Node& node);
  Step Embed(const Node& node);
  Step Norm(const Node& node);
  Step QkNorm(const Node& node);
  Step Attend(const Node& node, Precision precision, AttentionPrecision attention) const;
  Step Add(const Node& node);
  Step Route(const Node& node);
  Step MixtureStep(const Node& node);  // of the nodes around experts
  void LowerLinear(const Node& node, Precision precision, const Plan& plan, FakeFlavour flavour,
                   Program& program);
  void LowerFp16(const Node& node, const std::optional<Quantizer>& output, Program& program);
  void LowerFake(const Node& node, const SitePlan& plan, FakeFlavour flavour, Program& program);
  void LowerInt8(const Node& node, const SitePlan& plan, InputSteps input, Program& program);
  std::shared_ptr<const EncoderConfig> VariableGrid() const;  // nullptr: one image size

  const Graph& graph_;
  StageWeights weights_;
  Stage stage_;
};

// Throws Error naming the first site of the plan that the graph does not have, or that this version
// cannot run at this precision.
void CheckPlan(const Graph& graph, Precision precision, const Plan& plan, FakeFlavour flavour);

}  // namespace w8a8
