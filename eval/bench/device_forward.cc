#include "eval/bench/device_forward.h"

#include <array>
#include <cmath>
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

constexpr std::array kDeviceVariants = {
    ForwardVariant{Precision::kFp16, AttentionPrecision::kFp32},
    ForwardVariant{Precision::kInt8, AttentionPrecision::kFp32},
    ForwardVariant{Precision::kInt8, AttentionPrecision::kInt8}};

// One run's seconds by the device's clock.
double SecondsOf(SteadyForward& forward) {
  const double before = forward.Seconds();
  forward.Run();
  return forward.Seconds() - before;
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

// One result for each variant; whose model and device it is the caller adds.
std::vector<ForwardResult> MeasureBatch(const std::vector<LoweredEncoder>& encoders,
                                        Backend& backend, int64_t images, int runs) {
  std::vector<std::unique_ptr<SteadyForward>> forwards;
  for (const LoweredEncoder& encoder : encoders) {
    forwards.push_back(std::make_unique<SteadyForward>(encoder, backend, images));
  }
  for (int run = 0; run < kForwardsToCapture; ++run) {
    for (const std::unique_ptr<SteadyForward>& forward : forwards) forward->Run();
  }
  std::vector<std::vector<double>> samples(encoders.size());
  for (int run = 0; run < runs; ++run) {
    for (size_t i = 0; i < forwards.size(); ++i) samples[i].push_back(SecondsOf(*forwards[i]));
  }
  std::vector<ForwardResult> results;
  for (size_t i = 0; i < encoders.size(); ++i) {
    const Graph& graph = *encoders[i].graph;
    ForwardResult result{.model = {},
                         .config = graph.config,
                         .precision = std::string(NameOf(encoders[i].variant.precision)),
                         .attention = std::string(NameOf(encoders[i].variant.attention)),
                         .isa = {},
                         .launched = forwards[i]->LaunchText(),
                         .images = images,
                         .macs = MultiplyAdds(graph),
                         .ms_per_image = 1e3 * Median(samples[i]) / static_cast<double>(images),
                         .peak = {}};
    if (i > 0) {
      result.times_faster_than_fp16 = MedianRatio(samples[0], samples[i]);
      result.sqnr_db = SqnrDb(forwards[0]->Tokens(), forwards[i]->Tokens());
    }
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace

std::vector<ForwardResult> MeasureDeviceForward(
    const ForwardModel& model, const DeviceBench& device, int runs,
    const std::function<void(const std::string&)>& say) {
  const std::unique_ptr<Backend> backend = device.make_backend();
  say(fmt::format("{}: preparing", model.name));
  const std::vector<LoweredEncoder> encoders =
      LowerEncoder(model.graph, model.weights, *backend, kDeviceVariants);
  std::vector<ForwardResult> results;
  for (const int64_t images : device.batches) {
    say(fmt::format("{}: {} image{} at once", model.name, images, images == 1 ? "" : "s"));
    for (ForwardResult& result : MeasureBatch(encoders, *backend, images, runs)) {
      result.model = model.name;
      result.isa = device.kernels;
      results.push_back(std::move(result));
    }
  }
  return results;
}

}  // namespace w8a8
