#include "eval/progress.h"

#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include <fmt/format.h>

namespace w8a8 {
namespace {

constexpr std::chrono::milliseconds kTerminalInterval{100};
constexpr std::chrono::seconds kPipeInterval{15};

double Seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

std::string Duration(double seconds) {
  if (seconds < 60) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<int>(seconds);
  return fmt::format("{}:{:02} min", whole / 60, whole % 60);
}

}  // namespace

Progress::Progress(std::string stage, std::string unit, double total, bool quiet)
    : stage_(std::move(stage)),
      unit_(std::move(unit)),
      total_(total),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      exceptions_at_start_(std::uncaught_exceptions()) {}

Progress::~Progress() {
  if (finished_) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    if (terminal_ && !quiet_) std::fputc('\n', stderr);
    return;
  }
  Finish();
}

void Progress::Update(double done, const std::string& figure) {
  done_ = done;
  figure_ = figure;
  if (quiet_) return;
  const Clock::time_point now = Clock::now();
  const bool due =
      terminal_ ? now - last_shown_ >= kTerminalInterval : now - last_shown_ >= kPipeInterval;
  if (!due) return;
  last_shown_ = now;
  const std::string line = Line(Seconds(now - start_));
  std::fputs(terminal_ ? fmt::format("\r\033[K{}", line).c_str() : (line + "\n").c_str(), stderr);
  std::fflush(stderr);
}

void Progress::Finish() {
  if (std::exchange(finished_, true) || quiet_) return;
  const double seconds = Seconds(Clock::now() - start_);
  const std::string line = fmt::format("{:<10} {:.0f} {} in {}{}", stage_, done_, unit_,
                                       Duration(seconds), figure_.empty() ? "" : ", " + figure_);
  std::fputs(terminal_ ? fmt::format("\r\033[K{}\n", line).c_str() : (line + "\n").c_str(), stderr);
  std::fflush(stderr);
}

std::string Progress::Line(double seconds) const {
  std::string line = fmt::format("{:<10} {:.0f}", stage_, done_);
  if (total_ > 0) line += fmt::format("/{:.0f} {:3.0f} %", total_, 100 * done_ / total_);
  line += " " + unit_;
  if (done_ > 0 && seconds > 0) line += fmt::format(", {:.3g}/s", done_ / seconds);
  if (done_ > 0 && total_ > done_) {
    line += ", " + Duration(seconds * (total_ - done_) / done_) + " left";
  }
  return figure_.empty() ? line : line + ", " + figure_;
}

}  // namespace w8a8
