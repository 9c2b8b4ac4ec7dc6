#include "eval/bench/bench.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "eval/bench/forward_bench.h"
#include "eval/bench/kernel_bench.h"
#include "eval/bench/machine.h"
#include "eval/bench/made_encoder.h"
#include "eval/bench/peak.h"
#include "eval/bench/stage_bench.h"
#include "runtime/base/error.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {
namespace {

constexpr int64_t kUsualBlocks = 4;  // of the wide encoders' 24 to 45
constexpr int64_t kAllBlocks = std::numeric_limits<int64_t>::max();

// An encoder with what its weights are read from.
struct OpenModel {
  EncoderConfig config;
  Graph graph;
  std::unique_ptr<Weights> weights;
  int64_t all_blocks;
  bool made = false;

  ForwardModel forward() const { return {config.name, graph, *weights, all_blocks, made}; }
};

OpenModel Open(const MadeEncoder& made) {
  return {made.config, BuildGraph(made.config), std::make_unique<MadeWeights>(made.config),
          made.all_blocks, true};
}

OpenModel Open(const std::filesystem::path& folder, const std::string& prefix) {
  const EncoderConfig config = ReadEncoderConfig(folder, prefix);
  if (config.variable_grid) {
    Fail(
        "{}: every image has a grid of its own, and no one size can be measured for all. Take a "
        "model of one image size, or none: the made encoders.",
        folder.string());
  }
  return {config, BuildGraph(config), std::make_unique<EncoderWeights>(folder, config, prefix),
          config.blocks};
}

class Bench {
 public:
  explicit Bench(const BenchSettings& settings)
      : settings_(settings), set_(Select(settings.kernel_set)) {
    const bool small = settings.extent == BenchExtent::kSmall;
    if (!settings.model.empty()) given_ = Open(settings.model, settings.model_prefix);
    budget_ = small ? SampleBudget{.seconds = 0, .least = 1, .most = 1} : SampleBudget();
  }

  BenchReport Run() {
    report_.machine = ThisMachine();
    MeasurePeaks();
    if (settings_.kernels) report_.kernels = MeasureOperations();
    if (settings_.forward) MeasureForwards();
    if (settings_.stages) {
      const OpenModel model = given_ ? std::move(*given_) : Open(Encoders().front());
      report_.stages_model = model.config.name;
      const bool small = settings_.extent == BenchExtent::kSmall;
      report_.stages = MeasureStages(
          model.forward(),
          {.set = set_, .images = small ? 1 : 6, .repeats = small ? 1 : 3, .say = settings_.say});
    }
    return std::move(report_);
  }

 private:
  void MeasurePeaks() {
    settings_.say("peaks");
    for (const Peak& peak : Peaks()) {
      const std::string name(peak.name);
      const bool listed = std::ranges::any_of(
          report_.peaks, [&name](const auto& entry) { return entry.first == name; });
      if (!listed) report_.peaks.emplace_back(name, PeakMacsPerSecond(name));
    }
    if (settings_.threads == 1) return;
    const double scaling = PeakScaling(set_, settings_.threads);
    if (scaling > 0) report_.peak_scaling = scaling;
  }

  std::vector<MadeEncoder> Encoders() const {
    if (settings_.extent == BenchExtent::kSmall) return {SmallEncoder()};
    const int64_t most = settings_.extent == BenchExtent::kFull ? kAllBlocks : kUsualBlocks;
    std::vector<MadeEncoder> encoders = MadeEncoders(most);
    if (settings_.encoder.empty()) return encoders;
    std::ranges::move(WideEncoders(most), std::back_inserter(encoders));
    std::erase_if(encoders,
                  [this](const MadeEncoder& made) { return made.key != settings_.encoder; });
    return encoders;
  }

  std::vector<KernelResult> MeasureOperations() const {
    KernelSettings kernels{
        .sets = Sets(), .shapes = {}, .attention = {}, .budget = budget_, .say = settings_.say};
    if (settings_.extent == BenchExtent::kSmall) {
      kernels.shapes = {{"small fc2", 17, 33, 65}};
      kernels.attention = {{"small", 17, 2, 16}};
    } else {
      kernels.shapes = StandardShapes();
      kernels.attention = StandardAttention();
    }
    if (given_) {
      const std::string& name = given_->config.name;
      std::ranges::move(ShapesOf(given_->graph, name), std::back_inserter(kernels.shapes));
      kernels.attention.push_back(AttentionOf(given_->graph, name));
    }
    return MeasureKernels(kernels);
  }

  std::vector<const Kernels*> Sets() const {
    if (!settings_.kernel_set.empty()) return {&set_};
    std::vector<const Kernels*> sets;
    for (const Kernels& set : All().first(All().size() - 1)) {
      if (set.supported()) sets.push_back(&set);
    }
    if (sets.empty()) sets.push_back(&All().back());
    return sets;
  }

  void MeasureForwards() {
    if (given_) {
      report_.forward = MeasureOne(given_->forward());
      return;
    }
    for (const MadeEncoder& made : Encoders()) {
      const OpenModel model = Open(made);
      std::ranges::move(MeasureOne(model.forward()), std::back_inserter(report_.forward));
    }
  }

  std::vector<ForwardResult> MeasureOne(const ForwardModel& model) const {
    if (settings_.device) {
      constexpr int kRuns = 7;
      const bool small = settings_.extent == BenchExtent::kSmall;
      return MeasureDeviceForward(model, *settings_.device, small ? 1 : kRuns, settings_.say);
    }
    return MeasureForward(
        model,
        {.set = set_, .threads = settings_.threads, .budget = Whole(), .say = settings_.say});
  }

  // More for whole forwards, which are few.
  SampleBudget Whole() const {
    SampleBudget budget = budget_;
    budget.seconds *= 15;
    return budget;
  }

  const BenchSettings& settings_;
  const Kernels& set_;
  std::optional<OpenModel> given_;
  SampleBudget budget_;
  BenchReport report_;
};

}  // namespace

BenchReport RunBench(const BenchSettings& settings) { return Bench(settings).Run(); }

}  // namespace w8a8
