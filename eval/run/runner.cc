#include "eval/run/runner.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <set>
#include <utility>

#include "eval/run/shared_stages.h"
#include "eval/run/stage_worker.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/encoder/graph_costs.h"
#include "runtime/fuse_row_steps.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Per arm: whether a tap wants its codes and accumulators.
std::vector<bool> Traced(size_t arms, std::span<Tap* const> taps) {
  std::vector<bool> traced(arms);
  for (size_t arm = 0; arm < arms; ++arm) {
    traced[arm] = std::any_of(taps.begin(), taps.end(), [arm](const Tap* tap) {
      return tap->WantsTrace(static_cast<int>(arm));
    });
  }
  return traced;
}

uint64_t StorageBytes(const Slot& slot) {
  return slot.storage == SlotStorage::kFloat ? sizeof(float) : sizeof(Half);
}

// Of a weight as the CPU holds it.
uint64_t PackedBytes(Precision precision) {
  switch (precision) {
    case Precision::kFp16:
      return sizeof(Half);
    case Precision::kInt8:
      return sizeof(int8_t);
    case Precision::kFake:
    case Precision::kEmulated:
      break;
  }
  return sizeof(float);
}

class Runner {
 public:
  Runner(const Graph& graph, const Weights& weights, std::span<const Arm> arms,
         std::span<Tap* const> taps, const RunnerOptions& options)
      : graph_(graph),
        weights_(weights),
        arms_(arms),
        taps_(taps),
        options_(options),
        pool_(options.threads),
        backend_(options.make_backend()) {
    W8A8_CHECK(!arms.empty());
    for (const Arm& arm : arms) CheckPlan(graph, arm.precision, arm.plan, arm.flavour);
    leaders_ = LeadersOfStages(graph, arms, Traced(arms.size(), taps));
    std::vector<bool> timed(arms.size());
    for (const size_t arm : options.site_seconds_of) timed.at(arm) = true;
    const int threads = std::max(1, options.threads);
    for (int i = 0; i < threads; ++i) {
      workers_.push_back(
          std::make_unique<StageWorker>(graph, arms, taps, timed, pool_, i, *backend_));
    }
    result_.arm_seconds.resize(arms.size());
    for (size_t stage = 0; stage < graph.stages.size(); ++stage) {
      work_before_.push_back(work_before_.empty() ? 0 : work_before_.back() + StageWork(stage - 1));
    }
    work_before_.push_back(work_before_.back() + StageWork(graph.stages.size() - 1));
  }

  RunnerResult Run(ImageSource& source) {
    while (LoadChunk(source)) {
      for (size_t stage = 0; stage < graph_.stages.size(); ++stage) {
        RunStage(static_cast<int>(stage));
      }
      result_.images += ImagesInChunk();
      result_.samples += static_cast<int64_t>(chunk_.samples.size());
      ++result_.chunks;
    }
    for (const auto& worker : workers_) {
      for (size_t a = 0; a < arms_.size(); ++a) result_.arm_seconds[a] += worker->arm_seconds()[a];
      result_.seconds += worker->seconds();
      AddSiteSeconds(worker->site_seconds());
    }
    return std::move(result_);
  }

 private:
  void AddSiteSeconds(const std::vector<std::vector<double>>& by_node) {
    result_.site_seconds.resize(arms_.size());
    for (const size_t a : options_.site_seconds_of) {
      for (size_t n = 0; n < graph_.nodes.size(); ++n) {
        const std::string& site = graph_.nodes[n].site;
        if (!site.empty()) result_.site_seconds[a][site] += by_node[a][n];
      }
    }
  }

  // Of two stages of the largest's size, the one that runs and the next: packed for every precision
  // that an arm has, at most 11 bytes a weight.
  uint64_t BytesOfWeights() const {
    std::set<Precision> precisions;
    for (const Arm& arm : arms_) precisions.insert(arm.precision);
    uint64_t bytes_of_weight = 0;
    for (const Precision precision : precisions) bytes_of_weight += PackedBytes(precision);
    uint64_t most = 0;
    for (const Stage& stage : graph_.stages) {
      uint64_t weights = 0;
      for (int32_t n = stage.first_node; n < stage.last_node; ++n) {
        const Node& node = graph_.nodes[static_cast<size_t>(n)];
        if (node.site.empty()) continue;
        weights += static_cast<uint64_t>(graph_.slot(node.in).cols * graph_.slot(node.out).cols);
      }
      most = std::max(most, weights);
    }
    return 2 * most * bytes_of_weight;
  }

  int64_t ImagesPerChunk() const {
    const Slot& stream = graph_.slot(graph_.stream);
    const Slot& pixels = graph_.slot(graph_.pixels);
    const uint64_t per_image = static_cast<uint64_t>(stream.rows * stream.cols) *
                                   StorageBytes(stream) * CountLeaders(leaders_.back()) +
                               static_cast<uint64_t>(pixels.rows * pixels.cols) * sizeof(float);
    const uint64_t weights = std::min(BytesOfWeights(), options_.memory_bytes);
    return std::max<int64_t>(1,
                             static_cast<int64_t>((options_.memory_bytes - weights) / per_image));
  }

  bool LoadChunk(ImageSource& source) {
    chunk_.samples.clear();
    chunk_.pixels.clear();
    chunk_.grids.clear();
    chunk_.key_masks.clear();
    chunk_.streams.assign(arms_.size(), {});
    const int64_t limit = ImagesPerChunk();
    while (static_cast<int64_t>(chunk_.samples.size()) < limit) {
      std::optional<InputImage> image = source.Next();
      if (!image) break;
      chunk_.samples.push_back(
          {std::make_shared<const SampleKey>(std::move(image->key)), image->whole});
      chunk_.pixels.push_back(std::move(image->pixels));
      chunk_.grids.push_back(image->grid);
      chunk_.key_masks.push_back(std::move(image->key_mask));
    }
    return !chunk_.samples.empty();
  }

  StagePrograms LowerStage(int stage) {
    const Clock::time_point start = Clock::now();
    if (!lowering_) lowering_ = std::make_unique<Lowering>(graph_, weights_, *backend_);
    lowering_->BeginStage(stage);
    const auto s = static_cast<size_t>(stage);
    StagePrograms lowered{.stage = stage,
                          .leaders = leaders_[s],
                          .before = leaders_[s == 0 ? 0 : s - 1],
                          .programs = std::vector<StageProgram>(arms_.size())};
    for (size_t a = 0; a < arms_.size(); ++a) {
      if (lowered.Leads(a)) lowered.programs[a] = LowerArm(arms_[a], stage);
    }
    result_.lowering_seconds += SecondsSince(start);
    return lowered;
  }

  StageProgram LowerArm(const Arm& arm, int stage) {
    StageProgram program;
    program.whole = lowering_->Lower(arm.precision, arm.plan, arm.flavour, arm.attention);
    FuseRowSteps(&program.whole);
    const Stage& nodes = graph_.stages[static_cast<size_t>(stage)];
    for (int32_t node = nodes.first_node; node < nodes.last_node; ++node) {
      const Node& layer = graph_.nodes[static_cast<size_t>(node)];
      if (layer.site.empty() && layer.kind != NodeKind::kAttention) continue;
      program.layers[node] =
          lowering_->LowerLayer(node, arm.precision, arm.plan, arm.flavour, arm.attention);
    }
    return program;
  }

  // Multiply-adds of a stage in all arms that run it: how much of the time it takes, for the time
  // left.
  double StageWork(size_t stage) const {
    double work = 1;
    for (int32_t n = graph_.stages[stage].first_node; n < graph_.stages[stage].last_node; ++n) {
      work += static_cast<double>(MultiplyAdds(graph_, graph_.nodes[static_cast<size_t>(n)]));
    }
    return work * static_cast<double>(CountLeaders(leaders_[stage]));
  }

  void ShowProgress(int stage, double share_of_stage) const {
    if (!options_.progress) return;
    const auto s = static_cast<size_t>(stage);
    const double work = work_before_[s] + share_of_stage * (work_before_[s + 1] - work_before_[s]);
    options_.progress(static_cast<double>(result_.images) +
                      work / work_before_.back() * static_cast<double>(ImagesInChunk()));
  }

  int64_t ImagesInChunk() const {
    return std::count_if(chunk_.samples.begin(), chunk_.samples.end(),
                         [](const Sample& sample) { return sample.whole; });
  }

  // The first sample of each batch, and the end: neighbours of one grid, so that nothing is padded.
  std::vector<int64_t> BatchStarts() const {
    const int64_t most = std::max<int64_t>(1, options_.batch);
    std::vector<int64_t> starts;
    for (size_t i = 0; i < chunk_.samples.size(); ++i) {
      const auto sample = static_cast<int64_t>(i);
      const bool full = starts.empty() || sample - starts.back() == most;
      if (full || chunk_.grids[i] != chunk_.grids[i - 1]) starts.push_back(sample);
    }
    starts.push_back(static_cast<int64_t>(chunk_.samples.size()));
    return starts;
  }

  // The weights of the next stage are prepared beside the images of this one, by the worker that
  // comes first: no thread waits for another's weights but at the first stage of a chunk.
  void RunStage(int stage) {
    const StagePrograms lowered = stage == 0 ? LowerStage(stage) : std::move(next_);
    for (size_t a = 0; a < arms_.size(); ++a) {
      if (lowered.Leads(a)) chunk_.streams[a].resize(chunk_.samples.size());
    }
    result_.stages_run +=
        static_cast<int64_t>(CountLeaders(lowered.leaders) * chunk_.samples.size());
    const std::vector<int64_t> starts = BatchStarts();
    const auto batches = static_cast<int64_t>(starts.size()) - 1;
    std::atomic<int64_t> finished{0};
    const int64_t to_prepare = stage + 1 < static_cast<int>(graph_.stages.size()) ? 1 : 0;
    pool_.For(to_prepare + batches, [&](int64_t index, int worker) {
      if (index < to_prepare) {
        next_ = LowerStage(stage + 1);
        return;
      }
      const auto i = static_cast<size_t>(index - to_prepare);
      workers_[static_cast<size_t>(worker)]->RunBatch(lowered, chunk_, starts[i],
                                                      starts[i + 1] - starts[i]);
      const auto done = static_cast<double>(++finished);
      if (worker == 0) ShowProgress(stage, done / static_cast<double>(batches));
    });
    if (stage == 0) chunk_.pixels.clear();
    ShowProgress(stage, 1.0);
  }

  const Graph& graph_;
  const Weights& weights_;
  const std::span<const Arm> arms_;
  const std::span<Tap* const> taps_;
  const RunnerOptions& options_;
  std::vector<Leaders> leaders_;     // by stage
  std::vector<double> work_before_;  // of the stages before stage i; the last one: of all
  ThreadPool pool_;
  const std::unique_ptr<Backend> backend_;
  std::vector<std::unique_ptr<StageWorker>> workers_;  // one for each thread of the pool
  std::unique_ptr<Lowering> lowering_;
  StagePrograms next_;  // of the stage after the one that runs
  Chunk chunk_;
  RunnerResult result_;
};

}  // namespace

RunnerResult RunArms(const Graph& graph, const Weights& weights, std::span<const Arm> arms,
                     ImageSource& source, std::span<Tap* const> taps,
                     const RunnerOptions& options) {
  return Runner(graph, weights, arms, taps, options).Run(source);
}

}  // namespace w8a8
