// From images to statistics to a plan.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "calib/scheme.h"
#include "calib/stats_file.h"
#include "eval/job/image_run.h"
#include "eval/job/session.h"
#include "eval/measure/experiment.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/arm.h"
#include "quant/plan_file.h"
#include "reports/report.h"

namespace w8a8 {

// One pass of the FP16 reference over the images. Throws Error if none can be read.
CalibrationStats Calibrate(const Session& session, LoaderSource& images,
                           const Preprocessing& preprocessing, const RunSettings& run,
                           Observed observed = Observed::kInputs);
// Whether the scheme has static scales; and what those of several are made from.
bool NeedsStatistics(const Scheme& scheme);
Observed NeededBy(const std::vector<Scheme>& schemes);

// Throws Error if statistics were taken with another model, another storage of the residual stream,
// or other preprocessing (an empty `preprocessing_sha256` is not compared). `file` names them in
// the message.
void CheckStatsFit(const StatsHeader& header, const std::string& file, const Session& session,
                   const std::string& preprocessing_sha256);

struct ChosenPlan {
  Plan plan;
  std::vector<SiteChoice> choices;  // of a per-tensor plan made here
};

// Which plan, where several are possible. A file excludes the other two.
struct PlanSettings {
  std::filesystem::path file;
  std::optional<Granularity> granularity;  // kToken or kTensor
  std::optional<float> clip_range;
  std::optional<Scheme> scheme = {};  // in place of a granularity
  WeightSettings weights = {};
};

// The file's; else what a quantized/ folder stores, unless granularity, scheme or clip range is
// given; else with kTensor the best clip rule of every site (or the clip range); else every site
// per-token with the clip range or none. `statistics` may be nullptr where no scale has to be
// found: without a per-tensor granularity, or with a file. With settings.weights (WithWeights());
// Throws Error where the model's own codes are of other bits or rule out a convention.
ChosenPlan ChoosePlan(const Session& session, const PlanSettings& settings, const RunSettings& run,
                      const SiteStatisticsMap* statistics);

// The plans of schemes, their codes made by the convention of `weights`; static scales by the clip
// rule of least error at each site. `statistics` may be nullptr where no scheme needs any.
std::vector<SchemePoint> PlanSchemes(const Session& session, const std::vector<Scheme>& schemes,
                                     const WeightSettings& weights, const RunSettings& run,
                                     const SiteStatisticsMap* statistics);

PlanFile ToPlanFile(const Session& session, const Plan& plan);

// The sites that the plan leaves in FP16 and that got no row while calibrating: experts that no
// token chose have no static scale.
std::vector<std::string> UnseenInFp16(const Session& session, const SiteStatisticsMap& statistics,
                                      const Plan& plan);

// What the statistics say that a reader must know: values that are not finite, sites that stay
// FP16.
std::vector<HealthNote> HealthOf(const Session& session, const SiteStatisticsMap& statistics,
                                 const Plan& plan);

}  // namespace w8a8
