// One linear layer run on given rows, by the same lowering and steps as the whole encoder: what the
// per-tensor plan compares clip rules by.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "quant/spec.h"
#include "runtime/backend.h"
#include "runtime/base/mat_view.h"
#include "runtime/encoder/graph.h"
#include "runtime/encoder/weights.h"
#include "runtime/lower.h"

namespace w8a8 {

class SiteReplay {
 public:
  // `rows` [n, K] are inputs of `site`; the reference output is computed once.
  SiteReplay(const Weights& weights, Backend& backend, const std::string& site,
             MatView<const Half> rows);

  // Relative squared error of the INT8 layer's output under `plan` against the FP16 layer's, over
  // all rows: sum (actual - expected)^2 / sum expected^2.
  double TeacherForcedError(const SitePlan& plan);

 private:
  std::vector<Half> Run(Precision precision, const Plan& plan);

  const std::string site_;
  const MatView<const Half> rows_;
  Graph graph_;
  Lowering lowering_;
  const std::unique_ptr<Arena> arena_;
  std::vector<Half> expected_;
};

}  // namespace w8a8
