#include "tests/cuda/bench_runs.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/wait.h>

namespace w8a8::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSecondsToEnd = 3;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

nlohmann::json ToJson(const Figure& figure) {
  return {{"name", figure.name},       {"unit", figure.unit},
          {"value", figure.value},     {"microseconds", figure.microseconds},
          {"checked", figure.checked}, {"problem", figure.problem},
          {"missing", figure.missing}};
}

Figure FromJson(const nlohmann::json& json) {
  return {.name = json.at("name"),
          .unit = json.at("unit"),
          .value = json.at("value"),
          .microseconds = json.at("microseconds"),
          .checked = json.at("checked"),
          .problem = json.at("problem"),
          .missing = json.at("missing")};
}

Figure Without(const Case& c, std::string problem) {
  return {.name = c.name,
          .unit = {},
          .value = 0,
          .microseconds = 0,
          .checked = {},
          .problem = std::move(problem),
          .missing = {}};
}

// In the child: a line for each case; stops behind the first that threw, because an error of a CUDA
// kernel stays with its process.
[[noreturn]] void RunFrom(const std::vector<Case>& cases, size_t first, int to) {
  for (size_t i = first; i < cases.size(); ++i) {
    Figure figure = Without(cases[i], "");
    try {
      cases[i].run(figure);
    } catch (const Missing& missing) {
      figure.missing = missing.what();
    } catch (const std::exception& error) {
      figure.problem = error.what();
    }
    const std::string line = ToJson(figure).dump(-1, ' ', true) + "\n";
    if (::write(to, line.data(), line.size()) != static_cast<ssize_t>(line.size())) ::_exit(1);
    if (!figure.problem.empty()) break;
  }
  ::_exit(0);
}

// A running child and what it has said.
class Child {
 public:
  Child(const std::vector<Case>& cases, size_t first) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("cuda_bench: no pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cuda_bench: no process");
    if (pid_ == 0) {
      ::close(ends[0]);
      RunFrom(cases, first, ends[1]);
    }
    ::close(ends[1]);
    from_ = ends[0];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::close(from_);
    ::kill(pid_, SIGKILL);
    Reap();
  }

  enum class Said { kLine, kEnd, kNothing };
  Said Next(int seconds, std::string& line) {
    const Clock::time_point begin = Clock::now();
    while (true) {
      const size_t end = buffer_.find('\n');
      if (end != std::string::npos) {
        line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return Said::kLine;
      }
      const double left = seconds - SecondsSince(begin);
      pollfd wait{.fd = from_, .events = POLLIN, .revents = 0};
      if (left <= 0 || ::poll(&wait, 1, static_cast<int>(left * 1000) + 1) == 0) {
        return Said::kNothing;
      }
      char part[4096];
      const ssize_t got = ::read(from_, part, sizeof(part));
      if (got <= 0) return Said::kEnd;
      buffer_.append(part, static_cast<size_t>(got));
    }
  }
  std::string HowItEnded() {
    const int status = Reap();
    if (status < 0) return "the process said nothing more and does not end";
    if (WIFSIGNALED(status)) return fmt::format("the process died of signal {}", WTERMSIG(status));
    return fmt::format("the process ended with {}", WEXITSTATUS(status));
  }

 private:
  // -1: a driver that takes down a kernel that spins may hold the process for longer than we wait.
  int Reap() {
    int status = -1;
    const Clock::time_point begin = Clock::now();
    while (!reaped_ && SecondsSince(begin) < kSecondsToEnd) {
      reaped_ = ::waitpid(pid_, &status, WNOHANG) != 0;
      if (!reaped_) ::usleep(10'000);
    }
    return status;
  }

  pid_t pid_ = -1;
  int from_ = -1;
  bool reaped_ = false;
  std::string buffer_;
};

void Tell(const Figure& figure) {
  std::fprintf(stderr, "%s: %s\n", figure.name.c_str(),
               !figure.missing.empty() ? figure.missing.c_str()
               : figure.problem.empty()
                   ? fmt::format("{:.1f} {}", figure.value, figure.unit).c_str()
                   : figure.problem.c_str());
}

std::string KindOf(const std::string& name) {
  const size_t colon = name.find(": ");
  return colon == std::string::npos ? name : name.substr(colon + 2);
}

// By kind, which case took too long.
using Hung = std::map<std::string, std::string>;

// From the first case without a figure on in one process, until a fresh one is needed.
void RunInOneProcess(const std::vector<Case>& cases, int case_seconds, double left, Hung& hung,
                     std::vector<Figure>& figures, const Keep& keep) {
  const Clock::time_point begin = Clock::now();
  Child child(cases, figures.size());
  while (figures.size() < cases.size() && SecondsSince(begin) < left &&
         !hung.contains(KindOf(cases[figures.size()].name))) {
    std::string line;
    const int patience = std::min(case_seconds, 1 + static_cast<int>(left - SecondsSince(begin)));
    const Child::Said said = child.Next(patience, line);
    const Case& c = cases[figures.size()];
    if (said == Child::Said::kLine) {
      figures.push_back(FromJson(nlohmann::json::parse(line)));
    } else if (said == Child::Said::kEnd) {
      figures.push_back(Without(c, child.HowItEnded()));
    } else {
      figures.push_back(Without(c, fmt::format("not done after {} s", patience)));
      hung.emplace(KindOf(c.name), c.name);
    }
    Tell(figures.back());
    if (keep) keep(figures);
    if (!figures.back().problem.empty()) return;
  }
}

}  // namespace

std::vector<Figure> RunCases(const std::vector<Case>& cases, int case_seconds, int all_seconds,
                             const Keep& keep) {
  const Clock::time_point begin = Clock::now();
  std::vector<Figure> figures;
  Hung hung;
  while (figures.size() < cases.size()) {
    const double left = all_seconds - SecondsSince(begin);
    const std::string& name = cases[figures.size()].name;
    if (const auto first = hung.find(KindOf(name)); first != hung.end()) {
      figures.push_back(
          Without(cases[figures.size()], fmt::format("not begun: {} did not end", first->second)));
    } else if (left > 0) {
      RunInOneProcess(cases, case_seconds, left, hung, figures, keep);
    } else {
      figures.push_back(
          Without(cases[figures.size()], fmt::format("not begun within {} s", all_seconds)));
    }
  }
  return figures;
}

std::string Table(const std::vector<Figure>& figures) {
  std::string table, problems;
  for (const Figure& f : figures) {
    if (!f.missing.empty()) {
      problems += fmt::format("MISSING {}: {}\n", f.name, f.missing);
    } else if (f.problem.empty()) {
      table += fmt::format("{:<58} {:>9.1f} {:<7} {:>11.1f} us{}\n", f.name, f.value, f.unit,
                           f.microseconds, f.checked.empty() ? "  (not checked)" : "");
    } else {
      problems += fmt::format("NO FIGURE {}: {}\n", f.name, f.problem);
    }
  }
  return table + problems;
}

std::string Json(const std::vector<Figure>& figures) {
  nlohmann::json all = nlohmann::json::array();
  for (const Figure& figure : figures) all.push_back(ToJson(figure));
  return all.dump(1) + "\n";
}

}  // namespace w8a8::bench
