// What a graph or a queue must not do is found on the model.
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/embed_kernels.h"
#include "tests/cuda/backend_on_device.h"
#include "tests/cuda/model_device.h"
#include "tests/cuda/small_programs.h"

namespace w8a8::test {
namespace {

std::string ErrorOf(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

class Frozen {
 public:
  Frozen() { model::FreezeGeneration(true); }
  ~Frozen() { model::FreezeGeneration(false); }
};

// The arena launches a graph whose memory is another's by now.
TEST(GraphFaults, MemoryThatMovedUnnoticedIsFound) {
  const std::unique_ptr<Backend> backend = MakeBackendOnDevice();
  const Program program = small::ProgramOf(
      *backend,
      {AddStep{.stream = small::kStream, .y = small::kHiddenOut, .layer_scale = nullptr}});
  const std::array kept{small::kStream};
  const std::unique_ptr<Arena> steps = small::Filled(*backend, program),
                               whole = small::Filled(*backend, program);
  for (int run = 0; run < 3; ++run) whole->RunAll(program, kept);
  ASSERT_TRUE(whole->RanAsGraph());
  const Frozen frozen;
  whole->Prepare(program.slots, {.images = 3});
  whole->Prepare(program.slots, {.images = 2});
  for (const SlotId id : {small::kIn, small::kStream}) {
    for (Arena* arena : {steps.get(), whole.get()}) FillSlot(*arena, id, 77);
  }
  for (const Step& step : program.steps) steps->Run(step, {});
  whole->RunAll(program, kept);
  ASSERT_TRUE(whole->RanAsGraph());
  bool equal = false;
  const std::string error = ErrorOf([&] {
    equal = small::BytesOf(*steps, small::kStream) == small::BytesOf(*whole, small::kStream);
  });
  EXPECT_TRUE(!equal || !error.empty());
}

class Captures : public ::testing::Test {
 protected:
  std::string ErrorOfCapture(const std::function<void()>& work) {
    return ErrorOf([&] { const DeviceGraph graph(queue_.get(), work); });
  }
  OwnQueue queue_;
};

TEST_F(Captures, DoNothingAndLaunchesDoAllOfIt) {
  const std::vector<float> ones(32, 1.0f);
  const DeviceMemory<float> memory(queue_.get(), ones);
  const MatView<float> view{memory.data(), 1, 32, 32};
  {
    MatView<float> gone = view;  // graphs hold arguments by value
    const DeviceGraph graph(queue_.get(), [&] { LaunchClear(queue_.get(), gone); });
    gone = {};
    EXPECT_EQ(memory.ToHost(queue_.get(), 32), ones);
    graph.Launch(queue_.get());
  }
  EXPECT_EQ(memory.ToHost(queue_.get(), 32), std::vector<float>(32, 0.0f));
}

TEST_F(Captures, MayNotWaitAllocateOrUseAnotherQueue) {
  DeviceMemory<float> memory(queue_.get(), std::vector<float>(4, 1.0f));
  const OwnQueue other;
  EXPECT_NE(ErrorOfCapture([&] { memory.ToHost(queue_.get(), 4); }), "");
  EXPECT_NE(ErrorOfCapture([] { DeviceMemory<float>().Reserve(5); }), "");
  EXPECT_NE(ErrorOfCapture([&] { ClearOnDevice(other.get(), memory.bytes(), 1); }), "");
  EXPECT_NE(ErrorOfCapture([&] { Stopwatch().Start(queue_.get()); }), "");
  EXPECT_NE(ErrorOfCapture([&] { memory = {}; }), "");
  EXPECT_EQ(ErrorOfCapture([] {}), "");
}

}  // namespace
}  // namespace w8a8::test
