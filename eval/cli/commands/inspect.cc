#include "eval/cli/commands/inspect.h"

#include <nlohmann/json.hpp>

#include "eval/cli/artifacts/artifact.h"
#include "eval/cli/artifacts/inspect.h"
#include "eval/cli/usage_error.h"
#include "eval/job/summary.h"
#include "reports/json_reader.h"
#include "runtime/base/standard_streams.h"

namespace w8a8 {
namespace {

namespace fs = std::filesystem;

// What the run itself printed at its end. Without run.json: without its times.
void PrintReport(const fs::path& file, const Options& options) {
  const fs::path folder = file.parent_path();
  const Report report = ReadReportJson(file);
  const RunInfo run =
      fs::exists(folder / "run.json") ? ReadRunJson(folder / "run.json") : RunInfo();
  PrintText(options.json ? SummaryJson(report, run, folder) : SummaryText(report, run, folder));
}

}  // namespace

int RunInspect(const Options& options) {
  const size_t given = options.inputs.size() + (options.model.empty() ? 0 : 1);
  if (given != 1) FailUsage("inspect: takes one path: inspect PATH, or inspect --model DIR.");
  const fs::path path = options.inputs.empty() ? options.model : options.inputs.front();
  const ArtifactKind kind =
      options.inputs.empty() ? ArtifactKind::kCheckpoint : RecognizeArtifact(path);
  if (!options.model_prefix.empty() && kind != ArtifactKind::kCheckpoint &&
      kind != ArtifactKind::kQuantized) {
    FailUsage("inspect --model-prefix {}: {} is no checkpoint.", options.model_prefix,
              path.string());
  }
  if (kind == ArtifactKind::kReport || kind == ArtifactKind::kReportFile) {
    PrintReport(kind == ArtifactKind::kReport ? path / "report.json" : path, options);
    return 0;
  }
  const nlohmann::ordered_json facts = options.inputs.empty()
                                           ? InspectModel(path, options.model_prefix)
                                           : InspectArtifact(path, options.model_prefix);
  if (options.json) {
    using Json = nlohmann::ordered_json;
    Print("{}\n", facts.dump(1, ' ', false, Json::error_handler_t::replace));
  } else {
    PrintText(FactsText(facts));
  }
  return 0;
}

}  // namespace w8a8
