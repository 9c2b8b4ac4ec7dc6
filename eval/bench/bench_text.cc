#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "eval/bench/bench_report.h"

namespace w8a8 {
namespace {

constexpr size_t kKindsShown = 12;

std::string Percent(const std::optional<double>& share) {
  return share ? fmt::format("{:.1f} %", 100 * *share) : "-";
}
std::string Times(const std::optional<double>& times) {
  return times ? fmt::format("{:.2f} x", *times) : "-";
}

std::string MachineText(const BenchReport& report) {
  const MachineFacts& machine = report.machine;
  std::string text = fmt::format(
      "machine    {}, {} CPU{}; kernel sets {}\noneDNN     {}{}\n", machine.cpu, machine.cpus,
      machine.cpus == 1 ? "" : "s", fmt::join(machine.kernels, ", "), machine.onednn,
      machine.onednn_zen ? ", ONEDNN_X64_USE_ZEN=" + *machine.onednn_zen : "");
  for (const auto& [name, macs] : report.peaks) {
    text += fmt::format("peak       {:<13} {}\n", name,
                        macs > 0 ? fmt::format("{:.0f} GMAC/s", macs / kGiga) : "not on this CPU");
  }
  if (report.peak_scaling) {
    text += fmt::format("peak       all threads together do {:.2f} x one\n", *report.peak_scaling);
  }
  return text;
}

std::string ShapeOf(const KernelResult& kernel) {
  if (kernel.heads > 0) {
    return fmt::format("{} tokens, {} x {}", kernel.m, kernel.heads, kernel.k);
  }
  if (kernel.n == 0) return fmt::format("{} x {}", kernel.m, kernel.k);
  return fmt::format("{} x {} x {}", kernel.m, kernel.n, kernel.k);
}

// Of the shapes of one operation and set that have a share.
std::string MeanText(const std::vector<KernelResult>& kernels, const KernelResult& last) {
  double sum = 0, least = 1e9;
  int count = 0;
  for (const KernelResult& kernel : kernels) {
    if (kernel.op != last.op || kernel.isa != last.isa || !kernel.share_of_peak) continue;
    sum += *kernel.share_of_peak;
    least = std::min(least, *kernel.share_of_peak);
    ++count;
  }
  if (count < 2) return "";
  return fmt::format("{:<28} {:<11} mean {:.1f} % of {}, least {:.1f} %\n", last.op, last.isa,
                     100 * sum / count, last.peak, 100 * least);
}

std::string KernelsText(const std::vector<KernelResult>& kernels) {
  if (kernels.empty()) return "";
  std::string text =
      fmt::format("\n{:<28} {:<11} {:<22} {:<19} {:>9} {:>8} {:>8} {:>8} {:>8}\n", "operation",
                  "set", "where", "m x n x k", "ms", "GMAC/s", "of peak", "oneDNN", "partial");
  std::vector<std::string> means;
  for (const KernelResult& kernel : kernels) {
    const std::string rate =
        kernel.macs_per_second > 0 ? fmt::format("{:.0f}", kernel.macs_per_second / kGiga) : "-";
    text += fmt::format("{:<28} {:<11} {:<22} {:<19} {:>9.3f} {:>8} {:>8} {:>8} {:>8}\n", kernel.op,
                        kernel.isa, kernel.where, ShapeOf(kernel), kernel.ms, rate,
                        Percent(kernel.share_of_peak), Times(kernel.times_faster_than_onednn),
                        Times(kernel.times_faster_than_onednn_partial));
    const std::string mean = MeanText(kernels, kernel);
    if (!mean.empty() && std::ranges::find(means, mean) == means.end()) means.push_back(mean);
  }
  return text + "\n" + fmt::format("{}", fmt::join(means, ""));
}

std::string StepsText(const ForwardResult& forward) {
  std::string text;
  for (size_t i = 0; i < std::min(kKindsShown, forward.steps.size()); ++i) {
    const StepTime& step = forward.steps[i];
    text += fmt::format("    {:<34} {:>9.3f} ms {:>6.1f} %\n", step.kind, step.ms,
                        100 * step.ms / forward.ms_per_image);
  }
  return text;
}

std::string AttentionText(const ForwardResult& forward) {
  return forward.attention == "fp32" ? "" : " with attention in " + forward.attention;
}

// A device's threads are not ours to count.
std::string WhereText(const ForwardResult& forward) {
  if (!forward.launched.empty()) {
    return fmt::format("{}, {} image{} at once, {}", forward.isa, forward.images,
                       forward.images == 1 ? "" : "s", forward.launched);
  }
  return fmt::format("{}, {} thread{}", forward.isa, forward.threads,
                     forward.threads == 1 ? "" : "s");
}

std::string RatiosText(const ForwardResult& forward) {
  std::string text;
  for (const auto& [times, over] : {std::pair(forward.times_faster_than_fp16, "fp16"),
                                    {forward.times_faster_than_fp16_baseline, "fp16 baseline"},
                                    {forward.times_faster_than_fp8_baseline, "fp8 baseline"}}) {
    if (times) text += ", " + Times(times) + " " + over;
  }
  return text;
}

std::string OneForwardText(const ForwardResult& forward) {
  const std::string what =
      fmt::format("\nforward    {} {}{}{} on {}: ", forward.model, forward.precision,
                  forward.scales == "static" ? " with static scales" : "", AttentionText(forward),
                  WhereText(forward));
  if (!forward.missing.empty()) return what + "not measured: " + forward.missing + "\n";
  if (!forward.problem.empty()) return what + "no figures: " + forward.problem + "\n";
  std::string text = what + fmt::format("{:.2f} ms per image", forward.ms_per_image);
  if (!forward.peak.empty()) {
    text += fmt::format(", {} of {}", Percent(forward.share_of_peak), forward.peak);
  }
  text += RatiosText(forward);
  if (forward.ms_of_one_shared) {
    text += fmt::format("; one image on all threads {:.2f} ms", *forward.ms_of_one_shared);
  }
  if (forward.sqnr_db) text += fmt::format(", {:.1f} dB", *forward.sqnr_db);
  text += "\n";
  if (!forward.how.empty()) text += fmt::format("    {}\n", forward.how);
  if (forward.ms_of_all_blocks) {
    text += fmt::format("    of {} blocks; all of them like these: {:.0f} ms\n",
                        forward.config.blocks, *forward.ms_of_all_blocks);
  }
  return text + StepsText(forward);
}

std::string ForwardText(const std::vector<ForwardResult>& forwards) {
  std::string text;
  for (const ForwardResult& forward : forwards) text += OneForwardText(forward);
  return text;
}

// Layers that INT8 makes slower here.
std::string SitesText(const std::vector<ForwardResult>& forwards) {
  std::string text;
  for (size_t i = 1; i < forwards.size(); ++i) {
    const ForwardResult &fp16 = forwards[i - 1], &int8 = forwards[i];
    if (fp16.model != int8.model || fp16.sites.size() != int8.sites.size()) continue;
    std::vector<std::string> slower;
    for (size_t site = 0; site < int8.sites.size(); ++site) {
      if (int8.sites[site].ms > fp16.sites[site].ms) slower.push_back(int8.sites[site].kind);
    }
    if (int8.sites.empty() || slower.empty()) continue;
    text += fmt::format("\nsites      {}: {} of {} are slower in INT8: {}\n", int8.model,
                        slower.size(), int8.sites.size(), fmt::join(slower, ", "));
  }
  return text;
}

}  // namespace

std::string BenchText(const BenchReport& report) {
  std::string text = MachineText(report) + KernelsText(report.kernels) +
                     ForwardText(report.forward) + SitesText(report.forward);
  if (!report.stages.empty()) {
    text += fmt::format("\nstages of the job on {}, in forwards of the reference, per image\n",
                        report.stages_model);
  }
  for (const StageResult& stage : report.stages) {
    text += fmt::format("    {:<34} {:>9.2f}\n", stage.name, stage.reference_forwards);
  }
  return text;
}

}  // namespace w8a8
