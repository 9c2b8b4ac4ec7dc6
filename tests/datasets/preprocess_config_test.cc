#include "datasets/preprocess_config.h"

#include <gtest/gtest.h>

#include "runtime/base/error.h"
#include "runtime/base/safetensors.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

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

TEST(PreprocessConfig, FiltersHaveCodesAndNames) {
  for (const char* filter : {"3", "\"bicubic\"", "\"BICUBIC\""}) {
    EXPECT_EQ(FromJson(R"({"image_processor_type": "ViTImageProcessor", "resample": )" +
                       std::string(filter) + "}")
                  .filter,
              Filter::kBicubic);
  }
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

// Python's json writes NaN, and transformers does not look at what a step left out would use.
TEST(PreprocessConfig, NonFiniteNumbersAreReadWhereNobodyUsesThem) {
  const std::string head = R"({"image_processor_type": "ViTImageProcessor", )";
  FromJson(head + R"("image_mean": [NaN, 0, 0], "image_std": [0, 0, 0], "do_normalize": false,
                     "rescale_factor": Infinity, "do_rescale": false})");
  FromJson("\xEF\xBB\xBF" + head + R"("other": -Infinity})");
  EXPECT_REFUSED(head + R"("image_mean": [NaN, 0, 0]})", "'image_mean[0]' is NaN");
  EXPECT_REFUSED(head + R"("rescale_factor": Infinity})", "'rescale_factor' is Infinity");
  EXPECT_REFUSED(head + R"("size": {"height": NaN, "width": 224}})", "'size.height' is NaN");
}

TEST(PreprocessConfig, InternVlIsTiledAndSaysSo) {
  const auto native = FromJson(R"({"image_processor_type": "GotOcr2ImageProcessorFast",
                                   "processor_class": "InternVLProcessor", "crop_to_patches": false,
                                   "size": {"height": 448, "width": 448}})");
  EXPECT_NE(DescribePreprocessing(native).find(
                "1 to 12 tiles of 448x448 and a thumbnail, bicubic (pillow13)"),
            std::string::npos)
      << DescribePreprocessing(native);
  EXPECT_EQ(native.OutputSize(), (ImageSize{448, 448}));
  EXPECT_EQ(native.tiling->MaxViews(), 13);
  const auto chat = FromJson(
      R"({"model_type": "internvl_chat", "force_image_size": 224, "dynamic_image_size": true,
          "max_dynamic_patch": 6})",
      "config.json");
  EXPECT_NE(DescribePreprocessing(chat).find("InternVL chat: 1 to 6 tiles of 224x224, bicubic"),
            std::string::npos)
      << DescribePreprocessing(chat);
  EXPECT_EQ(chat.tiling->MaxViews(), 6);
}

TEST(PreprocessConfig, TheDigestCoversTheTiles) {
  const std::string head = R"({"image_processor_type": "GotOcr2ImageProcessor")";
  const std::string whole = PreprocessingSha256(FromJson(head + "}"));
  const std::string tiled = PreprocessingSha256(FromJson(head + R"(, "crop_to_patches": true})"));
  EXPECT_NE(whole, tiled);
  EXPECT_NE(tiled, PreprocessingSha256(
                       FromJson(head + R"(, "crop_to_patches": true, "max_patches": 6})")));
  // One tile is the whole image.
  EXPECT_EQ(whole, PreprocessingSha256(
                       FromJson(head + R"(, "crop_to_patches": true, "max_patches": 1})")));
}

TEST(PreprocessConfig, NaflexKeepsTheAspectWithinABudget) {
  const auto config = FromJson(R"({"image_processor_type": "Siglip2ImageProcessor",
                                   "do_convert_rgb": null, "max_num_patches": 64})");
  EXPECT_TRUE(config.variable_size());
  const std::string text = DescribePreprocessing(config);
  EXPECT_NE(text.find("aspect kept, at most 64 patches of 16x16, bilinear"), std::string::npos)
      << text;
  EXPECT_NE(PreprocessingSha256(config),
            PreprocessingSha256(FromJson(R"({"image_processor_type": "Siglip2ImageProcessor"})")));
}

TEST(PreprocessConfig, Idefics3sWholeImageIsResizedThreeTimes) {
  const auto config = FromJson(R"({"image_processor_type": "Idefics3ImageProcessor"})");
  EXPECT_EQ(config.OutputSize(), (ImageSize{364, 364}));
  const std::string text = DescribePreprocessing(config);
  EXPECT_NE(text.find("longer side to 1456, both to multiples of 364, then resize to 364x364"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("without the tiles of this processor"), std::string::npos) << text;
}

TEST(PreprocessConfig, OtherTilingsShowTheWholeImageAndSaySo) {
  const auto text = [](const std::string& json) { return DescribePreprocessing(FromJson(json)); };
  EXPECT_NE(text(R"({"image_processor_type": "LlavaOnevisionImageProcessor"})")
                .find("the whole image only, without the anyres tiles"),
            std::string::npos);
  EXPECT_NE(text(R"({"image_processor_type": "Gemma3ImageProcessor", "do_pan_and_scan": true})")
                .find("without the pan-and-scan crops"),
            std::string::npos);
  EXPECT_EQ(text(R"({"image_processor_type": "Gemma3ImageProcessor"})").find("whole image only"),
            std::string::npos);
  const auto beside = [](const std::string& model) {
    const auto folder = ScratchFolder("preprocess_beside");
    WriteText(folder / "preprocessor_config.json",
              R"({"image_processor_type": "SiglipImageProcessor"})");
    WriteText(folder / "config.json", model);
    return DescribePreprocessing(ReadPreprocessConfig(folder, Resampler::kPillow13));
  };
  EXPECT_NE(beside(R"({"image_aspect_ratio": "anyres_max_9"})").find("without 'anyres_max_9' of"),
            std::string::npos);
  EXPECT_NE(beside(R"({"image_aspect_ratio": "resize", "s2": true})").find("without the S2 scales"),
            std::string::npos);
  EXPECT_EQ(beside(R"({"image_aspect_ratio": "square"})").find("whole image only"),
            std::string::npos);
}

// The hub folder that CuMo takes its processor from is not in its own.
TEST(PreprocessConfig, OfCumoWithoutAProcessorFileIsClipsAtTheSizeThatItsTowerHas) {
  const std::string cumo = R"({"model_type": "llava_mistral", "clip_smoe": true, "scales": [1, 3],
                               "image_aspect_ratio": "pad")";
  const auto folder = ScratchFolder("preprocess_cumo");
  WriteText(folder / "config.json", cumo + "}");
  SafetensorsWriter writer;
  const std::vector<float> patch(8 * 3 * 14 * 14), positions(577 * 8);
  const std::string tower = "model.vision_tower.vision_model.embeddings.";
  writer.Add<float>(tower + "patch_embedding.weight", Dtype::kF32, {8, 3, 14, 14}, patch);
  writer.Add<float>(tower + "position_embedding.weight", Dtype::kF32, {577, 8}, positions);
  writer.Write(folder / "model.safetensors");
  const PreprocessConfig config = ReadPreprocessConfig(folder, Resampler::kPillow13);
  EXPECT_EQ(DescribePreprocessing(config),
            "CLIPImageProcessor (by 'clip_smoe' of CuMo, without a processor file): shorter side "
            "to 336, bicubic (pillow13), centre crop 336x336, * 0.00392156862745098, mean "
            "(0.48145466, 0.4578275, 0.40821073), std (0.26862954, 0.26130258, 0.27577711), "
            "transparency on white; the whole image only, without the pyramid of config.json "
            "(scales [1,3], image_aspect_ratio \"pad\")");
  EXPECT_EQ(FromJson(cumo + R"(, "vision_config": {"image_size": 112}})", "config.json").crop,
            (ImageSize{112, 112}));
  EXPECT_NE(MessageOf(R"({"model_type": "llava_mistral"})", "config.json").find("no preprocessing"),
            std::string::npos);
}

TEST(PreprocessConfig, RefusesSizesThatTogetherAskForGigabytesAnImage) {
  EXPECT_REFUSED(R"({"image_processor_type": "Idefics3ImageProcessor",
                     "max_image_size": {"longest_edge": 8192}})",
                 "67108864 pixels of one image");
  EXPECT_REFUSED(R"({"image_processor_type": "Siglip2ImageProcessor", "patch_size": 64,
                     "max_num_patches": 8192})",
                 "33554432 pixels of one image");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 1e-300}})",
                 "enlarges 224 pixels to at most 32768");
}

TEST(PreprocessConfig, RefusesWhatItDoesNotDoByName) {
  EXPECT_REFUSED(R"({"image_processor_type": "LlavaImageProcessor", "do_pad": true})",
                 "'do_pad' is true; expected false");
  EXPECT_REFUSED(R"({"image_processor_type": "GotOcr2ImageProcessor", "crop_to_patches": true,
                     "min_patches": 4, "max_patches": 3})",
                 "'min_patches' = 4 is more than 'max_patches' = 3");
  EXPECT_REFUSED(R"({"image_processor_type": "GotOcr2ImageProcessor", "crop_to_patches": true,
                     "max_patches": 65})",
                 "'max_patches' is 65; expected a whole number from 1 to 64");

  EXPECT_REFUSED(R"({"image_processor_type": "SamImageProcessor"})", "'SamImageProcessor'");
  EXPECT_REFUSED(R"({"size": 224})", "names the processor");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_pad": true,
                     "pad_size": {"height": 9, "width": 9}})",
                 "'pad_size' is {\"height\":9");
  EXPECT_REFUSED(R"({"image_processor_type": "LlavaNextImageProcessor", "do_resize": false})",
                 "'do_resize' is off");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_center_crop": true})",
                 "there is no 'crop_size'");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "resample": 6})",
                 "'resample' is 6");
  EXPECT_REFUSED(R"({"image_processor_type": "Gemma3ImageProcessor",
                     "size": {"shortest_edge": 9, "longest_edge": 9}})",
                 "'size.longest_edge' is 9");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": {"longest_edge": 9}})",
                 "'size.longest_edge' is 9");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_resize": false})",
                 "images of different sizes");
  EXPECT_REFUSED(R"({"image_processor_type": "SiglipImageProcessor", "size": 224})",
                 "images of different sizes");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [1, 28, 28]}})", "3 channels");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 224, 224], "crop_mode": "border"}})",
                 "crop_mode' is \"border\"");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 9, 9], "interpolation": "random"}})",
                 "interpolation' is \"random\"");
}

TEST(PreprocessConfig, StepsThatTheClassDoesNotHaveArePassedOverAndNamed) {
  const auto config =
      FromJson(R"({"image_processor_type": "ViTImageProcessor", "do_flip": true, "do_pad": true,
                   "do_thumbnail": false, "do_convert_rgb": true})");
  EXPECT_EQ(config.passed_over, std::vector<std::string>{"do_flip"});
  EXPECT_TRUE(Contains(DescribePreprocessing(config),
                       "'do_flip' is passed over: ViTImageProcessor has no such step"));
}

TEST(PreprocessConfig, RefusesValuesOfTheWrongKind) {
  EXPECT_REFUSED("[1]", "expected a JSON object");
  EXPECT_REFUSED("{", "not valid JSON");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": 0})", "from 1 to 8192");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "size": 1e9})", "from 1 to 8192");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "image_mean": [1, 2]})",
                 "'image_mean' is [1,2]");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "image_std": [1, 0, 1]})",
                 "'image_std' is [1,0,1]; expected no 0");
  EXPECT_REFUSED(R"({"image_processor_type": "ViTImageProcessor", "do_resize": "yes"})",
                 "expected true or false");
  EXPECT_REFUSED(R"({"pretrained_cfg": {"input_size": [3, 9, 9], "crop_pct": 2}})",
                 "crop_pct' is 2");
}

TEST(PreprocessConfig, TheDigestCoversWhatChangesPixels) {
  const std::string vit = R"({"image_processor_type": "ViTImageProcessor"})";
  const std::string digest = PreprocessingSha256(FromJson(vit));
  const auto of_clip = [](const std::string& size) {
    return PreprocessingSha256(
        FromJson(R"({"image_processor_type": "CLIPImageProcessor", "size": )" + size + "}"));
  };
  EXPECT_NE(of_clip(R"({"shortest_edge": 224})"),
            of_clip(R"({"shortest_edge": 224, "longest_edge": 300})"));
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
