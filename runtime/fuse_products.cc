#include "runtime/fuse_products.h"

#include <algorithm>
#include <optional>
#include <type_traits>

namespace w8a8 {
namespace {

// FP16 and FP32 slots. Products of experts add to what is there.
bool Reads(const Step& step, SlotId slot) {
  return std::visit(
      [slot](const auto& s) {
        using Kind = std::remove_cvref_t<decltype(s)>;
        bool reads = false;
        if constexpr (requires { s.in; }) reads = reads || s.in == slot;
        if constexpr (requires { s.in_out; }) reads = reads || s.in_out == slot;
        if constexpr (requires { s.pixels; }) reads = reads || s.pixels == slot;
        if constexpr (requires { s.stream; }) reads = reads || s.stream == slot || s.y == slot;
        if constexpr (requires { s.q; }) reads = reads || s.q == slot || s.kv == slot;
        if constexpr (requires { s.a; }) reads = reads || s.a == slot || s.b == slot;
        if constexpr (requires { s.x; }) reads = reads || s.x == slot;
        if constexpr (requires { s.routing; }) reads = reads || s.routing == slot;
        if constexpr (std::is_same_v<Kind, MixStep> || std::is_same_v<Kind, MixSharedStep>) {
          reads = reads || s.out == slot;
        }
        if constexpr (requires { s.add; }) {
          reads = reads || (s.add && (s.add->stream == slot || s.add->y == slot));
        }
        return reads;
      },
      step);
}

bool WritesWhole(const Step& step, SlotId slot) {
  return std::visit(
      [slot](const auto& s) {
        if constexpr (requires { s.out; }) return s.out == slot;
        return false;
      },
      step);
}

// The residual that the step adds to its stream.
const AddStep* ResidualOf(const Step& step) {
  if (const auto* norm = std::get_if<NormStep>(&step)) return norm->add ? &*norm->add : nullptr;
  return std::get_if<AddStep>(&step);
}

// Where the outputs of a product stand as FP16, no quantizer behind them; kNoSlot: no such product.
SlotId OutputOf(const Step& step) {
  if (const auto* codes = std::get_if<GemmS8Step>(&step)) {
    return codes->output ? kNoSlot : codes->out;
  }
  if (const auto* half = std::get_if<GemmF16Step>(&step)) {
    return half->output ? kNoSlot : half->out;
  }
  return kNoSlot;
}

ProductFusion ActivationAt(const Program& program, size_t i, SlotId out,
                           std::span<const SlotId> kept) {
  const auto* activation = std::get_if<ActivationStep>(&program.steps[i + 1]);
  if (activation == nullptr || activation->in != out) return ProductFusion::kNone;
  if (std::holds_alternative<GemmF16Step>(program.steps[i])) {
    const bool dead = activation->out == out || IsDead(program, i + 2, out, kept);
    return dead && !activation->codes ? ProductFusion::kActivation : ProductFusion::kNone;
  }
  const GemmS8Step& product = std::get<GemmS8Step>(program.steps[i]);
  if (!activation->codes || activation->codes->slot == product.codes) return ProductFusion::kNone;
  const bool dead =
      IsDead(program, i + 2, out, kept) && IsDead(program, i + 2, activation->out, kept);
  return dead ? ProductFusion::kCodes : ProductFusion::kNone;
}

ProductFusion FusionAt(const Program& program, size_t i, std::span<const SlotId> kept) {
  const SlotId out = OutputOf(program.steps[i]);
  if (out == kNoSlot || i + 1 == program.steps.size()) return ProductFusion::kNone;
  const Step& next = program.steps[i + 1];
  const AddStep* add = ResidualOf(next);
  if (add == nullptr) return ActivationAt(program, i, out, kept);
  const SlotStorage storage = program.slots[static_cast<size_t>(add->stream)].storage;
  const bool fits = add->y == out && add->stream != out && storage == SlotStorage::kHalf;
  const bool dead = WritesWhole(next, out) || IsDead(program, i + 2, out, kept);
  return fits && dead ? ProductFusion::kResidual : ProductFusion::kNone;
}

}  // namespace

bool IsDead(const Program& program, size_t first, SlotId slot, std::span<const SlotId> kept) {
  for (size_t i = first; i < program.steps.size(); ++i) {
    if (Reads(program.steps[i], slot)) return false;
    if (WritesWhole(program.steps[i], slot)) return true;
  }
  return std::ranges::find(kept, slot) == kept.end();
}

std::vector<ProductFusion> ProductFusions(const Program& program, std::span<const SlotId> kept) {
  std::vector<ProductFusion> fusions(program.steps.size());
  for (size_t i = 0; i < fusions.size(); ++i) fusions[i] = FusionAt(program, i, kept);
  return fusions;
}

}  // namespace w8a8
