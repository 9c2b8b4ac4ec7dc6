#include "runtime/stage_weights.h"

#include <utility>

#include "runtime/encoder/position_table.h"

namespace w8a8 {
namespace {

FloatsPtr SharedFloats(std::vector<float> values) {
  return std::make_shared<const std::vector<float>>(std::move(values));
}

}  // namespace

FloatOperands OperandsOf(FakeFlavour flavour) {
  switch (flavour) {
    case FakeFlavour::kLlmAwq:
    case FakeFlavour::kVllmStatic:
      return FloatOperands::kHalf;
    case FakeFlavour::kIdeal:
    case FakeFlavour::kVllmStaticBf16:
      return FloatOperands::kAny;
  }
  return FloatOperands::kAny;
}

void StageWeights::Clear() {
  layers_.clear();
  vectors_.clear();
}

StageWeights::Layer& StageWeights::LayerOf(const std::string& stem) {
  const auto [layer, absent] = layers_.try_emplace(stem);
  if (absent) layer->second.parameters = weights_.Linear(stem);
  return layer->second;
}

StageWeights::Variant& StageWeights::VariantOf(const std::string& stem, const SitePlan& plan,
                                               FakeFlavour convention) {
  std::vector<Variant>& variants = LayerOf(stem).variants;
  for (Variant& variant : variants) {
    if (variant.convention == convention && SameWeights(variant.plan, plan)) return variant;
  }
  Variant& added = variants.emplace_back();
  added.plan = plan;
  added.convention = convention;
  return added;
}

const PreparedLinear& StageWeights::PreparedOf(const std::string& stem, Variant& variant) {
  if (!variant.prepared) {
    variant.prepared = std::make_shared<const PreparedLinear>(
        Prepare(stem, LayerOf(stem).parameters, variant.plan, variant.convention));
  }
  return *variant.prepared;
}

std::shared_ptr<const PreparedLinear> StageWeights::Prepared(const std::string& stem,
                                                             const SitePlan& plan,
                                                             FakeFlavour convention) {
  Variant& variant = VariantOf(stem, plan, convention);
  PreparedOf(stem, variant);
  return variant.prepared;
}

PackedPtr StageWeights::Int8(const std::string& stem, const SitePlan& plan) {
  Variant& variant = VariantOf(stem, plan, FakeFlavour::kIdeal);
  if (!variant.int8) {
    const QuantizedLinear& layer = PreparedOf(stem, variant).layer;
    variant.int8 = packer_.PackInt8(layer, ProductGroup(plan, layer.weight.k));
  }
  return variant.int8;
}

PackedPtr StageWeights::Emulated(const std::string& stem, const SitePlan& plan) {
  Variant& variant = VariantOf(stem, plan, FakeFlavour::kIdeal);
  if (!variant.emulated) {
    const QuantizedLinear& layer = PreparedOf(stem, variant).layer;
    variant.emulated = packer_.PackEmulated(layer, ProductGroup(plan, layer.weight.k));
  }
  return variant.emulated;
}

FloatLinear StageWeights::Fake(const std::string& stem, const SitePlan& plan, FakeFlavour flavour) {
  Variant& variant = VariantOf(stem, plan, flavour);
  if (variant.fake.weight) return variant.fake;
  const PreparedLinear& prepared = PreparedOf(stem, variant);
  const WeightCodes& weight = prepared.layer.weight;
  const std::vector<float> values = prepared.FloatOperand();
  variant.fake.weight =
      packer_.PackFloat({values.data(), weight.n, weight.k, weight.k}, OperandsOf(flavour));
  variant.fake.bias = SharedFloats(prepared.layer.bias);
  variant.fake.transform = prepared.transform;
  // Four bytes a weight that only the packing needed.
  if (!prepared.values.empty()) variant.prepared.reset();
  return variant.fake;
}

FloatLinear StageWeights::Fp16(const std::string& stem) {
  Layer& layer = LayerOf(stem);
  if (layer.fp16.weight) return layer.fp16;
  const LinearParameters& parameters = layer.parameters;
  const std::vector<float> values = Fp16Weights(stem, parameters);
  layer.fp16.weight = packer_.PackFloat({values.data(), parameters.n, parameters.k, parameters.k},
                                        FloatOperands::kHalf);
  layer.fp16.bias = SharedFloats(parameters.bias);
  return layer.fp16;
}

FloatsPtr StageWeights::Vector(const std::string& stem, const char* part) {
  FloatsPtr& values = vectors_[stem + "/" + part];
  if (!values) values = SharedFloats(weights_.Vector(stem, part));
  return values;
}

FloatsPtr StageWeights::Fp16Vector(const std::string& stem, const char* part) {
  FloatsPtr& values = vectors_[stem + "/" + part];
  if (!values) values = SharedFloats(Fp16Values(stem, weights_.Vector(stem, part)));
  return values;
}

FloatsPtr StageWeights::Positions() {
  if (graph_.config.variable_grid) return Vector("position", "");
  FloatsPtr& values = vectors_["position/"];
  if (!values) values = SharedFloats(PositionRows(graph_.config, weights_.Vector("position", "")));
  return values;
}

}  // namespace w8a8
