#include "eval/export/export_target.h"

#include "eval/export/export_quantized.h"
#include "eval/export/inexpressible.h"

namespace w8a8 {

std::span<const ExportTarget> ExportTargets() {
  static constexpr ExportTarget kTargets[] = {
      {"compressed-tensors", CheckExportable, CheckExportable, WhyTowerOnly, ExportQuantized}};
  return kTargets;
}

}  // namespace w8a8
