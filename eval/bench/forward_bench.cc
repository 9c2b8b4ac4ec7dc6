#include "eval/bench/forward_bench.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include <fmt/core.h>

#include "eval/bench/forward_check.h"
#include "eval/bench/peak.h"
#include "eval/bench/steady_forward.h"
#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/graph_costs.h"

namespace w8a8 {
namespace {

constexpr std::array kVariants = {ForwardVariant{Precision::kFp16, AttentionPrecision::kFp32},
                                  ForwardVariant{Precision::kInt8, AttentionPrecision::kFp32},
                                  ForwardVariant{Precision::kInt8, AttentionPrecision::kBf16},
                                  ForwardVariant{Precision::kInt8, AttentionPrecision::kInt8}};
constexpr int kTimedRuns = 3;  // of a breakdown

bool IsFinite(MatView<const Half> values) {
  bool finite = true;
  for (int64_t row = 0; row < values.rows; ++row) {
    for (const Half value : values.row_span(row)) finite = finite && std::isfinite(ToFloat(value));
  }
  return finite;
}

double WallSeconds(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The median over some runs of every step's seconds: [stage][step].
std::vector<std::vector<double>> StepSeconds(SteadyForward& forward) {
  std::vector<std::vector<std::vector<double>>> runs;
  for (int i = 0; i < kTimedRuns; ++i) runs.push_back(forward.RunTimed());
  std::vector<std::vector<double>> medians = runs.front();
  for (size_t stage = 0; stage < medians.size(); ++stage) {
    for (size_t step = 0; step < medians[stage].size(); ++step) {
      std::vector<double> samples;
      for (const auto& run : runs) samples.push_back(run[stage][step]);
      medians[stage][step] = Median(std::move(samples));
    }
  }
  return medians;
}

// By kind, the longest first.
std::vector<StepTime> ByKind(const LoweredEncoder& encoder,
                             const std::vector<std::vector<double>>& seconds) {
  std::map<std::string, double> sums;
  for (size_t stage = 0; stage < seconds.size(); ++stage) {
    for (size_t step = 0; step < seconds[stage].size(); ++step) {
      sums[StepName(*encoder.graph, static_cast<int>(stage), encoder.stages[stage], step)] +=
          seconds[stage][step];
    }
  }
  std::vector<StepTime> kinds;
  for (const auto& [kind, sum] : sums) kinds.push_back({kind, 1e3 * sum});
  std::ranges::stable_sort(kinds, std::greater(), &StepTime::ms);
  return kinds;
}

// What the blocks that were not run would take, each like the mean of those that were.
double AllBlocksMs(const ForwardModel& model, double ms,
                   const std::vector<std::vector<double>>& seconds) {
  double blocks = 0, all = 0;
  for (size_t stage = 0; stage < seconds.size(); ++stage) {
    const bool block = stage > 0 && stage + 1 < seconds.size();
    for (const double step : seconds[stage]) {
      all += step;
      blocks += block ? step : 0;
    }
  }
  const auto run = static_cast<double>(model.graph.config.blocks);
  const double missing = static_cast<double>(model.all_blocks) - run;
  return ms * (1 + blocks / all * missing / run);
}

std::vector<StepTime> SiteTimes(const LoweredEncoder& encoder, Backend& backend) {
  std::vector<StepTime> times;
  const std::unique_ptr<Arena> arena = backend.MakeArena();
  for (const auto& [site, program] : encoder.sites) {
    arena->Prepare(program.slots, {.images = 1});
    std::vector<Half> rows(
        static_cast<size_t>(program.slots.front().rows * program.slots.front().cols));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = ToHalf(HashUniform(20, i));
    arena->Upload(Lowering::kLayerIn, 0, std::as_bytes(std::span(rows)));
    const std::array<Body, 1> body{[&steps = program.steps, &arena] {
      for (const Step& step : steps) arena->Run(step, {});
    }};
    const SampleBudget few{.seconds = 0, .least = kTimedRuns, .most = kTimedRuns};
    times.push_back({site, 1e3 * Median(SampleInTurn(body, few)[0])});
  }
  return times;
}

// The encoder in every variant on one backend, lowered once.
class Measurement {
 public:
  Measurement(const ForwardModel& model, const ForwardSettings& settings)
      : model_(model), settings_(settings), backend_(settings.set) {
    settings.say(fmt::format("{}: preparing", model.name));
    CheckForward(settings.set, kVariants);
    encoders_ = LowerEncoder(model.graph, model.weights, backend_, kVariants);
    for (const LoweredEncoder& encoder : encoders_) {
      peaks_.emplace_back(PeakNameOf(encoder.variant.precision));
      forwards_.push_back(std::make_unique<SteadyForward>(encoder, backend_));
      W8A8_CHECK(IsFinite(forwards_.back()->Tokens()));
    }
  }

  std::vector<ForwardResult> OnOneThread() {
    settings_.say(fmt::format("{}: one thread", model_.name));
    std::vector<FollowedBody> bodies;
    for (size_t i = 0; i < kVariants.size(); ++i) {
      bodies.push_back(peaks_[i].After([&forward = *forwards_[i]] { forward.Run(); }));
    }
    const std::vector<FollowedSamples> samples = SampleFollowed(bodies, settings_.budget);
    std::vector<ForwardResult> results;
    for (size_t i = 0; i < kVariants.size(); ++i) {
      ForwardResult result = ResultOf(i, 1, Median(samples[i].body));
      if (peaks_[i].usable()) {
        result.share_of_peak = static_cast<double>(result.macs) / peaks_[i].macs() *
                               MedianRatio(samples[i].then, samples[i].body);
      }
      if (i > 0) result.times_faster_than_fp16 = MedianRatio(samples[0].body, samples[i].body);
      const std::vector<std::vector<double>> steps = StepSeconds(*forwards_[i]);
      result.steps = ByKind(encoders_[i], steps);
      // Which attention runs changes no site.
      if (kVariants[i].attention == AttentionPrecision::kFp32) {
        result.sites = SiteTimes(encoders_[i], backend_);
      }
      if (model_.all_blocks > model_.graph.config.blocks) {
        result.ms_of_all_blocks = AllBlocksMs(model_, result.ms_per_image, steps);
      }
      results.push_back(std::move(result));
    }
    return results;
  }

  std::vector<ForwardResult> OnAllThreads() {
    settings_.say(fmt::format("{}: {} threads", model_.name, settings_.threads));
    const int threads = settings_.threads;
    ThreadPool pool(threads);
    std::vector<ForwardResult> results;
    for (size_t i = 0; i < kVariants.size(); ++i) {
      std::vector<std::unique_ptr<SteadyForward>> workers(static_cast<size_t>(threads));
      for (auto& worker : workers) {
        worker = std::make_unique<SteadyForward>(encoders_[i], backend_);
      }
      std::vector<double> seconds;
      for (int sample = 0; sample < settings_.budget.least; ++sample) {
        seconds.push_back(WallSeconds([&] {
          pool.For(threads,
                   [&](int64_t worker, int) { workers[static_cast<size_t>(worker)]->Run(); });
        }));
      }
      results.push_back(ResultOf(i, threads, Median(std::move(seconds)) / threads));
      results.back().ms_of_one_shared = 1e3 * SharedSeconds(pool, *workers.front());
      const double peak = PeakMacsPerSecond(results.back().peak);
      if (peak <= 0) continue;
      results.back().share_of_peak = static_cast<double>(results.back().macs) /
                                     (1e-3 * results.back().ms_per_image) / peak / threads;
    }
    return results;
  }

 private:
  // Of one image, by all threads together.
  double SharedSeconds(ThreadPool& pool, SteadyForward& forward) const {
    std::vector<double> seconds;
    for (int sample = 0; sample < settings_.budget.least; ++sample) {
      seconds.push_back(WallSeconds([&] {
        pool.For(1, [&](int64_t, int worker) {
          forward.ShareWith(pool, worker);
          forward.Run();
        });
      }));
    }
    return Median(std::move(seconds));
  }

  // Without its share, which needs a peak of the same turns; the peak is that of one thread, whose
  // rate each of them may have.
  ForwardResult ResultOf(size_t variant, int threads, double seconds) const {
    return {.model = model_.name,
            .config = model_.graph.config,
            .precision = std::string(NameOf(kVariants[variant].precision)),
            .attention = std::string(NameOf(kVariants[variant].attention)),
            .isa = std::string(settings_.set.name),
            .threads = threads,
            .macs = MultiplyAdds(model_.graph),
            .ms_per_image = 1e3 * seconds,
            .peak = std::string(peaks_[variant].usable() ? PeakNameOf(kVariants[variant].precision)
                                                         : std::string_view())};
  }

  std::string_view PeakNameOf(Precision precision) const {
    return precision == Precision::kInt8 ? PeakOfInt8(settings_.set) : PeakOfHalf(settings_.set);
  }

  const ForwardModel& model_;
  const ForwardSettings& settings_;
  CpuBackend backend_;
  std::vector<PeakProbe> peaks_;  // by variant
  std::vector<LoweredEncoder> encoders_;
  std::vector<std::unique_ptr<SteadyForward>> forwards_;
};

}  // namespace

std::vector<ForwardResult> MeasureForward(const ForwardModel& model,
                                          const ForwardSettings& settings) {
  Measurement measurement(model, settings);
  std::vector<ForwardResult> results = measurement.OnOneThread();
  if (settings.threads == 1) return results;
  std::ranges::move(measurement.OnAllThreads(), std::back_inserter(results));
  return results;
}

double PeakScaling(const Kernels& set, int threads) {
  const std::string_view name = PeakOfInt8(set);
  if (PeakMacsPerSecond(name) <= 0) return 0;
  ThreadPool pool(threads);
  // One probe is over before another thread has woken up, and the first one takes its place.
  const auto probe = [name] {
    for (int i = 0; i < 32; ++i) PeakMacsPerSecond(name);
  };
  std::vector<double> ratios;
  for (int sample = 0; sample < kTimedRuns; ++sample) {
    const double alone = WallSeconds(probe);
    const double together = WallSeconds([&] { pool.For(threads, [&](int64_t, int) { probe(); }); });
    ratios.push_back(threads * alone / together);
  }
  return Median(std::move(ratios));
}

}  // namespace w8a8
