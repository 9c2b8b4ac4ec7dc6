#include "runtime/lower.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "quant/fake_quant.h"
#include "quant/reference_quantizer.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

// Throws Error naming the site where no layer of `k` inputs runs by the plan at this precision.
void CheckForPrecision(const std::string& site, Precision precision, const SitePlan& plan,
                       int64_t k, FakeFlavour flavour) {
  if (precision == Precision::kFake) {
    CheckFakePlan(site, plan, k, flavour);
  } else {
    CheckSitePlan(site, plan, k);
  }
}

}  // namespace

Lowering::Lowering(const Graph& graph, const Weights& weights, Backend& packer)
    : graph_(graph), weights_(graph, weights, packer) {
  BeginStage(0);
}

void Lowering::BeginStage(int stage) {
  W8A8_CHECK(stage >= 0 && static_cast<size_t>(stage) < graph_.stages.size());
  stage_ = graph_.stages[static_cast<size_t>(stage)];
  weights_.Clear();
}

Program Lowering::Lower(Precision precision, const Plan& plan, FakeFlavour flavour,
                        AttentionPrecision attention) {
  Program program;
  program.slots = graph_.slots;
  for (int32_t i = stage_.first_node; i < stage_.last_node; ++i) {
    const Node& node = graph_.nodes[static_cast<size_t>(i)];
    if (node.kind == NodeKind::kLinear) {
      LowerLinear(node, precision, plan, flavour, program);
    } else if (node.kind == NodeKind::kAttention) {
      program.steps.push_back(Attend(node, precision, attention));
    } else {
      program.steps.push_back(PlainStep(node));
    }
    program.nodes.resize(program.steps.size(), i);
  }
  return program;
}

Program Lowering::LowerLayer(int32_t node, Precision precision, const Plan& plan,
                             FakeFlavour flavour, AttentionPrecision attention) {
  Node layer = graph_.nodes[static_cast<size_t>(node)];
  const bool attends = layer.kind == NodeKind::kAttention;
  W8A8_CHECK(attends || layer.kind == NodeKind::kLinear);
  Program program;
  program.slots = {graph_.slot(layer.in), graph_.slot(layer.out)};
  if (attends && layer.in2 != layer.in) program.slots.push_back(graph_.slot(layer.in2));
  layer.in2 = layer.in2 == layer.in ? kLayerIn : kLayerIn2;
  layer.in = kLayerIn;
  layer.out = kLayerOut;
  if (attends) {
    program.steps.push_back(Attend(layer, precision, attention));
  } else {
    LowerLinear(layer, precision, plan, flavour, program);
  }
  program.nodes.resize(program.steps.size(), node);
  return program;
}

Step Lowering::Embed(const Node& node) {
  const EncoderConfig& config = graph_.config;
  const FloatLinear patches = weights_.Fp16("patch_embed");
  return EmbedStep{.pixels = node.in,
                   .out = node.out,
                   .patch_weight = patches.weight,
                   .patch_bias = patches.bias,
                   .prefix = weights_.Vector("prefix", ""),
                   .position = weights_.Positions(),
                   .channels = config.channels,
                   .image_height = config.image_height,
                   .image_width = config.image_width,
                   .patch = config.patch,
                   .variable = VariableGrid()};
}

Step Lowering::Norm(const Node& node) {
  const EncoderConfig& config = graph_.config;
  return NormStep{.in = node.in,
                  .out = node.out,
                  .kind = config.norm,
                  .eps = config.norm_eps,
                  .weight = weights_.Vector(node.weight, "weight"),
                  .bias = config.norm == NormKind::kLayerNorm
                              ? weights_.Vector(node.weight, "bias")
                              : std::make_shared<std::vector<float>>()};
}

Step Lowering::QkNorm(const Node& node) {
  return QkNormStep{.in_out = node.in,
                    .q_col = node.q_col,
                    .k_col = node.k_col,
                    .width = graph_.config.width,
                    .eps = graph_.config.qk_norm_eps,
                    .q_weight = weights_.Vector(node.weight + ".q_norm", "weight"),
                    .k_weight = weights_.Vector(node.weight + ".k_norm", "weight")};
}

Step Lowering::Attend(const Node& node, Precision precision, AttentionPrecision attention) const {
  const bool reference = precision == Precision::kFp16;
  return AttentionStep{.q = node.in,
                       .kv = node.in2,
                       .out = node.out,
                       .q_col = node.q_col,
                       .k_col = node.k_col,
                       .v_col = node.v_col,
                       .heads = graph_.config.heads,
                       .head_dim = graph_.config.head_dim(),
                       .precision = reference ? AttentionPrecision::kFp32 : attention,
                       .emulated = precision == Precision::kEmulated};
}

Step Lowering::Add(const Node& node) {
  return AddStep{.stream = node.out,
                 .y = node.in,
                 .layer_scale = node.weight.empty() ? std::make_shared<std::vector<float>>()
                                                    : weights_.Vector(node.weight, "")};
}

Step Lowering::Route(const Node& node) {
  const MixtureConfig& mixture = graph_.config.mixture;
  return RouteStep{.in = node.in,
                   .out = node.out,
                   .weight = weights_.Fp16Vector(node.weight, ""),
                   .experts = mixture.experts,
                   .chosen = mixture.chosen,
                   .renormalized = mixture.renormalized};
}

Step Lowering::MixtureStep(const Node& node) {
  switch (node.kind) {
    case NodeKind::kClear:
      return ClearStep{.out = node.out};
    case NodeKind::kRoute:
      return Route(node);
    case NodeKind::kGather:
      return GatherStep{.in = node.in, .routing = node.in2, .out = node.out, .expert = node.expert};
    case NodeKind::kMix:
      return MixStep{.in = node.in, .routing = node.in2, .out = node.out, .expert = node.expert};
    case NodeKind::kMixShared:
      return MixSharedStep{.in = node.in,
                           .x = node.in2,
                           .out = node.out,
                           .gate = weights_.Fp16Vector(node.weight, "")};
    default:
      break;  // LowerLinear(), Attend()
  }
  W8A8_CHECK(!"a node without a step of its own");
  return ConvertStep();
}

Step Lowering::PlainStep(const Node& node) {
  const ActivationKind activation = graph_.config.activation;
  switch (node.kind) {
    case NodeKind::kEmbed:
      return Embed(node);
    case NodeKind::kNorm:
      return Norm(node);
    case NodeKind::kActivation:
      return ActivationStep{.in = node.in, .out = node.out, .kind = activation};
    case NodeKind::kGate:
      return GateStep{.in = node.in, .out = node.out, .kind = activation};
    case NodeKind::kQkNorm:
      return QkNorm(node);
    case NodeKind::kAdd:
      return Add(node);
    case NodeKind::kBroadcast:
      return BroadcastStep{.out = node.out, .row = weights_.Vector(node.weight, "")};
    case NodeKind::kSelectRow:
      return SelectRowStep{.in = node.in, .out = node.out, .row = node.row};
    case NodeKind::kMeanRows:
      return MeanRowsStep{.in = node.in, .out = node.out, .first_row = node.row};
    case NodeKind::kAverage:
      return AverageStep{.a = node.in, .b = node.in2, .out = node.out};
    case NodeKind::kConcat:
      return ConcatStep{.a = node.in, .b = node.in2, .out = node.out};
    case NodeKind::kTanh:
      return TanhStep{.in = node.in, .out = node.out};
    case NodeKind::kConvert:
      return ConvertStep{.in = node.in, .out = node.out};
    default:
      return MixtureStep(node);
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

void Lowering::LowerFp16(const Node& node, const std::optional<Quantizer>& output,
                         Program& program) {
  const FloatLinear layer = weights_.Fp16(node.weight);
  program.steps.emplace_back(GemmF16Step{.in = node.in,
                                         .out = node.out,
                                         .weight = layer.weight,
                                         .bias = layer.bias,
                                         .output = output});
}

void Lowering::LowerLinear(const Node& node, Precision precision, const Plan& plan,
                           FakeFlavour flavour, Program& program) {
  const auto site = node.site.empty() ? plan.sites.end() : plan.sites.find(node.site);
  if (precision == Precision::kFp16 || site == plan.sites.end()) {
    return LowerFp16(node, std::nullopt, program);
  }
  const int64_t k = weights_.Inputs(node.weight);  // LowerLayer() has slots of its own
  CheckForPrecision(node.site, precision, site->second, k, flavour);
  const SitePlan as_run = Normalized(site->second, k);
  if (!as_run.weight) return LowerFp16(node, as_run.output, program);
  if (precision == Precision::kFake) return LowerFake(node, as_run, flavour, program);
  InputSteps input{
      .quantizer = as_run.input,
      .transform = weights_.Prepared(node.weight, as_run, FakeFlavour::kIdeal)->transform,
      .first_row_twice = as_run.first_row_twice};
  if (precision == Precision::kEmulated) {
    program.steps.emplace_back(GemmCodesStep{.in = node.in,
                                             .out = node.out,
                                             .input = std::move(input),
                                             .weight = weights_.Emulated(node.weight, as_run),
                                             .output = as_run.output});
    return;
  }
  LowerInt8(node, as_run, std::move(input), program);
}

void Lowering::LowerFake(const Node& node, const SitePlan& plan, FakeFlavour flavour,
                         Program& program) {
  const FloatLinear layer = weights_.Fake(node.weight, plan, flavour);
  program.steps.emplace_back(GemmFakeStep{.in = node.in,
                                          .out = node.out,
                                          .input = {.quantizer = plan.input,
                                                    .transform = layer.transform,
                                                    .first_row_twice = plan.first_row_twice},
                                          .flavour = flavour,
                                          .weight = layer.weight,
                                          .bias = layer.bias,
                                          .output = plan.output});
}

void Lowering::LowerInt8(const Node& node, const SitePlan& plan, InputSteps input,
                         Program& program) {
  if (!plan.input) {
    program.steps.emplace_back(GemmW8Step{.in = node.in,
                                          .out = node.out,
                                          .transform = input.transform,
                                          .weight = weights_.Int8(node.weight, plan),
                                          .output = plan.output});
    return;
  }
  const SlotId codes = CodesSlotFor(node.in, program);
  const int64_t group = ProductGroup(plan, weights_.Inputs(node.weight));
  program.steps.emplace_back(QuantizeStep{
      .in = node.in, .codes = {.slot = codes, .input = std::move(input), .group = group}});
  program.steps.emplace_back(GemmS8Step{.codes = codes,
                                        .out = node.out,
                                        .weight = weights_.Int8(node.weight, plan),
                                        .output = plan.output});
}

std::shared_ptr<const EncoderConfig> Lowering::VariableGrid() const {
  if (!graph_.config.variable_grid) return nullptr;
  return std::make_shared<const EncoderConfig>(graph_.config);
}

void CheckPlan(const Graph& graph, Precision precision, const Plan& plan, FakeFlavour flavour) {
  const std::vector<std::string> known = graph.Sites();
  for (const auto& [site, site_plan] : plan.sites) {
    if (std::find(known.begin(), known.end(), site) == known.end()) {
      Fail("plan: site '{}' is not one of the {} sites of this encoder (the first is '{}').", site,
           known.size(), known.empty() ? "" : known.front());
    }
    if (precision == Precision::kFp16) continue;
    if (site_plan.first_row_twice && graph.IsRouted(site)) {
      Fail(
          "plan: site '{}' is an expert's, whose first row is no image's first token: "
          "'first_row_twice' is for layers that every token goes through.",
          site);
    }
    CheckForPrecision(site, precision, site_plan, graph.InputsOf(site), flavour);
  }
}

}  // namespace w8a8
