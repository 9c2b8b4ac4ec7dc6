#include "datasets/loader.h"

#include <algorithm>
#include <exception>

#include "datasets/decode.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"

namespace w8a8 {

ImageLoader::ImageLoader(std::vector<ImageFile> files, const Preprocessor& preprocessor,
                         LoaderOptions options)
    : files_(std::move(files)), preprocessor_(preprocessor), options_(options) {
  W8A8_CHECK(options.threads > 0 && options.ahead > 0);
  const int threads = std::min(options.threads, options.ahead);
  for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { Work(); });
}

ImageLoader::~ImageLoader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ImageLoader::Work() {
  const auto ahead = static_cast<size_t>(options_.ahead);
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] {
      return stop_ || next_to_load_ >= files_.size() || next_to_load_ < next_to_deliver_ + ahead;
    });
    if (stop_ || next_to_load_ >= files_.size()) return;
    const size_t index = next_to_load_++;
    lock.unlock();
    Outcome outcome = Load(index);
    lock.lock();
    done_.emplace(index, std::move(outcome));
    changed_.notify_all();
  }
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
  } catch (...) {
    return std::current_exception();
  }
}

std::optional<LoadedImage> ImageLoader::Next() {
  if (options_.max_images && delivered_ >= *options_.max_images) return std::nullopt;
  std::unique_lock lock(mutex_);
  while (next_to_deliver_ < files_.size()) {
    changed_.wait(lock, [&] { return done_.contains(next_to_deliver_); });
    Outcome outcome = std::move(done_.extract(next_to_deliver_).mapped());
    ++next_to_deliver_;
    changed_.notify_all();
    if (auto* skipped = std::get_if<SkippedImage>(&outcome)) {
      skipped_.push_back(std::move(*skipped));
    } else if (auto* error = std::get_if<std::exception_ptr>(&outcome)) {
      std::rethrow_exception(*error);
    } else {
      ++delivered_;
      return std::get<LoadedImage>(std::move(outcome));
    }
  }
  return std::nullopt;
}

std::vector<ImageFile> KeepDecodable(const std::vector<ImageFile>& files,
                                     const Preprocessor& preprocessor, LoaderOptions options,
                                     std::vector<SkippedImage>* skipped) {
  ImageLoader loader(files, preprocessor, options);
  std::vector<ImageFile> kept;
  while (const auto image = loader.Next()) {
    ThrowIfInterrupted();
    kept.push_back(files[static_cast<size_t>(image->index)]);
  }
  skipped->insert(skipped->end(), loader.skipped().begin(), loader.skipped().end());
  return kept;
}

}  // namespace w8a8
