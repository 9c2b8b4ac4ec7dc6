#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "quant/plan_file.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// With float as its number type the parser rounds decimals once, straight to binary32.
using Json =
    nlohmann::basic_json<std::map, std::vector, std::string, bool, int64_t, uint64_t, float>;

constexpr size_t kMaxPlanBytes = size_t{256} << 20;  // smoothing vectors for 1,000 wide sites
constexpr size_t kMaxDepth = 8;

// One object of the file, with its place for messages: "plan.json: site 'x', input".
class Fields {
 public:
  Fields(const Json& object, std::string place, std::initializer_list<const char*> known)
      : object_(object), place_(std::move(place)) {
    if (!object.is_object()) Refuse(fmt::format("is {}, not an object", Shown(object)));
    const std::vector<std::string> names(known.begin(), known.end());
    for (const auto& [name, value] : object.items()) {
      if (std::find(names.begin(), names.end(), name) != names.end()) continue;
      Refuse(fmt::format("has an unknown field '{}'.{}", name.substr(0, 64),
                         DidYouMean(name.substr(0, 64), names)));
    }
  }

  // nullptr if absent or null.
  const Json* Find(const char* name) const {
    const auto at = object_.find(name);
    return at == object_.end() || at->is_null() ? nullptr : &*at;
  }
  const Json& Get(const char* name) const {
    const Json* value = Find(name);
    if (value == nullptr) Refuse(fmt::format("'{}' is missing", name));
    return *value;
  }
  // Finite and > 0 in binary32.
  float Positive(const char* name) const { return Positive(name, Get(name)); }
  float Positive(const std::string& name, const Json& value) const {
    const float number = value.is_number() ? value.get<float>() : 0.0f;
    if (!(number > 0.0f) || std::isinf(number)) {
      Refuse(fmt::format("'{}' is {}; a finite number above 0 is wanted", name, Shown(value)));
    }
    return number;
  }
  // Absent, or exactly `only`: a setting that has one value here.
  void Only(const char* name, const Json& only) const {
    const Json* value = Find(name);
    if (value == nullptr || *value == only) return;
    Refuse(fmt::format("'{}' is {}; only {} is possible here", name, Shown(*value), only.dump()));
  }

  [[noreturn]] void Refuse(const std::string& problem) const {
    Fail("{} {}{}", place_, problem, problem.back() == '?' ? "" : ".");
  }
  static std::string Shown(const Json& value) {
    const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
    return text.size() <= 40 ? text : text.substr(0, 40) + "...";
  }

 private:
  const Json& object_;
  std::string place_;
};

// Doubled keys would silently hide one of the two; deep nesting has no meaning here.
class ParseGuard {
 public:
  explicit ParseGuard(const std::string& name) : name_(name) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    if (static_cast<size_t>(depth) > kMaxDepth) Fail("{}: nested too deeply for a plan.", name_);
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        Fail("{}: '{}' stands twice in one object. Keep one of them.", name_, key.substr(0, 64));
      }
    }
    return true;
  }

 private:
  const std::string& name_;
  std::vector<std::set<std::string>> keys_;
};

Json ParseJson(std::string_view text, const std::string& name) {
  try {
    return Json::parse(text.begin(), text.end(), ParseGuard(name));
  } catch (const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: …" without its label.
    const std::string_view what = error.what();
    const size_t label = what.find("] ");
    Fail("{}: is not JSON: {}.", name, label == what.npos ? what : what.substr(label + 2));
  }
}

Quantizer ParseInput(const Json& value, const std::string& place) {
  const Fields fields(value, place,
                      {"strategy", "dynamic", "clip_range", "scale", "num_bits", "symmetric"});
  const Json& strategy = fields.Get("strategy");
  const bool per_tensor = strategy == "tensor";
  if (!per_tensor && strategy != "token") {
    fields.Refuse(fmt::format("'strategy' is {}; \"token\" and \"tensor\" are possible",
                              Fields::Shown(strategy)));
  }
  fields.Only("dynamic", Json(!per_tensor));
  fields.Only("num_bits", Json(8));
  fields.Only("symmetric", Json(true));

  Quantizer input;
  if (fields.Find("clip_range") != nullptr) input.clip_range = fields.Positive("clip_range");
  if (!per_tensor) {
    if (fields.Find("scale") != nullptr) {
      fields.Refuse(
          "has a 'scale', but strategy \"token\" computes one for every row. Remove it "
          "or take strategy \"tensor\"");
    }
    return input;
  }
  input.granularity = Granularity::kTensor;
  input.scale = fields.Positive("scale");
  if (std::isinf(1.0f / input.scale)) {
    fields.Refuse(fmt::format("'scale' is {}; its reciprocal overflows binary32", input.scale));
  }
  if (input.scale > input.clip_range / 127.0f) {
    fields.Refuse(
        fmt::format("'scale' {} reaches {}, beyond 'clip_range' {}. A scale is at most "
                    "clip_range / 127",
                    input.scale, 127.0f * input.scale, input.clip_range));
  }
  return input;
}

WeightSpec ParseWeight(const Json& value, const std::string& place) {
  const Fields fields(value, place, {"num_bits", "strategy", "symmetric"});
  fields.Only("strategy", Json("channel"));
  fields.Only("symmetric", Json(true));
  WeightSpec spec;
  if (const Json* bits = fields.Find("num_bits")) {
    const bool whole = bits->is_number_integer();
    spec.num_bits = whole ? static_cast<int>(std::clamp<int64_t>(bits->get<int64_t>(), 0, 99)) : 0;
    if (spec.num_bits < kMinWeightBits || spec.num_bits > kMaxWeightBits) {
      fields.Refuse(fmt::format("'num_bits' is {}; {} to {} are possible", Fields::Shown(*bits),
                                kMinWeightBits, kMaxWeightBits));
    }
  }
  return spec;
}

std::vector<float> ParseSmoothing(const Fields& site, const Json& value, int64_t channels) {
  if (!value.is_array() || static_cast<int64_t>(value.size()) != channels) {
    site.Refuse(fmt::format(
        "'smoothing' is {}; a list of {} numbers is wanted",
        value.is_array() ? fmt::format("a list of {}", value.size()) : Fields::Shown(value),
        channels));
  }
  std::vector<float> smoothing;
  for (size_t i = 0; i < value.size(); ++i) {
    smoothing.push_back(site.Positive(fmt::format("smoothing[{}]", i), value[i]));
  }
  return smoothing;
}

SitePlan ParseSite(const Json& value, const std::string& place, int64_t channels) {
  const Fields fields(value, place, {"input", "weight", "smoothing"});
  SitePlan site;
  site.input = ParseInput(fields.Get("input"), place + ", input");
  if (const Json* weight = fields.Find("weight")) {
    site.weight = ParseWeight(*weight, place + ", weight");
  }
  if (const Json* smoothing = fields.Find("smoothing")) {
    site.smoothing = ParseSmoothing(fields, *smoothing, channels);
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
  const Json json = ParseJson(text, name);
  const Fields fields(json, name + ":", {"version", "model_sha256", "sites"});
  if (fields.Get("version") != Json(1)) {
    fields.Refuse(fmt::format("has version {}; this build reads version 1",
                              Fields::Shown(fields.Get("version"))));
  }
  PlanFile file;
  if (const Json* sha256 = fields.Find("model_sha256")) {
    if (!sha256->is_string()) fields.Refuse("'model_sha256' is not text");
    file.model_sha256 = sha256->get<std::string>();
  }
  const Json& planned = fields.Get("sites");
  if (!planned.is_object()) fields.Refuse("'sites' is not an object");
  for (const auto& [site, value] : planned.items()) {
    const int64_t channels = ChannelsOf(site, name, sites);
    if (value.is_null()) continue;
    file.plan.sites[site] = ParseSite(value, fmt::format("{}: site '{}'", name, site), channels);
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
