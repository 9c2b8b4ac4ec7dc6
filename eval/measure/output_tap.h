// What every arm makes of every image: the encoder's outputs against the reference's, and the
// classes that its logits, or its cosines with class embeddings, rank first.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "eval/measure/error_meter.h"
#include "eval/measure/task.h"
#include "eval/measure/task_accuracy.h"
#include "eval/run/tap.h"
#include "runtime/encoder/config.h"

namespace w8a8 {

constexpr std::array<const char*, 4> kOutputNames{"tokens", "pooled", "image_embeds", "logits"};

class OutputTap final : public Tap {
 public:
  // Of an encoder inside a model only what that model reads is compared. `accepted` and `classes`
  // outlive the tap. With `classes` the embedding (image_embeds, or else the pooled output) is
  // ranked by its cosine with each; nullptr: the model's logits are.
  OutputTap(int workers, const EncoderConfig& config, const AcceptedClasses& accepted,
            const ClassEmbeddings* classes);

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  void OnOutputs(const OutputEvent& event) override;

  struct Result {
    std::map<RunPlace, ErrorMeter> meters;  // by run and output name
    std::map<size_t, TaskMeter> tasks;      // by run; empty without classes
    // Values of the reference's outputs that are not finite, of images that have any.
    std::map<ImageKey, uint64_t> nonfinite_reference;
    // Of the reference's outputs of each image: where all are equal, none depends on the image.
    std::map<ImageKey, uint64_t> reference_digests;

    friend bool operator==(const Result&, const Result&) = default;
    friend constexpr auto ColumnsOf(const Result*) {
      return std::tuple(Column("meters", &Result::meters), Column("tasks", &Result::tasks),
                        Column("nonfinite_reference", &Result::nonfinite_reference),
                        Column("reference_digests", &Result::reference_digests));
    }
  };
  Result Take();

 private:
  struct Worker {
    std::array<std::vector<Half>, kOutputNames.size()> reference;
    std::vector<Half> ranked;  // of the reference
    Result result;
  };
  void AddOutput(const OutputEvent& event, size_t output, MatView<const Half> actual,
                 Worker& worker) const;
  // `ranked`: [samples, classes or width of the embedding].
  void AddTasks(const OutputEvent& event, MatView<const Half> ranked, Worker& worker) const;
  void AddTask(const SamplePtr& sample, std::span<const Half> expected,
               std::span<const Half> actual, TaskMeter& task) const;

  const int64_t unread_tokens_;
  const bool pooled_unread_;
  const AcceptedClasses& accepted_;
  const ClassEmbeddings* const classes_;
  std::vector<Worker> workers_;
};

}  // namespace w8a8
