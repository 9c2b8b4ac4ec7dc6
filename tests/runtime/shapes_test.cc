// One worker's arena and backend over changing batches and sequence lengths: the bits of fresh
// ones, and no memory taken once the largest shapes were seen.
#include <gtest/gtest.h>

#include "runtime/base/counter_hash.h"
#include "runtime/cpu/cpu_backend.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "runtime/encoder/weights.h"
#include "runtime/lower.h"
#include "tests/encoder/small_models.h"
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
  std::vector<Half> Run(const Shape& shape, Precision precision, Backend& backend, Arena& arena) {
    const Graph graph = BuildGraphFromEmbeds(NarrowConfig(), shape.tokens);
    Plan plan;
    for (const std::string& site : graph.Sites()) plan.sites[site] = SitePlan();
    Lowering lowering(graph, *weights_, packer_);
    for (size_t stage = 0; stage < graph.stages.size(); ++stage) {
      lowering.BeginStage(static_cast<int>(stage));
      const Program program = lowering.Lower(precision, plan, FakeFlavour::kIdeal);
      arena.Prepare(program.slots, shape.images);
      if (stage == 0) FillEmbeds(arena.floats(graph.pixels));
      for (const Step& step : program.steps) {
        std::visit([&](const auto& s) { backend.Run(s, arena); }, step);
      }
    }
    std::vector<Half> values;
    for (const SlotId slot : {graph.tokens, graph.pooled}) {
      const MatView<Half> view = arena.half(slot);
      values.insert(values.end(), view.data, view.data + view.rows * view.cols);
    }
    return values;
  }

 private:
  static void FillEmbeds(MatView<float> embeds) {
    for (int64_t i = 0; i < embeds.rows * embeds.cols; ++i) {
      embeds.data[i] = HashUniform(11, static_cast<uint64_t>(i));
    }
  }

  const std::filesystem::path folder_;
  Backend& packer_;
  std::unique_ptr<EncoderWeights> weights_;
};

TEST(Shapes, ReusedBuffersGiveTheBitsOfFreshOnes) {
  CpuBackend packer(Select(""));
  NarrowEncoder encoder(packer);
  for (const Precision precision : {Precision::kFp16, Precision::kInt8}) {
    CpuBackend backend(Select(""));
    Arena arena;
    for (const Shape& shape : kShapes) {
      CpuBackend fresh_backend(Select(""));
      Arena fresh_arena;
      EXPECT_EQ(Equal(encoder.Run(shape, precision, fresh_backend, fresh_arena),
                      encoder.Run(shape, precision, backend, arena)),
                "")
          << shape.images << " x " << shape.tokens << ", " << PrecisionName(precision);
    }
  }
}

TEST(Shapes, NothingIsAllocatedOnceTheLargestWereSeen) {
  CpuBackend backend(Select(""));
  NarrowEncoder encoder(backend);
  Arena arena;
  for (const Shape& shape : kShapes) encoder.Run(shape, Precision::kInt8, backend, arena);
  const int64_t allocations = arena.allocations(), scratch = backend.scratch_bytes();
  EXPECT_GT(allocations, 0);
  for (const Shape& shape : kShapes) encoder.Run(shape, Precision::kInt8, backend, arena);
  EXPECT_EQ(arena.allocations(), allocations);
  EXPECT_EQ(backend.scratch_bytes(), scratch);
}

}  // namespace
}  // namespace w8a8::test
