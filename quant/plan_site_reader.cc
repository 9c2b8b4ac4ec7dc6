#include "quant/plan_site_reader.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "runtime/base/error.h"

namespace w8a8 {
namespace {

using Fields = JsonView<FloatJson>;

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

// One of two words, the first where it is absent; true for the second.
bool IsSecondWord(const Fields& fields, const char* key, const char* first, const char* second) {
  const std::optional<Fields> value = fields.Find(key);
  if (!value || value->raw() == first) return false;
  if (value->raw() != second) value->Refuse(fmt::format("\"{}\" or \"{}\"", first, second));
  return true;
}

// Fields that version 2 added, named in a file of version 1.
void KeepForVersion2(const Fields& fields, const PlanContext& context,
                     std::initializer_list<const char*> keys) {
  if (context.version > 1) return;
  for (const char* key : keys) {
    if (!fields.raw().is_object() || !fields.raw().contains(key)) continue;
    Fail("{} has '{}', which a plan of \"version\": 2 may have; this one says 1.", fields.file(),
         key);
  }
}

int64_t GroupSize(const Fields& fields, Granularity granularity) {
  if (granularity == Granularity::kGroup) return fields.At("group_size").Int(1, kMaxInputs);
  if (fields.Has("group_size")) {
    Fail("{} has a 'group_size', but its strategy is not \"group\". Remove one of the two.",
         fields.file());
  }
  return 0;
}

Granularity InputStrategy(const Fields& strategy, int version) {
  if (strategy.raw() == "token") return Granularity::kToken;
  if (strategy.raw() == "tensor") return Granularity::kTensor;
  if (strategy.raw() == "group" && version > 1) return Granularity::kGroup;
  strategy.Refuse(version > 1 ? R"("token", "group" or "tensor")"
                              : R"("token" or "tensor", or in version 2 "group")");
}

// The range that a static quantizer has, beside its clip range.
void ParseStaticRange(const Fields& fields, Quantizer& input) {
  input.scale = Positive(fields.At("scale"));
  if (std::isinf(1.0f / input.scale)) {
    Fail("{}: 'scale' is {}; its reciprocal overflows binary32.", fields.file(), input.scale);
  }
  if (!input.symmetric) {
    input.zero_point =
        static_cast<int32_t>(fields.At("zero_point").Int(kLowestInt8, Quantizer::kHighestCode));
    if (input.clip_range == kNoClip) return;
    Fail("{}: 'scale' and 'zero_point' say the range; 'clip_range' {} beside them contradicts.",
         fields.file(), input.clip_range);
  }
  if (input.scale > input.clip_range / 127.0f) {
    Fail("{}: 'scale' {} reaches {}, beyond 'clip_range' {}. A scale is at most clip_range / 127.",
         fields.file(), input.scale, 127.0f * input.scale, input.clip_range);
  }
}

Quantizer ParseInput(const Fields& fields, const PlanContext& context) {
  KeepForVersion2(fields, context, {"zero_point", "group_size"});
  fields.AllowOnly({"strategy", "dynamic", "clip_range", "scale", "num_bits", "symmetric",
                    "zero_point", "group_size"});
  Quantizer input;
  input.granularity = InputStrategy(fields.At("strategy"), context.version);
  const bool fixed = input.is_static();
  AllowValue(fields, "dynamic", !fixed);
  AllowValue(fields, "num_bits", 8);
  if (context.version == 1) AllowValue(fields, "symmetric", true);
  input.symmetric = fields.Bool("symmetric", true);
  input.group_size = GroupSize(fields, input.granularity);
  if (const auto clip_range = fields.Find("clip_range")) input.clip_range = Positive(*clip_range);
  if (!fixed && fields.Has("scale")) {
    Fail(
        "{} has a 'scale', but strategy {} computes one for every row. Remove it or take "
        "strategy \"tensor\".",
        fields.file(), fields.At("strategy").raw().dump());
  }
  if (fields.Has("zero_point") && (input.symmetric || !fixed)) {
    Fail(
        "{} has a 'zero_point', which goes with strategy \"tensor\" and \"symmetric\": false; a "
        "dynamic input finds its own.",
        fields.file());
  }
  if (fixed) ParseStaticRange(fields, input);
  return input;
}

Granularity WeightStrategy(const Fields& fields) {
  const std::optional<Fields> strategy = fields.Find("strategy");
  if (!strategy || strategy->raw() == "channel") return Granularity::kChannel;
  if (strategy->raw() == "tensor") return Granularity::kTensor;
  if (strategy->raw() == "group") return Granularity::kGroup;
  strategy->Refuse(R"("channel", "group" or "tensor")");
}

WeightSpec ParseWeight(const Fields& fields, const PlanContext& context) {
  KeepForVersion2(fields, context, {"group_size", "rounding", "convention"});
  fields.AllowOnly({"num_bits", "strategy", "symmetric", "group_size", "rounding", "convention"});
  if (context.version == 1) {
    AllowValue(fields, "strategy", "channel");
    AllowValue(fields, "symmetric", true);
  }
  WeightSpec spec;
  spec.num_bits =
      static_cast<int>(fields.Int("num_bits", spec.num_bits, kMinWeightBits, kMaxWeightBits));
  spec.granularity = WeightStrategy(fields);
  spec.group_size = GroupSize(fields, spec.granularity);
  spec.symmetric = fields.Bool("symmetric", true);
  if (IsSecondWord(fields, "convention", "native", "vllm")) {
    spec.convention = WeightConvention::kVllm;
  }
  return spec;
}

Quantizer ParseOutput(const Fields& fields) {
  fields.AllowOnly({"strategy", "dynamic", "scale", "num_bits", "symmetric"});
  AllowValue(fields, "strategy", "tensor");
  AllowValue(fields, "dynamic", false);
  AllowValue(fields, "num_bits", 8);
  AllowValue(fields, "symmetric", true);
  return Quantizer::Static(Positive(fields.At("scale")));
}

Rotation ParseRotation(const Fields& fields) {
  fields.AllowOnly({"block", "mix", "seed"});
  Rotation rotation;
  rotation.block = fields.At("block").Int(2, kMaxInputs);
  rotation.mix = fields.Bool("mix", false);
  rotation.seed =
      static_cast<uint64_t>(fields.Int("seed", 0, 0, static_cast<int64_t>(kMaxRotationSeed)));
  return rotation;
}

std::vector<float> ParseSmoothing(const Fields& list, int64_t channels) {
  const auto given = static_cast<int64_t>(list.raw().size());
  const bool fits = list.raw().is_array() && (channels > 0 ? given == channels : given > 0);
  if (!fits) {
    list.Refuse(channels > 0 ? fmt::format("a list of {} numbers", channels) : "a list of numbers");
  }
  std::vector<float> smoothing;
  for (const Fields& element : list.Elements()) smoothing.push_back(Positive(element));
  return smoothing;
}

PlanTensors& TensorsFor(const std::string& place, const char* what, const PlanContext& context) {
  if (context.tensors != nullptr) return *context.tensors;
  Fail("{} has {}, whose values stand in a file beside the plan, but the plan names no 'tensors'.",
       place, what);
}

// A member as a value of its own, whose messages begin with "plan.json: site 'x', input".
Fields Part(const Fields& value) {
  return {value.raw(), fmt::format("{}, {}", value.file(), value.place()), ""};
}

void ParseTransform(const Fields& fields, const KnownSite& known, const PlanContext& context,
                    const std::string& place, SitePlan& site) {
  fields.AllowOnly({"smoothing", "rotation"});
  if (fields.Bool("smoothing", false)) {
    if (!site.smoothing.empty()) {
      Fail("{} has two smoothing vectors, a list and one of 'tensors'. Keep one of them.", place);
    }
    PlanTensors& tensors = TensorsFor(place, "smoothing", context);
    site.smoothing = tensors.Smoothing(place, known.site, known.channels);
  }
  if (const auto rotation = fields.Find("rotation")) site.rotation = ParseRotation(Part(*rotation));
}

// The site's K or, where it is not known, one that contradicts nothing in the plan: its vectors'
// length, or a power of two that every rotation's block divides.
int64_t InputsOf(const KnownSite& known, const SitePlan& site) {
  if (known.channels > 0) return known.channels;
  if (!site.smoothing.empty()) return static_cast<int64_t>(site.smoothing.size());
  if (site.given.value) return site.given.value->weight.k;
  constexpr int64_t kAnyInputs = 32768;
  return std::max(kAnyInputs, site.rotation ? site.rotation->block : 0);
}

// The weights, and the codes for them that the plan gives.
void ParseWeightOf(const Fields& fields, const KnownSite& known, const PlanContext& context,
                   SitePlan& site) {
  const std::optional<Fields> weight = fields.Find("weight");
  if (!weight) {
    const bool is_null = fields.raw().contains("weight");
    if (context.version > 1 && is_null) site.weight.reset();
    return;
  }
  const Fields part = Part(*weight);
  site.weight = ParseWeight(part, context);
  if (!IsSecondWord(part, "rounding", "nearest", "given")) return;
  PlanTensors& tensors = TensorsFor(fields.file(), "given codes", context);
  site.given.value = std::make_shared<const GivenWeights>(
      tensors.Given(fields.file(), known.site, *site.weight, known.outputs, known.channels));
}

}  // namespace

SitePlan ParseSitePlan(const JsonView<FloatJson>& fields, const KnownSite& known,
                       const PlanContext& context) {
  const std::string& place = fields.file();
  KeepForVersion2(fields, context, {"output", "transform", "first_row_twice"});
  fields.AllowOnly({"input", "weight", "smoothing", "output", "transform", "first_row_twice"});
  SitePlan site;
  const Fields input = fields.At("input");
  site.input.reset();
  if (context.version == 1 || !input.raw().is_null()) {
    site.input = ParseInput(Part(input), context);
  }
  ParseWeightOf(fields, known, context, site);
  if (const auto output = fields.Find("output")) site.output = ParseOutput(Part(*output));
  if (const auto smoothing = fields.Find("smoothing")) {
    site.smoothing = ParseSmoothing(*smoothing, known.channels);
  }
  if (const auto transform = fields.Find("transform")) {
    ParseTransform(Part(*transform), known, context, place, site);
  }
  site.first_row_twice = fields.Bool("first_row_twice", false);
  CheckSitePlan(place, site, InputsOf(known, site));
  return site;
}

}  // namespace w8a8
