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
  kPage,         // report.html
};

// How a file is written, whatever its name.
enum class FileForm : uint8_t { kHdf5, kSafetensors, kJson, kPage, kOther };

// By its first bytes. A file without those of any form is of the one that its name says, so that
// the reader of that form tells how it is damaged.
FileForm FormOf(const std::filesystem::path& path);

// "a checkpoint", "statistics", ...: for messages.
const char* ArtifactName(ArtifactKind kind);

// Looks at a folder's file names, at a file's form and at what identifies its schema. Throws
// Error for a path that does not exist and for everything else.
ArtifactKind RecognizeArtifact(const std::filesystem::path& path);

}  // namespace w8a8
