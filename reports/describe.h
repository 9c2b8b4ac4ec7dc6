// Every record of a report described once. Describe<Record>(field) calls
//   field(name, &Record::member, traits)   for each member, in the order of report.json
//   field.Inline(name, &Record::member)    for a record whose members stand among its owner's
// with the names that report.json, report.h5 and the page's templates have for it. The writers and
// readers are such `field`s (json_writer, json_reader, hdf5_writer, card_file, html_tables): a
// member added here is in all of them, but for a column of the page, which report.mustache places.
#pragma once

#include <cmath>

#include "reports/report.h"
#include "reports/text.h"

namespace w8a8 {

enum class Presence : uint8_t {
  kAlways,         // in JSON; optional ones as null
  kLater,          // written always, but older files are without it: read as its default
  kUnlessDefault,  // written only where it differs from its default
};

template <class Record>
struct FieldTraits {
  Presence presence = Presence::kAlways;
  std::string (*shown)(double) = FormatShort;  // a number as the page has it
  // What an optional number that is none is in a table of report.h5.
  double (*none)(const Record&) = [](const Record&) { return kUndefined; };
};

inline double NoClip(const PlanChoice& /*choice*/) { return HUGE_VAL; }
inline double NoClip(const ArmReport& arm) { return IsSweepPoint(arm) ? HUGE_VAL : kUndefined; }

template <class Field>
void DescribeMembers(Field& field, const Estimate*) {
  field("value", &Estimate::value);
  field("low", &Estimate::low);
  field("high", &Estimate::high);
}

template <class Field>
void DescribeMembers(Field& field, const Verdict*) {
  field("ship", &Verdict::ship);
  field("arm", &Verdict::arm);
  field("text", &Verdict::text);
  field("notes", &Verdict::notes, {.presence = Presence::kUnlessDefault});
}

template <class Field>
void DescribeMembers(Field& field, const OutputErrors*) {
  using R = OutputErrors;
  field("sqnr_db", &R::sqnr_db, {.shown = FormatDb});
  field("relative_l2", &R::relative_l2);
  field("cosine_mean", &R::cosine_mean, {.shown = FormatFraction});
  field("cosine_p1", &R::cosine_p1, {.shown = FormatFraction});
  field("max_abs", &R::max_abs);
  field("exact", &R::exact, {.presence = Presence::kUnlessDefault});
  field("nonfinite", &R::nonfinite, {.presence = Presence::kUnlessDefault});
}

template <class Field>
void DescribeMembers(Field& field, const ArmReport*) {
  using R = ArmReport;
  field("name", &R::name);
  field("precision", &R::precision);
  field("flavour", &R::flavour);
  field("granularity", &R::granularity);
  field("clip_range", &R::clip_range, {.none = NoClip});
  field("chosen", &R::chosen);
  field("outputs", &R::outputs);
  field("top1", &R::top1, {.shown = FormatShare});
  field("top5", &R::top5, {.shown = FormatShare});
  field("agreement", &R::agreement, {.shown = FormatShare});
  field("part", &R::part, {.presence = Presence::kUnlessDefault});
  field("scheme", &R::scheme, {.presence = Presence::kUnlessDefault});
  field("compressed_tensors", &R::compressed_tensors, {.presence = Presence::kUnlessDefault});
  field("vllm", &R::vllm, {.presence = Presence::kUnlessDefault});
  field("label", &R::label, {.presence = Presence::kUnlessDefault});
  field("weight_bytes", &R::weight_bytes, {.presence = Presence::kUnlessDefault});
  field("routing_changed", &R::routing_changed,
        {.presence = Presence::kUnlessDefault, .shown = FormatShare});
}

// What a site and a block's attention are judged by.
template <class R, class Field>
void DescribeErrors(Field& field) {
  field("sqnr_db", &R::sqnr_db, {.shown = FormatDb});
  field("exact", &R::exact, {.presence = Presence::kUnlessDefault});
  field("relative_l2", &R::relative_l2);
  field("cosine", &R::cosine, {.shown = FormatFraction});
  field("max_abs", &R::max_abs);
  field("mean_error", &R::mean_error);
}

template <class Field>
void DescribeMembers(Field& field, const SiteReport*) {
  using R = SiteReport;
  field("site", &R::site);
  field("arm", &R::arm);
  field("view", &R::view);
  field("block", &R::block, {.presence = Presence::kUnlessDefault});
  DescribeErrors<R>(field);
  field("saturation", &R::saturation);
  field("input_sqnr_db", &R::input_sqnr_db, {.presence = Presence::kLater, .shown = FormatDb});
  field("nonfinite", &R::nonfinite, {.presence = Presence::kLater});
  field("weight_share", &R::weight_share,
        {.presence = Presence::kUnlessDefault, .shown = FormatShare});
}

template <class Field>
void DescribeMembers(Field& field, const AttentionReport*) {
  using R = AttentionReport;
  field("block", &R::block);
  field("arm", &R::arm);
  field("view", &R::view);
  DescribeErrors<R>(field);
  field("nonfinite", &R::nonfinite);
}

template <class Field>
void DescribeMembers(Field& field, const CodeDifferences*) {
  field("0", &CodeDifferences::none);
  field("1", &CodeDifferences::one);
  field("2+", &CodeDifferences::more);
}

template <class Field>
void DescribeMembers(Field& field, const CheckCounts*) {
  using R = CheckCounts;
  field("int32_compared", &R::int32_compared);
  field("int32_mismatches", &R::int32_mismatches);
  field("codes_compared", &R::codes_compared);
  field("code_mismatches", &R::code_mismatches);
  field("code_differences", &R::code_differences);
  field("outputs_compared", &R::outputs_compared);
  field("output_mismatches", &R::output_mismatches);
  field("float_outputs_compared", &R::float_outputs_compared,
        {.presence = Presence::kUnlessDefault});
  field("float_output_mismatches", &R::float_output_mismatches,
        {.presence = Presence::kUnlessDefault});
  field("nonfinite", &R::nonfinite);
}

template <class Field>
void DescribeMembers(Field& field, const CheckedSite*) {
  field("site", &CheckedSite::site);
  field.Inline("counts", &CheckedSite::counts);
}

template <class Field>
void DescribeMembers(Field& field, const CheckPass*) {
  field("name", &CheckPass::name);
  field("images", &CheckPass::images);
  field.Inline("counts", &CheckPass::counts);
}

template <class Field>
void DescribeMembers(Field& field, const ChecksReport*) {
  field.Inline("total", &ChecksReport::total);
  field("sites", &ChecksReport::sites);
  field("passes", &ChecksReport::passes);
}

template <class Field>
void DescribeMembers(Field& field, const ExpertReport*) {
  using R = ExpertReport;
  field("block", &R::block);
  field("expert", &R::expert);
  field("tokens", &R::tokens);
  field("share", &R::share, {.shown = FormatShare});
  field("images", &R::images);
  field("calibration_tokens", &R::calibration_tokens, {.presence = Presence::kUnlessDefault});
  field("below_minimum", &R::below_minimum);
}

template <class Field>
void DescribeMembers(Field& field, const RoutingReport*) {
  using R = RoutingReport;
  field("arm", &R::arm);
  field("block", &R::block);
  field("tokens", &R::tokens);
  field("routing_changed", &R::routing_changed, {.shown = FormatShare});
}

template <class Field>
void DescribeMembers(Field& field, const SkippedFile*) {
  field("file", &SkippedFile::file);
  field("reason", &SkippedFile::reason);
}

template <class Field>
void DescribeMembers(Field& field, const PlanCandidate*) {
  field("rule", &PlanCandidate::rule);
  field("clip_range", &PlanCandidate::clip_range);
  field("sqnr_db", &PlanCandidate::sqnr_db, {.shown = FormatDb});
}

template <class Field>
void DescribeMembers(Field& field, const PlanChoice*) {
  using R = PlanChoice;
  field("site", &R::site);
  field("granularity", &R::granularity);
  field("rule", &R::rule);
  field("clip_range", &R::clip_range, {.none = NoClip});
  field("scale", &R::scale);
  field("zero_point", &R::zero_point, {.presence = Presence::kUnlessDefault});
  field("output_scale", &R::output_scale, {.presence = Presence::kUnlessDefault});
  field("layer", &R::layer, {.presence = Presence::kLater});
  field("candidates", &R::candidates);
}

template <class Field>
void DescribeMembers(Field& field, const HealthNote*) {
  field("level", &HealthNote::level);
  field("site", &HealthNote::site);
  field("text", &HealthNote::text);
}

// All but the cards and the worst images, which are too large for JSON (card_file.h).
template <class Field>
void DescribeMembers(Field& field, const Report*) {
  using R = Report;
  field("title", &R::title);
  field("verdict", &R::verdict);
  field("facts", &R::facts);
  field("arms", &R::arms);
  field("sites", &R::sites);
  field("attention", &R::attention, {.presence = Presence::kUnlessDefault});
  field("checks", &R::checks);
  field("experts", &R::experts, {.presence = Presence::kLater});
  field("routing", &R::routing, {.presence = Presence::kLater});
  field("min_expert_tokens", &R::min_expert_tokens, {.presence = Presence::kUnlessDefault});
  field("skipped_images", &R::skipped_images);
  field("plan_choices", &R::plan_choices);
  field("health", &R::health);
}

template <class Field>
void DescribeMembers(Field& field, const StageTime*) {
  field("name", &StageTime::name);
  field("seconds", &StageTime::seconds, {.shown = FormatDb});
  field("reference_forwards", &StageTime::reference_forwards, {.shown = FormatDb});
}

template <class Field>
void DescribeMembers(Field& field, const LatencyFigures*) {
  field("ms_per_image", &LatencyFigures::ms_per_image, {.shown = FormatDb});
}

template <class Field>
void DescribeMembers(Field& field, const SiteLatency*) {
  field("site", &SiteLatency::site);
  field("fp16_ms", &SiteLatency::fp16_ms, {.shown = FormatDb});
  field("int8_ms", &SiteLatency::int8_ms, {.shown = FormatDb});
}

template <class Field>
void DescribeMembers(Field& field, const RunInfo*) {
  using R = RunInfo;
  field("command", &R::command);
  field("host", &R::host);
  field("device", &R::device);
  field("kernels", &R::kernels);
  field("float_products", &R::float_products, {.presence = Presence::kLater});
  field("reference_attention", &R::reference_attention, {.presence = Presence::kLater});
  field("attention", &R::attention, {.presence = Presence::kLater});
  field("threads", &R::threads);
  field("started", &R::started);
  field("stages", &R::stages);
  field("peak_memory_bytes", &R::peak_memory_bytes);
  field("latency", &R::latency);
  field("site_latency", &R::site_latency, {.presence = Presence::kLater});
}

// Both but for the site, which names the group, and the pixels.
template <class Field>
void DescribeMembers(Field& field, const OutlierMap*) {
  field("map_image", &OutlierMap::image);
  field("map_tokens_per_row", &OutlierMap::tokens_per_row);
  field("map_channels_per_column", &OutlierMap::channels_per_column);
}

template <class Field>
void DescribeMembers(Field& field, const SiteCard*) {
  using R = SiteCard;
  field("bin_edge", &R::bin_edge);
  field("negative_count", &R::negative_count);
  field("positive_count", &R::positive_count);
  field("zero_count", &R::zero_count);
  field("nan_count", &R::nan_count);
  field("infinite_count", &R::infinite_count);
  field("absmax", &R::absmax);
  field("clip", &R::clip);
  field("clip_mse", &R::clip_mse);
  field("channels", &R::channels);
  field("channels_per_point", &R::channels_per_point);
  field("channel_absmax", &R::channel_absmax);
  field("channel_absmax_median", &R::channel_absmax_median);
  field("top_channel", &R::top_channel);
  field("top_channel_absmax", &R::top_channel_absmax);
  field("tokens", &R::tokens);
  field("tokens_per_point", &R::tokens_per_point);
  field("position_scale", &R::position_scale);
  field("position_scale_mean", &R::position_scale_mean);
  field("code_count", &R::code_count);
}

// But for the thumbnail.
template <class Field>
void DescribeMembers(Field& field, const WorstImage*) {
  using R = WorstImage;
  field("file", &R::file);
  field("sqnr_db", &R::sqnr_db, {.shown = FormatDb});
  field("cosine", &R::cosine, {.shown = FormatFraction});
  field("reference_answer", &R::reference_answer);
  field("answer", &R::answer);
  field("accepted", &R::accepted);
}

template <class Record, class Field>
void Describe(Field&& field) {
  DescribeMembers(field, static_cast<const Record*>(nullptr));
}

// Kinds of members, by which writers and readers tell them apart.
struct NoField;
template <class T>
concept Described = requires(NoField& field, const T* record) {
  DescribeMembers(field, record);
};
template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsList = false;
template <class T>
inline constexpr bool kIsList<std::vector<T>> = true;
template <class T>
inline constexpr bool kIsMap = false;
template <class T>
inline constexpr bool kIsMap<std::map<std::string, T>> = true;

}  // namespace w8a8
