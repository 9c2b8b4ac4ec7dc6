// Runs an experiment over evaluation images: every arm's outputs, the chosen arms' sites, the
// checks.
#pragma once

#include <map>

#include "eval/check_tap.h"
#include "eval/experiment.h"
#include "eval/output_tap.h"
#include "eval/runner.h"
#include "eval/session.h"
#include "eval/site_error_tap.h"

namespace w8a8 {

struct Evaluation {
  Experiment experiment;
  OutputTap::Result outputs;
  std::map<SiteKey, SiteMeters> sites;  // of the chosen rows' runs
  Checks checks;
  RunnerResult run;
};

Evaluation Evaluate(const Session& session, Experiment experiment, ImageSource& images,
                    const AcceptedClasses& accepted, const RunnerOptions& options);

}  // namespace w8a8
