// What the flags of `linear` ask for, as a plan of its one layer.
#pragma once

#include "eval/cli/options.h"
#include "quant/spec.h"

namespace w8a8 {

// Throws UsageError for flags that contradict each other, or that do not apply to the precision or
// the fake flavour.
void CheckLinearFlags(const Options& options);

// The flavour of checked flags, with --dtype; ideal where the arm has no flavours.
FakeFlavour LinearFlavour(const Options& options);

// The plan of checked flags, before the input file was read. Throws UsageError for scales that no
// quantizer can have.
SitePlan LinearPlan(const Options& options);

// Throws UsageError for flags that no layer of `k` inputs can be run by: a rotation's block that
// does not divide them, sizes of groups of which neither is a multiple of the other.
void CheckFlagsFit(const Options& options, const SitePlan& plan, int64_t k);

}  // namespace w8a8
