#include "runtime/fuse_quantization.h"

#include <span>
#include <utility>

namespace w8a8 {
namespace {

bool Writes(const Step& step, SlotId slot) {
  return std::visit(
      [slot](const auto& s) {
        if constexpr (requires { s.out; }) return s.out == slot;
        if constexpr (requires { s.in_out; }) return s.in_out == slot;
        if constexpr (requires { s.stream; }) return s.stream == slot;
        return false;
      },
      step);
}

SlotId SlotOf(SlotId codes) { return codes; }
SlotId SlotOf(const CodesOutput& codes) { return codes.slot; }
SlotId SlotOf(const std::optional<CodesOutput>& codes) { return codes ? codes->slot : kNoSlot; }

bool UsesCodes(const Step& step, SlotId slot) {
  return std::visit(
      [slot](const auto& s) {
        if constexpr (requires { s.codes; }) return SlotOf(s.codes) == slot;
        return false;
      },
      step);
}

// Where the step says that it quantizes the rows it makes; nullptr where it cannot.
std::optional<CodesOutput>* FusedCodes(Step& step) {
  return std::visit(
      [](auto& s) -> std::optional<CodesOutput>* {
        if constexpr (requires { s.codes.has_value(); }) return &s.codes;
        return nullptr;
      },
      step);
}

// The place in the maker of `quantize`'s input, one of the steps before it, that may take it over;
// nullptr where none may.
std::optional<CodesOutput>* PlaceFor(const QuantizeStep& quantize, std::span<Step> before) {
  for (auto step = before.rbegin(); step != before.rend(); ++step) {
    if (UsesCodes(*step, quantize.codes.slot)) return nullptr;
    if (!Writes(*step, quantize.in)) continue;
    std::optional<CodesOutput>* place = FusedCodes(*step);
    return place != nullptr && !place->has_value() ? place : nullptr;
  }
  return nullptr;
}

}  // namespace

void FuseQuantization(Program* program) {
  std::vector<Step> steps;
  std::vector<int32_t> nodes;
  for (size_t i = 0; i < program->steps.size(); ++i) {
    if (const auto* quantize = std::get_if<QuantizeStep>(&program->steps[i])) {
      if (std::optional<CodesOutput>* place = PlaceFor(*quantize, steps)) {
        *place = quantize->codes;
        continue;
      }
    }
    steps.push_back(std::move(program->steps[i]));
    nodes.push_back(program->nodes[i]);
  }
  program->steps = std::move(steps);
  program->nodes = std::move(nodes);
}

}  // namespace w8a8
