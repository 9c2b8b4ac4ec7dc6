#include "eval/job/demo_data.h"

#include <cstdlib>
#include <system_error>
#include <vector>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"
#include "runtime/base/file_group.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kVariable = "W8A8_DEMO_DIR";

bool IsWhole(const DemoData& demo) {
  return fs::exists(demo.model() / "config.json") && fs::exists(demo.classes()) &&
         fs::is_directory(demo.calibration_images()) && fs::is_directory(demo.evaluation_images());
}

fs::path ExecutableFolder() {
  std::error_code error;
  const fs::path executable = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path() : executable.parent_path();
}

// To its place in the demo, under `folder`.
void CopyFile(const DemoData& demo, const fs::path& from, const fs::path& folder) {
  const fs::path to = folder / fs::relative(from, demo.folder);
  MakeGroupFolders(to.parent_path());
  WriteFileAtomically(to, ReadFile(from));
}

void CopyFolder(const DemoData& demo, const fs::path& from, const fs::path& folder) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from)) {
    if (entry.is_regular_file()) CopyFile(demo, entry.path(), folder);
  }
}

}  // namespace

DemoData FindDemo() {
  if (const char* given = std::getenv(kVariable); given != nullptr && *given != '\0') {
    DemoData demo{fs::absolute(given)};
    if (!IsWhole(demo)) {
      Fail(
          "{}={}: holds no demo (model/, class_embeddings.safetensors, images/calib/ and "
          "images/eval/ are wanted). Unset it, or name a model and images.",
          kVariable, given);
    }
    return demo;
  }
  const fs::path here = ExecutableFolder();
  const std::vector<fs::path> places = {(here / "../share/w8a8-calib/demo").lexically_normal(),
                                        here / "demo"};
  for (const fs::path& place : places) {
    if (IsWhole({place})) return {place};
  }
  Fail(
      "the embedded demo was not found in {} or {}. Name a model and images, set {}, or install "
      "the "
      "tool again.",
      places[0].string(), places[1].string(), kVariable);
}

void CopyDemo(const fs::path& folder) {
  CopyDemoImages(folder);
  const DemoData demo = FindDemo();
  CopyFolder(demo, demo.model(), folder);
}

void CopyDemoImages(const fs::path& folder) {
  const DemoData demo = FindDemo();
  CopyFile(demo, demo.classes(), folder);
  CopyFolder(demo, demo.folder / "images", folder);
}

}  // namespace w8a8
