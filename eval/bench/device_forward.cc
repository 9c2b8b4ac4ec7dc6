#include "eval/bench/device_forward.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "eval/bench/sampling.h"
#include "eval/bench/steady_forward.h"
#include "runtime/base/error.h"
#include "runtime/base/setting.h"
#include "runtime/encoder/graph_costs.h"

namespace w8a8 {
namespace {

// Once all memory is there, which the first forward makes, a device needs one to know that nothing
// moves and one to capture what it is told.
constexpr int kForwardsToCapture = 2;

// One run's seconds by the device's clock.
double SecondsOf(SteadyForward& forward) {
  const double before = forward.Seconds();
  forward.Run();
  return forward.Seconds() - before;
}

// What went wrong, so that it costs one line of the table; empty: nothing. What somebody chose
// wrongly is no line's.
std::string ProblemOf(const std::function<void()>& act) {
  try {
    act();
  } catch (const BadSetting&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// A line of the table at every batch: an encoder on a backend, or why it has no figures.
struct Line {
  ForwardResult result;  // without them
  std::optional<LoweredEncoder> encoder = {};
  Backend* backend = nullptr;
  std::function<std::string()> how = {};
};

// A line at one batch.
struct Entry {
  // Does what may fail; it has no figures then.
  bool Try(const std::function<void(SteadyForward&)>& act) {
    if (forward == nullptr) return true;
    result.problem = ProblemOf([&] { act(*forward); });
    if (result.problem.empty()) return true;
    forward.reset();
    return false;
  }
  ForwardResult result;
  std::unique_ptr<SteadyForward> forward = nullptr;  // nullptr: no figures
  std::vector<double> seconds = {};                  // run by run
};

// False where one of them failed.
bool TryEach(std::vector<Entry>* entries,
             const std::function<void(Entry& entry, SteadyForward& forward)>& act) {
  bool all = true;
  for (Entry& entry : *entries) {
    all &= entry.Try([&](SteadyForward& forward) { act(entry, forward); });
  }
  return all;
}

void CompareOutputs(std::vector<Entry>* entries) {
  Entry& reference = entries->front();
  MatView<const Half> expected{};
  reference.Try([&expected](SteadyForward& forward) { expected = forward.Tokens(); });
  if (reference.forward == nullptr) return;
  TryEach(entries, [&](Entry& entry, SteadyForward& forward) {
    if (&entry != &reference) entry.result.sqnr_db = SqnrDb(expected, forward.Tokens());
  });
}

// Nobody asks how fast a wrong output is made.
void Judge(const ForwardModel& model, Entry* entry) {
  ForwardResult& result = entry->result;
  const double least = LeastSqnrDb(model, result);
  if (!result.sqnr_db || *result.sqnr_db >= least) return;
  result.problem = fmt::format(
      "its output is {:.1f} dB from the reference's, of {:.0f} that right kernels keep: one of its "
      "kernels, or the reference, is wrong",
      *result.sqnr_db, least);
  entry->forward.reset();
}

void CompareTimes(const std::vector<Entry>& entries, Entry* entry) {
  const Entry& reference = entries.front();
  ForwardResult& result = entry->result;
  if (entry == &reference || reference.forward == nullptr) return;
  result.times_faster_than_fp16 = MedianRatio(reference.seconds, entry->seconds);
  if (result.is_baseline) return;
  for (const Entry& other : entries) {
    if (!other.result.is_baseline || other.forward == nullptr) continue;
    const double times = MedianRatio(other.seconds, entry->seconds);
    (other.result.precision.starts_with("fp8") ? result.times_faster_than_fp8_baseline
                                               : result.times_faster_than_fp16_baseline) = times;
  }
}

// The encoders of one model on one device.
class DeviceModel {
 public:
  DeviceModel(const ForwardModel& model, const DeviceBench& device)
      : model_(model), device_(device) {
    AddArms();
    for (const SpeedBaseline& baseline : device.baselines) AddBaseline(baseline);
  }

  std::vector<ForwardResult> MeasureBatch(int64_t images, int runs) const {
    std::vector<Entry> entries = EntriesOf(images);
    for (int ran = 0; ran < kForwardsToCapture;) {
      // The memory of one that fails goes with it, and the others capture their steps anew.
      const bool all =
          TryEach(&entries, [](Entry&, SteadyForward& forward) { SecondsOf(forward); });
      ran = all ? ran + 1 : 0;
    }
    for (int run = 0; run < runs; ++run) {
      TryEach(&entries, [](Entry& entry, SteadyForward& forward) {
        entry.seconds.push_back(SecondsOf(forward));
      });
    }
    CompareOutputs(&entries);
    for (Entry& entry : entries) Judge(model_, &entry);
    std::vector<ForwardResult> results;
    for (size_t i = 0; i < entries.size(); ++i) {
      Entry& entry = entries[i];
      if (entry.forward != nullptr) {
        entry.result.ms_per_image = 1e3 * Median(entry.seconds) / static_cast<double>(images);
        entry.result.launched = entry.forward->LaunchText();
        CompareTimes(entries, &entry);
      }
      if (lines_[i].how) entry.result.how = lines_[i].how();
      results.push_back(entry.result);
    }
    return results;
  }

 private:
  // The reference first.
  void AddArms() {
    std::vector<LoweredEncoder> fp16, int8;
    std::vector<ForwardVariant> variants = {{Precision::kInt8, AttentionPrecision::kFp32},
                                            {Precision::kInt8, AttentionPrecision::kInt8}};
    Plan static_plan;
    const std::string fp16_problem = ProblemOf([&] {
      backend_ = device_.make_backend();
      fp16 = Lower(*backend_, {{Precision::kFp16, AttentionPrecision::kFp32}});
      static_plan = StaticPlan(SteadyForward(fp16[0], *backend_).InputAmax());
      variants.push_back({Precision::kInt8, AttentionPrecision::kFp32, &static_plan});
    });
    std::string problem = fp16_problem;
    if (backend_ != nullptr) problem = ProblemOf([&] { int8 = Lower(*backend_, variants); });
    Add(ResultOf("fp16"), &fp16, 0, fp16_problem);
    ForwardResult result = ResultOf("int8");
    result.scales = "per-token";
    Add(result, &int8, 0, problem);
    result.attention = NameOf(AttentionPrecision::kInt8);
    Add(result, &int8, 1, problem);
    result.attention = NameOf(AttentionPrecision::kFp32);
    result.scales = "static";
    Add(result, &int8, 2, fp16_problem.empty() ? problem : "no static scales: " + fp16_problem);
  }

  void Add(ForwardResult result, std::vector<LoweredEncoder>* lowered, size_t i,
           const std::string& problem) {
    lines_.push_back({.result = std::move(result)});
    lines_.back().result.problem = problem;
    if (!problem.empty()) return;
    lines_.back().encoder = std::move((*lowered)[i]);
    lines_.back().backend = backend_.get();
  }

  void AddBaseline(const SpeedBaseline& baseline) {
    Line& line = lines_.emplace_back(Line{.result = ResultOf(baseline.name)});
    line.result.is_baseline = true;
    line.result.missing = baseline.unusable_reason;
    if (!line.result.missing.empty()) return;
    line.result.problem = ProblemOf([&] {
      SpeedBaseline::Opened opened = baseline.open();
      line.encoder =
          std::move(Lower(*opened.backend, {{Precision::kFp16, AttentionPrecision::kFp32}})[0]);
      line.backend = opened.backend.get();
      line.how = opened.how;
      opened_.push_back(std::move(opened));
    });
  }

  std::vector<LoweredEncoder> Lower(Backend& backend,
                                    const std::vector<ForwardVariant>& variants) const {
    return LowerEncoder(model_.graph, model_.weights, backend, variants);
  }

  std::vector<Entry> EntriesOf(int64_t images) const {
    std::vector<Entry> entries;
    for (const Line& line : lines_) {
      Entry& entry = entries.emplace_back(Entry{.result = line.result});
      entry.result.images = images;
      if (!line.encoder) continue;
      entry.result.problem = ProblemOf([&] {
        entry.forward = std::make_unique<SteadyForward>(*line.encoder, *line.backend, images);
        entry.forward->Seconds();  // of kernels that are done: an error is this line's
      });
    }
    return entries;
  }

  ForwardResult ResultOf(std::string precision) const {
    return {.model = model_.name,
            .config = model_.graph.config,
            .precision = std::move(precision),
            .attention = std::string(NameOf(AttentionPrecision::kFp32)),
            .isa = device_.kernels,
            .macs = MultiplyAdds(model_.graph),
            .peak = {}};
  }

  const ForwardModel& model_;
  const DeviceBench& device_;
  std::unique_ptr<Backend> backend_;
  std::vector<SpeedBaseline::Opened> opened_;
  std::vector<Line> lines_;  // of `backend_` and `opened_`
};

}  // namespace

double LeastSqnrDb(const ForwardModel& model, const ForwardResult& forward) {
  const bool fp16 = forward.is_baseline && forward.precision.starts_with("fp16");
  if (!model.made) return fp16 ? 30 : 3;
  if (fp16) return 50;
  return model.graph.config.layer_scale ? 33 : 15;
}

double SqnrDb(MatView<const Half> reference, MatView<const Half> actual) {
  double signal = 0, noise = 0;
  for (int64_t row = 0; row < reference.rows; ++row) {
    for (int64_t col = 0; col < reference.cols; ++col) {
      const double expected = ToFloat(reference.row(row)[col]);
      const double error = ToFloat(actual.row(row)[col]) - expected;
      signal += expected * expected;
      noise += error * error;
    }
  }
  return 10 * std::log10(signal / noise);
}

std::vector<ForwardResult> MeasureDeviceForward(
    const ForwardModel& model, const DeviceBench& device, int runs,
    const std::function<void(const std::string&)>& say) {
  say(fmt::format("{}: preparing", model.name));
  const DeviceModel prepared(model, device);
  std::vector<ForwardResult> results;
  for (const int64_t images : device.batches) {
    say(fmt::format("{}: {} image{} at once", model.name, images, images == 1 ? "" : "s"));
    std::ranges::move(prepared.MeasureBatch(images, runs), std::back_inserter(results));
  }
  return results;
}

}  // namespace w8a8
