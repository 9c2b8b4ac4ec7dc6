// The cards and worst images of a report in report.h5, and back: the part of a report that is too
// large for JSON.
//   /cards/site                the sites in order; each has a group of its name ('/' becomes '_')
//   /cards/<site>/             bin_edge, clip, clip_mse, channel_absmax, top_channel_absmax,
//                              position_scale, position_scale_mean f64; top_channel i64;
//                              negative_count, positive_count, code_count u64; outlier_map f16
//                              [rows, columns]; single numbers are attributes. negative_share,
//                              positive_share, code_share f64 are what is drawn of the counts
//   /worst_images/             file, sqnr_db, cosine, reference_answer, answer, accepted;
//                              thumbnail/<i> u8 [height, width, 3]
#pragma once

#include <filesystem>

#include "reports/report.h"
#include "runtime/base/hdf5_file.h"

namespace w8a8 {

void WriteCards(Hdf5OutputFile& file, const Report& report);
// Fills cards and worst_images. Throws Error where a dataset is missing or of another shape; a
// report.h5 written before there were cards leaves both empty.
void ReadCards(const std::filesystem::path& path, Report& report);

}  // namespace w8a8
