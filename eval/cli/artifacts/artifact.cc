#include "eval/cli/artifacts/artifact.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "reports/json_writer.h"
#include "runtime/base/error.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/json_fields.h"
#include "runtime/base/safetensors_header.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnown =
    "a model folder, quantized/ folder or report folder, or a stats.h5, scales.h5, report.h5, "
    "plan.json, report.json, run.json, report.html or safetensors file";

[[noreturn]] void FailUnknown(const fs::path& path) {
  Fail("{}: is nothing that this tool knows; it takes {}.", path.string(), kKnown);
}

std::string StartOf(const fs::path& path) {
  constexpr size_t kEnough = 1024;  // for the title of a page
  std::string start(kEnough, '\0');
  std::ifstream in(path, std::ios::binary);
  in.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<size_t>(in.gcount()));
  return start;
}

// The length of its header, then the header, a JSON object.
bool StartsAsSafetensors(std::string_view start) {
  static_assert(std::endian::native == std::endian::little, "the format is little-endian");
  uint64_t header_bytes = 0;
  if (start.size() <= sizeof(header_bytes)) return false;
  std::memcpy(&header_bytes, start.data(), sizeof(header_bytes));
  return header_bytes <= kMaxSafetensorsHeaderBytes && start[sizeof(header_bytes)] == '{';
}

// An object. A template of a chat begins with "{%" or "{{".
bool StartsAsJson(std::string_view start) {
  constexpr const char* kBlanks = " \t\r\n";
  const size_t brace = start.find_first_not_of(kBlanks);
  if (brace == start.npos || start[brace] != '{') return false;
  const size_t next = start.find_first_not_of(kBlanks, brace + 1);
  return next != start.npos && (start[next] == '"' || start[next] == '}');
}

bool StartsAsPage(std::string_view start) {
  return start.starts_with("<!doctype html>") && start.find("<title>W8A8 report: ") != start.npos;
}

ArtifactKind RecognizeFolder(const fs::path& folder) {
  if (fs::exists(folder / "report.json")) return ArtifactKind::kReport;
  if (!fs::exists(folder / "config.json")) FailUnknown(folder);
  const nlohmann::json config = ReadJsonObject(folder / "config.json");
  return config.contains("quantization_config") ? ArtifactKind::kQuantized
                                                : ArtifactKind::kCheckpoint;
}

ArtifactKind RecognizeHdf5(const fs::path& path) {
  const Hdf5InputFile file(path);
  if (file.HasAttribute("/", "row_sample_size")) return ArtifactKind::kStatistics;
  if (file.Has("/arms") && file.Has("/checks")) return ArtifactKind::kTables;
  if (file.Has("/sites") && file.HasAttribute("/", "model_sha256")) return ArtifactKind::kScales;
  FailUnknown(path);
}

ArtifactKind RecognizeJson(const fs::path& path) {
  const nlohmann::json object = ReadJsonObject(path);
  if (object.contains("schema") && object["schema"] == kReportSchema) {
    return ArtifactKind::kReportFile;
  }
  if (object.contains("sites") && object.contains("version")) return ArtifactKind::kPlan;
  if (object.contains("command") && object.contains("stages")) return ArtifactKind::kRun;
  FailUnknown(path);
}

}  // namespace

const char* ArtifactName(ArtifactKind kind) {
  switch (kind) {
    case ArtifactKind::kCheckpoint:
      return "a checkpoint";
    case ArtifactKind::kQuantized:
      return "a quantized model";
    case ArtifactKind::kReport:
      return "a report folder";
    case ArtifactKind::kReportFile:
      return "a report.json";
    case ArtifactKind::kTables:
      return "a report.h5";
    case ArtifactKind::kRun:
      return "a run.json";
    case ArtifactKind::kStatistics:
      return "statistics";
    case ArtifactKind::kScales:
      return "scales";
    case ArtifactKind::kPlan:
      return "a plan";
    case ArtifactKind::kSafetensors:
      return "a safetensors file";
    case ArtifactKind::kPage:
      return "a report page";
  }
  return "";
}

FileForm FormOf(const fs::path& path) {
  const std::string start = StartOf(path), extension = path.extension().string();
  if (start.starts_with("\x89HDF\r\n\x1a\n")) return FileForm::kHdf5;
  if (StartsAsSafetensors(start)) return FileForm::kSafetensors;
  if (StartsAsJson(start)) return FileForm::kJson;
  if (StartsAsPage(start)) return FileForm::kPage;
  if (extension == ".safetensors") return FileForm::kSafetensors;
  return extension == ".json" ? FileForm::kJson : FileForm::kOther;
}

ArtifactKind RecognizeArtifact(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) Fail("{}: does not exist.", path.string());
  if (fs::is_directory(path, ignored)) return RecognizeFolder(path);
  if (!fs::is_regular_file(path, ignored)) FailUnknown(path);
  switch (FormOf(path)) {
    case FileForm::kHdf5:
      return RecognizeHdf5(path);
    case FileForm::kSafetensors:
      return ArtifactKind::kSafetensors;
    case FileForm::kJson:
      return RecognizeJson(path);
    case FileForm::kPage:
      return ArtifactKind::kPage;
    case FileForm::kOther:
      break;
  }
  FailUnknown(path);
}

}  // namespace w8a8
