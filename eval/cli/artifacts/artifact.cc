#include "eval/cli/artifacts/artifact.h"

#include <array>
#include <fstream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "reports/json_writer.h"
#include "runtime/base/error.h"
#include "runtime/base/hdf5_file.h"
#include "runtime/base/json_fields.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnown =
    "a model folder, quantized/ folder or report folder, or a stats.h5, scales.h5, report.h5, "
    "plan.json, report.json, run.json or .safetensors file";

[[noreturn]] void FailUnknown(const fs::path& path) {
  Fail("{}: is nothing that this tool knows; it takes {}.", path.string(), kKnown);
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
  }
  return "";
}

ArtifactKind RecognizeArtifact(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) Fail("{}: does not exist.", path.string());
  if (fs::is_directory(path, ignored)) return RecognizeFolder(path);
  if (!fs::is_regular_file(path, ignored)) FailUnknown(path);
  constexpr std::string_view kHdf5Signature = "\x89HDF\r\n\x1a\n";
  std::array<char, 8> first = {};
  std::ifstream(path, std::ios::binary).read(first.data(), first.size());
  if (std::string_view(first.data(), first.size()) == kHdf5Signature) return RecognizeHdf5(path);
  if (path.extension() == ".safetensors") return ArtifactKind::kSafetensors;
  if (path.extension() == ".json") return RecognizeJson(path);
  FailUnknown(path);
}

}  // namespace w8a8
