// What is missing or wrong in a tower, gathered for one message.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "runtime/encoder/checkpoint.h"
#include "runtime/encoder/layout.h"

namespace w8a8 {

// Keys are a layout's, without the tower's prefix.
class TowerFindings {
 public:
  // Both outlive this object.
  TowerFindings(const Checkpoint& checkpoint, const std::string& prefix)
      : checkpoint_(checkpoint), prefix_(prefix) {}

  // nullptr if absent. Find() only looks; Take() counts the tensor as read, if it is there;
  // Expect() counts its absence too.
  const TensorView* Find(const std::string& key) const {
    return checkpoint_.Find(FullKey(prefix_, key));
  }
  const TensorView* Take(const std::string& key);
  const TensorView* Expect(const std::string& key);
  void Wrong(const TensorView& tensor, const std::string& how);  // "'x' <how>"
  // F32, F16 or BF16 of this shape.
  void CheckFloat(const std::string& key, const std::vector<int64_t>& shape);
  // Throws one Error that names all that is missing or wrong (the first eight, and the count).
  void ThrowIfAny() const;

  std::string FullName(const std::string& key) const { return FullKey(prefix_, key); }
  const std::set<std::string, std::less<>>& used() const { return used_; }

 private:
  const Checkpoint& checkpoint_;
  const std::string& prefix_;
  std::set<std::string, std::less<>> used_;
  std::vector<std::string> missing_, wrong_;
};

bool HoldsFloats(const TensorView& tensor);  // F32, F16 or BF16

}  // namespace w8a8
