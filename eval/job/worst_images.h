// The images on which the chosen INT8 arm is farthest from the reference.
#pragma once

#include <vector>

#include "datasets/image_set.h"
#include "eval/measure/evaluate.h"
#include "eval/measure/task.h"
#include "reports/report.h"

namespace w8a8 {

constexpr size_t kWorstImages = 8;
constexpr int kThumbnailSide = 96;  // pixels at most, of either side

// Fills report.worst_images by the SQNR of the main output, least first; of equal ones the smaller
// (sha256, name). `files` are the evaluation images. An image without any error is not among them;
// one that is not the file any more that was judged has no thumbnail, and a note of report.health
// says why.
void AddWorstImages(const Evaluation& evaluation, const Task& task,
                    const std::vector<ImageFile>& files, Report& report);

}  // namespace w8a8
