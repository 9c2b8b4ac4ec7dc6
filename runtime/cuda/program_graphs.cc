#include "runtime/cuda/program_graphs.h"

#include <algorithm>
#include <variant>

namespace w8a8 {
namespace {

// Shapes of programs that are remembered at once; more of them are begun anew.
constexpr size_t kMostGraphs = 512;

}  // namespace

bool IsIdealOnDevice(const GemmFakeStep& step, SlotStorage out) {
  return step.flavour == FakeFlavour::kIdeal && step.input.quantizer &&
         !step.input.first_row_twice && !step.output && out == SlotStorage::kHalf;
}

bool NeedsHost(const Program& program) {
  return std::ranges::any_of(program.steps, [&](const Step& step) {
    if (const auto* fake = std::get_if<GemmFakeStep>(&step)) {
      return !IsIdealOnDevice(*fake, program.slots[static_cast<size_t>(fake->out)].storage);
    }
    return std::holds_alternative<GatherStep>(step) || std::holds_alternative<GemmCodesStep>(step);
  });
}

const DeviceGraph* ProgramGraphs::Of(const GraphKey& key, Queue queue,
                                     const std::function<void()>& queue_steps) {
  const uint64_t released = CountDeviceMemory().released;
  if (released != released_) graphs_.clear();
  released_ = released;
  const auto found = graphs_.find(key);
  if (found == graphs_.end()) {
    if (graphs_.size() >= kMostGraphs) graphs_.clear();
    graphs_.emplace(key, nullptr);
    return nullptr;
  }
  if (found->second == nullptr) found->second = std::make_unique<DeviceGraph>(queue, queue_steps);
  return found->second.get();
}

}  // namespace w8a8
