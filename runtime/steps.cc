#include "runtime/steps.h"

#include <atomic>

#include "runtime/base/error.h"
#include "runtime/encoder/position_table.h"

namespace w8a8 {

uint64_t ProgramIdentity::Next() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

EmbedStep AtGrid(const EmbedStep& step, PatchGrid grid) {
  if (step.variable == nullptr) return step;
  W8A8_CHECK(grid.given());
  EncoderConfig config = *step.variable;
  config.image_height = grid.rows * config.patch;
  config.image_width = grid.cols * config.patch;
  EmbedStep at_grid = step;
  at_grid.image_height = config.image_height;
  at_grid.image_width = config.image_width;
  at_grid.position = std::make_shared<std::vector<float>>(PositionRows(config, *step.position));
  return at_grid;
}

}  // namespace w8a8
