#include "eval/job/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <sys/ioctl.h>

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

// Columns of the terminal on stderr, 80 where it does not say.
size_t TerminalColumns() {
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

bool MayColour(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool refused = no_colour != nullptr && *no_colour != '\0';
  const bool dumb = terminal == nullptr || std::strcmp(terminal, "dumb") == 0;
  return ::isatty(descriptor) == 1 && !refused && !dumb;
}

// A live line longer than the terminal would wrap and leave its remains behind.
void Progress::Show(const std::string& line, const char* end) const {
  if (!terminal_) {
    std::fputs((line + "\n").c_str(), stderr);
  } else {
    std::string shown = line.substr(0, TerminalColumns() - 1);
    const size_t stage = std::min(stage_.size(), shown.size());
    if (MayColour(STDERR_FILENO)) {
      shown = "\033[36m" + shown.substr(0, stage) + "\033[0m" + shown.substr(stage);
    }
    std::fputs(("\r\033[K" + shown + end).c_str(), stderr);
  }
  std::fflush(stderr);
}

Progress::Progress(std::string stage, std::string unit, double total, ProgressLines lines)
    : stage_(std::move(stage)),
      unit_(std::move(unit)),
      total_(total),
      hidden_(lines == ProgressLines::kHidden),
      terminal_(::isatty(STDERR_FILENO) == 1),
      exceptions_at_start_(std::uncaught_exceptions()) {}

Progress::~Progress() {
  if (finished_) return;
  if (std::uncaught_exceptions() > exceptions_at_start_) {
    if (terminal_ && !hidden_) std::fputc('\n', stderr);
    return;
  }
  Finish();
}

void Progress::Update(double done, const std::string& figure) {
  done_ = done;
  figure_ = figure;
  if (hidden_) return;
  const Clock::time_point now = Clock::now();
  const bool due =
      terminal_ ? now - last_shown_ >= kTerminalInterval : now - last_shown_ >= kPipeInterval;
  if (!due) return;
  last_shown_ = now;
  Show(Line(Seconds(now - start_)), "");
}

void Progress::Finish() {
  if (std::exchange(finished_, true) || hidden_) return;
  const double seconds = Seconds(Clock::now() - start_);
  const std::string line = fmt::format("{:<10} {:.0f} {} in {}{}", stage_, done_, unit_,
                                       Duration(seconds), figure_.empty() ? "" : ", " + figure_);
  Show(line, "\n");
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
