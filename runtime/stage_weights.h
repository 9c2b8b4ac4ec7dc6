// The weights of one stage, prepared and packed for the arms that ask: each layer once for all
// plans that give it the same weights.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backend.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"
#include "runtime/prepare.h"
#include "runtime/steps.h"

namespace w8a8 {

// What rows and weights of a fake product are. llm-awq and vllm-static round both to FP16: what
// overflows on the way becomes FP16's infinity, and a side without a scale holds the FP16 input as
// it is. ideal keeps binary32, and BF16 has values that FP16 has not.
FloatOperands OperandsOf(FakeFlavour flavour);

// Operand and bias of a float product, and what its rows go through before.
struct FloatLinear {
  PackedPtr weight;
  FloatsPtr bias;  // empty: none
  TransformPtr transform = nullptr;
};

// A layer is prepared once for each (layer, weights of the plan, convention), and packed once for
// each kind of product. Plans are checked and normalized. Not thread-safe; what it returns is
// immutable and may outlive it.
class StageWeights {
 public:
  // All three outlive this object.
  StageWeights(const Graph& graph, const Weights& weights, Backend& packer)
      : graph_(graph), weights_(weights), packer_(packer) {}

  // Lets go of everything.
  void Clear();

  int64_t Inputs(const std::string& stem) { return LayerOf(stem).parameters.k; }

  std::shared_ptr<const PreparedLinear> Prepared(const std::string& stem, const SitePlan& plan,
                                                 FakeFlavour convention);
  PackedPtr Int8(const std::string& stem, const SitePlan& plan);
  PackedPtr Emulated(const std::string& stem, const SitePlan& plan);
  FloatLinear Fake(const std::string& stem, const SitePlan& plan, FakeFlavour flavour);
  FloatLinear Fp16(const std::string& stem);  // of a layer that stays FP16

  FloatsPtr Vector(const std::string& stem, const char* part);
  // Rounded to FP16, as operands of float products are.
  FloatsPtr Fp16Vector(const std::string& stem, const char* part);
  // The position table for the graph's grid; of a variable grid the stored one.
  FloatsPtr Positions();

 private:
  // One way of preparing a layer.
  struct Variant {
    SitePlan plan;  // one of those that share it
    FakeFlavour convention = FakeFlavour::kIdeal;
    std::shared_ptr<const PreparedLinear> prepared;  // nullptr until it is asked for
    PackedPtr int8, emulated;
    FloatLinear fake;
  };
  struct Layer {
    LinearParameters parameters;
    FloatLinear fp16;
    std::vector<Variant> variants;
  };

  Layer& LayerOf(const std::string& stem);
  Variant& VariantOf(const std::string& stem, const SitePlan& plan, FakeFlavour convention);
  const PreparedLinear& PreparedOf(const std::string& stem, Variant& variant);

  const Graph& graph_;
  const Weights& weights_;
  Backend& packer_;
  std::map<std::string, Layer> layers_;
  std::map<std::string, FloatsPtr> vectors_;
};

}  // namespace w8a8
