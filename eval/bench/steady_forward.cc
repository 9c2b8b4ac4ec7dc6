#include "eval/bench/steady_forward.h"

#include <algorithm>
#include <array>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "eval/bench/made_encoder.h"
#include "eval/bench/sampling.h"
#include "quant/reference_quantizer.h"
#include "runtime/fuse_row_steps.h"

namespace w8a8 {
namespace {

// By the alternatives of Step, in their order.
constexpr std::array<const char*, std::variant_size_v<Step>> kStepNames = {
    "embed",     "norm",    "qk_norm", "activation", "gate",   "attention", "residual",
    "broadcast", "row",     "mean",    "average",    "concat", "tanh",      "convert",
    "clear",     "route",   "gather",  "mix",        "mix",    "gemm_f16",  "gemm_fake",
    "quantize",  "gemm_s8", "gemm_w8", "gemm_codes"};

bool MakesCodes(const Step& step) {
  return std::visit(
      [](const auto& s) {
        if constexpr (requires { s.codes.has_value(); }) {
          return s.codes.has_value();
        } else {
          return false;
        }
      },
      step);
}

// "mlp.fc1" of "blocks.7.mlp.fc1", "" of what is no site.
std::string LayerOf(const Node& node, int stage) {
  if (node.site.empty()) return "";
  const std::string block = SiteName(stage - 1, "");
  return node.site.starts_with(block) ? node.site.substr(block.size()) : node.site;
}

// One more stage of the encoder.
void LowerStage(int stage, const Plan& per_token, Lowering& lowering, LoweredEncoder& encoder) {
  const auto [precision, attention, given] = encoder.variant;
  const Plan& quantized = given != nullptr ? *given : per_token;
  const Plan plan = precision == Precision::kFp16 ? Plan() : quantized;
  encoder.stages.push_back(lowering.Lower(precision, plan, FakeFlavour::kIdeal, attention));
  FuseRowSteps(&encoder.stages.back());
  const Stage& nodes = encoder.graph->stages[static_cast<size_t>(stage)];
  for (int32_t node = nodes.first_node; node < nodes.last_node; ++node) {
    const std::string& site = encoder.graph->nodes[static_cast<size_t>(node)].site;
    if (site.empty()) continue;
    encoder.sites.emplace_back(site,
                               lowering.LowerLayer(node, precision, plan, FakeFlavour::kIdeal));
  }
}

}  // namespace

Plan PerTokenPlan(const Graph& graph) {
  Plan plan;
  for (const std::string& site : graph.Sites()) plan.sites.emplace(site, SitePlan());
  return plan;
}

Plan StaticPlan(const std::map<std::string, float>& input_amax) {
  Plan plan;
  for (const auto& [site, amax] : input_amax) {
    const float scale = amax > 0 ? amax / static_cast<float>(Quantizer::kHighestCode) : 1.0f;
    plan.sites.emplace(site, SitePlan{.input = Quantizer::Static(scale)});
  }
  return plan;
}

std::vector<LoweredEncoder> LowerEncoder(const Graph& graph, const Weights& weights,
                                         Backend& backend,
                                         std::span<const ForwardVariant> variants) {
  std::vector<LoweredEncoder> encoders;
  for (const ForwardVariant& variant : variants) encoders.push_back({&graph, variant, {}, {}});
  const Plan per_token = PerTokenPlan(graph);
  Lowering lowering(graph, weights, backend);
  for (int stage = 0; stage < static_cast<int>(graph.stages.size()); ++stage) {
    lowering.BeginStage(stage);
    for (LoweredEncoder& encoder : encoders) LowerStage(stage, per_token, lowering, encoder);
  }
  return encoders;
}

SteadyForward::SteadyForward(const LoweredEncoder& encoder, Backend& backend, int64_t images)
    : encoder_(encoder), images_(images), arena_(backend.MakeArena()) {
  for (int64_t image = 0; image < images; ++image) {
    const std::vector<float> pixels =
        MadePixels(encoder.graph->config, static_cast<uint64_t>(image) + 1);
    pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
  }
  Run();
}

// Between stages only the stream is alive, and stays where it lies: from stage to stage it has one
// shape. (The runner, which takes a chunk of images through each stage, keeps streams with the
// host.)
template <class RunStage>
void SteadyForward::RunStages(const RunStage& run_stage) {
  const Graph& graph = *encoder_.graph;
  const std::vector<Program>& stages = encoder_.stages;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    arena_->Prepare(stages[stage].slots, {.images = images_});
    if (stage == 0) arena_->Upload(graph.pixels, 0, std::as_bytes(std::span(pixels_)));
    run_stage(stage);
  }
}

void SteadyForward::Run() {
  const std::array kept{encoder_.graph->stream, encoder_.graph->tokens};
  graphs_ = 0;
  RunStages([&](size_t stage) {
    arena_->RunAll(encoder_.stages[stage], kept);
    if (arena_->RanAsGraph()) ++graphs_;
  });
}

std::string SteadyForward::LaunchText() const {
  if (graphs_ == 0) return "step by step";
  if (graphs_ == encoder_.stages.size()) return "graph";
  return fmt::format("graph in {} of {} stages", graphs_, encoder_.stages.size());
}

std::vector<std::vector<double>> SteadyForward::RunTimed() {
  std::vector<std::vector<double>> seconds(encoder_.stages.size());
  RunStages([&](size_t stage) {
    for (const Step& step : encoder_.stages[stage].steps) {
      const double start = ThreadCpuSeconds();
      arena_->Run(step, {});
      seconds[stage].push_back(ThreadCpuSeconds() - start);
    }
  });
  return seconds;
}

std::map<std::string, float> SteadyForward::InputAmax() {
  const Graph& graph = *encoder_.graph;
  std::map<std::string, float> found;
  RunStages([&](size_t stage) {
    const Program& program = encoder_.stages[stage];
    for (size_t i = 0; i < program.steps.size(); ++i) {
      const std::string& site = graph.nodes[static_cast<size_t>(program.nodes[i])].site;
      const auto* product = std::get_if<GemmF16Step>(&program.steps[i]);
      if (product != nullptr && !site.empty()) {
        float& amax = found[site];
        amax = std::max(amax, AmaxOf(arena_->HostHalf(product->in)));
      }
      arena_->Run(program.steps[i], {});
    }
  });
  return found;
}

std::string StepName(const Graph& graph, int stage, const Program& program, size_t step) {
  std::string name = kStepNames[program.steps[step].index()];
  const auto* norm = std::get_if<NormStep>(&program.steps[step]);
  if (norm != nullptr && norm->add) name = "residual+" + name;
  if (MakesCodes(program.steps[step])) name += "+quantize";
  const Node& node = graph.nodes[static_cast<size_t>(program.nodes[step])];
  if (const std::string layer = LayerOf(node, stage); !layer.empty()) name += " " + layer;
  return name;
}

}  // namespace w8a8
