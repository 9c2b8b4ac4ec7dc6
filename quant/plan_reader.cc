#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// One object of the file; messages begin with its place, "plan.json: site 'x', input".
using Fields = JsonView<FloatJson>;

constexpr size_t kMaxPlanBytes = size_t{256} << 20;  // smoothing vectors for 1,000 wide sites

// Finite and > 0 in binary32.
float Positive(const Fields& value) {
  const float number = value.raw().is_number() ? value.raw().get<float>() : 0.0f;
  if (!(number > 0.0f) || std::isinf(number)) value.Refuse("a finite number above 0");
  return number;
}

// Absent, or exactly `only`: a setting that has one value here.
void AllowValue(const Fields& fields, const char* key, const FloatJson& only) {
  const std::optional<Fields> value = fields.Find(key);
  if (value && value->raw() != only) value->Refuse(only.dump());
}

Quantizer ParseInput(const Fields& fields) {
  fields.AllowOnly({"strategy", "dynamic", "clip_range", "scale", "num_bits", "symmetric"});
  const Fields strategy = fields.At("strategy");
  const bool per_tensor = strategy.raw() == "tensor";
  if (!per_tensor && strategy.raw() != "token") strategy.Refuse("\"token\" or \"tensor\"");
  AllowValue(fields, "dynamic", !per_tensor);
  AllowValue(fields, "num_bits", 8);
  AllowValue(fields, "symmetric", true);

  Quantizer input;
  if (const auto clip_range = fields.Find("clip_range")) input.clip_range = Positive(*clip_range);
  if (!per_tensor) {
    if (fields.Has("scale")) {
      Fail(
          "{} has a 'scale', but strategy \"token\" computes one for every row. Remove it or take "
          "strategy \"tensor\".",
          fields.file());
    }
    return input;
  }
  input.granularity = Granularity::kTensor;
  input.scale = Positive(fields.At("scale"));
  if (std::isinf(1.0f / input.scale)) {
    Fail("{}: 'scale' is {}; its reciprocal overflows binary32.", fields.file(), input.scale);
  }
  if (input.scale > input.clip_range / 127.0f) {
    Fail("{}: 'scale' {} reaches {}, beyond 'clip_range' {}. A scale is at most clip_range / 127.",
         fields.file(), input.scale, 127.0f * input.scale, input.clip_range);
  }
  return input;
}

WeightSpec ParseWeight(const Fields& fields) {
  fields.AllowOnly({"num_bits", "strategy", "symmetric"});
  AllowValue(fields, "strategy", "channel");
  AllowValue(fields, "symmetric", true);
  WeightSpec spec;
  spec.num_bits =
      static_cast<int>(fields.Int("num_bits", spec.num_bits, kMinWeightBits, kMaxWeightBits));
  return spec;
}

std::vector<float> ParseSmoothing(const Fields& list, int64_t channels) {
  if (!list.raw().is_array() || static_cast<int64_t>(list.raw().size()) != channels) {
    list.Refuse(fmt::format("a list of {} numbers", channels));
  }
  std::vector<float> smoothing;
  for (const Fields& element : list.Elements()) smoothing.push_back(Positive(element));
  return smoothing;
}

SitePlan ParseSite(const Fields& fields, int64_t channels) {
  fields.AllowOnly({"input", "weight", "smoothing"});
  const auto part = [&](const Fields& value) {
    return Fields(value.raw(), fmt::format("{}, {}", fields.file(), value.place()), "");
  };
  SitePlan site;
  site.input = ParseInput(part(fields.At("input")));
  if (const auto weight = fields.Find("weight")) site.weight = ParseWeight(part(*weight));
  if (const auto smoothing = fields.Find("smoothing")) {
    site.smoothing = ParseSmoothing(*smoothing, channels);
  }
  return site;
}

int64_t ChannelsOf(const std::string& site, const std::string& name,
                   std::span<const KnownSite> sites) {
  std::vector<std::string> names;
  for (const KnownSite& known : sites) {
    if (known.site == site) return known.channels;
    names.push_back(known.site);
  }
  Fail("{}: site '{}' does not exist in this model, which has {} sites.{}", name,
       site.substr(0, 64), sites.size(), DidYouMean(site.substr(0, 64), names));
}

}  // namespace

PlanFile ParsePlan(std::string_view text, const std::string& name,
                   std::span<const KnownSite> sites) {
  const auto json = ParseJson<FloatJson>(text, name, DoubledKeys::kRefused);
  const Fields fields(json, name, "");
  fields.AllowOnly({"version", "model_sha256", "sites"});
  if (fields.At("version").raw() != 1) fields.At("version").Refuse("1, which this build reads");
  PlanFile file;
  file.model_sha256 = fields.Text("model_sha256", "");
  for (const auto& [site, value] : fields.At("sites").Members()) {
    const int64_t channels = ChannelsOf(site, name, sites);
    if (value.raw().is_null()) continue;
    const std::string place = fmt::format("{}: site '{}'", name, site);
    file.plan.sites[site] = ParseSite(Fields(value.raw(), place, ""), channels);
  }
  return file;
}

PlanFile ReadPlan(const std::filesystem::path& path, std::span<const KnownSite> sites) {
  return ParsePlan(ReadFile(path, kMaxPlanBytes), path.string(), sites);
}

void CheckPlanModel(const PlanFile& file, const std::string& name,
                    const std::string& model_sha256) {
  if (file.model_sha256.empty() || file.model_sha256 == model_sha256) return;
  Fail(
      "{}: was made for the model with sha256 {}, but this one has {}. Make a plan for this model, "
      "or remove model_sha256 from the plan if it is meant for both.",
      name, file.model_sha256, model_sha256);
}

}  // namespace w8a8
