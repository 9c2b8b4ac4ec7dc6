#include "runtime/encoder/hash_checkpoint.h"

#include <gtest/gtest.h>

#include "runtime/base/sha256.h"
#include "runtime/encoder/weights.h"
#include "tests/encoder/small_models.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

struct MadeInPython {
  Dtype dtype;
  uint64_t seed;
  int64_t outliers;
  const char* sha256;  // printed by tests/python/hash_checkpoint.py
};
constexpr MadeInPython kMadeInPython[] = {
    {Dtype::kF32, 1, 0, "750f6a365550384d60b22b614c46417e9e2c7b23af7e7bc740b40a2495ce0c3c"},
    {Dtype::kF16, 2, 0, "07df7c4bf241d9bfd951ff620bb33e2b4e5a769ffee8198598cb8b3a7e74a9c6"},
    {Dtype::kBF16, 3, 2, "69632af3c0e294abe6ce2e2205a4a89dc88faccdf117813e9951a6b3a0aeb148"},
};

std::string ContentSha256(const std::filesystem::path& file) {
  std::string content;
  for (const auto& [key, tensor] : ReadTensors(file)) {
    content += key + "\n";
    content.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  }
  return Sha256Hex(content);
}

TEST(HashCheckpoint, EqualsTheNumpyVersionInEveryTensorByte) {
  for (const MadeInPython& made : kMadeInPython) {
    const std::filesystem::path folder = ScratchFolder("hash_checkpoint");
    WriteHashCheckpoint(folder, TinySiglip(), made.dtype, made.seed, made.outliers);
    EXPECT_EQ(ContentSha256(folder / "model.safetensors"), made.sha256)
        << DtypeName(made.dtype) << " seed " << made.seed;
  }
}

TEST(HashCheckpoint, AnotherSeedGivesOtherTensors) {
  const std::filesystem::path folder = ScratchFolder("hash_checkpoint_seed");
  WriteHashCheckpoint(folder, TinySiglip(), Dtype::kF32, /*seed=*/9);
  EXPECT_NE(ContentSha256(folder / "model.safetensors"), kMadeInPython[0].sha256);
}

TEST(HashCheckpoint, IsReadBackAsTheConfigItWasMadeOf) {
  const std::filesystem::path folder = TinySiglipFolder("hash_checkpoint_config");
  const EncoderConfig expected = TinySiglip();
  const EncoderConfig actual = ReadEncoderConfig(folder);
  EXPECT_EQ(actual.family, expected.family);
  EXPECT_EQ(actual.width, expected.width);
  EXPECT_EQ(actual.mlp_width, expected.mlp_width);
  EXPECT_EQ(actual.heads, expected.heads);
  EXPECT_EQ(actual.blocks, expected.blocks);
  EXPECT_EQ(actual.image_height, expected.image_height);
  EXPECT_EQ(actual.patch, expected.patch);
  EXPECT_EQ(actual.norm_eps, expected.norm_eps);
  EXPECT_EQ(actual.activation, expected.activation);
  EXPECT_EQ(actual.pool, expected.pool);
  const EncoderWeights weights(folder, actual);
  EXPECT_TRUE(weights.notes().empty());
}

}  // namespace
}  // namespace w8a8::test
