// What a graph or a queue must not do is found on the model.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/cuda/device_memory.h"
#include "runtime/cuda/embed_kernels.h"
#include "runtime/cuda/pinned_memory.h"
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

class ReleasesUnnoticed {
 public:
  ReleasesUnnoticed() { model::HideReleases(true); }
  ~ReleasesUnnoticed() { model::HideReleases(false); }
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
  const ReleasesUnnoticed unnoticed;
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

TEST(PinnedCopies, AreMadeAfterTheCallThatWantsThem) {
  const OwnQueue queue;
  PinnedMemory pinned;
  std::byte* const bytes = pinned.Reserve(4);
  DeviceMemory<uint8_t> memory;
  memory.Reserve(4);
  std::fill_n(bytes, 4, std::byte{1});
  CopyPinnedToDevice(queue.get(), memory.bytes(), bytes, 4);
  std::fill_n(bytes, 4, std::byte{2});  // too early
  EXPECT_EQ(memory.ToHost(queue.get(), 4), std::vector<uint8_t>(4, 2));
  const std::array<std::byte, 4> not_pinned{};
  EXPECT_NE(ErrorOf([&] { CopyPinnedToDevice(queue.get(), memory.bytes(), not_pinned.data(), 4); }),
            "");
}

TEST(PinnedCopies, OfTheHostsBytesWaitForTheirTurn) {
  const OwnQueue queue;
  Staging staging;
  std::vector<DeviceMemory<uint8_t>> memory(7);
  for (uint8_t i = 0; i < 7; ++i) {
    std::vector<std::byte> bytes(size_t{10} + i, std::byte{i});
    memory[i].Reserve(static_cast<int64_t>(bytes.size()));
    staging.Copy(queue.get(), memory[i].bytes(), bytes);
    std::ranges::fill(bytes, std::byte{99});
  }
  for (uint8_t i = 0; i < 7; ++i) {
    EXPECT_EQ(memory[i].ToHost(queue.get(), 10), std::vector<uint8_t>(10, i));
  }
}

}  // namespace
}  // namespace w8a8::test
