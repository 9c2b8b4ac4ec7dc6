#include "eval/run/stage_worker.h"

#include <algorithm>
#include <array>
#include <optional>

#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"
#include "runtime/lower.h"

namespace w8a8 {
namespace {

// True for the step that writes its node's output.
bool EndsNode(const Program& program, size_t step) {
  return step + 1 == program.nodes.size() || program.nodes[step + 1] != program.nodes[step];
}

// The key masks of all images one after the other, all ones where only some images have one.
std::vector<uint8_t> Joined(std::span<const std::vector<uint8_t>> masks) {
  size_t tokens = 0;
  for (const std::vector<uint8_t>& mask : masks) tokens = std::max(tokens, mask.size());
  std::vector<uint8_t> joined;
  for (const std::vector<uint8_t>& mask : masks) {
    W8A8_CHECK(mask.empty() || mask.size() == tokens);
    joined.insert(joined.end(), mask.begin(), mask.end());
    if (mask.empty()) joined.resize(joined.size() + tokens, 1);
  }
  return joined;
}

}  // namespace

// A LinearEvent or an AttentionEvent of a node.
template <class Base>
class StageWorker::NodeEvent : public Base {
 public:
  NodeEvent(StageWorker& owner, const Batch& batch, int32_t node)
      : owner_(owner), batch_(batch), node_(node) {
    this->worker = owner.worker_;
    this->samples = batch.samples;
  }

 protected:
  LinearResult Replay(int other, const Wanted& wanted) {
    return owner_.RunAs(batch_, other, node_, wanted);
  }

 private:
  StageWorker& owner_;
  const Batch& batch_;
  const int32_t node_;
};

class StageWorker::LayerEvent final : public NodeEvent<LinearEvent> {
 public:
  using NodeEvent::NodeEvent;
  LinearResult RunAs(int other, const Wanted& wanted) override { return Replay(other, wanted); }
};

class StageWorker::AttendedEvent final : public NodeEvent<AttentionEvent> {
 public:
  using NodeEvent::NodeEvent;
  MatView<const Half> RunAs(int other) override { return Replay(other, {}).output; }
};

StageWorker::StageWorker(const Graph& graph, std::span<const Arm> arms, std::span<Tap* const> taps,
                         const std::vector<bool>& timed, ThreadPool& pool, int worker,
                         Backend& backend)
    : graph_(graph),
      arms_(arms),
      taps_(taps),
      timed_(timed),
      worker_(worker),
      arena_(backend.MakeArena()),
      replay_(backend.MakeArena()),
      arm_seconds_(arms.size(), 0.0),
      site_seconds_(arms.size(), std::vector<double>(graph.nodes.size(), 0.0)) {
  arena_->ShareWith(pool, worker);
  replay_->ShareWith(pool, worker);
}

void StageWorker::RunBatch(const StagePrograms& stage, Chunk& chunk, int64_t first, int64_t count) {
  const auto begin = static_cast<size_t>(first), samples = static_cast<size_t>(count);
  const Batch batch{stage,
                    chunk,
                    first,
                    std::span(chunk.samples).subspan(begin, samples),
                    {.images = count,
                     .grid = chunk.grids[begin],
                     .key_mask = Joined(std::span(chunk.key_masks).subspan(begin, samples))}};
  if (stage.stage > 0) Diverge(batch);
  for (size_t arm = 0; arm < arms_.size(); ++arm) {
    ThrowIfInterrupted();
    if (stage.Leads(arm)) RunArm(batch, static_cast<int>(arm));
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
    for (size_t i = 0; i < batch.samples.size(); ++i) {
      const size_t sample = static_cast<size_t>(batch.first) + i;
      batch.chunk.streams[arm][sample] = batch.chunk.streams[followed][sample];
    }
  }
}

bool StageWorker::IsLast(const Batch& batch) const {
  return static_cast<size_t>(batch.stage.stage) + 1 == graph_.stages.size();
}

// By any tap, of any arm that follows. The last stage's attention is a pooling head's, no block's.
Wanted StageWorker::WantedOf(const Batch& batch, int arm) const {
  Wanted wanted;
  ForEachFollower(batch, arm, [&](int follower) {
    for (const Tap* tap : taps_) {
      wanted.trace = wanted.trace || tap->WantsTrace(follower);
      wanted.attention = wanted.attention || (!IsLast(batch) && tap->WantsProbabilities(follower));
    }
  });
  return wanted;
}

// True if nobody looks at a node of the stage or at what it takes: only at what the stage leaves.
bool StageWorker::IsUnseen(const Batch& batch, int arm) const {
  bool seen = WantedOf(batch, arm).attention;  // traces are of layers
  const Stage& nodes = graph_.stages[static_cast<size_t>(batch.stage.stage)];
  ForEachFollower(batch, arm, [&](int follower) {
    seen = seen || timed_[static_cast<size_t>(follower)];
    for (const Tap* tap : taps_) {
      seen = seen || tap->WantsAttention(follower);
      for (int32_t n = nodes.first_node; n < nodes.last_node && !seen; ++n) {
        const Node& node = graph_.nodes[static_cast<size_t>(n)];
        seen = node.kind == NodeKind::kRoute ||
               (!node.site.empty() && tap->WantsLinear(follower, node.site));
      }
    }
  });
  return !seen;
}

void StageWorker::Prepare(const Program& program, const Batch& batch, Arena& arena) const {
  arena.Prepare(AtGrid(program.slots, graph_.config, batch.inputs.grid), batch.inputs);
}

void StageWorker::RunArm(const Batch& batch, int arm) {
  const Program& program = batch.stage.programs[static_cast<size_t>(arm)].whole;
  Prepare(program, batch, *arena_);
  LoadInput(batch, arm);
  const double before = arena_->Seconds();
  if (IsUnseen(batch, arm)) {
    const std::array kept{graph_.stream, graph_.tokens, graph_.pooled, graph_.image_embeds,
                          graph_.logits};
    arena_->RunAll(program, kept);
  } else {
    RunSteps(batch, arm, program);
  }
  const double seconds = arena_->Seconds() - before;
  seconds_ += seconds;
  ForEachFollower(batch, arm, [&](int a) { arm_seconds_[static_cast<size_t>(a)] += seconds; });
  if (IsLast(batch)) return ShowOutputs(batch, arm);
  StoreStream(batch, arm);
  ShowStream(batch, arm);
}

void StageWorker::RunSteps(const Batch& batch, int arm, const Program& program) {
  const Wanted wanted = WantedOf(batch, arm);
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const double before = arena_->Seconds();
    const StepResult result = arena_->Run(program.steps[i], wanted);
    CountSeconds(batch, arm, program, i, arena_->Seconds() - before + result.codes_seconds);
    if (EndsNode(program, i)) ShowNode(batch, arm, program.nodes[i], result);
  }
}

void StageWorker::CountSeconds(const Batch& batch, int arm, const Program& program, size_t step,
                               double seconds) {
  const auto node = static_cast<size_t>(program.nodes[step]);
  if (graph_.nodes[node].site.empty() || !EndsNode(program, step)) return;
  ForEachFollower(batch, arm,
                  [&](int a) { site_seconds_[static_cast<size_t>(a)][node] += seconds; });
}

void StageWorker::LoadInput(const Batch& batch, int arm) {
  const bool embeds = batch.stage.stage == 0;
  const SlotId slot = embeds ? graph_.pixels : graph_.stream;
  const int64_t rows = arena_->slot(slot).rows;
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    const size_t image = static_cast<size_t>(batch.first) + i;
    const std::span<const std::byte> input =
        embeds ? std::as_bytes(std::span(batch.chunk.pixels[image]))
               : std::span(batch.chunk.streams[static_cast<size_t>(arm)][image]);
    W8A8_CHECK(input.size() == static_cast<size_t>(rows) * arena_->row_bytes(slot));
    arena_->Upload(slot, static_cast<int64_t>(i) * rows, input);
  }
}

void StageWorker::StoreStream(const Batch& batch, int arm) {
  const std::span<const std::byte> all = arena_->HostView(graph_.stream);
  const size_t size = all.size() / batch.samples.size();
  for (size_t i = 0; i < batch.samples.size(); ++i) {
    const std::span<const std::byte> stream = all.subspan(i * size, size);
    batch.chunk.streams[static_cast<size_t>(arm)][static_cast<size_t>(batch.first) + i].assign(
        stream.begin(), stream.end());
  }
}

void StageWorker::ShowStream(const Batch& batch, int arm) {
  StreamEvent event{
      .arm = arm, .stage = batch.stage.stage, .samples = batch.samples, .half = {}, .floats = {}};
  if (arena_->slot(graph_.stream).storage == SlotStorage::kFloat) {
    event.floats = arena_->HostFloats(graph_.stream);
  } else {
    event.half = arena_->HostHalf(graph_.stream);
  }
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) tap->OnStream(event);
  });
}

void StageWorker::ShowAttention(const Batch& batch, int arm, int32_t node_index,
                                const StepResult& result) {
  const MatView<const float> probabilities = result.attention.view();
  std::optional<AttendedEvent> event;
  ForEachFollower(batch, arm, [&](int follower) {
    for (Tap* tap : taps_) {
      const bool shown = probabilities.rows > 0 && tap->WantsProbabilities(follower);
      if (!shown && !tap->WantsAttention(follower)) continue;
      if (!event) {
        event.emplace(*this, batch, node_index);
        event->block = batch.stage.stage - 1;
        event->output = arena_->HostHalf(graph_.nodes[static_cast<size_t>(node_index)].out);
        event->probabilities = probabilities;
      }
      event->arm = follower;
      tap->OnAttention(*event);
    }
  });
}

void StageWorker::ShowNode(const Batch& batch, int arm, int32_t node_index,
                           const StepResult& result) {
  const Node& node = graph_.nodes[static_cast<size_t>(node_index)];
  if (node.kind == NodeKind::kRoute) return ShowRouting(batch, arm, node.out);
  if (node.kind == NodeKind::kAttention) return ShowAttention(batch, arm, node_index, result);
  if (node.site.empty() || arena_->rows(node.in) == 0) return;
  ShowLinear(batch, arm, node_index, result);
}

void StageWorker::ShowRouting(const Batch& batch, int arm, SlotId routing) {
  RoutingEvent event{.worker = worker_,
                     .arm = arm,
                     .block = batch.stage.stage - 1,
                     .samples = batch.samples,
                     .weights = arena_->HostFloats(routing)};
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) tap->OnRouting(event);
  });
}

void StageWorker::ShowLinear(const Batch& batch, int arm, int32_t node_index,
                             const StepResult& result) {
  const Node& node = graph_.nodes[static_cast<size_t>(node_index)];
  const bool routed = arena_->slot(node.in).tokens == SlotRows::kRouted;
  std::optional<LayerEvent> event;
  ForEachFollower(batch, arm, [&](int follower) {
    for (Tap* tap : taps_) {
      if (!tap->WantsLinear(follower, node.site)) continue;
      if (!event) {
        event.emplace(*this, batch, node_index);
        event->stage = batch.stage.stage;
        event->site = &node.site;
        if (routed) event->owners = arena_->routed();
        event->counter = arena_->row_counter();
        event->input_slot = node.in;
        event->output_slot = node.out;
        event->trace = result.trace;
      }
      const bool counts = event->counter != nullptr && tap->CountsOnDevice();
      if (!counts && event->input.data == nullptr) {
        event->input = arena_->HostHalf(node.in);
        event->output = arena_->HostHalf(node.out);
      }
      event->arm = follower;
      tap->OnLinear(*event);
    }
  });
}

LinearResult StageWorker::RunAs(const Batch& batch, int arm, int32_t node, const Wanted& wanted) {
  const size_t leader = batch.stage.leaders[static_cast<size_t>(arm)];
  const Program& layer = batch.stage.programs[leader].layers.at(node);
  Prepare(layer, batch, *replay_);
  const std::span<const RowOwner> routed = arena_->routed();
  replay_->SetRouted({routed.begin(), routed.end()});
  const Node& run = graph_.nodes[static_cast<size_t>(node)];
  replay_->Upload(Lowering::kLayerIn, 0, arena_->HostView(run.in));
  if (run.in2 != kNoSlot && run.in2 != run.in) {
    replay_->Upload(Lowering::kLayerIn2, 0, arena_->HostView(run.in2));
  }
  LinearResult result;
  for (const Step& step : layer.steps) result.trace = replay_->Run(step, wanted).trace;
  result.output = replay_->HostHalf(Lowering::kLayerOut);
  return result;
}

void StageWorker::ShowOutputs(const Batch& batch, int arm) {
  OutputEvent event{.worker = worker_,
                    .arm = arm,
                    .samples = batch.samples,
                    .tokens = arena_->HostHalf(graph_.tokens),
                    .pooled = {},
                    .image_embeds = {},
                    .logits = {}};
  if (graph_.image_embeds != kNoSlot) event.image_embeds = arena_->HostHalf(graph_.image_embeds);
  if (graph_.pooled != kNoSlot) event.pooled = arena_->HostHalf(graph_.pooled);
  if (graph_.logits != kNoSlot) event.logits = arena_->HostHalf(graph_.logits);
  ForEachFollower(batch, arm, [&](int follower) {
    event.arm = follower;
    for (Tap* tap : taps_) tap->OnOutputs(event);
  });
}

}  // namespace w8a8
