// What a path holds: for `inspect` and `diff`, which take whatever this tool reads or writes.
#pragma once

#include <cstdint>
#include <filesystem>

namespace w8a8 {

enum class ArtifactKind : uint8_t {
  kCheckpoint,   // a model folder
  kQuantized,    // a model folder with INT8 weights
  kReport,       // a folder with report.json
  kReportFile,   // report.json itself
  kTables,       // report.h5
  kRun,          // run.json
  kStatistics,   // stats.h5
  kScales,       // scales.h5
  kPlan,         // plan.json
  kSafetensors,  // one file of tensors
};

// "a checkpoint", "statistics", ...: for messages.
const char* ArtifactName(ArtifactKind kind);

// Looks at a folder's file names, at a file's first bytes and at what identifies its schema. Throws
// Error for a path that does not exist and for everything else.
ArtifactKind RecognizeArtifact(const std::filesystem::path& path);

}  // namespace w8a8
