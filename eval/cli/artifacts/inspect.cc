#include "eval/cli/artifacts/inspect.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "calib/stats_file.h"
#include "eval/cli/artifacts/artifact.h"
#include "quant/plan_file.h"
#include "runtime/base/error.h"
#include "runtime/base/hdf5_objects.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/utf8.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// The largest channel's abs-max over the median channel's: how much one channel costs the others
// where they share a scale. Null where the median channel is all zeros.
ordered_json OutlierRatio(std::vector<float> channel_absmax) {
  if (channel_absmax.empty()) return nullptr;
  std::sort(channel_absmax.begin(), channel_absmax.end());
  const float median = channel_absmax[channel_absmax.size() / 2];
  if (!(median > 0)) return nullptr;
  return channel_absmax.back() / median;
}

void InspectStatistics(const fs::path& path, ordered_json& facts) {
  const StatsReader reader(path);
  const StatsHeader& header = reader.header();
  facts["model_sha256"] = header.model_sha256;
  facts["preprocessing_sha256"] = header.preprocessing_sha256;
  facts["residual"] = header.residual;
  facts["images"] = header.images.size();
  facts["image_set_sha256"] = ImageSetSha256(header.images);
  facts["seed"] = header.seed;
  facts["row_sample_size"] = header.row_sample_size;
  facts["sites"] = ordered_json::array();
  std::vector<std::string> sites = reader.sites();
  std::ranges::sort(sites, CountsBefore);
  for (const std::string& site : sites) {
    const SiteStatistics statistics = reader.Site(site);
    const NonFiniteCounts nonfinite = statistics.histogram.NonFinite();
    facts["sites"].push_back({{"site", site},
                              {"channels", statistics.channels()},
                              {"tokens", statistics.tokens()},
                              {"rows", statistics.Rows()},
                              {"abs_max", statistics.AbsMax()},
                              {"p99.99", statistics.histogram.AbsPercentile(99.99)},
                              {"outlier_ratio", OutlierRatio(statistics.channel_absmax)},
                              {"nonfinite", nonfinite.nan + nonfinite.inf}});
  }
}

// The plan reader wants to know the model's sites; here they are those that the file names.
std::vector<KnownSite> SitesNamedIn(const fs::path& path) {
  const nlohmann::json file = ReadJsonObject(path);
  std::vector<KnownSite> sites;
  const auto named = file.find("sites");
  if (named == file.end() || !named->is_object()) return sites;
  for (const auto& [site, entry] : named->items()) {
    const bool smoothed =
        entry.is_object() && entry.contains("smoothing") && entry["smoothing"].is_array();
    sites.push_back({site, smoothed ? static_cast<int64_t>(entry["smoothing"].size()) : 0});
  }
  std::ranges::sort(sites, CountsBefore, &KnownSite::site);
  return sites;
}

std::string InputText(const SitePlan& plan) {
  if (!plan.input) return plan.weight ? "fp16 (weight-only)" : "fp16";
  const Quantizer& input = *plan.input;
  const std::string text = input.is_static() ? "per-tensor, static"
                           : input.granularity == Granularity::kGroup
                               ? fmt::format("per-group of {}, dynamic", input.group_size)
                               : "per-token, dynamic";
  return input.symmetric ? text : text + ", asymmetric";
}

std::string WeightText(const SitePlan& plan) {
  const WeightSpec& weight = *plan.weight;
  std::string text{NameOf(weight.granularity)};
  if (weight.granularity == Granularity::kGroup) text += fmt::format(" of {}", weight.group_size);
  if (!weight.symmetric) text += ", zero points";
  if (plan.given.value) text += ", given codes";
  if (weight.convention != WeightConvention::kNative) {
    text += fmt::format(", {}", NameOf(weight.convention));
  }
  return text;
}

void AddSitePlan(const SitePlan& plan, ordered_json& row) {
  row["input"] = InputText(plan);
  if (plan.input && plan.input->is_static()) {
    row["scale"] = plan.input->scale;
    if (!plan.input->symmetric) row["zero_point"] = plan.input->zero_point;
  }
  if (plan.input && plan.input->clip_range != kNoClip) row["clip_range"] = plan.input->clip_range;
  if (plan.weight) {
    row["weight_bits"] = plan.weight->num_bits;
    row["weights"] = WeightText(plan);
  }
  if (plan.output) row["output_scale"] = plan.output->scale;
  row["smoothing"] = !plan.smoothing.empty();
  if (plan.rotation) row["rotation"] = plan.rotation->block;
  row["first_row_twice"] = plan.first_row_twice;
}

void InspectPlan(const fs::path& path, ordered_json& facts) {
  const std::vector<KnownSite> sites = SitesNamedIn(path);
  const PlanFile file = ReadPlan(path, sites);
  facts["model_sha256"] = file.model_sha256;
  facts["sites_in_int8"] = std::ranges::count_if(
      file.plan.sites, [](const auto& site) { return site.second.weight.has_value(); });
  AddWords(WordsOf(file.plan), facts);
  facts["sites"] = ordered_json::array();
  for (const KnownSite& known : sites) {
    const auto found = file.plan.sites.find(known.site);
    ordered_json row{{"site", known.site},    {"input", "fp16"},         {"scale", nullptr},
                     {"zero_point", nullptr}, {"clip_range", nullptr},   {"weight_bits", nullptr},
                     {"weights", nullptr},    {"output_scale", nullptr}, {"smoothing", false},
                     {"rotation", nullptr},   {"first_row_twice", false}};
    if (found != file.plan.sites.end()) AddSitePlan(found->second, row);
    facts["sites"].push_back(std::move(row));
  }
}

void InspectHdf5(const fs::path& path, ordered_json& facts) {
  const Hdf5Objects file(path);
  facts["objects"] = ordered_json::array();
  for (const Hdf5Object& object : file.all()) {
    ordered_json value = nullptr;
    if (object.shape.empty()) {
      const std::vector<double> numbers = file.Numbers(object);
      if (!numbers.empty()) value = numbers.front();
      if (object.type == "text") {
        value = reinterpret_cast<const char*>(file.Bytes(object).data());
      }
    }
    facts["objects"].push_back({{"path", object.path},
                                {"type", object.type},
                                {"shape", Hdf5ShapeText(object.shape)},
                                {"value", value}});
  }
}

void InspectSafetensors(const fs::path& path, ordered_json& facts) {
  const SafetensorsFile file(path);
  int64_t bytes = 0;
  facts["metadata"] = file.metadata();
  facts["tensors"] = ordered_json::array();
  for (const auto& [name, tensor] : file.tensors()) {
    bytes += static_cast<int64_t>(tensor.bytes.size());
    facts["tensors"].push_back({{"name", name},
                                {"dtype", DtypeName(tensor.dtype)},
                                {"shape", tensor.ShapeText()},
                                {"bytes", tensor.bytes.size()}});
  }
  facts["bytes"] = bytes;
}

void InspectPage(const fs::path& path, ordered_json& facts) {
  facts["bytes"] = fs::file_size(path);
  facts["content"] = "the report for browsers; what it says is in report.json, run.json, report.h5";
}

}  // namespace

void AddWords(const PlanWords& words, ordered_json& facts) {
  if (words.vllm.empty()) return;
  if (!words.scheme.empty()) facts["scheme"] = words.scheme;
  facts["compressed_tensors"] = words.compressed_tensors;
  facts["vllm"] = words.vllm;
}

ordered_json InspectArtifact(const fs::path& path, const std::string& model_prefix) {
  const ArtifactKind kind = RecognizeArtifact(path);
  if (kind == ArtifactKind::kCheckpoint || kind == ArtifactKind::kQuantized) {
    return InspectModel(path, model_prefix);
  }
  ordered_json facts{{"kind", ArtifactName(kind)}, {"path", ValidUtf8(path.string())}};
  switch (kind) {
    case ArtifactKind::kStatistics:
      InspectStatistics(path, facts);
      break;
    case ArtifactKind::kPlan:
      InspectPlan(path, facts);
      break;
    case ArtifactKind::kScales:
    case ArtifactKind::kTables:
      InspectHdf5(path, facts);
      break;
    case ArtifactKind::kSafetensors:
      InspectSafetensors(path, facts);
      break;
    case ArtifactKind::kPage:
      InspectPage(path, facts);
      break;
    default:
      facts["content"] = ReadJsonObject(path);
  }
  return facts;
}

}  // namespace w8a8
