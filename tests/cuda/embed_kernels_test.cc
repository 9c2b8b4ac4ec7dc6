// The steps around the float products, against the CPU's arena.
#include "runtime/cuda/embed_kernels.h"

#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/cpu/kernels.h"
#include "tests/cuda/device_matrix.h"
#include "tests/cuda/device_memory.h"
#include "tests/cuda/device_test.h"
#include "tests/cuda/slot_values.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

class EmbedKernels : public DeviceTest {};

constexpr int64_t kImages = 3;
constexpr int64_t kGap = 5;  // elements from the end of a row to the next one

struct Shape {
  int64_t rows, cols, gap;
};
const std::vector<Shape> kShapes = {{1, 1, 0},   {5, 7, kGap}, {33, 72, 0},    {2, 192, 8},
                                    {5, 257, 0}, {3, 1152, 8}, {729, 2, kGap}, {1025, 3, 0}};

class Cpu {
 public:
  explicit Cpu(std::vector<Slot> slots) : arena_(Select("scalar")) {
    arena_.Prepare(std::move(slots), {.images = kImages});
  }
  void Set(SlotId slot, const std::vector<float>& values) { SetSlot(arena_, slot, values); }
  void Run(const Step& step) { arena_.Run(step, {}); }
  std::vector<Half> HalvesOf(SlotId slot) { return Copy(arena_.HostHalf(slot)); }
  std::vector<float> FloatsOf(SlotId slot) { return Copy(arena_.HostFloats(slot)); }

 private:
  CpuArena arena_;
};

// The unit matrix for weights leaves the patches themselves.
struct Stem {
  int64_t channels, patch, height, width, prefix;
  int64_t patches() const { return height / patch * (width / patch); }
  int64_t inputs() const { return channels * patch * patch; }
  int64_t tokens() const { return prefix + patches(); }
};
const Stem kStems[] = {{3, 2, 6, 4, 1}, {1, 3, 3, 3, 0}, {3, 14, 28, 42, 5}, {2, 1, 5, 3, 1}};

struct EmbedOnCpu {
  EmbedOnCpu(const Stem& stem, bool wide) : cpu(Slots(stem, wide)) {
    const int64_t width = stem.inputs();
    std::vector<float> unit(static_cast<size_t>(width * width));
    for (int64_t i = 0; i < width; ++i) unit[static_cast<size_t>(i * (width + 1))] = 1.0f;
    CpuBackend backend(Select("scalar"));
    pixels = RandomFloats(kImages * stem.channels * stem.height * stem.width, 1, 3.0f);
    prefix = RandomFloats(stem.prefix * width, 2);
    position = RandomFloats(stem.tokens() * width, 3);
    cpu.Set(0, pixels);
    cpu.Run(EmbedStep{
        .pixels = 0,
        .out = 1,
        .patch_weight = backend.PackFloat({unit.data(), width, width, width}, FloatOperands::kHalf),
        .patch_bias = nullptr,
        .prefix = prefix.empty() ? nullptr : Shared(prefix),
        .position = Shared(position),
        .channels = stem.channels,
        .image_height = stem.height,
        .image_width = stem.width,
        .patch = stem.patch});
  }
  static std::vector<Slot> Slots(const Stem& stem, bool wide) {
    return {
        FloatSlot(stem.channels, stem.height * stem.width),
        wide ? FloatSlot(stem.tokens(), stem.inputs()) : HalfSlot(stem.tokens(), stem.inputs())};
  }

  Cpu cpu;
  std::vector<float> pixels, prefix, position;
};

template <class T>
std::vector<T> EmbedOnDevice(const Stem& stem, const EmbedOnCpu& on, int64_t gap) {
  const DeviceRows<float> pixels(on.pixels, stem.height * stem.width, {0, gap});
  const DeviceRows<Half> patches(kImages * stem.patches(), stem.inputs(), {0, gap});
  LaunchGatherPatches(nullptr, {.pixels = pixels.view(),
                                .channels = stem.channels,
                                .image_height = stem.height,
                                .image_width = stem.width,
                                .patch = stem.patch,
                                .out = patches.view()});
  const std::vector<Half> operand = patches.Download();
  std::vector<float> product(operand.size());
  ToFloat(operand, product);
  const DeviceRows<float> values(product, stem.inputs(), {0, gap});
  const DeviceArray<float> prefix(on.prefix), position(on.position);
  const DeviceRows<T> out(kImages * stem.tokens(), stem.inputs(), {0, gap});
  LaunchEmbed(nullptr, EmbedArgsOf<T>{.product = values.view(),
                                      .prefix = prefix.data(),
                                      .position = position.data(),
                                      .images = kImages,
                                      .prefix_tokens = stem.prefix,
                                      .out = out.view()});
  return out.Download();
}

TEST_F(EmbedKernels, EmbedLikeTheCpu) {
  for (const Stem& stem : kStems) {
    EmbedOnCpu half(stem, false), wide(stem, true);
    EXPECT_EQ(Equal(half.cpu.HalvesOf(1), EmbedOnDevice<Half>(stem, half, 0)), "");
    EXPECT_EQ(Equal(wide.cpu.FloatsOf(1), EmbedOnDevice<float>(stem, wide, kGap)), "");
  }
}

TEST_F(EmbedKernels, BroadcastSelectAndMeanLikeTheCpu) {
  for (const Shape& shape : kShapes) {
    Cpu cpu({HalfSlot(shape.rows, shape.cols), HalfSlot(2, shape.cols), HalfSlot(1, shape.cols),
             HalfSlot(1, shape.cols)});
    const std::vector<float> in = AnyHalves(kImages * shape.rows * shape.cols, 1);
    const std::vector<float> row = RandomFloats(shape.cols, 2, 1000.0f);
    const int64_t picked = shape.rows / 2;
    cpu.Set(0, in);
    cpu.Run(BroadcastStep{.out = 1, .row = Shared(row)});
    cpu.Run(SelectRowStep{.in = 0, .out = 2, .row = picked});
    cpu.Run(MeanRowsStep{.in = 0, .out = 3, .first_row = picked});
    const DeviceRows<Half> x(Halves(in), shape.cols, {0, shape.gap});
    const DeviceRows<Half> filled(2 * kImages, shape.cols, {0, shape.gap});
    const DeviceRows<Half> selected(kImages, shape.cols, {0, shape.gap}), mean(kImages, shape.cols);
    const DeviceArray<float> values(row);
    LaunchBroadcastRow(nullptr, values.data(), filled.view());
    LaunchSelectRow(nullptr, x.view(), picked, selected.view());
    LaunchMeanRows(nullptr, x.view(), picked, mean.view());
    EXPECT_EQ(Equal(cpu.HalvesOf(1), filled.Download()), "");
    EXPECT_EQ(Equal(cpu.HalvesOf(2), selected.Download()), "");
    EXPECT_EQ(Equal(cpu.HalvesOf(3), mean.Download()), "");
  }
}

TEST_F(EmbedKernels, AverageConcatenateAndClearLikeTheCpu) {
  for (const Shape& shape : kShapes) {
    Cpu cpu({HalfSlot(shape.rows, shape.cols), HalfSlot(shape.rows, shape.cols),
             HalfSlot(shape.rows, shape.cols), HalfSlot(shape.rows, 2 * shape.cols)});
    const int64_t count = kImages * shape.rows * shape.cols;
    const std::vector<float> in_a = AnyHalves(count, 1), in_b = AnyHalves(count, 2);
    cpu.Set(0, in_a);
    cpu.Set(1, in_b);
    cpu.Run(AverageStep{.a = 0, .b = 1, .out = 2});
    cpu.Run(ConcatStep{.a = 0, .b = 1, .out = 3});
    const int64_t rows = kImages * shape.rows;
    const DeviceRows<Half> a(Halves(in_a), shape.cols, {0, shape.gap}), b(Halves(in_b), shape.cols);
    const DeviceRows<Half> mean(rows, shape.cols, {0, shape.gap}), both(rows, 2 * shape.cols);
    const DeviceRows<float> cleared(rows, shape.cols, {0, shape.gap}), copy(rows, shape.cols);
    LaunchAverage(nullptr, a.view(), b.view(), mean.view());
    LaunchConcat(nullptr, a.view(), b.view(), both.view());
    LaunchClear(nullptr, cleared.view());
    LaunchCopy(nullptr, cleared.view(), copy.view());
    EXPECT_EQ(Equal(cpu.HalvesOf(2), mean.Download()), "");
    EXPECT_EQ(Equal(cpu.HalvesOf(3), both.Download()), "");
    EXPECT_EQ(Equal(std::vector<float>(static_cast<size_t>(count), 0.0f), copy.Download()), "");
  }
}

TEST_F(EmbedKernels, TanhOfEveryPatternLikeTheCpu) {
  Cpu cpu({HalfSlot(1, 65536), HalfSlot(1, 65536)});
  std::vector<Half> patterns(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i].bits = static_cast<uint16_t>(i);
  std::vector<float> values(patterns.size());
  ToFloat(patterns, values);
  std::vector<float> all;
  for (int64_t image = 0; image < kImages; ++image) {
    all.insert(all.end(), values.begin(), values.end());
  }
  cpu.Set(0, all);
  cpu.Run(TanhStep{.in = 0, .out = 1});
  const DeviceRows<Half> x(patterns, 65536 / 8), y(8, 65536 / 8);
  const DeviceArray<Half> table(TanhTable());
  LaunchTanh(nullptr, table.data(), x.view(), y.view());
  std::vector<Half> expected = cpu.HalvesOf(1);
  expected.resize(65536);
  EXPECT_EQ(Equal(expected, y.Download()), "");
}

}  // namespace
}  // namespace w8a8::test
