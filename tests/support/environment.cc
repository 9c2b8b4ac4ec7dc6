#include "tests/support/environment.h"

#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

namespace w8a8::test {
namespace {

// One folder for each test process, gone when it ends normally.
class ScratchRoot {
 public:
  ScratchRoot()
      : owner_(::getpid()),
        path_(std::filesystem::temp_directory_path() / fmt::format("w8a8-test-{}", owner_)) {}
  ScratchRoot(const ScratchRoot&) = delete;
  ScratchRoot& operator=(const ScratchRoot&) = delete;
  ~ScratchRoot() {
    std::error_code ignored;
    if (owner_ == ::getpid()) std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }

 private:
  pid_t owner_;
  std::filesystem::path path_;
};

}  // namespace

std::filesystem::path SourceFolder() { return W8A8_SOURCE_DIR; }

std::filesystem::path DataFolder() {
  const char* given = std::getenv("W8A8_DATA");
  const std::filesystem::path folder =
      given != nullptr ? std::filesystem::path(given) : SourceFolder() / "../shared/data";
  return std::filesystem::is_directory(folder) ? std::filesystem::weakly_canonical(folder)
                                               : std::filesystem::path();
}

std::filesystem::path VitTinyFolder() {
  const std::filesystem::path data = DataFolder();
  return data.empty() ? data : data / "models/vit_tiny_patch16_224.augreg_in21k_ft_in1k";
}

std::filesystem::path ScratchFolder(const std::string& name) {
  static const ScratchRoot root;
  const std::filesystem::path folder = root.path() / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

bool Required(const std::string& what) {
  const char* list = std::getenv("W8A8_REQUIRE");
  std::istringstream names(list == nullptr ? "" : list);
  for (std::string name; std::getline(names, name, ',');) {
    if (name == what) return true;
  }
  return false;
}

std::filesystem::path GoldenFolder() { return SourceFolder() / "tests/golden"; }

}  // namespace w8a8::test
