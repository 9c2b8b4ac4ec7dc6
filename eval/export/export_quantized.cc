#include "eval/export/export_quantized.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <system_error>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "eval/export/carried_files.h"
#include "eval/export/exported_config.h"
#include "eval/export/exported_folder.h"
#include "eval/export/exported_tensors.h"
#include "eval/export/merged_quantization.h"
#include "eval/run/known_sites.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"
#include "runtime/base/setting.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

void WriteScales(const fs::path& path, const ExportedSites& sites, const std::string& sha256,
                 const std::vector<std::string>& carried) {
  Hdf5OutputFile file(path);
  file.Group("/sites");
  file.WriteStrings(kFileList, carried);
  file.Attribute("/", "model_sha256", sha256);
  for (const auto& [site, exported] : sites) {
    const std::string group = "/sites/" + site;
    const Quantizer& input = *exported.plan.input;
    file.Write(group + "/weight_scale", exported.weight_scale);
    file.Write(group + "/weight_code_sum", exported.weight_code_sum);
    if (input.is_static()) file.Write(group + "/input_scale", std::vector<float>{input.scale});
    file.Attribute(group, "granularity", std::string(NameOf(input.granularity)));
    file.Attribute(group, "clip_range", input.clip_range);
    file.Attribute(group, "num_bits", int64_t{exported.plan.weight->num_bits});
  }
  file.Commit();
}

// Classes of transformers read neither timm's names nor those of the files that models came out in.
std::vector<std::string> LoadingWarnings(const EncoderConfig& config,
                                         const nlohmann::ordered_json& source) {
  if (config.family == "timm-vit" || config.family == "dinov2-meta") {
    return {
        "no class of transformers or timm loads INT8 weights under these names: this tool reads "
        "the folder, other code multiplies each row of P.weight by P.weight_scale."};
  }
  if (config.family == "dinov2" && !config.gated_mlp) {
    return {
        "transformers 5.24 loads no compressed-tensors DINOv2 without a gated MLP (its converter "
        "for gated ones gets in the way); 4.57 loads it."};
  }
  if (HasIdefics3Tower(source)) {
    return {
        "transformers 4.57 computes other positions for Idefics3 and SmolVLM than 5.24, with any "
        "weights: most patches get the position one row and column before theirs. What this tool "
        "measured is what 5.24 runs."};
  }
  return {};
}

// vLLM builds SigLIP's fc1 and fc2 without quantization unless both widths are multiples of 64, and
// then fails on their weight_scale (vllm/model_executor/models/siglip.py).
std::vector<std::string> Warnings(const EncoderConfig& config, const nlohmann::ordered_json& source,
                                  const ExportedSites& sites) {
  const bool has_mlp = std::any_of(sites.begin(), sites.end(), [&config](const auto& entry) {
    return entry.second.n == config.mlp_width || entry.second.k == config.mlp_width;
  });
  std::vector<std::string> warnings = LoadingWarnings(config, source);
  if (config.family != "siglip" || !has_mlp) return warnings;
  if (config.width % 64 == 0 && config.mlp_width % 64 == 0) return warnings;
  warnings.push_back(
      fmt::format("vLLM does not load INT8 fc1 and fc2 of a SigLIP tower whose widths ({} and "
                  "{}) are not both multiples of 64; leave them in FP16 for that target.",
                  config.width, config.mlp_width));
  return warnings;
}

void CheckNotTheModel(const fs::path& model_folder, const fs::path& out) {
  std::error_code ignored;
  if (fs::equivalent(model_folder, out, ignored)) {
    Fail("{}: the quantized folder would overwrite the model that it is made from.", out.string());
  }
}

ExportedLayers LayersOf(const ExportedSites& sites, const ExportedKeys& keys,
                        const TensorCollector& tensors) {
  ExportedLayers layers{.by_input = {}, .others = tensors.ignored(), .floats = tensors.floats()};
  for (const auto& [site, exported] : sites) {
    std::vector<std::string>& group = layers.by_input[exported.plan.input->granularity];
    for (const std::string& name : keys.NamesOf(exported.source.stems)) group.push_back(name);
  }
  return layers;
}

}  // namespace

void CheckExportable(const Plan& plan) {
  std::vector<std::string> clipped, smoothed, narrow;
  for (const auto& [site, site_plan] : plan.sites) {
    const std::optional<Quantizer>& input = site_plan.input;
    if (input && !input->is_static() && std::isfinite(input->clip_range)) clipped.push_back(site);
    if (!site_plan.smoothing.empty()) smoothed.push_back(site);
    if (site_plan.weight && site_plan.weight->num_bits != 8) narrow.push_back(site);
  }
  if (!clipped.empty()) {
    Fail(
        "export: compressed-tensors has no clip range for dynamic inputs: a target would quantize "
        "{} by the whole range of each token instead. Plan them without a clip, or per-tensor; "
        "compare and sweep measure such plans without exporting them.",
        FirstOf(clipped));
  }
  if (!smoothed.empty()) {
    Fail("export: compressed-tensors has no smoothing vectors, which the plan has for {}.",
         FirstOf(smoothed));
  }
  if (!narrow.empty()) {
    Fail("export: only 8-bit weights are exported; the plan has other widths for {}.",
         FirstOf(narrow));
  }
}

std::vector<std::string> ExportQuantized(const Weights& weights, const Graph& graph,
                                         const Plan& plan, const fs::path& model_folder,
                                         const fs::path& out, ExportScope scope) {
  const EncoderWeights& checkpoint = weights.checkpoint();
  CheckExportable(plan);
  CheckPlan(graph, Precision::kInt8, plan, FakeFlavour::kIdeal);
  CheckExportable(checkpoint, graph);
  CheckNotTheModel(model_folder, out);
  const nlohmann::ordered_json source = ReadSourceConfig(model_folder);
  const ExportedKeys keys(scope, graph.config, checkpoint.prefix(), source);
  const ExportedSites sites = QuantizeSites(weights, graph, plan);
  TensorCollector tensors(weights, sites, keys);
  const nlohmann::ordered_json config =
      ExportedConfig(source, model_folder, graph.config, keys, LayersOf(sites, keys, tensors));
  const std::vector<std::string> carried = CarriedFiles(model_folder);

  FileGroup files;
  PrepareFolder(out, carried);
  WriteScales(out / kScalesFile, sites, checkpoint.source_sha256(), carried);
  CopyCarriedFiles(model_folder, carried, out);
  WritePlan(out / "plan.json", {.model_sha256 = checkpoint.source_sha256(), .plan = plan},
            KnownSites(graph));
  tensors.Write(out / "model.safetensors");
  WriteFileAtomically(out / "config.json", JsonText(config, 2) + "\n");
  files.Commit();
  return Warnings(graph.config, source, sites);
}

// compressed-tensors names a weight "<layer>.weight"; torch's MultiheadAttention does not.
void CheckExportable(const EncoderWeights& weights, const Graph& graph) {
  for (const std::string& site : graph.Sites()) {
    const std::string stem = weights.Source(site).stems.front();
    if (!stem.ends_with("in_proj_weight")) continue;
    Fail(
        "export: '{}' is a fused projection of OpenAI's CLIP, which compressed-tensors cannot "
        "name; convert the model to transformers' CLIP first.",
        stem);
  }
}

std::string WhyTowerOnly(const fs::path& model_folder) {
  try {
    FindQuantization(ReadSourceConfig(model_folder), model_folder);
    return "";
  } catch (const MendableError& error) {
    std::string why = error.what();
    const std::string folder = (model_folder / "").string();
    if (why.starts_with(folder)) why.erase(0, folder.size());
    return why;
  }
}

Plan StoredPlan(const EncoderWeights& weights, const Graph& graph) {
  Plan plan;
  if (!weights.quantized()) return plan;
  for (const std::string& site : graph.Sites()) {
    const LinearParameters linear = weights.Linear(site);
    if (!linear.codes) continue;
    SitePlan& stored = plan.sites[site];
    if (linear.input_scale) {
      stored.input = Quantizer::Static(*linear.input_scale);
    }
  }
  return plan;
}

}  // namespace w8a8
