#include "runtime/lower.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "quant/fake_quant.h"
#include "runtime/base/error.h"
#include "runtime/encoder/position_table.h"

namespace w8a8 {
namespace {

// What the checkpoint holds as binary32, also where it holds codes.
std::vector<float> RealWeights(const LinearParameters& parameters) {
  if (parameters.codes.empty()) return parameters.values;
  std::vector<float> values(parameters.codes.size());
  for (int64_t n = 0; n < parameters.n; ++n) {
    for (int64_t k = 0; k < parameters.k; ++k) {
      const auto i = static_cast<size_t>(n * parameters.k + k);
      values[i] =
          static_cast<float>(parameters.codes[i]) * parameters.weight_scale[static_cast<size_t>(n)];
    }
  }
  return values;
}

QuantizedLinear QuantizeLayer(const std::string& stem, const LinearParameters& parameters) {
  if (!parameters.codes.empty()) {
    return QuantizedLinear::FromCodes(stem, parameters.n, parameters.k, parameters.codes,
                                      parameters.weight_scale, parameters.bias);
  }
  return QuantizedLinear::FromLinear(stem, parameters.view(), parameters.bias);
}

}  // namespace

Lowering::Lowering(const Graph& graph, const EncoderWeights& weights, Backend& packer)
    : graph_(graph), weights_(weights), packer_(packer) {
  BeginStage(0);
}

void Lowering::BeginStage(int stage) {
  W8A8_CHECK(stage >= 0 && static_cast<size_t>(stage) < graph_.stages.size());
  stage_ = graph_.stages[static_cast<size_t>(stage)];
  layers_.clear();
  vectors_.clear();
}

Program Lowering::Lower(Precision precision, const Plan& plan, FakeFlavour flavour) {
  Program program;
  program.slots = graph_.slots;
  for (int32_t i = stage_.first_node; i < stage_.last_node; ++i) {
    LowerNode(graph_.nodes[static_cast<size_t>(i)], precision, plan, flavour, program);
    program.nodes.resize(program.steps.size(), i);
  }
  return program;
}

Program Lowering::LowerLayer(int32_t node, Precision precision, const Plan& plan,
                             FakeFlavour flavour) {
  Node layer = graph_.nodes[static_cast<size_t>(node)];
  W8A8_CHECK(layer.kind == NodeKind::kLinear);
  Program program;
  program.slots = {graph_.slots[static_cast<size_t>(layer.in)],
                   graph_.slots[static_cast<size_t>(layer.out)]};
  layer.in = kLayerIn;
  layer.out = kLayerOut;
  LowerLinear(layer, precision, plan, flavour, program);
  program.nodes.resize(program.steps.size(), node);
  return program;
}

void Lowering::LowerNode(const Node& node, Precision precision, const Plan& plan,
                         FakeFlavour flavour, Program& program) {
  const EncoderConfig& config = graph_.config;
  std::vector<Step>& steps = program.steps;
  switch (node.kind) {
    case NodeKind::kEmbed:
      steps.emplace_back(EmbedStep{.pixels = node.in,
                                   .out = node.out,
                                   .patch_weight = Fp16Weights("patch_embed"),
                                   .patch_bias = LayerOf("patch_embed").bias,
                                   .prefix = Vector("prefix", ""),
                                   .position = Positions(),
                                   .channels = config.channels,
                                   .image_height = config.image_height,
                                   .image_width = config.image_width,
                                   .patch = config.patch,
                                   .variable = VariableGrid()});
      return;
    case NodeKind::kNorm:
      steps.emplace_back(NormStep{.in = node.in,
                                  .out = node.out,
                                  .kind = config.norm,
                                  .eps = config.norm_eps,
                                  .weight = Vector(node.weight, "weight"),
                                  .bias = config.norm == NormKind::kLayerNorm
                                              ? Vector(node.weight, "bias")
                                              : std::make_shared<std::vector<float>>()});
      return;
    case NodeKind::kLinear:
      LowerLinear(node, precision, plan, flavour, program);
      return;
    case NodeKind::kActivation:
      steps.emplace_back(ActivationStep{.in = node.in, .out = node.out, .kind = config.activation});
      return;
    case NodeKind::kGate:
      steps.emplace_back(GateStep{.in = node.in, .out = node.out, .kind = config.activation});
      return;
    case NodeKind::kQkNorm: {
      steps.emplace_back(QkNormStep{.in_out = node.in,
                                    .q_col = node.q_col,
                                    .k_col = node.k_col,
                                    .width = config.width,
                                    .eps = config.qk_norm_eps,
                                    .q_weight = Vector(node.weight + ".q_norm", "weight"),
                                    .k_weight = Vector(node.weight + ".k_norm", "weight")});
      return;
    }
    case NodeKind::kAttention:
      steps.emplace_back(AttentionStep{.q = node.in,
                                       .kv = node.in2,
                                       .out = node.out,
                                       .q_col = node.q_col,
                                       .k_col = node.k_col,
                                       .v_col = node.v_col,
                                       .heads = config.heads,
                                       .head_dim = config.head_dim()});
      return;
    case NodeKind::kAdd:
      steps.emplace_back(AddStep{.stream = node.out,
                                 .y = node.in,
                                 .layer_scale = node.weight.empty()
                                                    ? std::make_shared<std::vector<float>>()
                                                    : Vector(node.weight, "")});
      return;
    case NodeKind::kBroadcast:
      steps.emplace_back(BroadcastStep{.out = node.out, .row = Vector(node.weight, "")});
      return;
    case NodeKind::kSelectRow:
      steps.emplace_back(SelectRowStep{.in = node.in, .out = node.out, .row = node.row});
      return;
    case NodeKind::kMeanRows:
      steps.emplace_back(MeanRowsStep{.in = node.in, .out = node.out, .first_row = node.row});
      return;
    case NodeKind::kAverage:
      steps.emplace_back(AverageStep{.a = node.in, .b = node.in2, .out = node.out});
      return;
    case NodeKind::kConvert:
      steps.emplace_back(ConvertStep{.in = node.in, .out = node.out});
      return;
  }
}

namespace {

// The slot for the codes of `in`. Linear layers run one after the other, so all that read `in`
// share it.
SlotId CodesSlotFor(SlotId in, Program& program) {
  for (const Step& step : program.steps) {
    const auto* quantize = std::get_if<QuantizeStep>(&step);
    if (quantize != nullptr && quantize->in == in) return quantize->codes.slot;
  }
  Slot codes = program.slots[static_cast<size_t>(in)];
  codes.name += ".codes";
  codes.storage = SlotStorage::kCodes;
  program.slots.push_back(std::move(codes));
  return static_cast<SlotId>(program.slots.size() - 1);
}

}  // namespace

void Lowering::LowerLinear(const Node& node, Precision precision, const Plan& plan,
                           FakeFlavour flavour, Program& program) {
  const auto site = node.site.empty() ? plan.sites.end() : plan.sites.find(node.site);
  if (precision == Precision::kFp16 || site == plan.sites.end()) {
    program.steps.emplace_back(GemmF16Step{.in = node.in,
                                           .out = node.out,
                                           .weight = Fp16Weights(node.weight),
                                           .bias = LayerOf(node.weight).bias});
    return;
  }
  const SitePlan& site_plan = site->second;
  if (precision == Precision::kFake) {
    CheckFakeSpec(site_plan.activation, flavour, node.site);
    program.steps.emplace_back(
        GemmFakeStep{.in = node.in,
                     .out = node.out,
                     .quantizer = site_plan.activation,
                     .flavour = flavour,
                     .weight = FakeWeights(node.weight, site_plan.weight, flavour),
                     .bias = LayerOf(node.weight).bias});
    return;
  }
  if (site_plan.weight.num_bits != 8) {
    Fail(
        "site '{}': the {} arm runs 8-bit weights; the plan asks for {} bits. Only the fake arm "
        "can simulate those.",
        node.site, PrecisionName(precision), site_plan.weight.num_bits);
  }
  Layer& layer = LayerOf(node.weight);
  const QuantizedLinear& quantized = Quantized(node.weight);
  if (precision == Precision::kEmulated) {
    if (!layer.emulated) layer.emulated = packer_.PackEmulated(quantized);
    program.steps.emplace_back(GemmCodesStep{.in = node.in,
                                             .out = node.out,
                                             .quantizer = site_plan.activation,
                                             .weight = layer.emulated});
    return;
  }
  if (!layer.int8) layer.int8 = packer_.PackInt8(quantized);
  const SlotId codes = CodesSlotFor(node.in, program);
  program.steps.emplace_back(QuantizeStep{.in = node.in, .codes = {codes, site_plan.activation}});
  program.steps.emplace_back(GemmS8Step{.codes = codes, .out = node.out, .weight = layer.int8});
}

Lowering::Layer& Lowering::LayerOf(const std::string& stem) {
  const auto found = layers_.find(stem);
  if (found != layers_.end()) return found->second;
  Layer layer;
  layer.parameters = weights_.Linear(stem);
  layer.bias = std::make_shared<std::vector<float>>(layer.parameters.bias);
  return layers_.emplace(stem, std::move(layer)).first->second;
}

PackedPtr Lowering::Fp16Weights(const std::string& stem) {
  Layer& layer = LayerOf(stem);
  if (layer.fp16) return layer.fp16;
  std::vector<float> values = RealWeights(layer.parameters);
  std::array<Half, 4096> piece;
  for (size_t i = 0; i < values.size(); i += piece.size()) {
    const size_t count = std::min(piece.size(), values.size() - i);
    const std::span<float> some = std::span(values).subspan(i, count);
    for (const float value : some) {
      if (std::abs(value) < kRoundsToHalfInfinity) continue;
      Fail(
          "{}: a weight of {} does not fit FP16 (largest {}); the FP16 reference cannot run this "
          "checkpoint.",
          stem, value, kMaxHalf);
    }
    ToHalf(some, std::span(piece).first(count));
    ToFloat(std::span(piece).first(count), some);
  }
  layer.fp16 = packer_.PackFloat(
      {values.data(), layer.parameters.n, layer.parameters.k, layer.parameters.k});
  return layer.fp16;
}

PackedPtr Lowering::FakeWeights(const std::string& stem, const WeightSpec& spec,
                                FakeFlavour flavour) {
  Layer& layer = LayerOf(stem);
  PackedPtr& packed = layer.fake[{flavour, spec.num_bits}];
  if (packed) return packed;
  const LinearParameters& p = layer.parameters;
  const std::vector<float> values =
      p.codes.empty()
          ? DequantizedWeights(stem, p.view(), spec, flavour)
          : FakeWeightsFromCodes(stem, p.n, p.k, p.codes, p.weight_scale, flavour).values;
  packed = packer_.PackFloat({values.data(), p.n, p.k, p.k});
  return packed;
}

const QuantizedLinear& Lowering::Quantized(const std::string& stem) {
  Layer& layer = LayerOf(stem);
  if (!layer.quantized) {
    layer.quantized =
        std::make_shared<const QuantizedLinear>(QuantizeLayer(stem, layer.parameters));
  }
  return *layer.quantized;
}

FloatsPtr Lowering::Vector(const std::string& stem, const char* part) {
  FloatsPtr& values = vectors_[stem + "/" + part];
  if (!values) values = std::make_shared<std::vector<float>>(weights_.Vector(stem, part));
  return values;
}

FloatsPtr Lowering::Positions() {
  if (graph_.config.variable_grid) return Vector("position", "");
  FloatsPtr& values = vectors_["position/"];
  if (!values) {
    values = std::make_shared<std::vector<float>>(
        PositionRows(graph_.config, weights_.Vector("position", "")));
  }
  return values;
}

std::shared_ptr<const EncoderConfig> Lowering::VariableGrid() const {
  if (!graph_.config.variable_grid) return nullptr;
  return std::make_shared<const EncoderConfig>(graph_.config);
}

QuantizedLinear Lowering::Quantize(const EncoderWeights& weights, const std::string& site) {
  return QuantizeLayer(site, weights.Linear(site));
}

void CheckPlan(const Graph& graph, const Plan& plan) {
  const std::vector<std::string> known = graph.Sites();
  for (const auto& [site, site_plan] : plan.sites) {
    if (std::find(known.begin(), known.end(), site) == known.end()) {
      Fail("plan: site '{}' is not one of the {} sites of this encoder (the first is '{}').", site,
           known.size(), known.empty() ? "" : known.front());
    }
    if (!site_plan.smoothing.empty()) {
      Fail("plan: site '{}' has a smoothing vector; smoothing is not in this version.", site);
    }
  }
}

}  // namespace w8a8
