// Progress of long work: one live line on a terminal, plain lines at intervals in a pipe, on
// stderr. Colours only on a terminal, and not where NO_COLOR is set (no-color.org).
#pragma once

#include <chrono>
#include <string>

namespace w8a8 {

// Whether text for `descriptor` may be coloured.
bool MayColour(int descriptor);

enum class ProgressLines { kShown, kHidden };

class Progress {
 public:
  // `unit` is what is counted ("images"); `total` may be 0 if it is not known beforehand.
  Progress(std::string stage, std::string unit, double total, ProgressLines lines);
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  // `figure` is a running result to show beside the count ("SQNR 27.6 dB"), or empty.
  void Update(double done, const std::string& figure = "");
  // Prints the last state with the time taken. Called by the destructor if not before; prints
  // nothing then while an exception is under way.
  void Finish();

 private:
  using Clock = std::chrono::steady_clock;
  std::string Line(double seconds) const;
  void Show(const std::string& line, const char* end) const;

  const std::string stage_;
  const std::string unit_;
  const double total_;
  const bool hidden_;
  const bool terminal_;
  const int exceptions_at_start_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point last_shown_ = start_;
  double done_ = 0;
  std::string figure_;
  bool finished_ = false;
};

}  // namespace w8a8
