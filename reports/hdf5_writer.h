// report.h5: every number that the page shows or plots, under the names of report.json. Tables are
// groups with one dataset per column; an interval is [rows, 3]: value, low, high. No number: NaN.
//   /                 schema, title
//   /verdict          ship, arm, text
//   /facts/…          the facts as attributes of nested groups
//   /arms             name, precision, flavour, granularity, clip_range (+inf: no clip), chosen,
//                     label, part, scheme, compressed_tensors, vllm, top1, top5, agreement,
//                     weight_bytes (0: unknown), outputs/<output>/<figure>
//   /sites            site, arm, view, block (-1: none) and the figures; weight_share where known
//   /sweep            the rows of /arms that are points of the sweep: arm, precision, granularity,
//                     clip_range, output, sqnr_db, cosine_mean, top1, agreement
//   /checks           total/ (one row), sites/, passes/
//   /skipped_images, /plan_choices (candidates/ one row each), /health
//   /cards/<site>, /worst_images  what the cards of the sites plot: card_file.h
//   /run              what depends on the run, and nothing else does
#pragma once

#include <filesystem>

#include "reports/report.h"

namespace w8a8 {

void WriteReportHdf5(const std::filesystem::path& path, const Report& report, const RunInfo& run);

}  // namespace w8a8
