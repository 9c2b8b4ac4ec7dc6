// What a run of the benchmarks found, as values.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/encoder/config.h"

namespace w8a8 {

inline constexpr double kGiga = 1e9;  // multiply-adds per second are shown in GMAC/s

struct MachineFacts {
  std::string cpu;                        // as the system calls it
  int cpus = 0;                           // that this process may use
  std::vector<std::string> kernels;       // usable sets, best first
  std::string onednn;                     // version
  std::optional<std::string> onednn_zen;  // ONEDNN_X64_USE_ZEN, where it is set
  std::string compiler;
};

// One operation of one kernel set at one shape. Products: m rows, n outputs, k inputs; attention: m
// queries, n keys, k the width of a head; steps on rows: m rows of k values, and n is 0.
struct KernelResult {
  std::string op;     // "gemm_s8"
  std::string isa;    // the kernel set
  std::string where;  // "so400m qkv"
  int64_t m = 0, n = 0, k = 0;
  int64_t heads = 0;  // attention
  double ms = 0;
  double macs_per_second = 0;  // 0: no products
  std::string peak;            // the name of what `share_of_peak` is of
  std::optional<double> share_of_peak = {};
  // Over oneDNN's way to the same result in the same turns.
  std::optional<double> times_faster_than_onednn = {};
  // Over its product alone: FP32 output with column scales, without the scales of rows.
  std::optional<double> times_faster_than_onednn_partial = {};
};

struct StepTime {
  std::string kind;  // "gemm_s8 fc1", "attention"
  double ms = 0;     // of one image
};

struct ForwardResult {
  std::string model;
  EncoderConfig config = {};
  std::string precision;
  std::string attention;  // its arithmetic
  std::string isa;
  std::string launched = {};  // a device's steps: "graph", "step by step"; empty: a CPU's
  int threads = 1;
  int64_t images = 1;  // at once
  int64_t macs = 0;    // of one image
  double ms_per_image = 0;
  std::optional<double> ms_of_all_blocks = {};  // where only some were run: the others like these
  // Of several threads, where all of them share the steps of one image: what that takes.
  std::optional<double> ms_of_one_shared = {};
  std::string peak;
  std::optional<double> share_of_peak = {};
  std::optional<double> times_faster_than_fp16 = {};
  std::optional<double> sqnr_db = {};  // of the output against FP16's
  std::string scales = {};             // of INT8's inputs on a device: "per-token", "static"
  // Only speed is compared with it, and its errors are no arm's: `precision` names it.
  bool is_baseline = false;
  std::string how = {};      // a baseline's steps were made
  std::string missing = {};  // what a baseline needs and this machine lacks: it has no figures
  std::string problem = {};  // what went wrong: it has no figures
  std::optional<double> times_faster_than_fp16_baseline = {};
  std::optional<double> times_faster_than_fp8_baseline = {};
  std::vector<StepTime> steps = {};
  std::vector<StepTime> sites = {};  // each layer by itself: its input quantized, its product
};

struct StageResult {
  std::string name;
  double reference_forwards = 0;
};

struct BenchReport {
  MachineFacts machine;
  std::vector<std::pair<std::string, double>> peaks;  // MACs per second; 0: not on this CPU
  // Of several threads over one, as a peak on all of them scales; none with one thread.
  std::optional<double> peak_scaling = {};
  std::vector<KernelResult> kernels;
  std::vector<ForwardResult> forward;
  std::string stages_model;
  std::vector<StageResult> stages;
};

// The file that programs read (interfaces: names are fixed).
std::string BenchJson(const BenchReport& report);
// Tables for people.
std::string BenchText(const BenchReport& report);

}  // namespace w8a8
