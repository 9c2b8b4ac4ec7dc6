#include "datasets/processor_type.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "datasets/preprocess_config.h"
#include "runtime/base/error.h"
#include "tests/datasets/golden_images.h"
#include "tests/support/environment.h"
#include "tests/support/errors.h"

namespace w8a8::test {
namespace {

using Files = std::map<std::string, std::string>;

PreprocessConfig Read(const Files& files) {
  const auto folder = ScratchFolder("processor_type");
  for (const auto& [name, text] : files) WriteText(folder / name, text);
  return ReadPreprocessConfig(folder, Resampler::kPillow13);
}

PreprocessConfig ReadUntyped(const std::string& model_type) {
  return Read({{"preprocessor_config.json", "{}"},
               {"config.json", fmt::format(R"({{"model_type": "{}"}})", model_type)}});
}

TEST(ProcessorType, EveryModelTypeHasTheProcessorOfTransformers) {
  int inferred = 0;
  for (const GoldenRow& row : ReadGoldenTable("processor_types.tsv")) {
    std::string processor;
    const std::string message =
        ErrorOf([&] { processor = ReadUntyped(row.at("model_type")).processor; });
    if (processor.empty()) {
      EXPECT_TRUE(Contains(message, "stands for none that is supported")) << message;
      // One that is supported under its own name would be a hole in the list.
      const std::string by_name = ErrorOf([&] {
        Read({{"preprocessor_config.json",
               fmt::format(R"({{"image_processor_type": "{}"}})", row.at("processor"))}});
      });
      EXPECT_TRUE(Contains(by_name, "is not supported")) << row.at("model_type") << by_name;
      continue;
    }
    EXPECT_EQ(processor, row.at("processor")) << row.at("model_type");
    ++inferred;
  }
  EXPECT_EQ(inferred, 49);
}

TEST(ProcessorType, ConfigsOfTowersAloneHaveThatOfTheirFamily) {
  EXPECT_EQ(ReadUntyped("siglip_vision_model").processor, "SiglipImageProcessor");
  EXPECT_EQ(ReadUntyped("siglip2_vision_model").processor, "Siglip2ImageProcessor");
  EXPECT_EQ(ReadUntyped("clip_vision_model").processor, "CLIPImageProcessor");
  EXPECT_EQ(ReadUntyped("dinov2_with_registers").processor, "BitImageProcessor");
}

TEST(ProcessorType, AnInferredTypeIsSaid) {
  EXPECT_TRUE(Contains(DescribePreprocessing(ReadUntyped("vit")),
                       "ViTImageProcessor (by model_type 'vit'): resize to 224x224"));
}

TEST(ProcessorType, WhereNothingNamesItTheWayOutIsSaid) {
  const std::string message = ErrorOf([] {
    Read({{"preprocessor_config.json", R"({"size": 32})"}});
  });
  EXPECT_TRUE(Contains(message, "no config.json beside it states a 'model_type'")) << message;
  EXPECT_TRUE(Contains(message, "\"image_processor_type\": \"ViTImageProcessor\"")) << message;
}

TEST(ProcessorType, InternVlsTilesAreAskedForFromEveryPlace) {
  const std::string image = R"("image_processor_type": "GotOcr2ImageProcessor")";
  const std::string nested = "{\"image_processor\": {" + image + "}";
  EXPECT_TRUE(
      Read({{"processor_config.json", nested + R"(, "processor_class": "InternVLProcessor"})"}})
          .tiling);
  EXPECT_FALSE(
      Read({{"processor_config.json", nested + R"(, "processor_class": "GotOcr2Processor"})"}})
          .tiling);
  EXPECT_TRUE(Read({{"preprocessor_config.json", "{" + image + "}"},
                    {"config.json", R"({"model_type": "internvl"})"}})
                  .tiling);
  EXPECT_FALSE(Read({{"preprocessor_config.json", "{" + image + "}"}}).tiling);
}

TEST(ProcessorType, ATimmConfigIsFoundWhereverOneStands) {
  const std::string cfg = R"("input_size": [3, 32, 32], "mean": [0.5, 0.5, 0.5])";
  const std::string wrapped = R"({"pretrained_cfg": {)" + cfg + "}}";
  const std::string clip = R"({"image_processor_type": "CLIPImageProcessor"})";
  const Files places[] = {
      {{"config.json", wrapped}},
      {{"config.json", wrapped}, {"preprocessor_config.json", clip}},
      {{"config.json", R"({"architecture": "vit_tiny_patch16_224", )" + cfg + "}"}},
      {{"preprocessor_config.json",
        R"({"image_processor_type": "TimmWrapperImageProcessor", "pretrained_cfg": {)" + cfg +
            "}}"}},
      {{"processor_config.json", R"({"image_processor": )" + wrapped + "}"}}};
  for (const Files& files : places) {
    EXPECT_EQ(Read(files).processor, "timm pretrained_cfg") << files.begin()->second;
    EXPECT_EQ(Read(files).OutputSize(), (ImageSize{32, 32}));
  }
  EXPECT_EQ(Read({{"config.json", R"({"pretrained_cfg": {}})"}}).OutputSize(),
            (ImageSize{224, 224}));
  EXPECT_EQ(Read({{"config.json", wrapped},
                  {"processor_config.json", R"({"image_processor": )" + clip + "}"}})
                .processor,
            "CLIPImageProcessor");
}

}  // namespace
}  // namespace w8a8::test
