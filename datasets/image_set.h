// Which images a run sees, in which order, under which names, and how they are split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace w8a8 {

struct ImageFile {
  std::filesystem::path path;
  // What reports call it: relative to the folder, or the line of the list; UTF-8 (NameAsText()).
  std::string name;
  std::string sha256;  // of the file's bytes
};

struct SkippedImage {
  std::string file;  // the image's name
  std::string reason;
};

struct ImageSet {
  std::vector<ImageFile> files;
  std::vector<SkippedImage> unreadable;  // listed, but there are no bytes to be had
};

// `path` is a folder (recursive, sorted bytewise by relative path; files with neither an image
// extension nor an image signature are ignored, and so are hidden folders, __MACOSX and the ._
// files of macOS; a sub-folder that cannot be read is among the unreadable), one image, or else a
// list of paths (one a line, relative to the list or absolute, order kept, blank lines ignored).
// Throws Error if the path does not exist, names no image at all, or is neither image nor text.
// Whether a file decodes is not looked at here. Their bytes are hashed by so many threads.
ImageSet ListImages(const std::filesystem::path& path, int threads = 1);

// Their names in their order.
std::vector<std::string> NamesOf(const std::vector<ImageFile>& files);

struct ImageSplit {
  std::vector<ImageFile> calibration;  // each in the order of the set
  std::vector<ImageFile> evaluation;
  bool shared = false;  // all images serve both
};

constexpr size_t kMinSplitImages = 16;

// Without evaluation images of its own a run evaluates on the max(16, N/4) images of smallest
// (sha256, name) and calibrates on the others; copies of an image stay on one side. If fewer than
// 16 would remain, all serve both. The split depends on the files' bytes, not on their order.
ImageSplit SplitForEvaluation(const std::vector<ImageFile>& files);

}  // namespace w8a8
