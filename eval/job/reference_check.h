// The FP16 reference judged before it judges others: whether anything in it overflows, and whether
// its residual stream keeps enough digits.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "eval/job/session.h"
#include "eval/run/image_source.h"
#include "reports/report.h"
#include "runtime/base/setting.h"

namespace w8a8 {

// The first images are enough: what overflows or loses digits does so through the weights. 4
// images and 16 rows of each keep the samples of 45 blocks of width 3,200 at 130 MB.
constexpr int64_t kReferenceImages = 4;
constexpr int64_t kReferenceRows = 16;

// A site whose input differs by more from the one that a binary32 residual gives is reported. With
// FP16 rounding alone trained encoders stay below 0.3 % (ViT-Ti, whose stream reaches 570); INT8
// itself costs 4 % (28 dB), and what judges it must be well below that.
constexpr double kReferenceLimit = 0.01;

struct ReferenceNote {
  HealthNote note;
  std::optional<Remedy> remedy;
};

// Runs the reference over up to kReferenceImages of `images`, once as the session's graph has it
// and, where that keeps the residual in FP16, once with a binary32 residual. The notes name the
// first place of an overflow (a layer's output, or the stream), and every site above
// kReferenceLimit, the worst first. Another where the checkpoint is INT8 already, so that its
// reference is not the original model's. None: the reference is sound. The same for any threads and
// batch.
std::vector<ReferenceNote> CheckReference(const Session& session, ImageSource& images,
                                          const RunnerOptions& runner);

}  // namespace w8a8
