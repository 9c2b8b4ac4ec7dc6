#include "runtime/no_rows.h"

#include <type_traits>
#include <variant>

namespace w8a8 {

bool IsOfNoRows(const Arena& arena, const Step& step) {
  return std::visit(
      [&arena](const auto& s) {
        if constexpr (std::is_same_v<decltype(s), const GemmS8Step&>) {
          return arena.rows(s.codes) == 0;
        }
        if constexpr (std::is_same_v<decltype(s), const GatherStep&>) return false;
        if constexpr (requires { s.in; }) return arena.rows(s.in) == 0;
        return false;
      },
      step);
}

}  // namespace w8a8
