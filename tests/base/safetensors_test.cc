#include "runtime/base/safetensors.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/base/atomic_file.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;
using test::Contains;
using test::ErrorOf;

struct GoldenDtype {
  std::string name;  // as Python's package calls it
  Dtype dtype;
};

// The list of scripts/goldens/safetensors_golden.py.
const std::vector<GoldenDtype>& GoldenDtypes() {
  static const std::vector<GoldenDtype> list = {
      {"bool", Dtype::kBool},
      {"uint8", Dtype::kU8},
      {"int8", Dtype::kI8},
      {"float8_e5m2", Dtype::kF8E5M2},
      {"float8_e4m3fn", Dtype::kF8E4M3},
      {"float8_e8m0fnu", Dtype::kF8E8M0},
      {"float8_e4m3fnuz", Dtype::kF8E4M3Fnuz},
      {"float8_e5m2fnuz", Dtype::kF8E5M2Fnuz},
      {"int16", Dtype::kI16},
      {"uint16", Dtype::kU16},
      {"float16", Dtype::kF16},
      {"bfloat16", Dtype::kBF16},
      {"int32", Dtype::kI32},
      {"uint32", Dtype::kU32},
      {"float32", Dtype::kF32},
      {"complex64", Dtype::kC64},
      {"float64", Dtype::kF64},
      {"int64", Dtype::kI64},
      {"uint64", Dtype::kU64},
  };
  return list;
}

std::vector<std::byte> GoldenBytes(size_t tensor, size_t count) {
  std::vector<std::byte> bytes;
  for (size_t j = 0; j < count; ++j) bytes.push_back(std::byte((31 * tensor + 7 * j) % 256));
  return bytes;
}

TEST(SafetensorsWriter, WritesTheBytesOfThePythonPackage) {
  SafetensorsWriter writer;
  std::list<std::vector<std::byte>> kept;
  for (size_t i = 0; i < GoldenDtypes().size(); ++i) {
    const auto& [name, dtype] = GoldenDtypes()[i];
    const size_t width = static_cast<size_t>(DtypeBits(dtype)) / 8;
    writer.Add("matrix." + name, dtype, {2, 3}, kept.emplace_back(GoldenBytes(i, 6 * width)));
    writer.Add("scalar." + name, dtype, {}, kept.emplace_back(GoldenBytes(i, width)));
    writer.Add("empty." + name, dtype, {4, 0}, std::span<const std::byte>());
  }
  writer.Add("quote\" back\\ newline\n bell\x07 e\xcc\x81", Dtype::kU8, {0},
             std::span<const std::byte>());
  writer.SetMetadata("format", "pt");
  const fs::path path = test::ScratchFolder("safetensors") / "ours.safetensors";
  writer.Write(path);
  const std::string expected = ReadFile(test::GoldenFolder() / "base/dtypes.safetensors");
  EXPECT_TRUE(ReadFile(path) == expected);
}

TEST(SafetensorsFile, ReadsWhatThePythonPackageWrote) {
  const SafetensorsFile file(test::GoldenFolder() / "base/dtypes.safetensors");
  EXPECT_EQ(file.tensors().size(), 3 * GoldenDtypes().size() + 1);
  EXPECT_EQ(file.metadata(), (std::map<std::string, std::string>{{"format", "pt"}}));
  for (size_t i = 0; i < GoldenDtypes().size(); ++i) {
    const auto& [name, dtype] = GoldenDtypes()[i];
    const TensorView& matrix = file.Get("matrix." + name);
    EXPECT_EQ(matrix.dtype, dtype);
    EXPECT_EQ(matrix.shape, (std::vector<int64_t>{2, 3}));
    EXPECT_TRUE(std::ranges::equal(matrix.bytes, GoldenBytes(i, matrix.bytes.size())));
    EXPECT_EQ(file.Get("scalar." + name).elements(), 1);
    EXPECT_EQ(file.Get("scalar." + name).ShapeText(), "[]");
    EXPECT_EQ(file.Get("empty." + name).elements(), 0);
    EXPECT_EQ(file.Get("empty." + name).ShapeText(), "[4, 0]");
  }
}

TEST(SafetensorsFile, FollowsSymbolicLinks) {
  const fs::path folder = test::ScratchFolder("safetensors");
  fs::create_symlink(test::GoldenFolder() / "base/dtypes.safetensors", folder / "link");
  fs::create_symlink("link", folder / "link to link");
  EXPECT_EQ(SafetensorsFile(folder / "link to link").tensors().size(),
            3 * GoldenDtypes().size() + 1);
}

TEST(SafetensorsFile, ReadsTheRealModel) {
  if (test::VitTinyFolder().empty()) W8A8_SKIP_OR_FAIL("data", "no ../shared/data");
  const SafetensorsFile file(test::VitTinyFolder() / "model.safetensors");
  EXPECT_EQ(file.Get("pos_embed").shape, (std::vector<int64_t>{1, 197, 192}));
  EXPECT_EQ(FloatValues(file.Get("blocks.11.mlp.fc2.weight")).size(), 192u * 768u);
}

TEST(SafetensorsFile, ListsCloseNamesWhenATensorIsMissing) {
  const fs::path path = test::ScratchFolder("safetensors") / "names.safetensors";
  SafetensorsWriter writer;
  const float value = 0;
  for (const char* name : {"blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias", "norm.weight"}) {
    writer.Add<float>(name, Dtype::kF32, {1}, std::span(&value, 1));
  }
  writer.Write(path);
  const SafetensorsFile file(path);
  EXPECT_EQ(file.Find("attn.qkv.weight"), nullptr);
  const std::string prefix = ErrorOf([&] { file.Get("vit.blocks.0.attn.qkv.weight"); });
  EXPECT_TRUE(Contains(prefix,
                       "no tensor 'vit.blocks.0.attn.qkv.weight' among its 3. "
                       "Close names: 'blocks.0.attn.qkv.weight', 'blocks.0.attn.qkv.bias'."))
      << prefix;
  const std::string letter = ErrorOf([&] { file.Get("blocks.0.attn.qkw.bias"); });
  EXPECT_TRUE(Contains(letter, "Close names: 'blocks.0.attn.qkv.bias', 'blocks.0.attn.qkv.weight'"))
      << letter;
  EXPECT_TRUE(Contains(ErrorOf([&] { file.Get("zzz"); }), "None has a name like it."));
}

TEST(SafetensorsFile, CanBeMoved) {
  SafetensorsFile first(test::GoldenFolder() / "base/dtypes.safetensors");
  const TensorView& tensor = first.Get("matrix.float32");
  const SafetensorsFile second = std::move(first);
  EXPECT_EQ(&second.Get("matrix.float32"), &tensor);
}

// Values written at odd addresses: the file's data section need not be aligned.
TEST(TensorValues, AreReadFromUnalignedBytes) {
  const std::vector<float> values = {1.5f, -0.0f, std::numeric_limits<float>::denorm_min(), 3e38f};
  std::vector<std::byte> shifted(1);
  for (const std::byte b : std::as_bytes(std::span(values))) shifted.push_back(b);
  const TensorView tensor{"t", Dtype::kF32, {4}, std::span(shifted).subspan(1)};
  EXPECT_EQ(FloatValues(tensor), values);
  EXPECT_TRUE(std::signbit(FloatValues(tensor)[1]));
}

TEST(TensorValues, WidenExactly) {
  const std::vector<Half> halves = {ToHalf(1.5f), ToHalf(-65504.0f), Half{1}};
  const TensorView f16{"h", Dtype::kF16, {3}, std::as_bytes(std::span(halves))};
  EXPECT_EQ(FloatValues(f16), (std::vector<float>{1.5f, -65504.0f, 0x1p-24f}));
  EXPECT_EQ(HalfValues(f16), halves);
  const std::vector<BFloat16> brains = {ToBFloat16(1.5f), ToBFloat16(0x1p-130f)};
  const TensorView bf16{"b", Dtype::kBF16, {2}, std::as_bytes(std::span(brains))};
  EXPECT_EQ(FloatValues(bf16), (std::vector<float>{1.5f, 0x1p-130f}));
  const std::vector<int8_t> codes = {-128, 0, 127};
  EXPECT_EQ(Int8Values({"c", Dtype::kI8, {3}, std::as_bytes(std::span(codes))}), codes);
}

TEST(TensorValues, OfAnotherDtypeAreRefusedByName) {
  const std::vector<double> values = {1, 2};
  const TensorView tensor{"fc.weight", Dtype::kF64, {1, 2}, std::as_bytes(std::span(values))};
  const std::string message = ErrorOf([&] { FloatValues(tensor); });
  EXPECT_TRUE(Contains(message, "tensor 'fc.weight' [1, 2] holds F64; F32, F16 or BF16 is needed"))
      << message;
  EXPECT_TRUE(Contains(ErrorOf([&] { HalfValues(tensor); }), "F16 is needed"));
  EXPECT_TRUE(Contains(ErrorOf([&] { Int8Values(tensor); }), "I8 is needed"));
}

TEST(SafetensorsWriterDeathTest, RefusesOurOwnMistakes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const float value = 0;
  const std::span<const float> one(&value, 1);
  SafetensorsWriter writer;
  writer.Add("a", Dtype::kF32, {1}, one);
  EXPECT_DEATH(writer.Add("a", Dtype::kF32, {1}, one), "This is a bug");
  EXPECT_DEATH(writer.Add("", Dtype::kF32, {1}, one), "This is a bug");
  EXPECT_DEATH(writer.Add("__metadata__", Dtype::kF32, {1}, one), "This is a bug");
  EXPECT_DEATH(writer.Add("b", Dtype::kF32, {2}, one), "This is a bug");
  EXPECT_DEATH(writer.Add("b", Dtype::kF16, {1}, one), "This is a bug");
}

TEST(SafetensorsWriter, RefusesNamesThatAreNotUtf8) {
  const fs::path folder = test::ScratchFolder("safetensors");
  SafetensorsWriter writer;
  writer.Add("\xff", Dtype::kU8, {0}, std::span<const std::byte>());
  EXPECT_TRUE(Contains(ErrorOf([&] { writer.Write(folder / "f"); }), "is not UTF-8"));
  EXPECT_FALSE(fs::exists(folder / "f"));
}

}  // namespace
}  // namespace w8a8
