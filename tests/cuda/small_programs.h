// Programs of a layer or two, and arenas to run them on.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "quant/quantized_linear.h"
#include "runtime/backend.h"
#include "tests/runtime/step_bench.h"

namespace w8a8::test::small {

inline constexpr int64_t kTokens = 5, kInputs = 40, kHidden = 80;
inline constexpr SlotId kIn = 0, kCodes = 1, kHiddenOut = 2, kStream = 3, kActivated = 4,
                        kActivatedCodes = 5, kOut = 6, kNormed = 7;
inline constexpr Quantizer kStatic = {.granularity = Granularity::kTensor, .scale = 0.02f};

inline std::vector<Slot> SlotsOf(SlotStorage stream) {
  return {HalfSlot(kTokens, kInputs),
          CodesSlot(kTokens, kInputs),
          HalfSlot(kTokens, kHidden),
          stream == SlotStorage::kFloat ? FloatSlot(kTokens, kHidden) : HalfSlot(kTokens, kHidden),
          HalfSlot(kTokens, kHidden),
          CodesSlot(kTokens, kHidden),
          HalfSlot(kTokens, kInputs),
          HalfSlot(kTokens, kHidden)};
}

inline PackedPtr Layer(Backend& backend, int64_t n, int64_t k) {
  const std::vector<float> weight = RandomFloats(n * k, 5), bias = RandomFloats(n, 6);
  return backend.PackInt8(
      QuantizedLinear::FromLinear("layer", {weight.data(), n, k, k}, std::span(bias)), k);
}

// A product of kInputs, and what comes behind it.
inline Program ProgramOf(Backend& backend, const std::vector<Step>& behind,
                         SlotStorage stream = SlotStorage::kHalf) {
  Program program;
  program.slots = SlotsOf(stream);
  program.steps = {
      QuantizeStep{.in = kIn, .codes = {kCodes, {.quantizer = Quantizer()}, kInputs}},
      GemmS8Step{.codes = kCodes, .out = kHiddenOut, .weight = Layer(backend, kHidden, kInputs)}};
  program.steps.insert(program.steps.end(), behind.begin(), behind.end());
  program.nodes.assign(program.steps.size(), 0);
  return program;
}

inline std::vector<Step> ActivatedLayer(Backend& backend, ActivationKind kind,
                                        const Quantizer& codes) {
  return {ActivationStep{.in = kHiddenOut,
                         .out = kActivated,
                         .kind = kind,
                         .codes = CodesOutput{kActivatedCodes, {.quantizer = codes}, kHidden}},
          GemmS8Step{
              .codes = kActivatedCodes, .out = kOut, .weight = Layer(backend, kInputs, kHidden)}};
}

inline std::unique_ptr<Arena> Filled(Backend& backend, const Program& program) {
  std::unique_ptr<Arena> arena = backend.MakeArena();
  arena->Prepare(program.slots, {.images = 2});
  for (SlotId id = 0; id < static_cast<SlotId>(program.slots.size()); ++id) {
    if (program.slots[static_cast<size_t>(id)].storage == SlotStorage::kCodes) continue;
    FillSlot(*arena, id, static_cast<uint64_t>(id) + 1, 0, 3.0f);
  }
  return arena;
}

inline std::vector<std::byte> BytesOf(Arena& arena, SlotId id) {
  const std::span<const std::byte> bytes = arena.HostView(id);
  return {bytes.begin(), bytes.end()};
}

}  // namespace w8a8::test::small
