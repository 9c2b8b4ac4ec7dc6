#include "datasets/preprocess.h"

#include <cmath>
#include <iostream>
#include <sstream>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "datasets/image_set.h"
#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/tolerance.h"

namespace w8a8::test {
namespace {

// Of all views, one after the other.
std::vector<float> PixelValues(const Preprocessor& preprocessor, const RgbImage& image) {
  std::vector<float> values;
  for (const RgbImage& view : preprocessor.Views(image)) {
    std::vector<float> more = preprocessor.Normalize(view);
    if (preprocessor.config().variable_size()) {
      more = ToPatches(more, 3, {view.width, view.height}, preprocessor.config().budget.patch);
    }
    values.insert(values.end(), more.begin(), more.end());
  }
  return values;
}

Preprocessor PreprocessorOf(const std::string& config, const std::string& resampler) {
  const auto folder = ScratchFolder("preprocess_golden");
  const bool chat = config.find("internvl_chat") != std::string::npos;
  WriteText(folder / (chat ? "config.json" : "preprocessor_config.json"), config);
  return Preprocessor(ReadPreprocessConfig(folder, ResamplerFromName(resampler)));
}

class PreprocessGolden : public testing::TestWithParam<const char*> {};

TEST_P(PreprocessGolden, PixelValuesEqualThePythonProcessors) {
  for (const GoldenRow& row : ReadGoldenTable(fmt::format("preprocess_{}.tsv", GetParam()))) {
    const Preprocessor preprocessor = PreprocessorOf(row.at("config"), row.at("resampler"));
    const RgbImage image = HashImage(std::stoi(row.at("width")), std::stoi(row.at("height")),
                                     std::stoull(row.at("seed")));
    EXPECT_EQ(Digest(PixelValues(preprocessor, image)), row.at("sha256"))
        << row.at("config") << " " << row.at("resampler") << " " << SizeText(image);
  }
}

// "refused" or the digest of the pixel values, for a model folder that holds `files`.
std::string OutcomeOf(const std::string& files, const RgbImage& image) {
  const auto folder = ScratchFolder("processor_golden");
  const nlohmann::json contents = nlohmann::json::parse(files);
  for (const auto& [name, content] : contents.items()) WriteText(folder / name, content.dump());
  try {
    return Digest(
        PixelValues(Preprocessor(ReadPreprocessConfig(folder, Resampler::kPillow13)), image));
  } catch (const Error&) {
    return "refused";
  }
}

TEST(ProcessorGolden, AFoldersFilesMeanWhatAutoImageProcessorMakesOfThem) {
  for (const GoldenRow& row : ReadGoldenTable("processor_files.tsv")) {
    EXPECT_EQ(OutcomeOf(row.at("files"), HashImage(97, 61, 1)), row.at("sha256"))
        << row.at("files");
  }
}

INSTANTIATE_TEST_SUITE_P(All, PreprocessGolden, testing::Values("transformers", "timm", "internvl"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Preprocess, CalibrationPhotosHavePillowsBytes) {
  const auto folder = DataFolder() / "images/calib";
  if (!std::filesystem::exists(folder)) W8A8_SKIP_OR_FAIL("data", "no " + folder.string());
  const Preprocessor preprocessor(ReadPreprocessConfig(VitTinyFolder(), Resampler::kPillow13));
  const auto rows = ReadGoldenTable("resample_photos.tsv");
  EXPECT_EQ(rows.size(), 211u);
  EXPECT_EQ(ListImages(folder).files.size(), rows.size());
  for (const GoldenRow& row : rows) {
    const RgbImage image = DecodeFile(folder / row.at("file"), AlphaRule::kDrop);
    EXPECT_EQ(SizeText(image), row.at("size")) << row.at("file");
    EXPECT_EQ(Digest(preprocessor.ResizeAndCrop(image).pixels), row.at("sha256")) << row.at("file");
  }
}

// The golden's inputs were normalized in binary64, ours in binary32: what must agree is the levels.
std::vector<float> LevelsOf(std::span<const float> values) {
  std::vector<float> levels;
  for (const float value : values) levels.push_back(std::round((value * 0.5f + 0.5f) * 255.0f));
  return levels;
}

TEST(Preprocess, RealModelsGoldenInputsHaveOurLevels) {
  const auto golden = VitTinyFolder() / "golden_fp64.safetensors";
  if (!std::filesystem::exists(golden)) W8A8_SKIP_OR_FAIL("data", "no " + golden.string());
  const SafetensorsFile file(golden);
  const std::vector<float> input = FloatValues(file.Get("input"));
  const Preprocessor preprocessor(ReadPreprocessConfig(VitTinyFolder(), Resampler::kPillow13));
  constexpr size_t kImage = 3 * 224 * 224;
  std::istringstream names(file.metadata().at("files"));
  std::string name;
  int compared = 0;
  for (size_t offset = 0; std::getline(names, name, ','); offset += kImage) {
    const auto photo = DataFolder() / "images/eval" / name;
    if (!std::filesystem::exists(photo)) {
      std::cout << "*** " << name << " of the golden is not among the photos: not compared ***\n";
      continue;
    }
    const auto actual = PixelValues(preprocessor, DecodeFile(photo, AlphaRule::kDrop));
    const auto expected = std::span(input).subspan(offset, kImage);
    EXPECT_EQ(Equal(LevelsOf(expected), LevelsOf(actual)), "") << name;
    ++compared;
  }
  EXPECT_GE(compared, 1);
}

TEST(Preprocess, AnImpossibleAspectRatioIsAReasonNotACrash) {
  PreprocessConfig config;
  config.resize_rule = ResizeRule::kShortestEdge;
  config.shortest_edge = 8192;
  config.crop = ImageSize{224, 224};
  const Preprocessor preprocessor(config);
  EXPECT_THROW(preprocessor.ResizeAndCrop(HashImage(1, 200000, 1)), UnreadableImage);
}

}  // namespace
}  // namespace w8a8::test
