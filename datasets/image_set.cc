#include "datasets/image_set.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "datasets/decode.h"
#include "datasets/image_header.h"
#include "datasets/image_paths.h"
#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/interrupt.h"
#include "runtime/base/parallel.h"
#include "runtime/base/sha256.h"
#include "runtime/base/utf8.h"

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

bool HasImageExtension(const fs::path& path) {
  return FormatByExtension(path.filename().string()) != ImageFormat::kUnknown;
}

bool LooksLikeImage(const fs::path& path) {
  return HasImageExtension(path) || HasImageSignature(path);
}

// What editors, version control and archives leave beside images: .ipynb_checkpoints, .git,
// __MACOSX. Copies of images in there are no further images, nor are their folders classes.
bool IsLeftover(const std::string& folder) {
  return folder.starts_with(".") || folder == "__MACOSX";
}

// A file that macOS puts beside one of the same name; its bytes are no image.
bool IsAppleDouble(const fs::path& path) {
  return path.filename().string().starts_with("._") && !HasImageSignature(path);
}

struct FoundImages {
  std::vector<ImageFile> files;          // without their hashes
  std::vector<SkippedImage> unreadable;  // folders too, with a '/' at the end
};

uint8_t Byte(char c) { return static_cast<uint8_t>(c); }

bool BytewiseLess(const std::string& x, const std::string& y) {
  return std::ranges::lexicographical_compare(x, y, {}, Byte, Byte);
}

// Why there are no bytes at `path`, whose `status` (or the `error` in its place) is no regular
// file's.
std::string WhyNotRegular(const fs::path& path, fs::file_status status, std::error_code error) {
  std::error_code ignored;
  const bool missing = status.type() == fs::file_type::not_found;
  if (missing && fs::is_symlink(fs::symlink_status(path, ignored))) {
    return "a symbolic link to a file that does not exist";
  }
  if (missing) return "no such file";
  if (status.type() == fs::file_type::none) return "cannot be read: " + error.message();
  return "not a regular file";
}

// Collects the images of a folder and of those in it. Follows symbolic links, as data sets are
// often made of them; those that lead back into a folder that is being read are left out.
class FolderReader {
 public:
  // `prefix` is where `folder` stands in the names. False, with the reason in `error`, if it cannot
  // be read.
  bool Read(const fs::path& folder, const fs::path& prefix, std::error_code& error) {
    const fs::path canonical = fs::canonical(folder, error);
    if (error) return false;
    if (!open_.insert(canonical).second) return true;
    // All of it before any folder in it: a deep tree would keep too many open.
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      entries.push_back(*at);
    }
    if (!error) {
      for (const fs::directory_entry& entry : entries) Take(entry, prefix);
    }
    open_.erase(canonical);
    return !error;
  }

  FoundImages Found() {
    std::ranges::sort(found_.files, BytewiseLess, &ImageFile::name);
    for (ImageFile& file : found_.files) file.name = NameAsText(file.name);
    std::ranges::sort(found_.unreadable, BytewiseLess, &SkippedImage::file);
    return std::move(found_);
  }

 private:
  void Take(const fs::directory_entry& entry, const fs::path& prefix) {
    const std::string name = entry.path().filename().string();
    const fs::path relative = prefix / name;
    std::error_code error;
    // Known from the listing, even of one whose path is too long to ask.
    if (entry.is_directory(error)) {
      if (IsLeftover(name)) return;
      if (Read(entry.path(), relative, error)) return;
      found_.unreadable.push_back({NameAsText(relative.generic_string() + "/"),
                                   "the folder cannot be read: " + error.message()});
      return;
    }
    const fs::file_status status = entry.status(error);
    if (fs::is_regular_file(status)) {
      if (LooksLikeImage(entry.path()) && !IsAppleDouble(entry.path())) {
        found_.files.push_back({entry.path(), relative.generic_string(), ""});
      }
    } else if (status.type() == fs::file_type::none || HasImageExtension(entry.path())) {
      found_.unreadable.push_back(
          {NameAsText(relative.generic_string()), WhyNotRegular(entry.path(), status, error)});
    }
  }

  FoundImages found_;        // names as they are on the disk until Found()
  std::set<fs::path> open_;  // the folder that is being read and those around it
};

FoundImages ImagesOfFolder(const fs::path& folder) {
  FolderReader reader;
  std::error_code error;
  if (!reader.Read(folder, "", error)) {
    Fail("{}: the folder cannot be read: {}", folder.string(), error.message());
  }
  FoundImages found = reader.Found();
  if (found.files.empty() && found.unreadable.empty()) {
    Fail(
        "{}: no images in this folder. Looked for files with an image extension (.jpg, .png, "
        ".webp, .bmp, .tif, ...) or an image signature, in sub-folders too.",
        folder.string());
  }
  return found;
}

std::vector<ImageFile> FilesOfList(const fs::path& list) {
  const std::string text = ReadFile(list);
  if (text.find('\0') != std::string::npos) {
    Fail("{}: neither an image nor a list of paths (it holds NUL bytes)", list.string());
  }
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  std::vector<ImageFile> files;
  size_t begin = text.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) files.push_back({list.parent_path() / line, NameAsText(line), ""});
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

FoundImages FindImages(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) Fail("{}: no such file or folder", path.string());
  if (fs::is_directory(status)) return ImagesOfFolder(path);
  if (!fs::is_regular_file(status)) {
    Fail("{}: neither a folder nor a regular file", path.string());
  }
  if (LooksLikeImage(path)) return {{{path, NameAsText(path.filename().string()), ""}}, {}};
  return {FilesOfList(path), {}};
}

// Fills in the hashes; files without readable bytes move to `unreadable`, in order.
ImageSet Hashed(FoundImages found, int threads) {
  std::vector<ImageFile>& files = found.files;
  std::vector<std::string> reasons(files.size());
  ThreadPool(threads).For(static_cast<int64_t>(files.size()), [&](int64_t index, int) {
    ThrowIfInterrupted();
    ImageFile& file = files[static_cast<size_t>(index)];
    std::error_code error;
    const fs::file_status status = fs::status(file.path, error);
    if (!fs::is_regular_file(status)) {
      reasons[static_cast<size_t>(index)] = WhyNotRegular(file.path, status, error);
    } else {
      try {
        file.sha256 = Sha256HexOfFile(file.path);
      } catch (const Error&) {
        reasons[static_cast<size_t>(index)] = "cannot be read: permission denied or an I/O error";
      }
    }
  });
  ImageSet set;
  set.unreadable = std::move(found.unreadable);
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

ImageSet ListImages(const fs::path& path, int threads) { return Hashed(FindImages(path), threads); }

std::vector<fs::path> ListImagePaths(const fs::path& path) {
  std::vector<fs::path> paths;
  for (ImageFile& file : FindImages(path).files) paths.push_back(std::move(file.path));
  return paths;
}

ImageSplit SplitForEvaluation(const std::vector<ImageFile>& files) {
  size_t held_out = std::max(kMinSplitImages, files.size() / 4);
  const std::vector<size_t> order = OrderByHash(files);
  while (held_out < files.size() &&
         files[order[held_out]].sha256 == files[order[held_out - 1]].sha256) {
    ++held_out;
  }
  if (files.size() < held_out + kMinSplitImages) return {files, files, true};
  std::vector<bool> is_held_out(files.size(), false);
  for (size_t i = 0; i < held_out; ++i) is_held_out[order[i]] = true;
  ImageSplit split;
  for (size_t i = 0; i < files.size(); ++i) {
    (is_held_out[i] ? split.evaluation : split.calibration).push_back(files[i]);
  }
  return split;
}

std::vector<std::string> NamesOf(const std::vector<ImageFile>& files) {
  std::vector<std::string> names;
  names.reserve(files.size());
  for (const ImageFile& file : files) names.push_back(file.name);
  return names;
}

}  // namespace w8a8
