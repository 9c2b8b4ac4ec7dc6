#include "eval/bench/forward_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "eval/bench/kernel_bench.h"
#include "eval/bench/made_encoder.h"
#include "runtime/base/error.h"
#include "runtime/cpu/cpu_backend.h"

namespace w8a8 {
namespace {

constexpr int64_t kImages = 3;  // 48 rows: on AMX two pairs of tiles

// What a step may be off by, of the largest value that it leaves; 0: its bits are defined. The
// weights of an FP32 attention may be FP16 (tiles), whose rounding few keys do not average away:
// 2^-11 of each.
double PartOf(const Step& step) {
  if (const auto* attention = std::get_if<AttentionStep>(&step)) {
    const AttentionPrecision precision = attention->precision;
    if (precision == AttentionPrecision::kInt8) return 0;
    return std::max(0x1p-10, ErrorPartOf(precision));
  }
  const bool product =
      std::holds_alternative<EmbedStep>(step) || std::holds_alternative<GemmF16Step>(step);
  return product ? ErrorPartOf(AttentionPrecision::kFp32) : 0;
}

std::vector<float> ValuesOf(Arena& arena, SlotId id) {
  const std::span<const std::byte> bytes = arena.HostView(id);
  if (arena.slot(id).storage == SlotStorage::kFloat) {
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
  }
  std::vector<Half> halves(bytes.size() / sizeof(Half));
  std::memcpy(halves.data(), bytes.data(), bytes.size());
  std::vector<float> floats(halves.size());
  ToFloat(halves, floats);
  return floats;
}

void CheckValues(const std::vector<float>& actual, const std::vector<float>& expected,
                 double part) {
  double largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(double{value}));
  for (size_t i = 0; i < expected.size(); ++i) {
    const double allowed = part > 0 ? 0x1p-10 * std::abs(double{expected[i]}) + part * largest : 0;
    W8A8_CHECK(std::abs(double{actual[i]} - double{expected[i]}) <= allowed);
  }
}

void CheckTraces(const StepResult& actual, const StepResult& expected) {
  W8A8_CHECK((actual.trace == nullptr) == (expected.trace == nullptr));
  if (actual.trace == nullptr) return;
  const LinearTrace &made = *actual.trace, &wanted = *expected.trace;
  for (int64_t row = 0; row < wanted.codes.view().rows; ++row) {
    W8A8_CHECK(
        std::ranges::equal(made.codes.view().row_span(row), wanted.codes.view().row_span(row)));
  }
  for (int64_t row = 0; row < wanted.acc.view().rows; ++row) {
    W8A8_CHECK(std::ranges::equal(made.acc.view().row_span(row), wanted.acc.view().row_span(row)));
  }
  W8A8_CHECK(made.input_scale.values == wanted.input_scale.values);
}

// The programs of two sets, in step.
class Pair {
 public:
  Pair(Backend& actual, Backend& expected)
      : actual_(actual.MakeArena()), expected_(expected.MakeArena()) {}

  void RunStage(const Program& actual, const Program& expected, SlotId input,
                std::span<const std::byte> values) {
    W8A8_CHECK(actual.steps.size() == expected.steps.size());
    for (Arena* arena : {actual_.get(), expected_.get()}) {
      arena->Prepare(expected.slots, {.images = kImages});
      Clear(*arena, expected.slots);
      arena->Upload(input, 0, values);
    }
    for (size_t i = 0; i < expected.steps.size(); ++i) {
      CheckTraces(actual_->Run(actual.steps[i], {.trace = true}),
                  expected_->Run(expected.steps[i], {.trace = true}));
      CheckSlots(expected.slots, PartOf(expected.steps[i]));
    }
  }

  std::vector<std::byte> Expected(SlotId id) {
    const std::span<const std::byte> values = expected_->HostView(id);
    return {values.begin(), values.end()};
  }

 private:
  // What no step has written yet is equal, too.
  static void Clear(Arena& arena, const std::vector<Slot>& slots) {
    for (SlotId id = 0; id < static_cast<SlotId>(slots.size()); ++id) {
      if (arena.slot(id).storage == SlotStorage::kCodes) continue;
      const std::vector<std::byte> zeros(static_cast<size_t>(arena.rows(id)) * arena.row_bytes(id));
      arena.Upload(id, 0, zeros);
    }
  }

  // Afterwards both have the expected values.
  void CheckSlots(const std::vector<Slot>& slots, double part) {
    for (SlotId id = 0; id < static_cast<SlotId>(slots.size()); ++id) {
      if (expected_->slot(id).storage == SlotStorage::kCodes) continue;
      CheckValues(ValuesOf(*actual_, id), ValuesOf(*expected_, id), part);
      actual_->Upload(id, 0, expected_->HostView(id));
    }
  }

  const std::unique_ptr<Arena> actual_, expected_;
};

}  // namespace

void CheckForward(const Kernels& set, std::span<const ForwardVariant> variants) {
  const MadeEncoder made = SmallEncoder();
  const Graph graph = BuildGraph(made.config);
  const MadeWeights weights(made.config);
  CpuBackend backend(set), scalar(All().back());
  const std::vector<LoweredEncoder> actual = LowerEncoder(graph, weights, backend, variants);
  const std::vector<LoweredEncoder> expected = LowerEncoder(graph, weights, scalar, variants);
  std::vector<float> pixels;
  for (uint64_t image = 0; image < kImages; ++image) {
    const std::vector<float> more = MadePixels(made.config, image + 1);
    pixels.insert(pixels.end(), more.begin(), more.end());
  }
  for (size_t variant = 0; variant < variants.size(); ++variant) {
    Pair pair(backend, scalar);
    std::vector<std::byte> stream;
    for (size_t stage = 0; stage < graph.stages.size(); ++stage) {
      const bool first = stage == 0;
      pair.RunStage(actual[variant].stages[stage], expected[variant].stages[stage],
                    first ? graph.pixels : graph.stream,
                    first ? std::as_bytes(std::span(pixels)) : std::span(stream));
      stream = pair.Expected(graph.stream);
    }
  }
}

}  // namespace w8a8
