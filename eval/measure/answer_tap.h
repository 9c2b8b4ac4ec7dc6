// What the reference and the chosen INT8 arm answer for each image.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "eval/measure/class_embeddings.h"
#include "eval/run/tap.h"

namespace w8a8 {

class AnswerTap final : public Tap {
 public:
  // Watches run 0 and `run`. With `classes` (which outlive the tap) the pooled output is ranked by
  // its cosine with each; nullptr: the model's logits are.
  AnswerTap(int run, const ClassEmbeddings* classes, int workers);

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  void OnOutputs(const OutputEvent& event) override;

  struct Answer {
    int64_t reference = -1, arm = -1;  // classes
  };
  // By the image's number (ImageId::image); empty for a model without a task.
  std::map<int64_t, Answer> Take();

 private:
  const int run_;
  const ClassEmbeddings* const classes_;
  std::vector<std::map<int64_t, Answer>> workers_;
};

}  // namespace w8a8
