#include "eval/run/stage_worker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {
namespace {

using Clock = std::chrono::steady_clock;

// True for the step that writes its node's output.
bool EndsNode(const Program& program, size_t step) {
  return step + 1 == program.nodes.size() || program.nodes[step + 1] != program.nodes[step];
}

}  // namespace

class StageWorker::Event final : public LinearEvent {
 public:
  Event(StageWorker& owner, const Batch& batch, int32_t node)
      : owner_(owner), batch_(batch), node_(node) {}
  LinearResult RunAs(int other) override { return owner_.RunLinearAs(batch_, other, node_); }

 private:
  StageWorker& owner_;
  const Batch& batch_;
  const int32_t node_;
};

StageWorker::StageWorker(const Graph& graph, std::span<const Arm> arms, std::span<Tap* const> taps,
                         int worker, std::unique_ptr<Backend> backend)
    : graph_(graph),
      arms_(arms),
      taps_(taps),
      worker_(worker),
      backend_(std::move(backend)),
      arm_seconds_(arms.size(), 0.0) {}

void StageWorker::RunBatch(const StagePrograms& stage, Chunk& chunk, int64_t first, int64_t count) {
  arena_.grid = chunk.grids[static_cast<size_t>(first)];
  const auto begin = chunk.images.begin() + first;
  const Batch batch{stage, chunk, first, {begin, begin + count}};
  LoadKeyMask(batch);
  if (stage.stage > 0) Diverge(batch);
  for (size_t arm = 0; arm < arms_.size(); ++arm) {
    ThrowIfInterrupted();
    if (stage.Leads(arm)) RunArm(batch, static_cast<int>(arm));
  }
}

void StageWorker::LoadKeyMask(const Batch& batch) {
  arena_.key_mask.clear();
  const auto first = batch.chunk.key_masks.begin() + batch.first;
  const auto last = first + static_cast<int64_t>(batch.images.size());
  if (std::all_of(first, last, [](const auto& mask) { return mask.empty(); })) return;
  const std::vector<Slot> slots = AtGrid(graph_.slots, graph_.config, arena_.grid);
  const auto tokens = static_cast<size_t>(slots[static_cast<size_t>(graph_.stream)].rows);
  for (auto mask = first; mask != last; ++mask) {
    W8A8_CHECK(mask->empty() || mask->size() == tokens);
    const std::vector<uint8_t> all(tokens, 1);
    const std::vector<uint8_t>& keys = mask->empty() ? all : *mask;
    arena_.key_mask.insert(arena_.key_mask.end(), keys.begin(), keys.end());
  }
}

template <class Show>
void StageWorker::ForEachFollower(const Batch& batch, int leader, const Show& show) const {
  for (int arm = leader; arm < static_cast<int>(arms_.size()); ++arm) {
    if (batch.stage.leaders[static_cast<size_t>(arm)] == static_cast<size_t>(leader)) show(arm);
  }
}

// Gives an arm that leads from this stage on the stream that it followed, before that moves on.
void StageWorker::Diverge(const Batch& batch) {
  for (size_t arm = 1; arm < arms_.size(); ++arm) {
    const size_t followed = batch.stage.before[arm];
    if (!batch.stage.Leads(arm) || followed == arm) continue;
    for (size_t i = 0; i < batch.images.size(); ++i) {
      const size_t image = static_cast<size_t>(batch.first) + i;
      batch.chunk.streams[arm][image] = batch.chunk.streams[followed][image];
    }
  }
}

void StageWorker::RunStep(const Batch& batch, int arm, const Step& step) {
  const Clock::time_point start = Clock::now();
  std::visit([this](const auto& s) { backend_->Run(s, arena_); }, step);
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  seconds_ += seconds;
  ForEachFollower(batch, arm, [&](int a) { arm_seconds_[static_cast<size_t>(a)] += seconds; });
}

void StageWorker::RunArm(const Batch& batch, int arm) {
  const Program& program = batch.stage.programs[static_cast<size_t>(arm)].whole;
  arena_.Prepare(AtGrid(program.slots, graph_.config, arena_.grid),
                 static_cast<int64_t>(batch.images.size()));
  LoadInput(batch, arm);
  const bool last = static_cast<size_t>(batch.stage.stage) + 1 == graph_.stages.size();
  arena_.keep_trace = arena_.keep_attention = false;
  ForEachFollower(batch, arm, [&](int follower) {
    for (const Tap* tap : taps_) {
      arena_.keep_trace = arena_.keep_trace || tap->WantsTrace(follower);
      arena_.keep_attention = arena_.keep_attention || (!last && tap->WantsAttention(follower));
    }
  });
  for (size_t i = 0; i < program.steps.size(); ++i) {
    RunStep(batch, arm, program.steps[i]);
    if (EndsNode(program, i)) ShowLinear(batch, arm, program.nodes[i]);
    if (arena_.keep_attention && std::holds_alternative<AttentionStep>(program.steps[i])) {
      ShowAttention(batch, arm);
    }
  }
  if (last) {
    ShowOutputs(batch, arm);
    return;
  }
  StoreStream(batch, arm);
  ShowStream(batch, arm);
}

void StageWorker::LoadInput(const Batch& batch, int arm) {
  if (batch.stage.stage == 0) {
    const MatView<float> pixels = arena_.floats(graph_.pixels);
    for (size_t i = 0; i < batch.images.size(); ++i) {
      const std::vector<float>& image = batch.chunk.pixels[static_cast<size_t>(batch.first) + i];
      W8A8_CHECK(static_cast<int64_t>(image.size() * batch.images.size()) ==
                 pixels.rows * pixels.cols);
      std::copy(image.begin(), image.end(), pixels.data + i * image.size());
    }
    return;
  }
  for (size_t i = 0; i < batch.images.size(); ++i) {
    const std::vector<std::byte>& stream =
        batch.chunk.streams[static_cast<size_t>(arm)][static_cast<size_t>(batch.first) + i];
    std::copy(stream.begin(), stream.end(), StreamBytes(i).begin());
  }
}

void StageWorker::StoreStream(const Batch& batch, int arm) {
  for (size_t i = 0; i < batch.images.size(); ++i) {
    const std::span<std::byte> stream = StreamBytes(i);
    batch.chunk.streams[static_cast<size_t>(arm)][static_cast<size_t>(batch.first) + i].assign(
        stream.begin(), stream.end());
  }
}

std::span<std::byte> StageWorker::StreamBytes(size_t image) const {
  const auto bytes = [](auto view) {
    return std::as_writable_bytes(std::span(view.data, static_cast<size_t>(view.rows * view.cols)));
  };
  const auto i = static_cast<int64_t>(image);
  if (arena_.storage(graph_.stream) == SlotStorage::kFloat) {
    return bytes(arena_.floats(graph_.stream, i));
  }
  return bytes(arena_.half(graph_.stream, i));
}

void StageWorker::ShowStream(const Batch& batch, int arm) {
  StreamEvent event{
      .arm = arm, .stage = batch.stage.stage, .images = &batch.images, .half = {}, .floats = {}};
  if (arena_.storage(graph_.stream) == SlotStorage::kFloat) {
    event.floats = arena_.floats(graph_.stream);
  } else {
    event.half = arena_.half(graph_.stream);
  }
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) tap->OnStream(event);
  });
}

void StageWorker::ShowAttention(const Batch& batch, int arm) {
  AttentionEvent event{.arm = arm,
                       .block = batch.stage.stage - 1,
                       .images = &batch.images,
                       .probabilities = arena_.attention};
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) {
      if (tap->WantsAttention(follower)) tap->OnAttention(event);
    }
  });
}

void StageWorker::ShowLinear(const Batch& batch, int arm, int32_t node_index) {
  const Node& node = graph_.nodes[static_cast<size_t>(node_index)];
  if (node.site.empty()) return;
  ForEachFollower(batch, arm, [&](int follower) { ShowLinearAs(batch, follower, node_index); });
}

void StageWorker::ShowLinearAs(const Batch& batch, int arm, int32_t node_index) {
  const Node& node = graph_.nodes[static_cast<size_t>(node_index)];
  for (Tap* tap : taps_) {
    if (!tap->WantsLinear(arm, node.site)) continue;
    Event event(*this, batch, node_index);
    event.worker = worker_;
    event.arm = arm;
    event.stage = batch.stage.stage;
    event.site = &node.site;
    event.images = &batch.images;
    event.rows_per_image = arena_.rows_per_image(node.in);
    event.input = arena_.half(node.in);
    event.output = arena_.half(node.out);
    event.trace = &arena_.trace;
    tap->OnLinear(event);
  }
}

LinearResult StageWorker::RunLinearAs(const Batch& batch, int arm, int32_t node) {
  const size_t leader = batch.stage.leaders[static_cast<size_t>(arm)];
  const Program& layer = batch.stage.programs[leader].layers.at(node);
  replay_.Prepare(AtGrid(layer.slots, graph_.config, arena_.grid),
                  static_cast<int64_t>(batch.images.size()));
  const MatView<const Half> input = arena_.half(graph_.nodes[static_cast<size_t>(node)].in);
  std::copy_n(input.data, input.rows * input.cols, replay_.half(Lowering::kLayerIn).data);
  replay_.keep_trace = true;
  for (const Step& step : layer.steps) {
    std::visit([this](const auto& s) { backend_->Run(s, replay_); }, step);
  }
  return {replay_.half(Lowering::kLayerOut), replay_.trace};
}

void StageWorker::ShowOutputs(const Batch& batch, int arm) {
  OutputEvent event{.worker = worker_,
                    .arm = arm,
                    .images = &batch.images,
                    .tokens = arena_.half(graph_.tokens),
                    .pooled = {},
                    .logits = {}};
  if (graph_.pooled != kNoSlot) event.pooled = arena_.half(graph_.pooled);
  if (graph_.logits != kNoSlot) event.logits = arena_.half(graph_.logits);
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) tap->OnOutputs(event);
  });
}

}  // namespace w8a8
