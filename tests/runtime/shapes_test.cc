// One worker's arena and backend over changing batches and sequence lengths: the bits of fresh
// ones, and no memory taken once the largest shapes were seen.
#include <gtest/gtest.h>

#include "runtime/cpu/cpu_arena.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/encoder/weights.h"
#include "runtime/lower.h"
#include "tests/encoder/small_models.h"
#include "tests/runtime/step_bench.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

struct Shape {
  int64_t images, tokens;
};
constexpr Shape kShapes[] = {{1, 729}, {4, 1025}, {1, 17}, {64, 1024}};

EncoderConfig NarrowConfig() {
  EncoderConfig config = TinySiglip();
  config.width = 16;
  config.mlp_width = 24;
  config.blocks = 1;
  config.heads = 1;
  config.image_height = config.image_width = 16;
  return config;
}

class NarrowEncoder {
 public:
  explicit NarrowEncoder(Backend& packer) : folder_(ScratchFolder("shapes")), packer_(packer) {
    WriteHashCheckpoint(folder_, NarrowConfig(), Dtype::kF32, /*seed=*/3, /*outliers=*/1);
    weights_ = std::make_unique<EncoderWeights>(folder_, NarrowConfig(), "");
  }

  // Tokens and pooled rows of one arm, from hashed embeddings.
  std::vector<Half> Run(const Shape& shape, Precision precision, Arena& arena) {
    const Graph graph = BuildGraphFromEmbeds(NarrowConfig(), shape.tokens);
    Plan plan;
    for (const std::string& site : graph.Sites()) plan.sites[site] = SitePlan();
    Lowering lowering(graph, *weights_, packer_);
    for (size_t stage = 0; stage < graph.stages.size(); ++stage) {
      lowering.BeginStage(static_cast<int>(stage));
      const Program program = lowering.Lower(precision, plan, FakeFlavour::kIdeal);
      arena.Prepare(program.slots, {.images = shape.images});
      if (stage == 0) FillEmbeds(graph.pixels, arena);
      for (const Step& step : program.steps) arena.Run(step, {});
    }
    std::vector<Half> values;
    for (const SlotId slot : {graph.tokens, graph.pooled}) {
      const std::vector<Half> rows = Copy(arena.HostHalf(slot));
      values.insert(values.end(), rows.begin(), rows.end());
    }
    return values;
  }

 private:
  static void FillEmbeds(SlotId embeds, Arena& arena) {
    SetSlot(arena, embeds, RandomFloats(arena.rows(embeds) * arena.slot(embeds).cols, 11));
  }

  const std::filesystem::path folder_;
  Backend& packer_;
  std::unique_ptr<EncoderWeights> weights_;
};

TEST(Shapes, ReusedBuffersGiveTheBitsOfFreshOnes) {
  CpuBackend packer(Select(""));
  NarrowEncoder encoder(packer);
  for (const Precision precision : {Precision::kFp16, Precision::kInt8}) {
    CpuArena arena(Select(""));
    for (const Shape& shape : kShapes) {
      CpuArena fresh(Select(""));
      EXPECT_EQ(Equal(encoder.Run(shape, precision, fresh), encoder.Run(shape, precision, arena)),
                "")
          << shape.images << " x " << shape.tokens << ", " << NameOf(precision);
    }
  }
}

TEST(Shapes, NothingIsAllocatedOnceTheLargestWereSeen) {
  CpuBackend packer(Select(""));
  NarrowEncoder encoder(packer);
  CpuArena arena(Select(""));
  for (const Shape& shape : kShapes) encoder.Run(shape, Precision::kInt8, arena);
  const int64_t bytes = arena.bytes();
  EXPECT_GT(bytes, 0);
  for (const Shape& shape : kShapes) encoder.Run(shape, Precision::kInt8, arena);
  EXPECT_EQ(arena.bytes(), bytes);
}

}  // namespace
}  // namespace w8a8::test
