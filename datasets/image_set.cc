#include "datasets/image_set.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <tuple>

#include "datasets/decode.h"
#include "datasets/image_header.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/parallel.h"
#include "runtime/base/sha256.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

bool HasImageSignature(const fs::path& path) {
  uint8_t head[32] = {};
  std::ifstream in(path, std::ios::binary);
  in.read(reinterpret_cast<char*>(head), sizeof head);
  const auto count = static_cast<size_t>(in.gcount());
  return FormatBySignature(FileBytes(head, count)) != ImageFormat::kUnknown;
}

bool LooksLikeImage(const fs::path& path) {
  return FormatByExtension(path.filename().string()) != ImageFormat::kUnknown ||
         HasImageSignature(path);
}

// Follows symbolic links, as data sets are often made of them; `ancestors` breaks their cycles.
void Collect(const fs::path& folder, const fs::path& prefix, std::set<fs::path>& ancestors,
             std::vector<ImageFile>& files) {
  std::error_code error;
  const fs::path canonical = fs::canonical(folder, error);
  if (error || !ancestors.insert(canonical).second) return;
  fs::directory_iterator entries(folder, error);
  if (error) Fail("{}: the folder cannot be read: {}", folder.string(), error.message());
  for (const fs::directory_entry& entry : entries) {
    const fs::path relative = prefix / entry.path().filename();
    if (entry.is_directory(error)) {
      Collect(entry.path(), relative, ancestors, files);
    } else if (entry.is_regular_file(error) && LooksLikeImage(entry.path())) {
      files.push_back({entry.path(), relative.generic_string(), ""});
    }
  }
  ancestors.erase(canonical);
}

std::vector<ImageFile> FilesOfFolder(const fs::path& folder) {
  std::vector<ImageFile> files;
  std::set<fs::path> ancestors;
  Collect(folder, "", ancestors, files);
  std::sort(files.begin(), files.end(), [](const ImageFile& x, const ImageFile& y) {
    return std::lexicographical_compare(
        x.name.begin(), x.name.end(), y.name.begin(), y.name.end(),
        [](char p, char q) { return static_cast<uint8_t>(p) < static_cast<uint8_t>(q); });
  });
  if (files.empty()) {
    Fail(
        "{}: no images in this folder. Looked for files with an image extension (.jpg, .png, "
        ".webp, .bmp, .tif, ...) or an image signature, in sub-folders too.",
        folder.string());
  }
  return files;
}

std::vector<ImageFile> FilesOfList(const fs::path& list) {
  const std::string text = ReadFile(list);
  if (text.find('\0') != std::string::npos) {
    Fail("{}: neither an image nor a list of paths (it holds NUL bytes)", list.string());
  }
  std::vector<ImageFile> files;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) files.push_back({list.parent_path() / line, line, ""});
  }
  if (files.empty()) Fail("{}: the list of images is empty", list.string());
  const bool any = std::any_of(files.begin(), files.end(), [](const ImageFile& file) {
    std::error_code error;
    return fs::exists(file.path, error);
  });
  if (!any) {
    Fail(
        "{}: taken as a list of images, one path a line, but none of its {} lines names a file "
        "that exists; the first is '{}'",
        list.string(), files.size(), files.front().name.substr(0, 200));
  }
  return files;
}

// Fills in the hashes; files without readable bytes move to `unreadable`, in order.
ImageSet Hashed(std::vector<ImageFile> files) {
  std::vector<std::string> reasons(files.size());
  ThreadPool(AvailableCpus()).For(static_cast<int64_t>(files.size()), [&](int64_t index, int) {
    ImageFile& file = files[static_cast<size_t>(index)];
    std::error_code error;
    const fs::file_status status = fs::status(file.path, error);
    if (!fs::exists(status)) {
      reasons[static_cast<size_t>(index)] = "no such file";
    } else if (!fs::is_regular_file(status)) {
      reasons[static_cast<size_t>(index)] = "not a regular file";
    } else {
      try {
        file.sha256 = Sha256HexOfFile(file.path);
      } catch (const Error&) {
        reasons[static_cast<size_t>(index)] = "cannot be read: permission denied or an I/O error";
      }
    }
  });
  ImageSet set;
  for (size_t i = 0; i < files.size(); ++i) {
    if (reasons[i].empty()) {
      set.files.push_back(std::move(files[i]));
    } else {
      set.unreadable.push_back({files[i].name, reasons[i]});
    }
  }
  return set;
}

std::vector<size_t> OrderByHash(const std::vector<ImageFile>& files) {
  std::vector<size_t> order(files.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(), [&](size_t x, size_t y) {
    return std::tie(files[x].sha256, files[x].name) < std::tie(files[y].sha256, files[y].name);
  });
  return order;
}

}  // namespace

ImageSet ListImages(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) Fail("{}: no such file or folder", path.string());
  if (fs::is_directory(status)) return Hashed(FilesOfFolder(path));
  if (!fs::is_regular_file(status)) {
    Fail("{}: neither a folder nor a regular file", path.string());
  }
  if (LooksLikeImage(path)) return Hashed({{path, path.filename().string(), ""}});
  return Hashed(FilesOfList(path));
}

ImageSplit SplitForEvaluation(const std::vector<ImageFile>& files) {
  const size_t held_out = std::max(kMinSplitImages, files.size() / 4);
  if (files.size() < held_out + kMinSplitImages) return {files, files, true};
  const std::vector<size_t> order = OrderByHash(files);
  std::vector<bool> is_held_out(files.size(), false);
  for (size_t i = 0; i < held_out; ++i) is_held_out[order[i]] = true;
  ImageSplit split;
  for (size_t i = 0; i < files.size(); ++i) {
    (is_held_out[i] ? split.evaluation : split.calibration).push_back(files[i]);
  }
  return split;
}

}  // namespace w8a8
