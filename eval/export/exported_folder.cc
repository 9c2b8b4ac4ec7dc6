#include "eval/export/exported_folder.h"

#include <algorithm>

#include "runtime/base/error.h"
#include "runtime/base/file_group.h"
#include "runtime/base/file_lock.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

// The list comes from a file: nothing outside the folder is touched.
bool IsInside(const std::string& name) {
  const fs::path path = fs::path(name).lexically_normal();
  return !path.empty() && !path.is_absolute() && *path.begin() != "..";
}

std::vector<std::string> EarlierFiles(const fs::path& out) {
  std::vector<std::string> names;
  const fs::path scales = out / kScalesFile;
  if (!fs::exists(scales)) return names;
  try {
    const Hdf5InputFile file(scales);
    if (file.Has(kFileList)) names = file.ReadStrings(kFileList);
  } catch (const Error&) {
    // A damaged file is replaced like any other; it names no others.
  }
  names.emplace_back("preprocessor_config.json");  // of exports that had no list
  std::erase_if(names, [](const std::string& name) { return !IsInside(name); });
  return names;
}

}  // namespace

void PrepareFolder(const fs::path& out, const std::vector<std::string>& carried) {
  if (fs::exists(out) && !fs::is_directory(out)) {
    Fail("{}: is a file; give a folder for the quantized model.", out.string());
  }
  MakeGroupFolders(out);
  if (!HoldsNothing(out) && !fs::exists(out / kScalesFile)) {
    Fail("{}: holds files that no export wrote; give a new or an empty folder.", out.string());
  }
  FileGroup::Current()->RemoveFirst(out / "config.json");
  for (const std::string& name : EarlierFiles(out)) {
    if (std::count(carried.begin(), carried.end(), name) == 0) {
      FileGroup::Current()->RemoveFirst(out / name);
    }
  }
}

}  // namespace w8a8
