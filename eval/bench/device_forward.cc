#include "eval/bench/device_forward.h"

#include <array>
#include <cmath>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "eval/bench/made_encoder.h"
#include "eval/bench/sampling.h"
#include "eval/bench/steady_forward.h"
#include "runtime/encoder/graph_costs.h"

namespace w8a8 {
namespace {

constexpr std::array kDeviceVariants = {
    ForwardVariant{Precision::kFp16, AttentionPrecision::kFp32},
    ForwardVariant{Precision::kInt8, AttentionPrecision::kFp32},
    ForwardVariant{Precision::kInt8, AttentionPrecision::kInt8}};

// A batch of different made images through the stages of one variant.
class BatchForward {
 public:
  BatchForward(const LoweredEncoder& encoder, Backend& backend, int64_t images)
      : encoder_(encoder), images_(images), arena_(backend.MakeArena()) {
    for (int64_t image = 0; image < images; ++image) {
      const auto seed = static_cast<uint64_t>(image) + 1;
      const std::vector<float> pixels = MadePixels(encoder.graph->config, seed);
      pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
    }
    Run();
  }

  // The seconds that it took by the device's clock.
  double Run() {
    const Graph& graph = *encoder_.graph;
    const std::array kept{graph.stream, graph.tokens};
    const double before = arena_->Seconds();
    for (size_t stage = 0; stage < encoder_.stages.size(); ++stage) {
      const Program& program = encoder_.stages[stage];
      arena_->Prepare(program.slots, {.images = images_});
      const std::span<const std::byte> in =
          stage == 0 ? std::as_bytes(std::span(pixels_)) : std::span<const std::byte>(stream_);
      arena_->Upload(stage == 0 ? graph.pixels : graph.stream, 0, in);
      arena_->RunAll(program, kept);
      if (stage + 1 == encoder_.stages.size()) break;
      const std::span<const std::byte> stream = arena_->HostView(graph.stream);
      stream_.assign(stream.begin(), stream.end());
    }
    return arena_->Seconds() - before;
  }

  MatView<const Half> Tokens() { return arena_->HostHalf(encoder_.graph->tokens); }

 private:
  const LoweredEncoder& encoder_;
  const int64_t images_;
  std::unique_ptr<Arena> arena_;
  std::vector<float> pixels_;
  std::vector<std::byte> stream_;
};

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
  std::vector<std::unique_ptr<BatchForward>> forwards;
  for (const LoweredEncoder& encoder : encoders) {
    forwards.push_back(std::make_unique<BatchForward>(encoder, backend, images));
  }
  std::vector<std::vector<double>> samples(encoders.size());
  for (int run = 0; run < runs; ++run) {
    for (size_t i = 0; i < forwards.size(); ++i) samples[i].push_back(forwards[i]->Run());
  }
  std::vector<ForwardResult> results;
  for (size_t i = 0; i < encoders.size(); ++i) {
    const Graph& graph = *encoders[i].graph;
    ForwardResult result{.model = {},
                         .config = graph.config,
                         .precision = std::string(NameOf(encoders[i].variant.precision)),
                         .attention = std::string(NameOf(encoders[i].variant.attention)),
                         .isa = {},
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
