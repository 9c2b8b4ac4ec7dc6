// From images to statistics to a plan.
#pragma once

#include <string>
#include <vector>

#include "calib/make_plan.h"
#include "calib/stats_file.h"
#include "eval/cli/options.h"
#include "eval/job/image_run.h"
#include "eval/job/session.h"
#include "quant/plan_file.h"
#include "reports/report.h"

namespace w8a8 {

// One pass of the FP16 reference over the images. Throws Error if there is none.
CalibrationStats Calibrate(const Session& session, LoaderSource& images,
                           const Preprocessing& preprocessing, const Options& options,
                           double expected_images);

// Throws Error if statistics were taken with another model, another storage of the residual stream,
// or other preprocessing (an empty `preprocessing_sha256` is not compared). `file` names them in
// the message.
void CheckStatsFit(const StatsHeader& header, const std::string& file, const Session& session,
                   const std::string& preprocessing_sha256);

struct ChosenPlan {
  Plan plan;
  std::vector<SiteChoice> choices;  // of a per-tensor plan made here
};

// --plan FILE; else what a quantized/ folder stores, unless --granularity or --clip-range is given;
// else with --granularity per-tensor the best clip rule of every site (or
// --clip-range); else every site per-token with --clip-range or none. `statistics` may be nullptr
// where no scale has to be found; a per-tensor plan without it is a UsageError.
ChosenPlan ChoosePlan(const Session& session, const Options& options,
                      const SiteStatisticsMap* statistics);

std::vector<KnownSite> KnownSites(const Graph& graph);
PlanFile ToPlanFile(const Session& session, const Plan& plan);

// What the statistics say that a reader must know: values that are not finite, sites that stay
// FP16.
std::vector<HealthNote> HealthOf(const Session& session, const SiteStatisticsMap& statistics,
                                 const Plan& plan);

}  // namespace w8a8
