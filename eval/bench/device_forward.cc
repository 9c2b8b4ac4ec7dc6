#include "eval/bench/device_forward.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <utility>

#include <fmt/core.h>

#include "eval/bench/sampling.h"
#include "eval/bench/steady_forward.h"
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

// A forward to be measured, and what its result says of it.
struct Entry {
  ForwardResult result;
  std::unique_ptr<SteadyForward> forward;  // nullptr: it cannot be measured
  std::vector<double> seconds = {};        // run by run
};

void Compare(const std::vector<Entry>& entries, Entry* entry) {
  const Entry& reference = entries.front();
  ForwardResult& result = entry->result;
  if (entry == &reference) return;
  result.times_faster_than_fp16 = MedianRatio(reference.seconds, entry->seconds);
  result.sqnr_db = SqnrDb(reference.forward->Tokens(), entry->forward->Tokens());
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
      : model_(model), device_(device), backend_(device.make_backend()) {
    encoders_ = Lower(*backend_, {{Precision::kFp16, AttentionPrecision::kFp32}});
    const Plan static_plan = StaticPlan(SteadyForward(encoders_[0], *backend_).InputAmax());
    for (LoweredEncoder& encoder :
         Lower(*backend_, {{Precision::kInt8, AttentionPrecision::kFp32},
                           {Precision::kInt8, AttentionPrecision::kInt8},
                           {Precision::kInt8, AttentionPrecision::kFp32, &static_plan}})) {
      encoders_.push_back(std::move(encoder));
    }
    for (const SpeedBaseline& baseline : device.baselines) {
      if (!baseline.unusable_reason.empty()) continue;
      opened_.push_back(baseline.open());
      baselines_.push_back(std::move(
          Lower(*opened_.back().backend, {{Precision::kFp16, AttentionPrecision::kFp32}})[0]));
    }
  }

  std::vector<ForwardResult> MeasureBatch(int64_t images, int runs) const {
    std::vector<Entry> entries = Entries(images);
    for (int run = 0; run < kForwardsToCapture; ++run) {
      for (Entry& entry : entries) {
        if (entry.forward != nullptr) entry.forward->Run();
      }
    }
    for (int run = 0; run < runs; ++run) {
      for (Entry& entry : entries) {
        if (entry.forward != nullptr) entry.seconds.push_back(SecondsOf(*entry.forward));
      }
    }
    std::vector<ForwardResult> results;
    for (Entry& entry : entries) {
      if (entry.forward != nullptr) {
        entry.result.ms_per_image = 1e3 * Median(entry.seconds) / static_cast<double>(images);
        entry.result.launched = entry.forward->LaunchText();
        Compare(entries, &entry);
      }
      results.push_back(std::move(entry.result));
    }
    for (size_t i = 0, opened = 0; i < device_.baselines.size(); ++i) {
      if (!device_.baselines[i].unusable_reason.empty()) continue;
      results[encoders_.size() + i].how = opened_[opened++].how();
    }
    return results;
  }

 private:
  std::vector<LoweredEncoder> Lower(Backend& backend,
                                    const std::vector<ForwardVariant>& variants) const {
    return LowerEncoder(model_.graph, model_.weights, backend, variants);
  }

  std::vector<Entry> Entries(int64_t images) const {
    std::vector<Entry> entries;
    for (const LoweredEncoder& encoder : encoders_) {
      const ForwardVariant& variant = encoder.variant;
      ForwardResult result = ResultOf(std::string(NameOf(variant.precision)), images);
      result.attention = NameOf(variant.attention);
      if (variant.precision == Precision::kInt8) {
        result.scales = &encoder == &encoders_.back() ? "static" : "per-token";
      }
      entries.push_back({.result = std::move(result),
                         .forward = std::make_unique<SteadyForward>(encoder, *backend_, images)});
    }
    size_t opened = 0;
    for (const SpeedBaseline& baseline : device_.baselines) {
      Entry entry{.result = ResultOf(baseline.name, images), .forward = nullptr};
      entry.result.is_baseline = true;
      entry.result.problem = baseline.unusable_reason;
      if (baseline.unusable_reason.empty()) {
        entry.forward =
            std::make_unique<SteadyForward>(baselines_[opened], *opened_[opened].backend, images);
        ++opened;
      }
      entries.push_back(std::move(entry));
    }
    return entries;
  }

  ForwardResult ResultOf(std::string precision, int64_t images) const {
    return {.model = model_.name,
            .config = model_.graph.config,
            .precision = std::move(precision),
            .attention = std::string(NameOf(AttentionPrecision::kFp32)),
            .isa = device_.kernels,
            .images = images,
            .macs = MultiplyAdds(model_.graph),
            .peak = {}};
  }

  const ForwardModel& model_;
  const DeviceBench& device_;
  const std::unique_ptr<Backend> backend_;
  std::vector<LoweredEncoder> encoders_;  // the reference first
  std::vector<SpeedBaseline::Opened> opened_;
  std::vector<LoweredEncoder> baselines_;  // of `opened_`
};

}  // namespace

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
