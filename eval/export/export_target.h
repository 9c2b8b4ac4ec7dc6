// The formats that a plan can be exported to, listed once.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "eval/export/exported_scope.h"
#include "quant/spec.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"

namespace w8a8 {

// Both checks are made before any work is done, and throw Error with the first sites' or tensors'
// names for what the format cannot express.
struct ExportTarget {
  std::string_view name;
  void (*check_plan)(const Plan& plan, const Graph& graph);
  void (*check_model)(const EncoderWeights& checkpoint, const Graph& graph);
  // Why the whole of a model cannot be written, but its tower can; "" if it can. Throws
  // Error where neither can.
  std::string (*why_tower_only)(const std::filesystem::path& model_folder);
  // Writes the folder `out`; checks again. Returns warnings for the user.
  std::vector<std::string> (*write)(const Weights& weights, const Graph& graph, const Plan& plan,
                                    const std::filesystem::path& model_folder,
                                    const std::filesystem::path& out, ExportScope scope);
};

std::span<const ExportTarget> ExportTargets();
inline const ExportTarget& DefaultExportTarget() { return ExportTargets().front(); }

}  // namespace w8a8
