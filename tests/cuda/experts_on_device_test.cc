// The steps around experts through the whole backend, against the CPU's scalar set: whose rows an
// expert gets, the rows, and the sums, in every bit.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_backend.h"
#include "tests/cpu/kernel_sets.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/device_test.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class ExpertsOnDevice : public DeviceTest {};

constexpr int64_t kTokens = 7, kWidth = 40, kExperts = 5, kImages = 3;
constexpr SlotId kIn = 0, kRouting = 1, kRows = 2, kOut = 3;

std::unique_ptr<Arena> ArenaOf(Backend& backend) {
  std::vector<Slot> slots = {HalfSlot(kTokens, kWidth), FloatSlot(kTokens, kExperts),
                             HalfSlot(kTokens, kWidth), FloatSlot(kTokens, kWidth)};
  slots[kRows].tokens = SlotRows::kRouted;
  std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare(slots, {.images = kImages});
  FillSlot(*arena, kIn, 1);
  FillSlot(*arena, kOut, 2);
  return arena;
}

// Every expert's rows, gathered and added to the sums, on both; they agree after each step.
void ExpectEqualExperts(Arena& cpu, Arena& device) {
  for (int64_t expert = 0; expert < kExperts; ++expert) {
    const GatherStep gather{.in = kIn, .routing = kRouting, .out = kRows, .expert = expert};
    const MixStep mix{.in = kRows, .routing = kRouting, .out = kOut, .expert = expert};
    for (Arena* arena : {&cpu, &device}) arena->Run(gather, {});
    const std::span<const RowOwner> expected = cpu.routed(), actual = device.routed();
    EXPECT_TRUE(std::ranges::equal(expected, actual)) << expert;
    if (expected.empty()) continue;
    EXPECT_EQ(Equal(Copy(cpu.HostHalf(kRows)), Copy(device.HostHalf(kRows))), "") << expert;
    for (Arena* arena : {&cpu, &device}) arena->Run(mix, {});
    EXPECT_EQ(Equal(Copy(cpu.HostFloats(kOut)), Copy(device.HostFloats(kOut))), "") << expert;
  }
}

TEST_F(ExpertsOnDevice, RowsOfEveryRoutingAreThoseOfTheScalarSet) {
  CpuBackend cpu_backend(ScalarSet());
  const std::unique_ptr<Backend> device_backend = MakeBackendOnDevice();
  const std::unique_ptr<Arena> cpu = ArenaOf(cpu_backend), device = ArenaOf(*device_backend);
  for (const uint64_t seed : {5u, 6u}) {  // the second routing takes the place of the first
    const RouteStep route{.in = kIn,
                          .out = kRouting,
                          .weight = Shared(RandomHalfFloats(kExperts * kWidth, seed)),
                          .experts = kExperts,
                          .chosen = 2,
                          .renormalized = true};
    for (Arena* arena : {cpu.get(), device.get()}) arena->Run(route, {});
    ExpectEqualExperts(*cpu, *device);
  }
}

TEST_F(ExpertsOnDevice, ARoutingOfTheHostTakesThePlaceOfTheDevices) {
  CpuBackend cpu_backend(ScalarSet());
  const std::unique_ptr<Backend> device_backend = MakeBackendOnDevice();
  const std::unique_ptr<Arena> cpu = ArenaOf(cpu_backend), device = ArenaOf(*device_backend);
  for (const int64_t step : {2, 4}) {  // experts from `step` on get nothing
    std::vector<float> routing(kImages * kTokens * kExperts, kNotRouted);
    for (int64_t row = 0; row < kImages * kTokens; ++row) {
      routing[static_cast<size_t>(row * kExperts + row % step)] = 0.5f;
    }
    for (Arena* arena : {cpu.get(), device.get()}) SetSlot(*arena, kRouting, routing);
    ExpectEqualExperts(*cpu, *device);
  }
}

}  // namespace
}  // namespace w8a8::test
