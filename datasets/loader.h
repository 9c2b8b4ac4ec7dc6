// Images in order, decoded ahead of their use.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "datasets/image_set.h"
#include "datasets/preprocess.h"
#include "runtime/base/parallel.h"

namespace w8a8 {

// What the encoder looks at once: the whole image or a tile of it.
struct ImageView {
  std::vector<float> pixels;  // [3, height, width]
  RgbImage resized;           // the same before normalization
};

struct LoadedImage {
  int64_t index = 0;  // into the list of files
  std::string name;
  std::string sha256;
  std::vector<ImageView> views;  // one, or the tiles of Preprocessor::Views()
};

struct LoaderOptions {
  int threads = 1;
  int ahead = 16;  // images decoded side by side and not yet taken, at most: bounds the memory
  std::optional<int64_t> max_images = {};  // stop after so many that could be decoded
};

// Reads, decodes and preprocesses a few images at once, on the given number of threads, whenever
// the last of the batch before was taken; between two calls no thread works, so that whoever uses
// the images has all CPUs. Images, order and skipped() do not depend on the number of threads.
class ImageLoader {
 public:
  ImageLoader(std::vector<ImageFile> files, const Preprocessor& preprocessor,
              LoaderOptions options);

  // The next image that could be read; nullopt at the end. An error that is not the image's fault
  // (no memory) is thrown here, and Interrupted after a Ctrl-C.
  std::optional<LoadedImage> Next();
  // What Next() has passed over so far, in order.
  const std::vector<SkippedImage>& skipped() const { return skipped_; }

 private:
  using Outcome = std::variant<LoadedImage, SkippedImage>;

  void LoadBatch();
  Outcome Load(size_t index) const;

  const std::vector<ImageFile> files_;
  const Preprocessor preprocessor_;
  const LoaderOptions options_;
  ThreadPool pool_;

  std::vector<Outcome> batch_;  // of the files before next_file_
  size_t next_in_batch_ = 0;    // not yet taken
  size_t next_file_ = 0;
  int64_t delivered_ = 0;
  std::vector<SkippedImage> skipped_;
};

// The files that decode, in order, at most `max_images` of them; the others before that point are
// appended to `skipped`. For when the list must be known before the first image is used.
std::vector<ImageFile> KeepDecodable(const std::vector<ImageFile>& files,
                                     const Preprocessor& preprocessor, LoaderOptions options,
                                     std::vector<SkippedImage>* skipped);

}  // namespace w8a8
