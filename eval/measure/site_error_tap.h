// The error of every linear layer of the chosen arms, in both views of numerics.md section 5. At an
// expert the reference's rows are teacher-forced; propagated are the tokens that both runs gave to
// it. A sample without such rows has no record there.
#pragma once

#include <compare>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "eval/measure/error_meter.h"
#include "eval/measure/running_sqnr.h"
#include "eval/run/arm.h"
#include "eval/run/tap.h"
#include "quant/reference_quantizer.h"
#include "reports/words.h"

namespace w8a8 {

struct SiteKey {
  size_t run = 0;
  View view = View::kPropagated;
  std::string site;
  friend auto operator<=>(const SiteKey&, const SiteKey&) = default;
  friend constexpr auto ColumnsOf(const SiteKey*) {
    return std::tuple(Column("run", &SiteKey::run), Column("view", &SiteKey::view),
                      Column("site", &SiteKey::site));
  }
  friend std::string ProblemOf(const SiteKey& key) {
    return key.view <= View::kPropagated ? "" : "has a view that there is not";
  }
};

struct SiteMeters {
  ErrorMeter output;  // the layer's FP16 output against the reference's; saturation of its input
  ErrorMeter input;   // the input as quantized against the reference's input

  friend bool operator==(const SiteMeters&, const SiteMeters&) = default;
  friend constexpr auto ColumnsOf(const SiteMeters*) {
    return std::tuple(Column("output", &SiteMeters::output), Column("input", &SiteMeters::input));
  }
};

using SiteErrors = std::map<SiteKey, SiteMeters>;

class SiteErrorTap final : public Tap {
 public:
  // Watches `watched` (runs other than 0) against run 0.
  // `running` (nullptr: nobody) is told the propagated errors as they come.
  SiteErrorTap(std::span<const Arm> runs, std::vector<size_t> watched, int workers,
               RunningSqnr* running = nullptr);

  bool WantsLinear(int arm, const std::string& site) const override;
  void OnLinear(LinearEvent& event) override;

  SiteErrors Take();

 private:
  struct Seen {
    std::vector<Half> input, output;
    std::vector<RowOwner> owners;
    int64_t rows = 0;
  };
  // Rows of the reference beside those of an arm, at one layer.
  struct Pairs {
    std::span<const RowOwner> owners;  // of every row, as LinearEvent has them
    MatView<const Half> expected_input, expected, input, actual;
  };
  struct Worker {
    int stage = 0;
    SamplePtr batch;                        // its first sample
    std::map<std::string, Seen> reference;  // of the batch and stage at hand
    SiteErrors meters;
    ReferenceRows rows;
    std::vector<float> values, transformed;
  };

  void OnReference(LinearEvent& event, Worker& worker);
  void OnArm(const LinearEvent& event, Worker& worker);
  void Measure(const LinearEvent& event, const SiteKey& key, const Pairs& pairs, Worker& worker);
  void MeasureInput(const SamplePtr& sample, const SitePlan& plan, MatView<const Half> expected,
                    MatView<const Half> input, SiteMeters& meters, Worker& worker);

  const std::span<const Arm> runs_;
  const std::vector<size_t> watched_;
  RunningSqnr* const running_;
  std::vector<Worker> workers_;
};

}  // namespace w8a8
