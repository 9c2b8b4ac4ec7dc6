// Runs an experiment over evaluation images: every arm's outputs, the chosen arms' sites, the
// checks.
#pragma once

#include <map>
#include <string>

#include "eval/measure/answer_tap.h"
#include "eval/measure/attention_error_tap.h"
#include "eval/measure/check_tap.h"
#include "eval/measure/experiment.h"
#include "eval/measure/output_tap.h"
#include "eval/measure/routing_tap.h"
#include "eval/measure/site_detail_tap.h"
#include "eval/measure/site_error_tap.h"
#include "eval/measure/task.h"
#include "eval/run/runner.h"

namespace w8a8 {

struct Evaluation {
  Experiment experiment;
  OutputTap::Result outputs;
  SiteErrors sites;           // of Experiment::RunsOfPlan()
  AttentionErrors attention;  // of the chosen runs whose attention is not the reference's
  Checks checks;
  SiteDetails details;
  Answers answers;
  RoutingTap::Result routing;
  RunnerResult run;
};

// `running` is told the errors of the chosen rows' runs as they come.
Evaluation Evaluate(const Graph& graph, const Weights& weights, Experiment experiment,
                    ImageSource& images, const Task& task, const RunnerOptions& options,
                    RunningSqnr* running = nullptr);

}  // namespace w8a8
