#include "reports/json_reader.h"

#include <limits>

#include "reports/json_writer.h"
#include "runtime/base/error.h"
#include "runtime/base/json_depth.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

// A report of 10,000 sites takes some 20 MB.
constexpr size_t kMaxReportBytes = size_t{512} << 20;

// A member of the document that knows where it stands, for messages.
class Member {
 public:
  Member(const Json& json, std::string where) : json_(json), where_(std::move(where)) {}

  bool Has(const std::string& key) const { return json_.is_object() && json_.contains(key); }
  bool IsNull() const { return json_.is_null(); }

  Member operator[](const std::string& key) const {
    if (!Has(key)) Fail("{}: the member '{}' is missing.", where_, key);
    return {json_[key], where_ + "." + key};
  }

  std::string Text() const {
    if (!json_.is_string()) FailKind("a text");
    return json_.get<std::string>();
  }
  bool Flag() const {
    if (!json_.is_boolean()) FailKind("true or false");
    return json_.get<bool>();
  }
  uint64_t Count() const {
    if (!json_.is_number_unsigned()) FailKind("a count");
    return json_.get<uint64_t>();
  }
  int64_t Integer() const {
    const bool fits = json_.is_number_unsigned()
                          ? json_.get<uint64_t>() <= uint64_t{std::numeric_limits<int64_t>::max()}
                          : json_.is_number_integer();
    if (!fits) FailKind("an integer");
    return json_.get<int64_t>();
  }
  // Null is a number that is not defined.
  double Number() const {
    if (json_.is_null()) return kUndefined;
    if (!json_.is_number()) FailKind("a number or null");
    return json_.get<double>();
  }
  Json Object() const {
    if (!json_.is_object()) FailKind("an object");
    return json_;
  }

  // read(element) for each element of a list.
  template <class Read>
  auto List(Read read) const {
    if (!json_.is_array()) FailKind("a list");
    std::vector<decltype(read(*this))> values;
    for (size_t i = 0; i < json_.size(); ++i) {
      values.push_back(read(Member(json_[i], fmt::format("{}[{}]", where_, i))));
    }
    return values;
  }
  // read(value) for each member of an object, by name.
  template <class Read>
  auto Map(Read read) const {
    if (!json_.is_object()) FailKind("an object");
    std::map<std::string, decltype(read(*this))> values;
    for (const auto& [key, value] : json_.items()) {
      values.emplace(key, read(Member(value, where_ + "." + key)));
    }
    return values;
  }

 private:
  [[noreturn]] void FailKind(const char* wanted) const {
    Fail("{} is {}; {} is expected.", where_, json_.type_name(), wanted);
  }

  const Json& json_;
  std::string where_;
};

// read(member) unless it is null or absent.
template <class Read>
auto Optional(const Member& parent, const std::string& key, Read read)
    -> std::optional<decltype(read(parent))> {
  if (!parent.Has(key) || parent[key].IsNull()) return std::nullopt;
  return read(parent[key]);
}

std::optional<double> OptionalNumber(const Member& parent, const std::string& key) {
  return Optional(parent, key, [](const Member& member) { return member.Number(); });
}

Estimate ReadEstimate(const Member& member) {
  if (member.IsNull()) return {};
  return {member["value"].Number(), member["low"].Number(), member["high"].Number()};
}

OutputErrors ReadOutputErrors(const Member& member) {
  OutputErrors errors;
  errors.sqnr_db = ReadEstimate(member["sqnr_db"]);
  errors.relative_l2 = ReadEstimate(member["relative_l2"]);
  errors.cosine_mean = ReadEstimate(member["cosine_mean"]);
  errors.cosine_p1 = ReadEstimate(member["cosine_p1"]);
  errors.max_abs = ReadEstimate(member["max_abs"]);
  errors.exact = member.Has("exact") && member["exact"].Flag();
  errors.nonfinite = member.Has("nonfinite") ? member["nonfinite"].Count() : 0;
  return errors;
}

ArmReport ReadArm(const Member& member) {
  const auto text = [](const Member& value) { return value.Text(); };
  ArmReport arm;
  arm.name = member["name"].Text();
  arm.precision = member["precision"].Text();
  arm.flavour = Optional(member, "flavour", text);
  arm.granularity = Optional(member, "granularity", text);
  arm.clip_range = OptionalNumber(member, "clip_range");
  arm.chosen = member["chosen"].Flag();
  arm.label = member.Has("label") ? member["label"].Text() : "";
  arm.outputs = member["outputs"].Map(ReadOutputErrors);
  arm.top1 = Optional(member, "top1", ReadEstimate);
  arm.top5 = Optional(member, "top5", ReadEstimate);
  arm.agreement = Optional(member, "agreement", ReadEstimate);
  arm.weight_bytes =
      Optional(member, "weight_bytes", [](const Member& value) { return value.Count(); });
  return arm;
}

SiteReport ReadSite(const Member& member) {
  SiteReport site;
  site.site = member["site"].Text();
  site.arm = member["arm"].Text();
  site.view = member["view"].Text();
  site.block = Optional(member, "block", [](const Member& value) { return value.Integer(); });
  site.sqnr_db = member["sqnr_db"].Number();
  site.exact = member.Has("exact") && member["exact"].Flag();
  site.relative_l2 = member["relative_l2"].Number();
  site.cosine = member["cosine"].Number();
  site.max_abs = member["max_abs"].Number();
  site.mean_error = member["mean_error"].Number();
  site.saturation = member["saturation"].Number();
  site.input_sqnr_db = OptionalNumber(member, "input_sqnr_db").value_or(kUndefined);
  site.nonfinite = member.Has("nonfinite") ? member["nonfinite"].Count() : 0;
  return site;
}

CheckCounts ReadCounts(const Member& member) {
  CheckCounts counts;
  counts.int32_compared = member["int32_compared"].Count();
  counts.int32_mismatches = member["int32_mismatches"].Count();
  counts.codes_compared = member["codes_compared"].Count();
  counts.code_mismatches = member["code_mismatches"].Count();
  const Member differences = member["code_differences"];
  counts.code_differences = {differences["0"].Count(), differences["1"].Count(),
                             differences["2+"].Count()};
  counts.outputs_compared = member["outputs_compared"].Count();
  counts.output_mismatches = member["output_mismatches"].Count();
  counts.nonfinite = member["nonfinite"].Count();
  return counts;
}

ChecksReport ReadChecks(const Member& member) {
  ChecksReport checks;
  checks.total = ReadCounts(member);
  checks.sites = member["sites"].List(
      [](const Member& site) { return std::pair(site["site"].Text(), ReadCounts(site)); });
  checks.passes = member["passes"].List([](const Member& pass) {
    return CheckPass{pass["name"].Text(), pass["images"].Count(), ReadCounts(pass)};
  });
  return checks;
}

PlanChoice ReadPlanChoice(const Member& member) {
  PlanChoice choice;
  choice.site = member["site"].Text();
  choice.granularity = member["granularity"].Text();
  choice.rule = member["rule"].Text();
  choice.clip_range = OptionalNumber(member, "clip_range");
  choice.scale = OptionalNumber(member, "scale");
  choice.candidates = member["candidates"].List([](const Member& candidate) {
    return PlanCandidate{candidate["rule"].Text(), candidate["clip_range"].Number(),
                         candidate["sqnr_db"].Number()};
  });
  return choice;
}

LatencyFigures ReadLatency(const Member& member) {
  LatencyFigures figures;
  figures.more = member.Map([](const Member& value) { return value.Number(); });
  figures.ms_per_image = member["ms_per_image"].Number();
  figures.more.erase("ms_per_image");
  return figures;
}

Json ParseFile(const std::filesystem::path& path) {
  const Json json =
      Json::parse(ReadJsonText(path, kMaxReportBytes), nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    Fail("{}: is not a JSON object; it may be cut short.", path.string());
  }
  return json;
}

}  // namespace

Report ReadReportJson(const std::filesystem::path& path) {
  const Json json = ParseFile(path);
  const Member root(json, path.string() + ": $");
  if (const std::string schema = root["schema"].Text(); schema != kReportSchema) {
    Fail("{}: has the schema '{}'; this program reads '{}'.", path.string(), schema, kReportSchema);
  }
  Report report;
  report.title = root["title"].Text();
  const Member verdict = root["verdict"];
  report.verdict = {verdict["ship"].Text(), verdict["arm"].Text(), verdict["text"].Text()};
  report.facts = root["facts"].Object();
  report.arms = root["arms"].List(ReadArm);
  report.sites = root["sites"].List(ReadSite);
  report.checks = ReadChecks(root["checks"]);
  report.skipped_images = root["skipped_images"].List([](const Member& skipped) {
    return SkippedFile{skipped["file"].Text(), skipped["reason"].Text()};
  });
  report.plan_choices = root["plan_choices"].List(ReadPlanChoice);
  report.health = root["health"].List([](const Member& note) {
    return HealthNote{note["level"].Text(), note["site"].Text(), note["text"].Text()};
  });
  return report;
}

RunInfo ReadRunJson(const std::filesystem::path& path) {
  const Json json = ParseFile(path);
  const Member root(json, path.string() + ": $");
  RunInfo run;
  run.command = root["command"].Text();
  run.host = root["host"].Text();
  run.device = root["device"].Text();
  run.kernels = root["kernels"].Text();
  run.threads = static_cast<int>(root["threads"].Integer());
  run.started = root["started"].Text();
  run.stages = root["stages"].List([](const Member& stage) {
    return StageTime{stage["name"].Text(), stage["seconds"].Number(),
                     stage["reference_forwards"].Number()};
  });
  run.peak_memory_bytes = root["peak_memory_bytes"].Count();
  run.latency = root["latency"].Map(ReadLatency);
  return run;
}

}  // namespace w8a8
