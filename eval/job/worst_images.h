// The images on which the chosen INT8 arm is farthest from the reference.
#pragma once

#include <string>
#include <vector>

#include "datasets/image_set.h"
#include "eval/measure/evaluate.h"
#include "reports/site_card.h"

namespace w8a8 {

constexpr size_t kWorstImages = 8;
constexpr int kThumbnailSide = 96;  // pixels at most, of either side

// By the SQNR of `output`, least first; of equal ones the smaller (sha256, name). `files` are the
// evaluation images in the order of the run. An image without any error is not among them, and one
// that can no longer be read has no thumbnail.
std::vector<WorstImage> BuildWorstImages(const Evaluation& evaluation, const std::string& output,
                                         const Task& task, const std::vector<ImageFile>& files);

}  // namespace w8a8
