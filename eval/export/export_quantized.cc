#include "eval/export/export_quantized.h"

#include <algorithm>
#include <map>
#include <system_error>
#include <utility>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "eval/export/carried_files.h"
#include "eval/export/exported_config.h"
#include "eval/export/exported_folder.h"
#include "eval/export/exported_scales.h"
#include "eval/export/exported_tensors.h"
#include "eval/export/inexpressible.h"
#include "eval/export/merged_quantization.h"
#include "eval/export/vllm_scheme.h"
#include "eval/run/known_sites.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"
#include "runtime/base/setting.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

// Classes of transformers read neither timm's names nor those of the files that models came out in.
std::vector<std::string> LoadingWarnings(const EncoderConfig& config,
                                         const nlohmann::ordered_json& source) {
  if (config.mixture.experts > 0) {
    return {
        "neither transformers nor vLLM has a class of this encoder with experts: this tool reads "
        "the folder, other code finds a module for each expert and multiplies each row of P.weight "
        "by P.weight_scale."};
  }
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

// Of the plan's schemes that vLLM does not compute as planned.
std::vector<std::string> VllmWarnings(const ExportedSites& sites) {
  std::map<std::string, std::vector<std::string>> sites_of;
  for (const auto& [site, exported] : sites) {
    const VllmScheme scheme = VllmSchemeOf(exported.plan, CompressedSchemeOf(exported.plan).format);
    if (scheme.verdict == VllmVerdict::kAsPlanned) continue;
    const bool refused = scheme.verdict == VllmVerdict::kRefused;
    sites_of[fmt::format("vLLM {}{}: {}",
                         refused ? "does not load" : "computes something else than the plan for",
                         scheme.name.empty() ? "" : fmt::format(" (as {})", scheme.name),
                         scheme.note)]
        .push_back(site);
  }
  std::vector<std::string> warnings;
  for (const auto& [text, named] : sites_of) {
    warnings.push_back(fmt::format("{} ({}).", text, FirstOf(named)));
  }
  return warnings;
}

// vLLM builds SigLIP's fc1 and fc2 without quantization unless both widths are multiples of 64, and
// then fails on their weight_scale (vllm/model_executor/models/siglip.py).
std::vector<std::string> Warnings(const EncoderConfig& config, const nlohmann::ordered_json& source,
                                  const ExportedSites& sites) {
  const bool has_mlp = std::any_of(sites.begin(), sites.end(), [&config](const auto& entry) {
    const WeightCodes& weight = entry.second.weight;
    return weight.n == config.mlp_width || weight.k == config.mlp_width;
  });
  std::vector<std::string> warnings = LoadingWarnings(config, source);
  if (config.mixture.experts > 0) return warnings;  // vLLM has nothing that would load it
  for (std::string& warning : VllmWarnings(sites)) warnings.push_back(std::move(warning));
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
  ExportedLayers layers{.by_scheme = {}, .others = tensors.ignored(), .floats = tensors.floats()};
  for (const auto& [site, exported] : sites) {
    std::vector<std::string>& group = layers.by_scheme[CompressedSchemeOf(exported.plan)];
    for (const std::string& name : keys.NamesOf(exported.source.stems)) group.push_back(name);
  }
  return layers;
}

}  // namespace

std::vector<std::string> ExportQuantized(const Weights& weights, const Graph& graph,
                                         const Plan& plan, const fs::path& model_folder,
                                         const fs::path& out, ExportScope scope) {
  const EncoderWeights& checkpoint = weights.checkpoint();
  CheckPlan(graph, Precision::kFp16, plan, FakeFlavour::kIdeal);  // the names alone
  CheckExportable(plan, graph);
  for (const auto& [site, site_plan] : plan.sites) {
    CheckSitePlan(site, site_plan, graph.InputsOf(site));
  }
  CheckExportable(checkpoint, graph);
  CheckNotTheModel(model_folder, out);
  const nlohmann::ordered_json source = ReadSourceConfig(model_folder);
  const ExportedKeys keys(scope, graph.config, checkpoint.prefix(), source);
  const ExportedSites sites = QuantizeSites(weights, graph, plan);
  TensorCollector tensors(weights, graph.config, sites, keys);
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

}  // namespace w8a8
