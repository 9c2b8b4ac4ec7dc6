#include "eval/export/inexpressible.h"

#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/base/error.h"
#include "runtime/base/names.h"

namespace w8a8 {
namespace {

// The most telling first.
enum class Inexpressible : uint8_t {
  kClip,
  kSmoothing,
  kRotation,
  kFirstRowTwice,
  kWeightGroups,
  kInputGroups,
  kOutputAlone,
};

struct Reason {
  std::string_view clause;
  const char* consequence;  // {}: the sites
};

Reason ReasonOf(Inexpressible what) {
  switch (what) {
    case Inexpressible::kClip:
      return {"compressed-tensors has no clip range for dynamic inputs",
              "a target would quantize {} by the whole range of each token instead. Plan them "
              "without a clip, or per-tensor; compare and sweep measure such plans without "
              "exporting them."};
    case Inexpressible::kSmoothing:
      return {"compressed-tensors has no smoothing vectors",
              "a target would multiply the smoothed weights of {} by rows that nobody smoothed. "
              "Fold them into the norm before, or plan without."};
    case Inexpressible::kRotation:
      return {"no target rotates the rows of a layer by our signs and blocks",
              "it would multiply the rotated weights of {} by rows as they are. Plan without."};
    case Inexpressible::kFirstRowTwice:
      return {"compressed-tensors has one set of codes a row",
              "the plan codes the first row of each image twice for {}, and a target would code it "
              "once. Plan without."};
    case Inexpressible::kWeightGroups:
      return {"compressed-tensors has no short last group of weights",
              "targets would refuse {}, whose inputs the group size does not divide. Choose one "
              "that does."};
    case Inexpressible::kInputGroups:
      return {"compressed-tensors has no short last group of inputs",
              "targets would refuse {}, whose inputs the group size does not divide. Choose one "
              "that does."};
    case Inexpressible::kOutputAlone:
      break;
  }
  return {"compressed-tensors quantizes no output of a layer whose weights stay as they are",
          "a target would leave those of {} alone. Plan without."};
}

// Of several the most telling.
std::optional<Inexpressible> InexpressibleIn(const SitePlan& plan, int64_t inputs) {
  const SitePlan as_run = inputs > 0 ? Normalized(plan, inputs) : plan;
  const std::optional<Quantizer>& input = as_run.input;
  const auto ragged = [inputs](int64_t group_size) {
    return group_size > 0 && inputs % group_size != 0;
  };
  if (as_run.weight && input && !input->is_static() && std::isfinite(input->clip_range)) {
    return Inexpressible::kClip;
  }
  if (!plan.smoothing.empty()) return Inexpressible::kSmoothing;
  if (plan.rotation) return Inexpressible::kRotation;
  if (plan.first_row_twice) return Inexpressible::kFirstRowTwice;
  if (as_run.weight && ragged(as_run.weight->group_size)) return Inexpressible::kWeightGroups;
  if (input && ragged(input->group_size)) return Inexpressible::kInputGroups;
  if (!as_run.weight && as_run.output) return Inexpressible::kOutputAlone;
  return std::nullopt;
}

}  // namespace

std::string_view WhyInexpressible(const SitePlan& plan, int64_t inputs) {
  const std::optional<Inexpressible> what = InexpressibleIn(plan, inputs);
  return what ? ReasonOf(*what).clause : "";
}

void CheckExportable(const Plan& plan, const Graph& graph) {
  std::map<Inexpressible, std::vector<std::string>> sites_of;
  for (const auto& [site, site_plan] : plan.sites) {
    if (const auto what = InexpressibleIn(site_plan, graph.InputsOf(site))) {
      sites_of[*what].push_back(site);
    }
  }
  if (sites_of.empty()) return;
  const auto& [what, sites] = *sites_of.begin();
  const Reason reason = ReasonOf(what);
  Fail("export: {}: {}", reason.clause,
       fmt::format(fmt::runtime(reason.consequence), FirstOf(sites)));
}

}  // namespace w8a8
