#include "datasets/preprocess_config.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"

namespace w8a8::test {
namespace {

PreprocessConfig FromJson(const std::string& json,
                          const std::string& file = "preprocessor_config.json",
                          Resampler resampler = Resampler::kPillow13) {
  const auto folder = ScratchFolder("preprocess_config");
  WriteText(folder / file, json);
  return ReadPreprocessConfig(folder, resampler);
}

std::string MessageOf(const std::string& json,
                      const std::string& file = "preprocessor_config.json") {
  try {
    FromJson(json, file);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

#define EXPECT_REFUSED(json, words) \
  EXPECT_NE(MessageOf(json).find(words), std::string::npos) << MessageOf(json)

TEST(PreprocessConfig, SaysInOneLineWhatItDoes) {
  const PreprocessConfig siglip =
      FromJson(R"({"image_processor_type": "SiglipImageProcessorFast", "resample": 2,
                   "size": {"height": 384, "width": 384}})");
  EXPECT_EQ(DescribePreprocessing(siglip),
            "SiglipImageProcessor: resize to 384x384, bilinear (pillow13), * 0.00392156862745098, "
            "mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5), transparency on white");
}

TEST(PreprocessConfig, ReadsTheRealModelsTimmConfig) {
  if (!std::filesystem::exists(VitTinyFolder())) W8A8_SKIP_OR_FAIL("data", "no ViT-Ti folder");
  const PreprocessConfig config = ReadPreprocessConfig(VitTinyFolder(), Resampler::kPillow13);
  EXPECT_EQ(DescribePreprocessing(config),
            "timm pretrained_cfg: shorter side to 248, bicubic (pillow13), centre crop 224x224, "
            "/ 255, mean (0.5, 0.5, 0.5), std (0.5, 0.5, 0.5), alpha dropped");
}

TEST(PreprocessConfig, OldIntegerSizesGoByTheClass) {
  const auto clip = FromJson(R"({"feature_extractor_type": "CLIPFeatureExtractor", "size": 448,
                                 "crop_size": 448})");
  EXPECT_EQ(clip.resize_rule, ResizeRule::kShortestEdge);
  EXPECT_EQ(clip.shortest_edge, 448);
  EXPECT_EQ(clip.crop, (ImageSize{448, 448}));
  const auto vit = FromJson(R"({"feature_extractor_type": "ViTFeatureExtractor", "size": 224})");
  EXPECT_EQ(vit.resize, (ImageSize{224, 224}));
  EXPECT_EQ(vit.filter, Filter::kBilinear);
}

TEST(PreprocessConfig, FindsTheProcessorInEveryPlace) {
  const std::string processor =
      R"({"image_processor": {"image_processor_type": "ViTImageProcessor"}})";
  EXPECT_EQ(FromJson(processor, "processor_config.json").processor, "ViTImageProcessor");
  const std::string timm = R"({"pretrained_cfg": {"input_size": [3, 224, 224]}})";
  EXPECT_EQ(FromJson(timm, "config.json").processor, "timm pretrained_cfg");
  // The name under which an exported folder keeps it.
  EXPECT_EQ(FromJson(timm, "preprocessor_config.json").processor, "timm pretrained_cfg");
  EXPECT_NE(MessageOf(R"({"model_type": "siglip"})", "config.json").find("no preprocessing config"),
            std::string::npos);
}

TEST(PreprocessConfig, RefusesWhatItDoesNotDoByName) {
  EXPECT_REFUSED(R"({"image_processor_type": "Siglip2ImageProcessor"})", "'Siglip2ImageProcessor'");
  EXPECT_REFUSED(R"({"size": 224})", "names the processor");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_pad": true})",
                 "do_pad: true");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "resample": 4})", "resample = 4");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}})",
                 "size.longest_edge");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_resize": false})",
                 "images of different sizes");
  EXPECT_REFUSED(R"({"image_processor_type": "SiglipImageProcessor", "size": 224})",
                 "images of different sizes");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [1, 28, 28]}})", "3 channels");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 224, 224], "crop_mode": "border"}})",
                 "'border'");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 9, 9], "interpolation": "random"}})",
                 "'random'");
}

TEST(PreprocessConfig, RefusesValuesOfTheWrongKind) {
  EXPECT_REFUSED("[1]", "not a JSON object");
  EXPECT_REFUSED("{", "not a JSON object");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": 0})", "from 1 to 8192");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": 1e9})", "from 1 to 8192");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "image_mean": [1, 2]})",
                 "image_mean = [1,2]");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "image_std": [1, 0, 1]})",
                 "image_std holds 0");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_resize": "yes"})",
                 "expected true or false");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 9, 9], "crop_pct": 2}})", "crop_pct = 2");
}

TEST(PreprocessConfig, TheDigestCoversWhatChangesPixels) {
  const std::string vit = R"({"image_processor_type": "ViTImageProcessor"})";
  const std::string digest = PreprocessingSha256(FromJson(vit));
  EXPECT_EQ(PreprocessingSha256(FromJson(
                R"({"image_processor_type": "ViTImageProcessorFast", "size": 224, "x": 1})")),
            digest);
  EXPECT_NE(PreprocessingSha256(
                FromJson(R"({"image_processor_type": "ViTImageProcessor", "resample": 3})")),
            digest);
  EXPECT_NE(PreprocessingSha256(FromJson(vit, "preprocessor_config.json", Resampler::kPillow12)),
            digest);
}

}  // namespace
}  // namespace w8a8::test
