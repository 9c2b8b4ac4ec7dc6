#include "reports/json_writer.h"

#include <cmath>

#include "reports/text.h"

namespace w8a8 {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json Number(const std::optional<double>& value) { return Number(value.value_or(kUndefined)); }

Json Text(const std::string& text) { return ValidUtf8(text); }

Json Text(const std::optional<std::string>& text) { return text ? Text(*text) : Json(nullptr); }

Json ToJson(const Estimate& estimate) {
  if (std::isnan(estimate.value)) return nullptr;
  return {{"value", Number(estimate.value)},
          {"low", Number(estimate.low)},
          {"high", Number(estimate.high)}};
}

Json ToJson(const std::optional<Estimate>& estimate) {
  return estimate ? ToJson(*estimate) : Json(nullptr);
}

Json ToJson(const OutputErrors& errors) {
  Json json = {{"sqnr_db", ToJson(errors.sqnr_db)},
               {"relative_l2", ToJson(errors.relative_l2)},
               {"cosine_mean", ToJson(errors.cosine_mean)},
               {"cosine_p1", ToJson(errors.cosine_p1)},
               {"max_abs", ToJson(errors.max_abs)}};
  if (errors.exact) json["exact"] = true;
  if (errors.nonfinite > 0) json["nonfinite"] = errors.nonfinite;
  return json;
}

Json ToJson(const ArmReport& arm) {
  Json outputs = Json::object();
  for (const auto& [name, errors] : arm.outputs) outputs[name] = ToJson(errors);
  Json json = {{"name", Text(arm.name)},
               {"precision", Text(arm.precision)},
               {"flavour", Text(arm.flavour)},
               {"granularity", Text(arm.granularity)},
               {"clip_range", Number(arm.clip_range)},
               {"chosen", arm.chosen},
               {"outputs", std::move(outputs)},
               {"top1", ToJson(arm.top1)},
               {"top5", ToJson(arm.top5)},
               {"agreement", ToJson(arm.agreement)}};
  if (!arm.label.empty()) json["label"] = Text(arm.label);
  if (arm.weight_bytes) json["weight_bytes"] = *arm.weight_bytes;
  return json;
}

Json ToJson(const SiteReport& site) {
  Json json = {{"site", Text(site.site)}, {"arm", Text(site.arm)}, {"view", Text(site.view)}};
  if (site.block) json["block"] = *site.block;
  json["sqnr_db"] = Number(site.sqnr_db);
  if (site.exact) json["exact"] = true;
  json["relative_l2"] = Number(site.relative_l2);
  json["cosine"] = Number(site.cosine);
  json["max_abs"] = Number(site.max_abs);
  json["mean_error"] = Number(site.mean_error);
  json["saturation"] = Number(site.saturation);
  json["input_sqnr_db"] = Number(site.input_sqnr_db);
  json["nonfinite"] = site.nonfinite;
  return json;
}

Json ToJson(const CheckCounts& counts) {
  return {{"int32_compared", counts.int32_compared},
          {"int32_mismatches", counts.int32_mismatches},
          {"codes_compared", counts.codes_compared},
          {"code_mismatches", counts.code_mismatches},
          {"code_differences",
           {{"0", counts.code_differences[0]},
            {"1", counts.code_differences[1]},
            {"2+", counts.code_differences[2]}}},
          {"outputs_compared", counts.outputs_compared},
          {"output_mismatches", counts.output_mismatches},
          {"nonfinite", counts.nonfinite}};
}

// The members of `head`, then the counts.
Json Labelled(Json head, const CheckCounts& counts) {
  head.update(ToJson(counts));
  return head;
}

Json ToJson(const ChecksReport& checks) {
  Json json = ToJson(checks.total);
  json["sites"] = Json::array();
  for (const auto& [site, counts] : checks.sites) {
    json["sites"].push_back(Labelled(Json::object({{"site", Text(site)}}), counts));
  }
  json["passes"] = Json::array();
  for (const CheckPass& pass : checks.passes) {
    json["passes"].push_back(
        Labelled(Json::object({{"name", Text(pass.name)}, {"images", pass.images}}), pass.counts));
  }
  return json;
}

Json ToJson(const PlanChoice& choice) {
  Json candidates = Json::array();
  for (const PlanCandidate& candidate : choice.candidates) {
    candidates.push_back({{"rule", Text(candidate.rule)},
                          {"clip_range", Number(candidate.clip_range)},
                          {"sqnr_db", Number(candidate.sqnr_db)}});
  }
  return {{"site", Text(choice.site)},     {"granularity", Text(choice.granularity)},
          {"rule", Text(choice.rule)},     {"clip_range", Number(choice.clip_range)},
          {"scale", Number(choice.scale)}, {"candidates", std::move(candidates)}};
}

Json ToJson(const SkippedFile& skipped) {
  return {{"file", Text(skipped.file)}, {"reason", Text(skipped.reason)}};
}

Json ToJson(const HealthNote& note) {
  return {{"level", Text(note.level)}, {"site", Text(note.site)}, {"text", Text(note.text)}};
}

Json ToJson(const StageTime& stage) {
  return {{"name", Text(stage.name)},
          {"seconds", Number(stage.seconds)},
          {"reference_forwards", Number(stage.reference_forwards)}};
}

template <class T>
Json Array(const std::vector<T>& items) {
  Json json = Json::array();
  for (const T& item : items) json.push_back(ToJson(item));
  return json;
}

// Facts come from anywhere; a text in them that is not UTF-8 must not stop the report.
std::string Dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

Json ReportToJson(const Report& report) {
  return {{"schema", kReportSchema},
          {"title", Text(report.title)},
          {"verdict",
           {{"ship", Text(report.verdict.ship)},
            {"arm", Text(report.verdict.arm)},
            {"text", Text(report.verdict.text)}}},
          {"facts", report.facts.is_null() ? Json::object() : report.facts},
          {"arms", Array(report.arms)},
          {"sites", Array(report.sites)},
          {"checks", ToJson(report.checks)},
          {"skipped_images", Array(report.skipped_images)},
          {"plan_choices", Array(report.plan_choices)},
          {"health", Array(report.health)}};
}

Json RunToJson(const RunInfo& run) {
  Json latency = Json::object();
  for (const auto& [precision, figures] : run.latency) {
    latency[precision] = Json::object({{"ms_per_image", Number(figures.ms_per_image)}});
    for (const auto& [name, value] : figures.more) latency[precision][name] = Number(value);
  }
  return {{"command", Text(run.command)}, {"host", Text(run.host)},
          {"device", Text(run.device)},   {"kernels", Text(run.kernels)},
          {"threads", run.threads},       {"started", Text(run.started)},
          {"stages", Array(run.stages)},  {"peak_memory_bytes", run.peak_memory_bytes},
          {"latency", std::move(latency)}};
}

std::string ReportJsonText(const Report& report) { return Dump(ReportToJson(report)); }

std::string RunJsonText(const RunInfo& run) { return Dump(RunToJson(run)); }

}  // namespace w8a8
