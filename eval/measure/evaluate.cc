#include "eval/measure/evaluate.h"

#include <array>
#include <utility>

namespace w8a8 {

namespace {

// With FP32 attention the error that it adds is none.
std::vector<size_t> RunsOfOtherAttention(const Experiment& experiment) {
  std::vector<size_t> runs;
  for (const Precision precision : {Precision::kFake, Precision::kInt8}) {
    const std::optional<size_t> chosen = experiment.ChosenRun(precision);
    if (!chosen || AttentionOf(experiment.runs[*chosen]) == AttentionPrecision::kFp32) continue;
    runs.push_back(*chosen);
  }
  return runs;
}

}  // namespace

Evaluation Evaluate(const Graph& graph, const Weights& weights, Experiment experiment,
                    ImageSource& images, const Task& task, const RunnerOptions& options,
                    RunningSqnr* running) {
  OutputTap outputs(options.threads, graph.config, task.accepted,
                    task.classes ? &*task.classes : nullptr);
  SiteErrorTap sites(experiment.runs, experiment.RunsOfPlan(), options.threads, running);
  AttentionErrorTap attention(RunsOfOtherAttention(experiment), options.threads);
  CheckTap checks(experiment, options.threads);
  SiteDetailTap details(experiment, options.threads);
  const int chosen = static_cast<int>(experiment.ChosenRun(Precision::kInt8).value_or(0));
  AnswerTap answers(chosen, task.classes ? &*task.classes : nullptr, options.threads);
  RoutingTap routing(options.threads);
  const std::array<Tap*, 7> taps{&outputs, &sites,   &attention, &checks,
                                 &details, &answers, &routing};
  const RunnerResult run = RunArms(graph, weights, experiment.runs, images, taps, options);
  Evaluation evaluation{.experiment = {},
                        .outputs = outputs.Take(),
                        .sites = sites.Take(),
                        .attention = attention.Take(),
                        .checks = checks.Take(),
                        .details = details.Take(),
                        .answers = answers.Take(),
                        .routing = routing.Take(),
                        .run = run};
  evaluation.experiment = std::move(experiment);
  return evaluation;
}

}  // namespace w8a8
