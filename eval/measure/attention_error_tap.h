// The error of attention in the chosen arms, in both views of numerics.md section 5: the output of
// every block's and of the pooling head's attention, before the projection behind it.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "eval/measure/error_meter.h"
#include "eval/run/tap.h"
#include "reports/words.h"

namespace w8a8 {

struct AttentionKey {
  size_t run = 0;
  View view = View::kPropagated;
  int64_t block = 0;  // as AttentionEvent has it
  friend auto operator<=>(const AttentionKey&, const AttentionKey&) = default;
  friend constexpr auto ColumnsOf(const AttentionKey*) {
    return std::tuple(Column("run", &AttentionKey::run), Column("view", &AttentionKey::view),
                      Column("block", &AttentionKey::block));
  }
  friend std::string ProblemOf(const AttentionKey& key) {
    return key.view <= View::kPropagated ? "" : "has a view that there is not";
  }
};

using AttentionErrors = std::map<AttentionKey, ErrorMeter>;

class AttentionErrorTap final : public Tap {
 public:
  // Watches `watched` (runs other than 0) against run 0; none: asks for nothing.
  AttentionErrorTap(std::vector<size_t> watched, int workers);

  bool WantsLinear(int /*arm*/, const std::string& /*site*/) const override { return false; }
  bool WantsAttention(int arm) const override;
  void OnAttention(AttentionEvent& event) override;

  AttentionErrors Take();

 private:
  struct Worker {
    std::vector<Half> reference;  // of the batch and stage at hand, which has one attention at most
    AttentionErrors meters;
  };

  const std::vector<size_t> watched_;
  std::vector<Worker> workers_;
};

}  // namespace w8a8
