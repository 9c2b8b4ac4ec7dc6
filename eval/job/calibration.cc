#include "eval/job/calibration.h"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <utility>

#include "eval/job/progress.h"
#include "eval/run/known_sites.h"
#include "eval/run/site_replay.h"
#include "eval/run/stored_plan.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/setting.h"

namespace w8a8 {
namespace {

// How the weights of a plan are made that does not say it itself.
struct PlannedWeights {
  Plan stored = {};  // WithStoredWeights()
  WeightSettings settings = {};

  SitePlan Of(const std::string& site, const SitePlan& plan) const {
    return WithWeights(WithStoredWeights(plan, site, stored), settings);
  }
};

// The errors of a site's layer on the statistics' own sample of rows, site after site, with the
// weights that it is run with.
class SampledErrors {
 public:
  // `searches`: how often all sites are gone through.
  SampledErrors(const Session& session, const SiteStatisticsMap* statistics, PlannedWeights weights,
                ProgressLines lines, int64_t searches = 1)
      : session_(session),
        statistics_(statistics),
        weights_(std::move(weights)),
        lines_(lines),
        sites_(static_cast<double>(searches * std::ssize(session.graph.Sites()))) {}

  double operator()(const std::string& site, const SitePlan& plan) {
    if (site != replayed_) Load(site);
    return replay_->TeacherForcedError(weights_.Of(site, plan));
  }

 private:
  void Load(const std::string& site) {
    if (!progress_) {
      backend_ = session_.make_backend();
      progress_.emplace("plan", "sites", sites_, lines_);
    }
    const SiteStatistics& seen = statistics_->at(site);
    sample_ = seen.rows.InOrder();
    const MatView<const Half> rows{sample_.rows.data(), static_cast<int64_t>(sample_.keys.size()),
                                   seen.channels(), seen.channels()};
    replay_ = std::make_unique<SiteReplay>(*session_.weights, *backend_, site, rows);
    replayed_ = site;
    ThrowIfInterrupted();
    progress_->Update(++done_);
  }

  const Session& session_;
  const SiteStatisticsMap* const statistics_;
  const PlannedWeights weights_;
  const ProgressLines lines_;
  const double sites_;
  std::unique_ptr<Backend> backend_;
  std::optional<Progress> progress_;
  std::unique_ptr<SiteReplay> replay_;
  std::string replayed_;
  RowSample::Sorted sample_;
  double done_ = 0;
};

// Static scales by the clip rule of least error, or under the clip range where one is given.
TensorPlan PlanOfOne(const Session& session, const Scheme& scheme,
                     const std::optional<float>& clip_range, const SiteStatisticsMap* statistics,
                     const TeacherForcedError& error) {
  const std::vector<std::string> sites = session.graph.Sites();
  const bool needed = NeedsStatistics(scheme);
  W8A8_CHECK(!needed || statistics != nullptr);
  if (!needed || clip_range) {
    static const SiteStatisticsMap kNone;
    return PlanOfScheme(scheme, sites, needed ? *statistics : kNone, clip_range.value_or(kNoClip));
  }
  return BestPlanOfScheme(scheme, sites, *statistics, error);
}

}  // namespace

CalibrationStats Calibrate(const Session& session, LoaderSource& images,
                           const Preprocessing& preprocessing, const RunSettings& run,
                           Observed observed) {
  RunnerOptions runner = session.Runner(run);
  Progress progress("calibrate", "images", images.expected(), run.progress);
  StatisticsTap statistics(session.graph, run.threads, run.seed, observed);
  runner.progress = [&](double done) { progress.Update(done, statistics.LargestText()); };
  const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
  const std::array<Tap*, 1> taps{&statistics};
  const RunnerResult seen =
      RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, runner);
  if (seen.images == 0) FailNoneRead("calibration images", images.skipped());
  CalibrationStats stats;
  stats.header.model_sha256 = session.weights->sha256();
  stats.header.preprocessing_sha256 = preprocessing.sha256;
  stats.header.residual = ResidualName(session.graph);
  stats.header.seed = run.seed;
  stats.header.images = EntriesOf(images.used());
  stats.sites = statistics.Take();
  return stats;
}

bool NeedsStatistics(const Scheme& scheme) {
  return scheme.NeedsInputStatistics() || scheme.NeedsOutputStatistics();
}

Observed NeededBy(const std::vector<Scheme>& schemes) {
  const bool outputs = std::any_of(schemes.begin(), schemes.end(), [](const Scheme& scheme) {
    return scheme.NeedsOutputStatistics();
  });
  return outputs ? Observed::kInputsAndOutputs : Observed::kInputs;
}

void CheckStatsFit(const StatsHeader& header, const std::string& file, const Session& session,
                   const std::string& preprocessing_sha256) {
  const std::string& model_sha256 = session.weights->sha256();
  const std::string residual = ResidualName(session.graph);
  if (header.model_sha256 != model_sha256) {
    Fail("{}: statistics of another model (sha256 {}, this one {}). Calibrate this model.", file,
         header.model_sha256, model_sha256);
  }
  if (!preprocessing_sha256.empty() && header.preprocessing_sha256 != preprocessing_sha256) {
    Fail(
        "{}: statistics of images prepared in another way (sha256 {}, here {}). Use the same "
        "preprocessing config and resampler, or calibrate again.",
        file, header.preprocessing_sha256, preprocessing_sha256);
  }
  if (header.residual != residual) {
    FailWith({Setting::kResidual, header.residual},
             "{}: statistics of a reference whose residual is {}, but it is {} here. Calibrate "
             "again, or take the same.",
             file, header.residual, residual);
  }
}

namespace {

// Codes are what they are: nothing makes them anew.
void CheckStoredCodes(const Plan& stored, const WeightSettings& weights) {
  const bool other = weights.convention && *weights.convention != WeightConvention::kNative;
  for (const auto& [site, plan] : stored.sites) {
    if (other && plan.weight) {
      Fail(
          "weight convention {}: the weights of site '{}' are codes already. Take the model that "
          "they were made from.",
          NameOf(*weights.convention), site);
    }
    if (!weights.bits || !plan.weight || plan.weight->num_bits == *weights.bits) continue;
    Fail(
        "weights of {} bits: those of site '{}' are codes of {} bits already, and nothing "
        "quantizes them again. Take the model that they were made from.",
        *weights.bits, site, plan.weight->num_bits);
  }
}

ChosenPlan ChooseInputs(const Session& session, const PlanSettings& settings, const Plan& stored,
                        const RunSettings& run, const SiteStatisticsMap* statistics) {
  const bool asked = settings.granularity || settings.clip_range || settings.scheme;
  if (!settings.file.empty()) {
    W8A8_CHECK(!asked);
    const PlanFile file = ReadPlan(settings.file, KnownSites(session.graph));
    // The plan beside a quantized model names the model that both were made from.
    const EncoderWeights& weights = *session.weights;
    if (file.model_sha256 != weights.source_sha256()) {
      CheckPlanModel(file, settings.file, weights.sha256());
    }
    return {file.plan, {}};
  }
  if (session.weights->quantized() && !asked) return {stored, {}};
  PlannedWeights weights{.settings = settings.weights};
  if (!settings.scheme) weights.stored = stored;
  const Scheme scheme =
      settings.scheme.value_or(Scheme{.input = settings.granularity.value_or(Granularity::kToken)});
  SampledErrors errors(session, statistics, weights, run.progress);
  TensorPlan made = PlanOfOne(session, scheme, settings.clip_range, statistics, std::ref(errors));
  for (auto& [site, plan] : made.plan.sites) plan = weights.Of(site, plan);
  return {std::move(made.plan), std::move(made.choices)};
}

}  // namespace

ChosenPlan ChoosePlan(const Session& session, const PlanSettings& settings, const RunSettings& run,
                      const SiteStatisticsMap* statistics) {
  const Plan stored = StoredPlan(*session.weights, session.graph);
  CheckStoredCodes(stored, settings.weights);
  ChosenPlan chosen = ChooseInputs(session, settings, stored, run, statistics);
  chosen.plan = WithWeights(std::move(chosen.plan), settings.weights);
  // A plan may spell out that a site stays FP16.
  std::erase_if(chosen.plan.sites, [](const auto& planned) {
    const SitePlan& plan = planned.second;
    return !plan.weight && !plan.output;
  });
  return chosen;
}

std::vector<SchemePoint> PlanSchemes(const Session& session, const std::vector<Scheme>& schemes,
                                     const WeightSettings& weights, const RunSettings& run,
                                     const SiteStatisticsMap* statistics) {
  const PlannedWeights planned{.settings = {.convention = weights.convention}};
  SampledErrors errors(session, statistics, planned, run.progress,
                       std::ranges::count_if(schemes, NeedsStatistics));
  const TeacherForcedError error = Remembered(std::ref(errors));
  std::vector<SchemePoint> points;
  for (const Scheme& scheme : schemes) {
    Plan plan = PlanOfOne(session, scheme, std::nullopt, statistics, error).plan;
    points.push_back({SchemeName(scheme), WithWeights(std::move(plan), planned.settings)});
  }
  return points;
}

PlanFile ToPlanFile(const Session& session, const Plan& plan) {
  return {.model_sha256 = session.weights->sha256(), .plan = plan};
}

std::vector<std::string> UnseenInFp16(const Session& session, const SiteStatisticsMap& statistics,
                                      const Plan& plan) {
  std::vector<std::string> unseen;
  for (const std::string& site : session.graph.Sites()) {
    const auto seen = statistics.find(site);
    const bool no_row = seen != statistics.end() && seen->second.Rows() == 0;
    if (no_row && !plan.sites.contains(site)) unseen.push_back(site);
  }
  return unseen;
}

namespace {

// What of a site stays FP16 and why, a sentence; empty: nothing.
std::string WhyFp16(const SiteStatistics& seen, const std::string& site, const Plan& plan) {
  const char* no_row = seen.Rows() == 0 ? "got no row while calibrating: " : "";
  const auto planned = plan.sites.find(site);
  if (planned == plan.sites.end()) return fmt::format("{}stays FP16 under the plan.", no_row);
  const bool outputs = std::ranges::any_of(
      plan.sites, [](const auto& entry) { return entry.second.output.has_value(); });
  if (!outputs || planned->second.output) return "";
  return fmt::format("{}its output stays FP16 under the plan.", no_row);
}

// What of a site was not finite in the reference: `what`, "inputs" or "outputs".
void NoteNonFinite(const std::string& site, const char* what, const PatternHistogram& values,
                   std::vector<HealthNote>* notes) {
  const NonFiniteCounts nonfinite = values.NonFinite();
  if (nonfinite.nan + nonfinite.inf == 0) return;
  notes->push_back({.level = "warning",
                    .site = site,
                    .text = fmt::format("{} NaN and {} infinite {} while calibrating: the FP16 "
                                        "reference overflowed.",
                                        nonfinite.nan, nonfinite.inf, what)});
}

}  // namespace

std::vector<HealthNote> HealthOf(const Session& session, const SiteStatisticsMap& statistics,
                                 const Plan& plan) {
  std::vector<HealthNote> notes;
  for (const std::string& site : session.graph.Sites()) {
    const auto found = statistics.find(site);
    if (found == statistics.end()) continue;
    NoteNonFinite(site, "inputs", found->second.histogram, &notes);
    if (found->second.outputs) NoteNonFinite(site, "outputs", *found->second.outputs, &notes);
    const std::string text = WhyFp16(found->second, site, plan);
    if (!text.empty()) notes.push_back({.level = "note", .site = site, .text = text});
  }
  return notes;
}

}  // namespace w8a8
