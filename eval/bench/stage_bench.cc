#include "eval/bench/stage_bench.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calib/site_statistics.h"
#include "eval/bench/made_encoder.h"
#include "eval/bench/sampling.h"
#include "eval/bench/steady_forward.h"
#include "eval/measure/check_tap.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/experiment.h"
#include "eval/measure/output_tap.h"
#include "eval/measure/site_error_tap.h"
#include "eval/measure/statistics_tap.h"
#include "eval/run/runner.h"
#include "runtime/cpu/cpu_backend.h"

namespace w8a8 {
namespace {

using Taps = std::vector<std::unique_ptr<Tap>>;

// What is run for each image.
struct Work {
  std::vector<Arm> arms;
  std::function<Taps(const Experiment&)> taps = [](const Experiment&) { return Taps(); };
};

// The points of the job's sweep.
SweepPoints DefaultPoints() {
  return {.granularities = {Granularity::kToken, Granularity::kTensor},
          .clip_ranges = {2, 3, 4, 5, 6, 8, 10, 15, 20, kNoClip}};
}

class Stages {
 public:
  Stages(const ForwardModel& model, const StageSettings& settings)
      : model_(model), settings_(settings), plan_(PerTokenPlan(model.graph)), clipped_(plan_) {
    for (auto& [site, plan] : clipped_.sites) plan.input->clip_range = 5;
  }

  // Round by round, each in forwards of that round's own reference: the machine's clock moves.
  std::vector<StageResult> Measure() {
    std::map<std::string, std::vector<double>> samples;
    PerImage("warming up", {{Fp16(), Int8()}});
    for (int round = 0; round < settings_.repeats; ++round) {
      for (const StageResult& stage : Round(round == 0)) {
        samples[stage.name].push_back(stage.reference_forwards);
      }
    }
    std::vector<StageResult> results;
    for (const StageResult& stage : first_) {
      results.push_back({stage.name, Median(samples.at(stage.name))});
    }
    return results;
  }

 private:
  static Arm Fp16() { return {.name = "fp16", .precision = Precision::kFp16, .plan = {}}; }
  Arm Fake() const { return {.name = "fake/plan", .precision = Precision::kFake, .plan = plan_}; }
  Arm Int8() const { return {.name = "int8/plan", .precision = Precision::kInt8, .plan = plan_}; }
  Arm Emulated() const {
    return {.name = "emulated/plan", .precision = Precision::kEmulated, .plan = plan_};
  }
  Arm Clipped(Arm arm) const {
    arm.name += "/5";
    arm.plan = clipped_;
    return arm;
  }

  std::function<Taps(const Experiment&)> StatisticsTaps() const {
    return [this](const Experiment&) {
      Taps taps;
      taps.push_back(std::make_unique<StatisticsTap>(model_.graph, /*workers=*/1, /*seed=*/0));
      return taps;
    };
  }
  static std::function<Taps(const Experiment&)> CheckTaps() {
    return [](const Experiment& experiment) {
      Taps taps;
      taps.push_back(std::make_unique<CheckTap>(experiment, /*workers=*/1));
      return taps;
    };
  }
  static std::function<Taps(const Experiment&)> SiteTaps() {
    return [](const Experiment& experiment) {
      Taps taps;
      taps.push_back(std::make_unique<SiteErrorTap>(experiment.runs, std::vector<size_t>{1, 2},
                                                    /*workers=*/1));
      return taps;
    };
  }
  std::function<Taps(const Experiment&)> OutputTaps() const {
    return [this](const Experiment&) {
      Taps taps;
      taps.push_back(std::make_unique<OutputTap>(/*workers=*/1, model_.graph.config, accepted_,
                                                 /*classes=*/nullptr));
      return taps;
    };
  }

  RunnerOptions Options() const {
    return {.threads = 1,
            .make_backend = [this] { return std::make_unique<CpuBackend>(settings_.set); },
            .progress = {}};
  }

  double Seconds(const Work& work, int64_t images) const {
    Experiment experiment{.runs = work.arms, .rows = {}, .twins = {}};
    if (work.arms.size() == 3) experiment.twins.push_back({.int8 = 1, .emulated = 2});
    const Taps taps = work.taps(experiment);
    std::vector<Tap*> watching;
    for (const auto& tap : taps) watching.push_back(tap.get());
    MadeImageSource source(model_.graph.config, images);
    const double start = ThreadCpuSeconds();
    RunArms(model_.graph, model_.weights, experiment.runs, source, watching, Options());
    return ThreadCpuSeconds() - start;
  }

  // What every image after the first `before` adds: without the preparation of weights.
  double PerImage(const char* what, const Work& work, int64_t before = 1) const {
    settings_.say(std::string("stages: ") + what);
    const double first = Seconds(work, before);
    return (Seconds(work, before + settings_.images) - first) /
           static_cast<double>(settings_.images);
  }

  // The first images of a calibration fill the samples of rows. Behind eight times as many rows as
  // a sample holds, an image has as many of its rows kept (one in ten) as one of 64 photos of 197
  // tokens has in the mean.
  int64_t ImagesOfFullSamples() const {
    const int64_t tokens = model_.graph.slot(model_.graph.stream).rows;
    return std::max<int64_t>(1, 8 * kRowSampleSize / tokens);
  }

  // One more point beside an arm that has prepared the weights.
  void AddPoints(double with_fake, double with_int8) {
    Add("sweep point, fake",
        PerImage("points", {{Fp16(), Fake(), Clipped(Fake())}, OutputTaps()}) - with_fake);
    Add("sweep point, int8",
        PerImage("points", {{Fp16(), Int8(), Clipped(Int8())}, OutputTaps()}) - with_int8);
  }

  double SecondsOfJob(const Experiment& experiment, int64_t images) const {
    MadeImageSource source(model_.graph.config, images);
    const double start = ThreadCpuSeconds();
    Evaluate(model_.graph, model_.weights, experiment, source, Task(), Options());
    return ThreadCpuSeconds() - start;
  }

  SiteStatisticsMap Statistics() const {
    StatisticsTap statistics(model_.graph, /*workers=*/1, /*seed=*/0);
    MadeImageSource source(model_.graph.config, 1);
    const Arm reference = Fp16();
    Tap* const tap = &statistics;
    RunArms(model_.graph, model_.weights, {&reference, 1}, source, {&tap, 1}, Options());
    return statistics.Take();
  }

  // Of each arm alone.
  using ArmSeconds = std::map<Precision, double>;

  ArmSeconds SecondsOfArms() const {
    const double fp16 = PerImage("the reference alone", {{Fp16()}});
    const double fake = PerImage("fake", {{Fp16(), Fake()}}) - fp16;
    const double int8 = PerImage("int8", {{Fp16(), Int8()}}) - fp16;
    const double emulated = PerImage("emulated", {{Fp16(), Int8(), Emulated()}}) - fp16 - int8;
    return {{Precision::kFp16, fp16},
            {Precision::kFake, fake},
            {Precision::kInt8, int8},
            {Precision::kEmulated, emulated}};
  }

  // In forwards of a reference measured right before: a CPU whose tiles are shared with a neighbour
  // may do half as much for seconds.
  double StatisticsInForwards() const {
    const int64_t before = ImagesOfFullSamples();
    const double reference = PerImage("the reference again", {{Fp16()}}, before);
    return PerImage("statistics", {{Fp16()}, StatisticsTaps()}, before) / reference;
  }

  // The calibration, the sweep and the chosen plan with all that watches them; and beside it what
  // its arms are when each runs alone, before the job and after it.
  void AddWholeJob(ArmSeconds of) {
    settings_.say("stages: the whole job");
    const std::vector<std::string> sites = model_.graph.Sites();
    const SiteStatisticsMap statistics = Statistics();
    Experiment experiment =
        SweepExperiment(sites, statistics, DefaultPoints(), FakeFlavour::kIdeal);
    AddChosenPlan(experiment, plan_, SweepPlan(sites, statistics, Granularity::kTensor, kNoClip),
                  FakeFlavour::kIdeal);
    const double one = SecondsOfJob(experiment, 1);
    const double evaluation = (SecondsOfJob(experiment, 1 + settings_.images) - one) /
                              static_cast<double>(settings_.images);
    for (const auto& [precision, seconds] : SecondsOfArms()) {
      of.at(precision) = (of.at(precision) + seconds) / 2;
    }
    double alone = of.at(Precision::kFp16);  // of the calibration
    for (const Arm& arm : experiment.runs) alone += of.at(arm.precision);
    Add("whole job", Find("statistics") + evaluation);
    Add("whole job's arms, each alone", alone);
  }

  // Once for all images.
  void AddPreparation() {
    settings_.say("stages: preparing weights");
    MadeImageSource for_fp16(model_.graph.config, 1), for_both(model_.graph.config, 1);
    const std::vector<Arm> both = {Fp16(), Int8()};
    const double fp16 =
        RunArms(model_.graph, model_.weights, std::span(both).first(1), for_fp16, {}, Options())
            .lowering_seconds;
    const double all =
        RunArms(model_.graph, model_.weights, both, for_both, {}, Options()).lowering_seconds;
    Add("preparing fp16 weights, once", fp16);
    Add("preparing int8 weights, once", all - fp16);
  }

  // The first one with what is made once.
  std::vector<StageResult> Round(bool first) {
    results_.clear();
    const ArmSeconds arms = SecondsOfArms();
    const double reference = arms.at(Precision::kFp16), fake = arms.at(Precision::kFake),
                 int8 = arms.at(Precision::kInt8);
    Add("reference", reference);
    Add("statistics", StatisticsInForwards() * reference);
    Add("fake arm", fake);
    Add("int8 arm", int8);
    Add("emulated arm", arms.at(Precision::kEmulated));
    Add("emulated check",
        PerImage("the check", {{Fp16(), Int8(), Emulated()}, CheckTaps()}) - reference - int8);
    AddPoints(reference + fake, reference + int8);
    Add("site errors of two arms",
        PerImage("errors of sites", {{Fp16(), Fake(), Int8()}, SiteTaps()}) - reference - fake -
            int8);
    AddWholeJob(arms);
    if (first) AddPreparation();
    for (StageResult& stage : results_) stage.reference_forwards /= reference;
    if (first) first_ = results_;
    return results_;
  }

  void Add(const char* name, double seconds) { results_.push_back({name, seconds}); }
  double Find(const std::string& name) const {
    for (const StageResult& result : results_) {
      if (result.name == name) return result.reference_forwards;
    }
    return 0;
  }

  const ForwardModel& model_;
  const StageSettings& settings_;
  const Plan plan_;
  Plan clipped_;
  const AcceptedClasses accepted_;
  std::vector<StageResult> results_;  // of a round, in seconds until its end
  std::vector<StageResult> first_;    // of the first round
};

}  // namespace

std::vector<StageResult> MeasureStages(const ForwardModel& model, const StageSettings& settings) {
  return Stages(model, settings).Measure();
}

}  // namespace w8a8
