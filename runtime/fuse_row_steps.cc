#include "runtime/fuse_row_steps.h"

#include <span>
#include <utility>

namespace w8a8 {
namespace {

bool Writes(const Step& step, SlotId slot) {
  return std::visit(
      [slot](const auto& s) {
        if constexpr (requires { s.add; }) {
          if (s.add && s.add->stream == slot) return true;
        }
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

// Where the step says that it quantizes the rows of `slot` as it makes them; nullptr where it
// cannot.
std::optional<CodesOutput>* FusedCodes(Step& step, SlotId slot) {
  return std::visit(
      [slot](auto& s) -> std::optional<CodesOutput>* {
        if constexpr (requires { s.codes.has_value(); }) {
          if (s.out == slot) return &s.codes;
        }
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
    std::optional<CodesOutput>* place = FusedCodes(*step, quantize.in);
    return place != nullptr && !place->has_value() ? place : nullptr;
  }
  return nullptr;
}

// The residual that the step before adds to the norm's input.
const AddStep* ResidualOf(const Step& norm, std::span<const Step> before) {
  const auto* step = std::get_if<NormStep>(&norm);
  if (step == nullptr || step->add || before.empty()) return nullptr;
  const auto* add = std::get_if<AddStep>(&before.back());
  return add != nullptr && add->stream == step->in ? add : nullptr;
}

}  // namespace

void FuseRowSteps(Program* program) {
  std::vector<Step> steps;
  std::vector<int32_t> nodes;
  for (size_t i = 0; i < program->steps.size(); ++i) {
    Step& step = program->steps[i];
    if (const auto* quantize = std::get_if<QuantizeStep>(&step)) {
      if (std::optional<CodesOutput>* place = PlaceFor(*quantize, steps)) {
        *place = quantize->codes;
        continue;
      }
    }
    if (const AddStep* add = ResidualOf(step, steps)) {
      std::get<NormStep>(step).add = *add;
      steps.pop_back();
      nodes.pop_back();
    }
    steps.push_back(std::move(step));
    nodes.push_back(program->nodes[i]);
  }
  program->steps = std::move(steps);
  program->nodes = std::move(nodes);
  program->identity = ProgramIdentity();
}

}  // namespace w8a8
