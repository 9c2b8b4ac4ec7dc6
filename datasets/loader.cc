#include "datasets/loader.h"

#include <algorithm>
#include <utility>

#include "datasets/decode.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {

ImageLoader::ImageLoader(std::vector<ImageFile> files, const Preprocessor& preprocessor,
                         LoaderOptions options)
    : files_(std::move(files)),
      preprocessor_(preprocessor),
      options_(options),
      pool_(std::min(options.threads, options.ahead)) {
  W8A8_CHECK(options.threads > 0 && options.ahead > 0);
}

void ImageLoader::LoadBatch() {
  size_t count = std::min(files_.size() - next_file_, static_cast<size_t>(options_.ahead));
  if (options_.max_images) {
    count = std::min(count, static_cast<size_t>(*options_.max_images - delivered_));
  }
  batch_.assign(count, {});
  next_in_batch_ = 0;
  pool_.For(static_cast<int64_t>(count), [&](int64_t index, int) {
    ThrowIfInterrupted();
    const auto i = static_cast<size_t>(index);
    batch_[i] = Load(next_file_ + i);
  });
  next_file_ += count;
}

ImageLoader::Outcome ImageLoader::Load(size_t index) const {
  const ImageFile& file = files_[index];
  try {
    const RgbImage image = DecodeFile(file.path, preprocessor_.config().alpha);
    LoadedImage loaded{static_cast<int64_t>(index), file.name, file.sha256, {}};
    for (RgbImage& resized : preprocessor_.Views(image)) {
      std::vector<float> pixels = preprocessor_.Normalize(resized);
      loaded.views.push_back({std::move(pixels), std::move(resized)});
    }
    return loaded;
  } catch (const UnreadableImage& reason) {
    return SkippedImage{file.name, reason.what()};
  }
}

std::optional<LoadedImage> ImageLoader::Next() {
  while (!options_.max_images || delivered_ < *options_.max_images) {
    if (next_in_batch_ == batch_.size()) {
      if (next_file_ == files_.size()) return std::nullopt;
      LoadBatch();
    }
    Outcome outcome = std::move(batch_[next_in_batch_++]);
    if (auto* loaded = std::get_if<LoadedImage>(&outcome)) {
      ++delivered_;
      return std::move(*loaded);
    }
    skipped_.push_back(std::get<SkippedImage>(std::move(outcome)));
  }
  return std::nullopt;
}

std::vector<ImageFile> KeepDecodable(const std::vector<ImageFile>& files,
                                     const Preprocessor& preprocessor, LoaderOptions options,
                                     std::vector<SkippedImage>* skipped) {
  ImageLoader loader(files, preprocessor, options);
  std::vector<ImageFile> kept;
  while (const auto image = loader.Next()) {
    kept.push_back(files[static_cast<size_t>(image->index)]);
  }
  skipped->insert(skipped->end(), loader.skipped().begin(), loader.skipped().end());
  return kept;
}

}  // namespace w8a8
