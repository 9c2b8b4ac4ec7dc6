#include <functional>
#include <map>
#include <numeric>
#include <optional>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "datasets/preprocess_config.h"
#include "eval/cli/artifacts/inspect.h"
#include "eval/run/stored_plan.h"
#include "runtime/base/error.h"
#include "runtime/base/names.h"
#include "runtime/base/utf8.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/config.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/graph_costs.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {
namespace {

using nlohmann::ordered_json;

const char* ActivationName(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::kGeluErf:
      return "GELU (erf)";
    case ActivationKind::kGeluTanh:
      return "GELU (tanh)";
    case ActivationKind::kQuickGelu:
      return "quick GELU";
    case ActivationKind::kSilu:
      return "SiLU";
  }
  return "";
}

const char* PoolName(PoolKind kind) {
  switch (kind) {
    case PoolKind::kNone:
      return "none";
    case PoolKind::kFirstToken:
      return "class token";
    case PoolKind::kMean:
      return "mean of the patch tokens";
    case PoolKind::kAttentionProbe:
      return "attention with a learned probe (MAP)";
  }
  return "";
}

ordered_json MacsFacts(const Graph& graph) {
  int64_t sites = 0, attention = 0, other = 0;
  for (const Node& node : graph.nodes) {
    const bool attends = node.kind == NodeKind::kAttention;
    (attends ? attention : node.site.empty() ? other : sites) += MultiplyAdds(graph, node);
  }
  return {{"sites", sites},
          {"attention", attention},
          {"other", other},
          {"total", sites + attention + other}};
}

// "INT8, per-token input"; "INT4 per-group 128, with zero points, FP16 input".
std::string StoredText(const SitePlan& plan) {
  const WeightSpec& weight = *plan.weight;
  std::string text = fmt::format("INT{}", weight.num_bits);
  if (weight.granularity == Granularity::kGroup) {
    text += fmt::format(" {} {}", NameOf(weight.granularity), weight.group_size);
  }
  if (!weight.symmetric) text += ", with zero points";
  if (!plan.input) {
    text += ", FP16 input";
  } else if (plan.input->is_static()) {
    text += ", static input scale";
  } else {
    text += fmt::format(", {} input", NameOf(plan.input->granularity));
    if (plan.input->group_size > 0) text += fmt::format(" ({})", plan.input->group_size);
  }
  if (plan.input && !plan.input->symmetric) text += " with zero point";
  return text + (plan.output ? ", static output scale" : "");
}

std::string StoredAs(const Plan& stored, const std::string& site) {
  const auto found = stored.sites.find(site);
  if (found == stored.sites.end()) return "float";
  return StoredText(found->second);
}

ordered_json SiteRows(const Graph& graph, const Plan& stored) {
  ordered_json rows = ordered_json::array();
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    const Slot& in = graph.slot(node.in);
    rows.push_back({{"site", node.site},
                    {"in", in.cols},
                    {"out", graph.slot(node.out).cols},
                    {"rows", in.rows},
                    {"macs", MultiplyAdds(graph, node)},
                    {"stored", StoredAs(stored, node.site)}});
  }
  return rows;
}

struct TensorCounts {
  int64_t tensors = 0, parameters = 0;  // of those that are read
  std::vector<std::string> outside;     // neither in the tower nor read
  std::map<std::string, int64_t> by_dtype;
};

// The weights of the model that a tensor holds: of codes as many as there are, whatever their width
// in the file, and none of what stands beside them.
int64_t ParametersIn(const std::string& key, const TensorView& tensor,
                     const EncoderWeights& weights) {
  const std::optional<std::vector<int64_t>> codes =
      weights.CodesShape(key.substr(0, key.rfind('.')));
  if (!codes || key.ends_with(".bias")) return tensor.elements();
  if (!key.ends_with(".weight") && !key.ends_with(".weight_packed")) return 0;
  return std::accumulate(codes->begin(), codes->end(), int64_t{1}, std::multiplies());
}

TensorCounts CountTensors(const Checkpoint& checkpoint, const EncoderWeights& weights) {
  TensorCounts counts;
  for (const auto& [key, tensor] : checkpoint.tensors()) {
    if (!weights.Reads(key)) {
      if (!key.starts_with(weights.prefix())) counts.outside.push_back(key);
      continue;
    }
    ++counts.tensors;
    counts.parameters += ParametersIn(key, tensor, weights);
    ++counts.by_dtype[std::string(DtypeName(tensor.dtype))];
  }
  return counts;
}

ordered_json MemoryFacts(const Graph& graph, int64_t parameters) {
  int64_t site_weights = 0, site_rows = 0;
  for (const Node& node : graph.nodes) {
    if (node.site.empty()) continue;
    site_weights += WeightElements(graph, node);
    site_rows += graph.slot(node.out).cols;
  }
  return {{"weights_fp16_bytes", 2 * parameters},
          {"weights_int8_bytes", 2 * (parameters - site_weights) + site_weights + 4 * site_rows},
          {"activations_bytes_per_image", ActivationBytes(graph)}};
}

// A model whose image processor this tool refuses can still be inspected: the reason is shown.
std::string PreprocessingText(const std::filesystem::path& folder) {
  try {
    return DescribePreprocessing(ReadPreprocessConfig(folder, Resampler::kPillow13));
  } catch (const Error& error) {
    return std::string("not usable: ") + error.what();
  }
}

ordered_json ShapeFacts(const EncoderConfig& config) {
  return {{"blocks", config.blocks},
          {"width", config.width},
          {"heads", config.heads},
          {"head_width", config.head_dim()},
          {"mlp_width", config.mlp_width},
          {"image", config.variable_grid
                        ? fmt::format("any shape, at most {} patches", config.patches())
                        : fmt::format("{} x {}", config.image_width, config.image_height)},
          {"patch", config.patch},
          {"tokens", config.tokens()},
          {"activation", ActivationName(config.activation)},
          {"norm", config.norm == NormKind::kRmsNorm ? "RMSNorm" : "LayerNorm"},
          {"norm_eps", config.norm_eps},
          {"layer_scale", config.layer_scale},
          {"qk_norm", config.qk_norm},
          {"pooling", std::string(PoolName(config.pool)) +
                          (config.pool != PoolKind::kNone && config.pooled_unread
                               ? " (the model around it does not read it)"
                               : "")},
          {"projection", config.projection},
          {"classes", config.classes}};
}

// "all 23", "1, 3, 5".
std::string BlocksText(const EncoderConfig& config) {
  std::vector<int64_t> blocks;
  for (int64_t block = 0; block < config.blocks; ++block) {
    if (config.mixture.in(block)) blocks.push_back(block);
  }
  const bool all = std::ssize(blocks) == config.blocks;
  return all ? fmt::format("all {}", config.blocks) : fmt::format("{}", fmt::join(blocks, ", "));
}

ordered_json MixtureFacts(const EncoderConfig& config) {
  const MixtureConfig& mixture = config.mixture;
  return {{"experts", mixture.experts},
          {"chosen_per_token", mixture.chosen},
          {"renormalized", mixture.renormalized},
          {"kind", mixture.gated ? "gated" : "plain"},
          {"width", mixture.width},
          {"shared_width", mixture.shared_width},
          {"in_blocks", BlocksText(config)},
          {"stored", mixture.spelling}};
}

}  // namespace

ordered_json InspectModel(const std::filesystem::path& folder, const std::string& model_prefix) {
  const EncoderConfig config = ReadEncoderConfig(folder, model_prefix);
  const EncoderWeights weights(folder, config, model_prefix);
  const Graph graph = BuildGraph(config);
  const TensorCounts counts = CountTensors(Checkpoint(TowerFolder(folder)), weights);
  ordered_json facts{{"kind", weights.quantized() ? "quantized model" : "checkpoint"},
                     {"path", ValidUtf8(folder.string())},
                     {"name", config.name},
                     {"family", config.family}};
  facts["shape"] = ShapeFacts(config);
  if (config.mixture.experts > 0) facts["mixture"] = MixtureFacts(config);
  facts["preprocessing"] = PreprocessingText(folder);
  facts["prefix"] = weights.prefix();
  facts["tensors"] = counts.tensors;
  facts["tensors_by_dtype"] = counts.by_dtype;
  facts["parameters"] = counts.parameters;
  facts["sha256"] = weights.sha256();
  if (weights.quantized()) facts["made_from_sha256"] = weights.source_sha256();
  facts["macs_per_image"] = MacsFacts(graph);
  facts["memory"] = MemoryFacts(graph, counts.parameters);
  ordered_json notes = config.notes;
  for (const std::string& note : weights.notes()) notes.push_back(note);
  if (!counts.outside.empty()) {
    notes.push_back(
        fmt::format("{} tensor(s) outside '{}' belong to other parts and are not read: {}",
                    counts.outside.size(), weights.prefix(), FirstOf(counts.outside)));
  }
  facts["notes"] = std::move(notes);
  const Plan stored = StoredPlan(weights, graph);
  AddWords(WordsOfStored(weights, graph), facts);
  facts["sites"] = SiteRows(graph, stored);
  return facts;
}

}  // namespace w8a8
