// Kernel sets and the one place that chooses among them. A set is two tables of functions whose
// bits numerics.md fixes and one of float products, made for one instruction set: `scalar` is
// portable, readable and normative, the others equal it in every bit of the first two. Everything
// of the program that depends on the CPU's instructions goes through the chosen set, but for the
// emulated arm's products, which are oneDNN's.
#pragma once

#include <span>
#include <string_view>

#include "runtime/cpu/float_kernels.h"
#include "runtime/cpu/int8_kernels.h"
#include "runtime/cpu/row_kernels.h"

namespace w8a8 {

struct Kernels {
  std::string_view name;
  // nullptr where this machine can run the set, else the reason as a clause ("the CPU lacks ...").
  const char* (*unusable_reason)();
  const Int8Kernels* int8;
  const RowKernels* rows;
  const FloatKernels* floats;

  bool supported() const { return unusable_reason() == nullptr; }
};

// Every set the program was built with, best first, `scalar` last.
std::span<const Kernels> All();

// Whether this machine multiplies pairs of BF16 (vdpbf16ps); no set asks for it.
bool HasAvx512Bf16();

// The set of the name `forced`, else the one that W8A8_CPU_ISA names, else the best usable one. A
// forced set is never replaced: BadSetting for a name that no set has, Error for a set that this
// machine cannot run, with the reason.
const Kernels& Select(std::string_view forced);

// The set of what no backend runs: error meters, and the bulk conversions of runtime/base/half.h.
// Select("") unless UseKernels() came first; throws as Select() does.
const Kernels& KernelsInUse();
void UseKernels(const Kernels& kernels);

}  // namespace w8a8
