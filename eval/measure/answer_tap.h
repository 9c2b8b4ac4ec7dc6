// What the reference and the chosen INT8 arm answer for each image.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "eval/measure/class_embeddings.h"
#include "eval/measure/result_table.h"
#include "eval/run/tap.h"

namespace w8a8 {

struct Answer {
  int64_t reference = -1, arm = -1;  // classes; -1: none yet

  void Merge(const Answer& other);
  friend bool operator==(const Answer&, const Answer&) = default;
  friend constexpr auto ColumnsOf(const Answer*) {
    return std::tuple(Column("reference", &Answer::reference), Column("arm", &Answer::arm));
  }
};

using Answers = std::map<ImageKey, Answer>;

class AnswerTap final : public Tap {
 public:
  // Watches run 0 and `run`. With `classes` (which outlive the tap) the pooled output is ranked by
  // its cosine with each; nullptr: the model's logits are.
  AnswerTap(int run, const ClassEmbeddings* classes, int workers);

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  void OnOutputs(const OutputEvent& event) override;

  // Empty for a model without a task.
  Answers Take();

 private:
  const int run_;
  const ClassEmbeddings* const classes_;
  std::vector<Answers> workers_;
};

}  // namespace w8a8
