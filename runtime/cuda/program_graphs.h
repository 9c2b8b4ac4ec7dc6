// The programs of one arena as graphs of the device.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "runtime/cuda/device.h"
#include "runtime/encoder/config.h"
#include "runtime/steps.h"

namespace w8a8 {

// All that decides, beside where memory lies, what the steps of a program tell a device.
struct GraphKey {
  uint64_t program = 0;  // its identity
  std::vector<SlotId> kept;
  int64_t images = 0;
  int64_t grid_rows = 0, grid_cols = 0;
  bool masked = false;
  friend auto operator<=>(const GraphKey&, const GraphKey&) = default;
};

// True for what of the fake arm a device does without the host: quantizers of the ideal flavour,
// whose codes are like any other.
bool IsIdealOnDevice(const GemmFakeStep& step, SlotStorage out);

// True if the host has to look at something between two steps of the program: how many rows an
// expert has, rows that it quantizes itself.
bool NeedsHost(const Program& program);

// A graph names memory by its address. So a program is captured once it ran, and made the memory
// that it wants; and every graph is dropped when any memory was let go of since. Memory that is
// made moves nothing: weights of the next stage come while images run through this one.
class ProgramGraphs {
 public:
  // The graph of what `queue_steps` tells the queue; nullptr: run the steps by themselves, this
  // time.
  const DeviceGraph* Of(const GraphKey& key, Queue queue, const std::function<void()>& queue_steps);

 private:
  uint64_t released_ = 0;
  std::map<GraphKey, std::unique_ptr<DeviceGraph>> graphs_;  // nullptr: ran once
};

}  // namespace w8a8
