#include "eval/export/export_quantized.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "eval/export/exported_tensors.h"
#include "eval/export/quantization_scheme.h"
#include "eval/run/known_sites.h"
#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/file_lock.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"
#include "runtime/encoder/checkpoint.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

void WriteScales(const fs::path& path, const ExportedSites& sites, const std::string& sha256) {
  Hdf5OutputFile file(path);
  file.Group("/sites");
  file.Attribute("/", "model_sha256", sha256);
  for (const auto& [site, exported] : sites) {
    const std::string group = "/sites/" + site;
    const Quantizer& input = *exported.plan.input;
    file.Write(group + "/weight_scale", exported.weight_scale);
    file.Write(group + "/weight_code_sum", exported.weight_code_sum);
    if (input.is_static()) file.Write(group + "/input_scale", std::vector<float>{input.scale});
    file.Attribute(group, "granularity", std::string(NameOf(input.granularity)));
    file.Attribute(group, "clip_range", input.clip_range);
    file.Attribute(group, "num_bits", int64_t{exported.plan.weight.num_bits});
  }
  file.Commit();
}

// What is read of a VILA tower stands in the config around it; the export has only its own.
void KeepSelection(const fs::path& model_folder, nlohmann::ordered_json* config) {
  const fs::path whole = fs::weakly_canonical(model_folder);
  const fs::path around = whole.parent_path() / "config.json";
  if (whole.filename() != kTowerFolder || !fs::exists(around)) return;
  const auto parsed = ReadJsonObject<nlohmann::ordered_json>(around);
  // With VILA's defaults, because a config without them is that of an encoder alone.
  (*config)["mm_vision_select_layer"] =
      parsed.value("mm_vision_select_layer", nlohmann::ordered_json(-2));
  (*config)["mm_vision_select_feature"] =
      parsed.value("mm_vision_select_feature", nlohmann::ordered_json("patch"));
}

void WriteConfig(const fs::path& from, const fs::path& to, const QuantizedStems& stems) {
  auto config = ReadJsonObject<nlohmann::ordered_json>(from);
  KeepSelection(from.parent_path(), &config);
  config.erase("quantization_config");
  if (!stems.by_input.empty()) config["quantization_config"] = QuantizationConfig(stems);
  WriteFileAtomically(to, JsonText(config, 2) + "\n");
}

void CopyPreprocessor(const fs::path& model_folder, const fs::path& out) {
  constexpr const char* kName = "preprocessor_config.json";
  if (fs::exists(model_folder / kName)) {
    WriteFileAtomically(out / kName, ReadFile(model_folder / kName));
  } else {
    FileGroup::Current()->RemoveFirst(out / kName);  // of an earlier export
  }
}

// vLLM builds SigLIP's fc1 and fc2 without quantization unless both widths are multiples of 64, and
// then fails on their weight_scale (vllm/model_executor/models/siglip.py).
std::vector<std::string> Warnings(const EncoderConfig& config, const ExportedSites& sites) {
  const bool has_mlp = std::any_of(sites.begin(), sites.end(), [&config](const auto& entry) {
    return entry.second.n == config.mlp_width || entry.second.k == config.mlp_width;
  });
  if (config.family != "siglip" || !has_mlp) return {};
  if (config.width % 64 == 0 && config.mlp_width % 64 == 0) return {};
  return {
      fmt::format("vLLM does not load INT8 fc1 and fc2 of a SigLIP tower whose widths ({} and "
                  "{}) are not both multiples of 64; leave them in FP16 for that target.",
                  config.width, config.mlp_width)};
}

// scales.h5 is written first, so it marks every folder that an export has begun.
void PrepareFolder(const fs::path& model_folder, const fs::path& out) {
  if (fs::exists(out) && !fs::is_directory(out)) {
    Fail("{}: is a file; give a folder for the quantized model.", out.string());
  }
  MakeGroupFolders(out);
  if (fs::equivalent(model_folder, out)) {
    Fail("{}: the quantized folder would overwrite the model that it is made from.", out.string());
  }
  if (!HoldsNothing(out) && !fs::exists(out / "scales.h5")) {
    Fail("{}: holds files that no export wrote; give a new or an empty folder.", out.string());
  }
  // Until all is in its place, the folder counts as unfinished.
  FileGroup::Current()->RemoveFirst(out / "config.json");
}

}  // namespace

void CheckExportable(const Plan& plan) {
  std::vector<std::string> clipped, smoothed, narrow;
  for (const auto& [site, site_plan] : plan.sites) {
    const std::optional<Quantizer>& input = site_plan.input;
    if (input && !input->is_static() && std::isfinite(input->clip_range)) clipped.push_back(site);
    if (!site_plan.smoothing.empty()) smoothed.push_back(site);
    if (site_plan.weight.num_bits != 8) narrow.push_back(site);
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
                                         const fs::path& out) {
  const EncoderWeights& checkpoint = weights.checkpoint();
  CheckExportable(plan);
  CheckPlan(graph, Precision::kInt8, plan, FakeFlavour::kIdeal);
  CheckExportable(checkpoint, graph);
  const ExportedSites sites = QuantizeSites(weights, graph, plan);
  FileGroup files;
  PrepareFolder(model_folder, out);
  WriteScales(out / "scales.h5", sites, checkpoint.source_sha256());
  WritePlan(out / "plan.json", {.model_sha256 = checkpoint.source_sha256(), .plan = plan},
            KnownSites(graph));

  TensorCollector tensors(weights, sites);
  tensors.Write(out / "model.safetensors");
  QuantizedStems stems;
  for (const auto& [site, exported] : sites) {
    std::vector<std::string>& group = stems.by_input[exported.plan.input->granularity];
    group.insert(group.end(), exported.source.stems.begin(), exported.source.stems.end());
  }
  stems.ignored = tensors.ignored();
  if (tensors.AllStartWith(checkpoint.prefix())) {
    stems.optional_prefix = checkpoint.prefix();
  }

  CopyPreprocessor(model_folder, out);
  WriteConfig(model_folder / "config.json", out / "config.json", stems);
  files.Commit();
  return Warnings(graph.config, sites);
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

Plan StoredPlan(const EncoderWeights& weights, const Graph& graph) {
  Plan plan;
  if (!weights.quantized()) return plan;
  for (const std::string& site : graph.Sites()) {
    const LinearParameters linear = weights.Linear(site);
    if (linear.codes.empty()) continue;
    SitePlan& stored = plan.sites[site];
    if (linear.input_scale) {
      stored.input = Quantizer::Static(*linear.input_scale);
    }
  }
  return plan;
}

}  // namespace w8a8
