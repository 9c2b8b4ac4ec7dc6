#include "eval/job/output_folder.h"

#include <cctype>
#include <system_error>

#include "runtime/base/atomic_file.h"
#include "runtime/base/error.h"

namespace w8a8 {
namespace {

constexpr const char* kMarker = ".w8a8-calib";
constexpr const char* kMarkerLine = "written by w8a8-calib\n";

}  // namespace

void PrepareOutputFolder(const std::filesystem::path& folder) {
  std::error_code error;
  if (std::filesystem::exists(folder, error) && !std::filesystem::is_directory(folder, error)) {
    Fail("{}: is a file; a folder is needed.", folder.string());
  }
  std::filesystem::create_directories(folder, error);
  if (error) Fail("{}: cannot be made: {}.", folder.string(), error.message());
  const bool ours = std::filesystem::exists(folder / kMarker);
  if (!ours && !std::filesystem::is_empty(folder)) {
    Fail(
        "{}: is not empty and was not written by w8a8-calib. Name a new folder, or empty "
        "this one yourself.",
        folder.string());
  }
  if (!ours) WriteFileAtomically(folder / kMarker, kMarkerLine);
}

std::string ReadMarker(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kMarker) ? ReadFile(folder / kMarker) : "";
}

void WriteMarker(const std::filesystem::path& folder, const std::string& lines) {
  WriteFileAtomically(folder / kMarker, kMarkerLine + lines);
}

std::filesystem::path DefaultOutputFolder(const std::string& model_name) {
  std::string name;
  for (const char c : model_name) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' || c == '_';
    name += plain ? c : '_';
  }
  return std::filesystem::path("w8a8-" + name);
}

}  // namespace w8a8
