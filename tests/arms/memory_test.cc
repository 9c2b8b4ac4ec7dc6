// What an evaluation and a calibration keep in memory: one stage of the encoder, not all of them.
#include <malloc.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "eval/job/calibration.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/statistics_tap.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/arms/made_session.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace {

// Of everything that comes from operator new: all containers. Scratch matrices and packed weights
// are AlignedBuffers, which serve one stage after the other.
std::atomic<int64_t> live_bytes{0};
std::atomic<int64_t> most_bytes{0};

void Count(int64_t bytes) {
  const int64_t live = live_bytes += bytes;
  int64_t most = most_bytes;
  while (live > most && !most_bytes.compare_exchange_weak(most, live)) {
  }
}

}  // namespace

// Not inlined, or GCC takes the pair below for mismatched functions.
[[gnu::noinline]] void* operator new(size_t size) {
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  Count(static_cast<int64_t>(malloc_usable_size(memory)));
  return memory;
}

[[gnu::noinline]] void operator delete(void* memory) noexcept {
  Count(-static_cast<int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}

[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  Count(-static_cast<int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}

namespace w8a8::test {
namespace {

constexpr int64_t kImages = 4;

// An encoder of 256 tokens with `blocks` blocks.
Session SessionOfBlocks(int64_t blocks) {
  EncoderConfig config = TinySiglip();
  config.blocks = blocks;
  config.image_height = config.image_width = 128;
  const std::filesystem::path folder = ScratchFolder("memory");
  WriteHashCheckpoint(folder, config, Dtype::kF32, /*seed=*/1);
  return SessionOf(folder);
}

RunnerOptions RunnerOf(const Session& session, int threads) {
  return {.threads = threads,
          .batch = 1,
          .memory_bytes = uint64_t{1} << 30,
          .make_backend = session.make_backend,
          .progress = {}};
}

// The most bytes that `work` holds at once, beyond those held before.
template <class Work>
int64_t MostBytesDuring(const Work& work) {
  const int64_t before = live_bytes;
  most_bytes = before;
  work();
  return most_bytes - before;
}

int64_t MostBytesOfEvaluation(int64_t blocks) {
  const Session session = SessionOfBlocks(blocks);
  const std::vector<std::string> sites = session.graph.Sites();
  return MostBytesDuring([&] {
    Experiment experiment =
        SweepExperiment(sites, {}, {{Granularity::kToken}, {kNoClip}}, FakeFlavour::kIdeal);
    AddChosenPlan(experiment, PerTokenPlan(sites), std::nullopt, FakeFlavour::kIdeal);
    MadeImages images(session.config, kImages);
    const Task no_labels;
    Evaluate(session.graph, *session.weights, experiment, images, no_labels, RunnerOf(session, 1));
  });
}

// FP16 inputs and outputs of the four sites of one block.
int64_t ActivationBytesOfBlock(const Session& session) {
  int64_t bytes = 0;
  for (const Node& node : session.graph.nodes) {
    if (node.site.rfind("blocks.0.", 0) != 0) continue;
    for (const SlotId id : {node.in, node.out}) {
      const Slot& slot = session.graph.slot(id);
      bytes += slot.rows * slot.cols * static_cast<int64_t>(sizeof(Half));
    }
  }
  return bytes;
}

TEST(EvaluationMemory, GrowsByLessThanABlocksActivationsWithABlock) {
  const int64_t few = MostBytesOfEvaluation(2);
  const int64_t many = MostBytesOfEvaluation(10);
  const int64_t activations = ActivationBytesOfBlock(SessionOfBlocks(2));
  ASSERT_GT(activations, 400'000);
  EXPECT_LT((many - few) / 8, activations / 2) << few << " bytes, then " << many;
}

int64_t MostBytesOfCalibration(const Session& session, int threads) {
  return MostBytesDuring([&] {
    const RunnerOptions options = RunnerOf(session, threads);
    MadeImages images(session.config, kImages);
    StatisticsTap tap(session.graph, options.threads, /*seed=*/3);
    const Arm reference{.name = "fp16", .precision = Precision::kFp16, .plan = {}};
    const std::array<Tap*, 1> taps{&tap};
    RunArms(session.graph, *session.weights, {&reference, 1}, images, taps, options);
    tap.Take();
  });
}

TEST(CalibrationMemory, OfAWorkerIsThatOfOneStage) {
  const Session session = SessionOfBlocks(10);
  const int64_t one = MostBytesOfCalibration(session, 1);
  const int64_t four = MostBytesOfCalibration(session, 4);
  // Ten blocks of statistics, 0.25 MB a site, and at most three more workers with one block each.
  EXPECT_LT(four, 2 * one) << one << " bytes, then " << four;
}

}  // namespace
}  // namespace w8a8::test
