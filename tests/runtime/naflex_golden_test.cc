// SigLIP 2 NaFlex against torch: images of different grids in one padded batch there, never padded
// here (scripts/goldens/naflex_goldens.py).
#include <algorithm>

#include <fmt/core.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "runtime/base/counter_hash.h"
#include "runtime/base/error.h"
#include "runtime/encoder/hash_checkpoint.h"
#include "tests/runtime/encode_support.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

namespace fs = std::filesystem;

// The golden's checkpoint and inputs.
struct NaflexCase {
  explicit NaflexCase(const std::string& case_name)
      : golden(GoldenFolder() / "encoder" / ("naflex_" + case_name + ".safetensors")),
        folder(ScratchFolder("naflex_" + case_name)) {
    const std::string& dtype = golden.metadata().at("dtype");
    WriteHashCheckpoint(folder / "model", golden.metadata().at("config"),
                        dtype == "F32" ? Dtype::kF32 : Dtype::kBF16,
                        std::stoull(golden.metadata().at("seed")));
    for (const auto& grid : nlohmann::json::parse(golden.metadata().at("grids"))) {
      grids.push_back({grid.at(0), grid.at(1)});
    }
    config = ReadEncoderConfig(folder / "model");
    max_patches = std::stoll(golden.metadata().at("max_patches"));
  }

  // Images `chosen` as a file for --pixels, with room for `rows` patches of each.
  fs::path Pixels(const std::vector<size_t>& chosen, int64_t rows, const std::string& name,
                  bool swap_sides = false) const {
    const auto count = static_cast<int64_t>(chosen.size());
    const auto row_size = static_cast<size_t>(config.channels * config.patch * config.patch);
    std::vector<float> pixels;
    std::vector<int32_t> mask;
    std::vector<int64_t> shapes;
    for (const size_t image : chosen) {
      const size_t first = image * static_cast<size_t>(max_patches) * row_size;
      for (size_t i = 0; i < static_cast<size_t>(rows) * row_size; ++i) {
        pixels.push_back(HashUniform(HashText("pixels"), first + i));
      }
      for (int64_t row = 0; row < rows; ++row) mask.push_back(row < grids[image].patches() ? 1 : 0);
      shapes.push_back(swap_sides ? grids[image].cols : grids[image].rows);
      shapes.push_back(swap_sides ? grids[image].rows : grids[image].cols);
    }
    SafetensorsWriter writer;
    writer.Add("pixel_values", Dtype::kF32, {count, rows, static_cast<int64_t>(row_size)},
               std::span<const float>(pixels));
    writer.Add("pixel_attention_mask", Dtype::kI32, {count, rows}, std::span<const int32_t>(mask));
    writer.Add("spatial_shapes", Dtype::kI64, {count, 2}, std::span<const int64_t>(shapes));
    writer.Write(folder / name);
    return folder / name;
  }

  SafetensorsFile Run(const fs::path& pixels, Precision precision, const std::string& out,
                      int64_t batch = 1) const {
    Options options = EncodeOptions(folder / "model", pixels, precision, folder / out);
    options.batch = batch;
    return Encode(options);
  }

  std::vector<size_t> All() const {
    std::vector<size_t> all(grids.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
  }

  // The values of image `index` of `features`, which has the grid of image `image` of the golden.
  std::vector<float> ValuesOf(const SafetensorsFile& features, const std::string& tensor,
                              size_t index, size_t image) const {
    const TensorView& all = features.Get(tensor);
    const std::vector<float> values = FloatValues(all);
    const auto width = static_cast<size_t>(all.shape.back());
    const size_t rows = all.shape.size() == 2 ? 1 : static_cast<size_t>(all.shape[1]);
    const size_t used = rows == 1 ? 1 : static_cast<size_t>(grids[image].patches());
    const auto first = values.begin() + static_cast<std::ptrdiff_t>(index * rows * width);
    return {first, first + static_cast<std::ptrdiff_t>(used * width)};
  }

  SafetensorsFile golden;
  fs::path folder;
  EncoderConfig config;
  std::vector<PatchGrid> grids;
  int64_t max_patches = 0;
};

std::vector<float> Sampled(const std::vector<float>& values, size_t stride) {
  std::vector<float> sampled;
  for (size_t i = 0; i < values.size(); i += stride) sampled.push_back(values[i]);
  return sampled;
}

// Our error over torch FP16's own, the worst over all stored tensors.
double WorstShareOfTorch(const NaflexCase& made, const SafetensorsFile& features) {
  const auto errors = nlohmann::json::parse(made.golden.metadata().at("errors"));
  const size_t stride = std::stoull(made.golden.metadata().at("stride"));
  double worst = 0;
  for (const auto& [name, expected] : made.golden.tensors()) {
    std::vector<float> actual;
    if (name == "pooler_output" || name == "logits") {
      actual = FloatValues(features.Get(name));
    } else {
      const size_t dot = name.rfind('.');
      const size_t image = std::stoull(name.substr(dot + 1));
      actual = Sampled(made.ValuesOf(features, name.substr(0, dot), image, image), stride);
    }
    const double ours = RelativeL2(Doubles(FloatValues(expected)), actual);
    const double torch = errors.at(name).at("torch_fp16");
    std::printf("%s: %.2e, torch FP16 %.2e, ratio %.2f\n", name.c_str(), ours, torch, ours / torch);
    worst = std::max(worst, ours / torch);
  }
  return worst;
}

class NaflexGolden : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Cases, NaflexGolden, testing::Values("small", "classifier", "patch16"),
                         [](const auto& test) { return std::string(test.param); });

TEST_P(NaflexGolden, Fp16IsAtMostTwiceAsFarFromTorchFp32AsTorchFp16AndInt8EqualsEmulated) {
  const NaflexCase made(GetParam());
  const fs::path pixels = made.Pixels(made.All(), made.max_patches, "pixels.safetensors");
  const SafetensorsFile fp16 = made.Run(pixels, Precision::kFp16, "fp16.safetensors");
  EXPECT_LE(WorstShareOfTorch(made, fp16), kTwiceNaive);
  const SafetensorsFile emulated = made.Run(pixels, Precision::kEmulated, "emulated.safetensors");
  const SafetensorsFile int8 = made.Run(pixels, Precision::kInt8, "int8.safetensors");
  ASSERT_EQ(Names(emulated), Names(int8));
  for (const auto& [name, tensor] : int8.tensors()) {
    EXPECT_TRUE(std::ranges::equal(emulated.Get(name).bytes, tensor.bytes)) << name;
  }
  EXPECT_NE(FloatValues(fp16.Get("pooler_output")), FloatValues(int8.Get("pooler_output")));
}

TEST_P(NaflexGolden, AnImageAloneHasTheBitsThatItHasAmongOthers) {
  const NaflexCase made(GetParam());
  const fs::path pixels = made.Pixels(made.All(), made.max_patches, "pixels.safetensors");
  const SafetensorsFile all = made.Run(pixels, Precision::kInt8, "all.safetensors", 4);
  for (const size_t image : made.All()) {
    // Without a row of padding, between two twins that share its batch.
    const fs::path alone =
        made.Pixels({image, image, image}, made.grids[image].patches(), "alone.safetensors");
    const SafetensorsFile own = made.Run(alone, Precision::kInt8, "own.safetensors", 3);
    for (const char* tensor :
         {"hidden_states.0", "hidden_states.2", "last_hidden_state", "pooler_output"}) {
      const std::vector<float> expected = made.ValuesOf(own, tensor, 1, image);
      EXPECT_EQ(Equal(expected, made.ValuesOf(all, tensor, image, image)), "")
          << tensor << " of image " << image;
    }
  }
}

// Ten times what FP16 costs the pooled output of this encoder.
constexpr double kAnotherImage = 0.01;

TEST(Naflex, SwappedSidesAreAnotherImage) {
  const NaflexCase made("small");
  const auto straight = made.Run(made.Pixels({1}, 40, "a.safetensors"), Precision::kFp16, "a_out");
  const auto swapped =
      made.Run(made.Pixels({1}, 40, "b.safetensors", true), Precision::kFp16, "b_out");
  EXPECT_GT(RelativeL2(Doubles(FloatValues(straight.Get("pooler_output"))),
                       FloatValues(swapped.Get("pooler_output"))),
            kAnotherImage);
}

TEST(Naflex, EncodeHandsItsInputOnWithZerosForPadding) {
  const NaflexCase made("small");
  const fs::path pixels = made.Pixels({3, 0}, 20, "pixels.safetensors");
  const SafetensorsFile given(pixels);
  const SafetensorsFile out = made.Run(pixels, Precision::kFp16, "out.safetensors");
  for (const char* name : {"pixel_attention_mask", "spatial_shapes"}) {
    EXPECT_TRUE(std::ranges::equal(given.Get(name).bytes, out.Get(name).bytes)) << name;
  }
  std::vector<float> expected = FloatValues(given.Get("pixel_values"));
  const size_t row = 48;
  std::fill(expected.begin() + 5 * row, expected.begin() + 20 * row, 0.0f);   // 1 x 5 patches
  std::fill(expected.begin() + 36 * row, expected.begin() + 40 * row, 0.0f);  // 4 x 4
  EXPECT_EQ(FloatValues(out.Get("pixel_values")), expected);
}

TEST(Naflex, AMaskThatIsNotOfTheGridIsRefused) {
  const NaflexCase made("small");
  const std::vector<float> pixels(20 * 48);
  const std::vector<int64_t> mask(20, 1), shapes = {4, 4};
  SafetensorsWriter writer;
  writer.Add("pixel_values", Dtype::kF32, {1, 20, 48}, std::span<const float>(pixels));
  writer.Add("pixel_attention_mask", Dtype::kI64, {1, 20}, std::span<const int64_t>(mask));
  writer.Add("spatial_shapes", Dtype::kI64, {1, 2}, std::span<const int64_t>(shapes));
  writer.Write(made.folder / "mask.safetensors");
  try {
    made.Run(made.folder / "mask.safetensors", Precision::kFp16, "never.safetensors");
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("pixel_attention_mask"), std::string::npos)
        << error.what();
  }
}

}  // namespace
}  // namespace w8a8::test
