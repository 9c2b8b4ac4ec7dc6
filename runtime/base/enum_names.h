// The words by which people and files know the values of an enum: one table for writing and
// reading.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace w8a8 {

// Specialized beside an enum whose values count from 0: their words in that order.
template <class E>
inline constexpr std::array<std::string_view, 0> kNamesOf = {};

template <class E>
concept NamedEnum = std::is_enum_v<E> && !kNamesOf<E>.empty();

template <NamedEnum E>
constexpr std::string_view NameOf(E value) {
  return kNamesOf<E>.at(static_cast<size_t>(value));
}

template <NamedEnum E>
constexpr std::optional<E> FromName(std::string_view name) {
  for (size_t i = 0; i < kNamesOf<E>.size(); ++i) {
    if (kNamesOf<E>[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

// "fp16, fake, emulated or int8", for messages.
template <NamedEnum E>
std::string NamesText() {
  std::string text;
  for (size_t i = 0; i < kNamesOf<E>.size(); ++i) {
    text += i == 0 ? "" : i + 1 == kNamesOf<E>.size() ? " or " : ", ";
    text += kNamesOf<E>[i];
  }
  return text;
}

}  // namespace w8a8
