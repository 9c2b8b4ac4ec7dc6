#include "eval/cli/commands/preprocess.h"

#include <nlohmann/json.hpp>

#include "datasets/loader.h"
#include "eval/cli/error_text.h"
#include "eval/cli/inputs.h"
#include "eval/cli/settings.h"
#include "eval/job/output_folder.h"
#include "eval/job/progress.h"
#include "runtime/base/safetensors.h"
#include "runtime/base/standard_streams.h"
#include "runtime/base/utf8.h"

namespace w8a8 {
namespace {

struct Preprocessed {
  std::vector<float> pixel_values;
  std::vector<RgbImage> resized;
  std::vector<int64_t> image_index;  // of each sample
  std::vector<std::string> names;
  std::vector<SkippedImage> skipped;
};

Preprocessed LoadAll(const Options& options, const Preprocessor& preprocessor) {
  ImageSet set = ListImagesOf(options, "--images", options.images);
  const size_t files = set.files.size();
  ImageLoader loader(std::move(set.files), preprocessor, LoadingOf(options, options.max_images));
  Progress progress("preprocess", "images", static_cast<double>(files), RunOf(options).progress);
  Preprocessed all;
  all.skipped = std::move(set.unreadable);
  while (auto image = loader.Next()) {
    for (ImageView& view : image->views) {
      all.pixel_values.insert(all.pixel_values.end(), view.pixels.begin(), view.pixels.end());
      all.resized.push_back(std::move(view.resized));
      all.image_index.push_back(static_cast<int64_t>(all.names.size()));
    }
    all.names.push_back(std::move(image->name));
    progress.Update(static_cast<double>(image->index + 1));
  }
  all.skipped.insert(all.skipped.end(), loader.skipped().begin(), loader.skipped().end());
  return all;
}

nlohmann::json SkippedJson(const std::vector<SkippedImage>& skipped) {
  nlohmann::json list = nlohmann::json::array();
  for (const SkippedImage& image : skipped) {
    list.push_back({{"file", image.file}, {"reason", image.reason}});
  }
  return list;
}

// All samples are of one size, or `patches` says how each lies in the rows of a NaFlex batch.
void AddPixels(const Preprocessor& preprocessor, const Preprocessed& all, const PatchBatch& patches,
               SafetensorsWriter& writer) {
  const auto samples = static_cast<int64_t>(all.resized.size());
  if (preprocessor.config().variable_size()) {
    const PatchBudget& budget = preprocessor.config().budget;
    writer.Add("pixel_values", Dtype::kF32,
               {samples, budget.max_patches, int64_t{3} * budget.patch * budget.patch},
               std::span<const float>(patches.values));
    writer.Add("pixel_attention_mask", Dtype::kI32, {samples, budget.max_patches},
               std::span<const int32_t>(patches.mask));
    writer.Add("spatial_shapes", Dtype::kI64, {samples, 2},
               std::span<const int64_t>(patches.grids));
  } else {
    const ImageSize size = preprocessor.config().OutputSize();
    writer.Add("pixel_values", Dtype::kF32, {samples, 3, size.height, size.width},
               std::span<const float>(all.pixel_values));
  }
  for (size_t i = 0; i < all.resized.size(); ++i) {
    const RgbImage& image = all.resized[i];
    writer.Add(fmt::format("resized.{}", i), Dtype::kU8, {image.height, image.width, 3},
               std::span<const uint8_t>(image.pixels));
  }
}

void Write(const Options& options, const Preprocessor& preprocessor, const Preprocessed& all) {
  PatchBatch patches;
  if (preprocessor.config().variable_size()) {
    std::vector<ImageSize> sizes;
    for (const RgbImage& image : all.resized) sizes.push_back({image.width, image.height});
    patches = MakePatchBatch(all.pixel_values, sizes, preprocessor.config().budget);
  }
  SafetensorsWriter writer;
  AddPixels(preprocessor, all, patches, writer);
  if (preprocessor.config().tiling) {
    writer.Add("image_index", Dtype::kI64, {static_cast<int64_t>(all.image_index.size())},
               std::span<const int64_t>(all.image_index));
  }
  writer.SetMetadata("images", nlohmann::json(all.names).dump());
  writer.SetMetadata("skipped", SkippedJson(all.skipped).dump());
  writer.SetMetadata("preprocessing", DescribePreprocessing(preprocessor.config()));
  writer.SetMetadata("preprocessing_sha256", PreprocessingSha256(preprocessor.config()));
  writer.Write(options.out);
}

void PrintResult(const Options& options, const Preprocessor& preprocessor,
                 const Preprocessed& all) {
  if (options.json) {
    const nlohmann::json said{{"out", ValidUtf8(options.out)},
                              {"images", all.names.size()},
                              {"skipped", SkippedJson(all.skipped)},
                              {"preprocessing", DescribePreprocessing(preprocessor.config())}};
    Print("{}\n", said.dump());
    return;
  }
  PrintSkipped(all.skipped);
  if (options.quiet) return;
  Print("{}: {} images, {} skipped; {}\n", options.out, all.names.size(), all.skipped.size(),
        DescribePreprocessing(preprocessor.config()));
}

}  // namespace

int RunPreprocess(const Options& options) {
  RequireFlag(options.model, "--model", "preprocess");
  RequireFlag(options.images, "--images", "preprocess");
  RequireFlag(options.out, "--out", "preprocess");
  const OutputFile held = From("--out ", [&] { return OutputFile(options.out); });
  const Preprocessor preprocessor(
      From("--model ", [&] { return ReadPreprocessConfig(options.model, options.resampler); }));
  const Preprocessed all = LoadAll(options, preprocessor);
  if (all.names.empty()) {
    From(fmt::format("--images {}: ", options.images),
         [&] { FailNoneRead("images", all.skipped); });
  }
  Write(options, preprocessor, all);
  PrintResult(options, preprocessor, all);
  return 0;
}

}  // namespace w8a8
