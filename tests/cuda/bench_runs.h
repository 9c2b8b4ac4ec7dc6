// How cuda_bench runs its cases: in a process of its own, so that a kernel that fails or hangs
// costs its own figure and no other.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace w8a8::bench {

// What one case measured, or why it has nothing.
struct Figure {
  std::string name;
  std::string unit;  // "TOPS", "TFLOPS", "GB/s"
  double value = 0;
  double microseconds = 0;
  std::string checked;  // against what the result was checked in every bit
  std::string problem;  // nonempty: there is no figure, and why
  std::string missing;  // nonempty: there is none, because this machine lacks what it needs
};

// What a case throws that needs what this machine lacks.
class Missing : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Case {
  std::string name;
  std::function<void(Figure& figure)> run;  // throws where there is nothing to measure
};

// Every case in order, each told on stderr as it ends. After one that threw, died or took longer
// than `case_seconds` the next runs in a fresh process, and of the kind that took longer (what
// stands behind ": " in its name) no other is begun; what has not begun after `all_seconds` is
// named so. `keep` gets all figures so far after each.
using Keep = std::function<void(const std::vector<Figure>& figures)>;
std::vector<Figure> RunCases(const std::vector<Case>& cases, int case_seconds, int all_seconds,
                             const Keep& keep = {});

// "NAME | VALUE UNIT | TIME" for each, what nobody checked marked; then what has no figure.
std::string Table(const std::vector<Figure>& figures);
// One JSON array.
std::string Json(const std::vector<Figure>& figures);

}  // namespace w8a8::bench
