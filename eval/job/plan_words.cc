#include "eval/job/plan_words.h"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "eval/export/compressed_scheme.h"
#include "eval/export/inexpressible.h"
#include "eval/export/vllm_scheme.h"
#include "eval/run/stored_plan.h"
#include "quant/weight_codes.h"

namespace w8a8 {
namespace {

std::string GroupText(Granularity granularity, int64_t group_size) {
  const bool groups = granularity == Granularity::kGroup;
  return fmt::format("{}{}", NameOf(granularity), groups ? fmt::format(" {}", group_size) : "");
}

std::string WeightText(const WeightSpec& weight) {
  const bool native = weight.convention == WeightConvention::kNative;
  return fmt::format("weights {} bits {}{}{}", weight.num_bits,
                     GroupText(weight.granularity, weight.group_size),
                     weight.symmetric ? "" : " with zero points",
                     native ? "" : fmt::format(", {} convention", NameOf(weight.convention)));
}

std::string InputText(const std::optional<Quantizer>& input) {
  if (!input) return "; input FP16";
  return fmt::format("; input {}{}", GroupText(input->granularity, input->group_size),
                     input->symmetric ? "" : " with zero points");
}

std::string TransformText(const SitePlan& plan) {
  std::string text;
  if (!plan.smoothing.empty()) text += "; smoothing";
  if (plan.rotation) {
    text += fmt::format("; rotation of {}{}", plan.rotation->block,
                        plan.rotation->mix ? ", mixed" : "");
  }
  return text;
}

// A scheme whose plans have this quantizer of their inputs, and its other parts from `scheme`.
void SetInput(const std::optional<Quantizer>& input, Scheme* scheme) {
  scheme->input.reset();
  if (!input) return;
  scheme->input = input->granularity;
  scheme->input_group = input->group_size;
  scheme->symmetric = input->symmetric;
}

// The plan with what a scheme does not say as SitePlanOf() has it.
SitePlan WithoutScales(SitePlan plan) {
  for (std::optional<Quantizer>* quantizer : {&plan.input, &plan.output}) {
    if (!*quantizer) continue;
    (*quantizer)->clip_range = kNoClip;
    (*quantizer)->scale = 0.0f;
    (*quantizer)->zero_point = 0;
  }
  plan.given = {};
  return plan;
}

// "CompressedTensorsW8A8Int8"; "CompressedTensorsWNA8Int, which computes otherwise: …"; "refused:
// …".
std::string VllmWords(const SitePlan& plan, CompressedFormat format) {
  const VllmScheme scheme = VllmSchemeOf(plan, format);
  const std::string name =
      scheme.name.empty() ? "" : fmt::format("CompressedTensors{}", scheme.name);
  switch (scheme.verdict) {
    case VllmVerdict::kAsPlanned:
      return scheme.note.empty() ? name : fmt::format("{} ({})", name, scheme.note);
    case VllmVerdict::kOtherwise:
      return fmt::format("{}, which computes something else: {}", name, scheme.note);
    case VllmVerdict::kRefused:
      break;
  }
  return fmt::format("refused{}: {}", name.empty() ? "" : " by " + name, scheme.note);
}

// The words of one site's codes in a folder.
PlanWords WordsInFolder(const SitePlan& plan, CompressedFormat format) {
  const std::optional<Scheme> scheme = SchemeOf(plan);
  return {scheme ? SchemeName(*scheme) : "",
          fmt::format("{}; {}", NameOf(format),
                      scheme ? CompressedTensorsText(*scheme) : LayerText(plan)),
          VllmWords(plan, format)};
}

// The words of one site's plan; `inputs` of its layer, 0: not known.
PlanWords WordsOfSite(const SitePlan& plan, int64_t inputs) {
  const SitePlan as_run = inputs > 0 ? Normalized(plan, inputs) : plan;
  const std::string_view why = WhyInexpressible(as_run, inputs);
  if (why.empty() && as_run.weight) {
    return WordsInFolder(as_run, CompressedSchemeOf(as_run).format);
  }
  const std::optional<Scheme> scheme = SchemeOf(as_run);
  const std::string reason = why.empty() ? "" : fmt::format("; not exported: {}", why);
  return {scheme ? SchemeName(*scheme) : "", LayerText(as_run) + reason, "none"};
}

// "40 sites: a. 8 sites: b."
std::string Counted(const std::vector<std::pair<std::string, size_t>>& texts) {
  if (texts.size() == 1) return texts.front().first;
  std::string counted;
  for (const auto& [text, sites] : texts) {
    counted += fmt::format("{}{} site{}: {}.", counted.empty() ? "" : " ", sites,
                           sites == 1 ? "" : "s", text);
  }
  return counted;
}

void Count(const std::string& text, std::vector<std::pair<std::string, size_t>>* texts) {
  const auto same = std::find_if(texts->begin(), texts->end(),
                                 [&](const auto& entry) { return entry.first == text; });
  if (same != texts->end()) {
    ++same->second;
  } else {
    texts->emplace_back(text, 1);
  }
}

PlanWords Joined(const std::vector<PlanWords>& sites) {
  std::vector<std::pair<std::string, size_t>> schemes, compressed_tensors, vllm;
  for (const PlanWords& site : sites) {
    Count(site.scheme, &schemes);
    Count(site.compressed_tensors, &compressed_tensors);
    Count(site.vllm, &vllm);
  }
  if (schemes.empty()) return {};
  return {schemes.size() == 1 ? schemes.front().first : "", Counted(compressed_tensors),
          Counted(vllm)};
}

}  // namespace

std::string LayerText(const SitePlan& plan) {
  std::string text = plan.weight ? WeightText(*plan.weight) : "weights FP16";
  text += InputText(plan.input);
  if (plan.first_row_twice) text += ", first row twice";
  if (plan.output) text += "; output 8 bits";
  text += TransformText(plan);
  if (plan.given.value) text += "; codes given";
  return text;
}

std::optional<Scheme> SchemeOf(const SitePlan& plan) {
  if (!plan.weight) return std::nullopt;
  Scheme scheme;
  scheme.weight_bits = plan.weight->num_bits;
  scheme.weight_group = plan.weight->group_size;
  scheme.convention = plan.weight->convention;
  SetInput(plan.input, &scheme);
  scheme.output = plan.output.has_value();
  if (!(SitePlanOf(scheme) == WithoutScales(plan))) return std::nullopt;
  return scheme;
}

PlanWords WordsOf(const Plan& plan, const Graph* graph) {
  std::vector<PlanWords> sites;
  for (const auto& [site, site_plan] : plan.sites) {
    sites.push_back(WordsOfSite(site_plan, graph == nullptr ? 0 : graph->InputsOf(site)));
  }
  return Joined(sites);
}

PlanWords WordsOfStored(const EncoderWeights& weights, const Graph& graph) {
  std::vector<PlanWords> sites;
  for (const auto& [site, plan] : StoredPlan(weights, graph).sites) {
    sites.push_back(WordsInFolder(plan, weights.IsPacked(site) ? CompressedFormat::kPackQuantized
                                                               : CompressedFormat::kIntQuantized));
  }
  return Joined(sites);
}

}  // namespace w8a8
