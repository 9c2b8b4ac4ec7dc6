#include "eval/measure/class_embeddings.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "runtime/base/safetensors.h"
#include "runtime/base/sha256.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

struct MadeFile {
  std::vector<float> rows = {3, 4, 0, -2};  // [2, 2]
  std::vector<int64_t> shape = {2, 2};
  std::string names = R"(["round", "square"])";
  std::string tensor = "class_embeddings";
};

fs::path Written(const MadeFile& made) {
  const fs::path path = ScratchFolder("classes") / "classes.safetensors";
  SafetensorsWriter writer;
  writer.Add(made.tensor, Dtype::kF32, made.shape, std::span<const float>(made.rows));
  if (!made.names.empty()) writer.SetMetadata("classes", made.names);
  writer.Write(path);
  return path;
}

std::string Refusal(const MadeFile& made) {
  return ErrorOf([&] { ReadClassEmbeddings(Written(made)); });
}

std::vector<Half> Halves(const std::vector<float>& values) {
  std::vector<Half> halves(values.size());
  ToHalf(values, halves);
  return halves;
}

TEST(ClassEmbeddings, AreReadWithTheirNamesAndTheFilesSha256) {
  const fs::path path = Written({});
  const ClassEmbeddings classes = ReadClassEmbeddings(path);
  EXPECT_EQ(classes.names, (std::vector<std::string>{"round", "square"}));
  EXPECT_EQ(classes.width, 2);
  EXPECT_EQ(classes.rows, (std::vector<float>{3, 4, 0, -2}));
  EXPECT_EQ(classes.sha256, Sha256HexOfFile(path));
}

TEST(ClassEmbeddings, MayBeFp16OrBf16) {
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBF16}) {
    const uint16_t one = dtype == Dtype::kF16 ? 0x3c00 : 0x3f80;
    const std::vector<uint16_t> bits = {one, 0, 0, one};
    const fs::path path = ScratchFolder("halves") / "classes.safetensors";
    SafetensorsWriter writer;
    writer.Add("class_embeddings", dtype, {2, 2}, std::span<const uint16_t>(bits));
    writer.SetMetadata("classes", R"(["a", "b"])");
    writer.Write(path);
    EXPECT_EQ(ReadClassEmbeddings(path).rows, (std::vector<float>{1, 0, 0, 1}));
  }
}

TEST(ClassEmbeddings, GiveTheCosineWhateverTheLengths) {
  const ClassEmbeddings classes = ReadClassEmbeddings(Written({}));
  EXPECT_EQ(classes.Cosines(Halves({6, 8})), (std::vector<double>{1.0, -0.8}));
  EXPECT_EQ(classes.Cosines(Halves({0, 0.5f})), (std::vector<double>{0.8, -1.0}));
  EXPECT_EQ(classes.Cosines(Halves({0, 0})), (std::vector<double>{0.0, 0.0}));
  for (const double cosine : classes.Cosines(Halves({HUGE_VALF, 1}))) {
    EXPECT_TRUE(std::isnan(cosine));
  }
}

TEST(ClassEmbeddings, AreRefusedWithTheRowThatIsWrong) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::pair<MadeFile, const char*>> table = {
      {{.rows = {1, 2, nan, 4}}, "'square' (row 1) holds a value that is not finite"},
      {{.rows = {0, 0, 1, 1}}, "'round' (row 0) is zero"},
      {{.rows = {1, 2, 1, 2}}, "of its 2 classes are all equal, so there is nothing to rank"},
      {{.rows = {1, 2}, .shape = {1, 2}, .names = "[\"round\"]"}, "it holds one class ('round')"},
      {{.shape = {4}}, "[classes, width] is wanted"},
      {{.shape = {1, 4}}, "has 1 rows, but the metadata 'classes' names 2"},
      {{.names = ""}, "its metadata has no 'classes'"},
      {{.names = "round,square"}, "is not a JSON list"},
      {{.names = "[\"round\", 2]"}, "entry 1 of the metadata 'classes' is not a name"},
      {{.names = "[\"round\", \"round\"]"}, "'round' is named twice"},
      {{.tensor = "class_embedding"}, "no tensor 'class_embeddings'"},
  };
  for (const auto& [made, says] : table) {
    EXPECT_TRUE(Contains(Refusal(made), says)) << Refusal(made);
  }
}

TEST(ClassEmbeddings, MustBeAsWideAsThePooledOutput) {
  const ClassEmbeddings classes = ReadClassEmbeddings(Written({}));
  EXPECT_NO_THROW(CheckEmbeddingWidth(classes, 2));
  EXPECT_TRUE(Contains(ErrorOf([&] { CheckEmbeddingWidth(classes, 768); }),
                       "are 2 wide, but the model's are 768"));
  EXPECT_TRUE(Contains(ErrorOf([&] { CheckEmbeddingWidth(classes, 0); }), "no pooled output"));
}

}  // namespace
}  // namespace w8a8::test
