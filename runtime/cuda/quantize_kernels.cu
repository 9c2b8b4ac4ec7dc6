#include "runtime/cuda/block.h"
#include "runtime/cuda/held_row.h"
#include "runtime/cuda/quantize_kernels.h"
#include "runtime/cuda/row_pieces.h"

namespace w8a8 {
namespace {

// ---- what codes cannot show ----

struct Met {
  int32_t nan = 0, inf = 0, saturated = 0;
};

W8A8_DEVICE void AddIfAny(int32_t count, uint64_t* to) {
  count = WarpSum(count);
  if (Lane() == 0 && count > 0) AtomicAdd(to, static_cast<uint64_t>(count));
}

// By all lanes of a warp.
W8A8_DEVICE void AddMet(const Met& met, uint64_t* counts) {
  AddIfAny(met.nan, counts);
  AddIfAny(met.inf, counts + 1);
  AddIfAny(met.saturated, counts + 2);
}

W8A8_DEVICE void Meet(float value, bool saturated, Met* met) {
  met->nan += value != value ? 1 : 0;
  met->inf += value == value && !IsFiniteBits(value) ? 1 : 0;
  met->saturated += saturated ? 1 : 0;
}

// ---- symmetric, one scale and one accumulator for a row ----

struct WholeRowsArgs {
  QuantizeArgs from;
  PlainCodes to;
  bool aligned;
};

// Row BlockIndex(), whose pieces piece_of(p) gives.
template <class PieceOf>
W8A8_DEVICE void QuantizeWholeRow(const WholeRowsArgs& args, PieceOf piece_of) {
  const int64_t row = BlockIndex(), cols = args.from.x.cols;
  float amax = 0.0f;
  if (args.to.static_scale == 0.0f) {
    for (int64_t p = ThreadIndex(); p * kPiece < cols; p += BlockThreads()) {
      const float largest = FiniteAmax(piece_of(p));
      amax = largest > amax ? largest : amax;
    }
  }
  const ActivationScale scale = CodeRow(BlockTeam(), row, cols, args.to, amax, piece_of);
  if (args.from.counts == nullptr) return;
  Met met;
  for (int64_t p = ThreadIndex(); p * kPiece < cols; p += BlockThreads()) {
    const auto piece = piece_of(p);
#pragma unroll
    for (int i = 0; i < kPiece; ++i) {  // absent values are zeros, which nothing counts
      const float value = Wide(piece.values[i]);
      Meet(value, IsSaturated(value, scale.inv_scale), &met);
    }
  }
  AddMet(met, args.from.counts);
}

// Nothing of a row is held: its second reading comes from the cache.
W8A8_KERNEL void QuantizePlainRows(WholeRowsArgs args) {
  const int64_t cols = args.from.x.cols;
  const Half* const x = args.from.x.data + BlockIndex() * args.from.x.stride;
  QuantizeWholeRow(args, [&](int64_t p) {
    return LoadPiece(x + p * kPiece, CountAt(p * kPiece, cols), args.aligned);
  });
}

W8A8_DEVICE void StoreValues(const float* v, MatView<float> to, int64_t row, bool aligned) {
  if (to.data == nullptr) return;
  for (int64_t col = ThreadIndex() * kPiece; col < to.cols; col += BlockThreads() * kPiece) {
    StorePiece(to.data + row * to.stride + col, LoadPiece(v + col, kPiece, true),
               CountAt(col, to.cols), aligned);
  }
}

constexpr size_t kLowPlace = kTeamBytes;
constexpr size_t kHeldPlace = kLowPlace + kTeamPlaceBytes;

W8A8_KERNEL void QuantizeHeldRows(WholeRowsArgs args) {
  const int64_t row = BlockIndex();
  const MatView<const Half>& x = args.from.x;
  float* const v = SharedAs<float>(kHeldPlace);
  HoldRow(args.from.transform, x.data + row * x.stride, static_cast<int>(x.cols), args.aligned, v);
  StoreValues(v, args.from.values, row, args.aligned);
  QuantizeWholeRow(args, [v](int64_t p) { return LoadPiece(v + p * kPiece, kPiece, true); });
}

// ---- any quantizer: a block for each row, which it holds as binary32 ----

struct AnyRowsArgs {
  QuantizeArgs to;
  int64_t row_step;        // block b takes row b * row_step
  int64_t scale_inputs;    // inputs that share a scale: a multiple of product_inputs
  int64_t product_inputs;  // inputs of an accumulator
  int64_t scale_groups;    // of a row's scales as they are stored
  int64_t product_groups;
  bool aligned;
};

// Threads that take groups together: each the `index`-th of `teams` that share out the groups, and
// in a group the elements from `first` on.
struct GroupTeam {
  int first, step;
  int index, teams;
};
W8A8_DEVICE GroupTeam BlockAsOne() { return {ThreadIndex(), BlockThreads(), 0, 1}; }
W8A8_DEVICE GroupTeam WarpsApart() {
  return {Lane(), kWarpLanes, Warp(), BlockThreads() / kWarpLanes};
}

W8A8_DEVICE float TeamMax(const GroupTeam& team, float value, size_t place) {
  value = WarpMax(value);
  if (team.step == kWarpLanes) return value;
  return OverWarps(value, place, [](float a, float b) { return a > b ? a : b; });
}

W8A8_DEVICE int32_t TeamSum(const GroupTeam& team, int32_t value) {
  value = WarpSum(value);
  if (team.step == kWarpLanes) return value;
  return OverWarps(value, kSumPlace, [](int32_t a, int32_t b) { return a + b; });
}

W8A8_DEVICE FiniteRange RangeOf(const GroupTeam& team, const float* v, int64_t begin, int64_t end) {
  float low = 0.0f, high = 0.0f;
  for (int64_t k = begin + team.first; k < end; k += team.step) {
    const float value = Load(v + k);
    if (!IsFiniteBits(value)) continue;
    low = value < low ? value : low;
    high = value > high ? value : high;
  }
  return {-TeamMax(team, -low, kLowPlace), TeamMax(team, high, kMaxPlace)};
}

// Quantizer::ScaleOf() of a group.
W8A8_DEVICE ActivationScale ScaleOfGroup(const Quantizer& quantizer, const GroupTeam& team,
                                         const float* v, int64_t begin, int64_t end) {
  if (quantizer.granularity == Granularity::kTensor) {
    return {quantizer.scale, 1.0f / quantizer.scale, quantizer.zero_point};
  }
  const FiniteRange range = RangeOf(team, v, begin, end);
  return quantizer.symmetric ? TokenScale(Amax(range), quantizer.clip_range)
                             : AsymmetricTokenScale(range, quantizer.clip_range);
}

// A row's values, and where its codes go.
struct RowAsCodes {
  float* v;
  int64_t row;
  bool leaves_rest;  // v becomes what the codes leave of it
  Met* met;
};

W8A8_DEVICE void CodeGroup(const AnyRowsArgs& args, const Quantizer& quantizer,
                           const RowAsCodes& row, const GroupTeam& team,
                           const ActivationScale& scale, int64_t group) {
  const int64_t begin = group * args.product_inputs, next = begin + args.product_inputs;
  const int64_t end = next < args.to.x.cols ? next : args.to.x.cols;
  int8_t* const codes = args.to.codes + row.row * args.to.codes_stride;
  int32_t sum = 0;
  for (int64_t k = begin + team.first; k < end; k += team.step) {
    const float value = Load(row.v + k);
    const int8_t code = quantizer.symmetric
                            ? ActivationCode(value, scale.inv_scale)
                            : AsymmetricCode(value, scale.inv_scale, scale.zero_point);
    Store(codes + k, code);
    sum += code;
    Meet(value,
         quantizer.symmetric ? IsSaturated(value, scale.inv_scale)
                             : IsAsymmetricSaturated(value, scale.inv_scale, scale.zero_point),
         row.met);
    if (!row.leaves_rest) continue;
    const float rest = value - static_cast<float>(code) * scale.scale;
    Store(row.v + k, IsFiniteBits(value) ? rest : 0.0f);
  }
  sum = TeamSum(team, sum);
  if (team.first != 0) return;
  Store(args.to.code_sum + row.row * args.product_groups + group, sum);
  if (args.scale_groups > 1) {
    Store(args.to.scale + row.row * args.scale_groups + group, scale.scale);
  }
}

// The groups that share a scale, and in each those of the product.
W8A8_DEVICE void CodeValues(const AnyRowsArgs& args, const Quantizer& quantizer,
                            const RowAsCodes& row) {
  const int64_t cols = args.to.x.cols;
  const bool one_scale = args.scale_inputs >= cols;
  const GroupTeam sharing = one_scale ? BlockAsOne() : WarpsApart();
  for (int64_t begin = sharing.index * args.scale_inputs; begin < cols;
       begin += sharing.teams * args.scale_inputs) {
    const int64_t end = begin + args.scale_inputs < cols ? begin + args.scale_inputs : cols;
    const ActivationScale scale = ScaleOfGroup(quantizer, sharing, row.v, begin, end);
    GroupTeam team = one_scale && args.product_groups > 1 ? WarpsApart() : sharing;
    if (!one_scale) {  // whoever shares a scale takes all of its groups
      team.index = 0;
      team.teams = 1;
    }
    for (int64_t group = begin / args.product_inputs + team.index;
         group * args.product_inputs < end; group += team.teams) {
      CodeGroup(args, quantizer, row, team, scale, group);
    }
    if (args.scale_groups > 1 || ThreadIndex() != 0) continue;
    Store(args.to.scale + row.row, scale.scale);
    if (!quantizer.symmetric) Store(args.to.zero_point + row.row, scale.zero_point);
  }
  int8_t* const codes = args.to.codes + row.row * args.to.codes_stride;
  for (int64_t k = cols + ThreadIndex(); k < args.to.codes_stride; k += BlockThreads()) {
    Store(codes + k, int8_t{0});
  }
}

W8A8_KERNEL void QuantizeAnyRows(AnyRowsArgs args) {
  const int64_t row = BlockIndex() * args.row_step;
  float* const v = SharedAs<float>(kHeldPlace);
  HoldRow(args.to.transform, args.to.x.data + row * args.to.x.stride,
          static_cast<int>(args.to.x.cols), args.aligned, v);
  const int64_t per_image = args.to.rows_per_image;
  const bool twice = per_image > 0 && row % per_image == 0;
  StoreValues(v, args.to.values, row, args.aligned);
  Met met, unwanted;
  CodeValues(args, args.to.quantizer, {v, row, twice, &met});
  if (args.to.counts != nullptr) AddMet(met, args.to.counts);
  if (!twice) return;
  CodeValues(args, Quantizer(), {v, args.to.x.rows + row / per_image, false, &unwanted});
}

// ---- other directions ----

W8A8_KERNEL void TransformRowsTo(TransformRowsArgs args, bool aligned) {
  const int64_t row = BlockIndex();
  float* const v = SharedAs<float>(0);
  HoldRow(args.transform, args.x.data + row * args.x.stride, static_cast<int>(args.x.cols), aligned,
          v);
  StoreValues(v, args.values, row, aligned);
  if (args.rounded.data == nullptr) return;
  for (int64_t col = ThreadIndex() * kPiece; col < args.x.cols; col += BlockThreads() * kPiece) {
    const Piece<float> piece = LoadPiece(v + col, kPiece, true);
    Piece<Half> rounded;
#pragma unroll
    for (int i = 0; i < kPiece; ++i) rounded.values[i] = Narrow(piece.values[i]);
    StorePiece(args.rounded.data + row * args.rounded.stride + col, rounded,
               CountAt(col, args.x.cols), aligned);
  }
}

W8A8_DEVICE float RealValue(const RealRowsArgs& args, int64_t row, int64_t col, int32_t zero_point,
                            int64_t scale_groups) {
  const int64_t group = scale_groups > 1 ? col / args.scale_group : 0;
  const int32_t code = Load(args.codes + row * args.codes_stride + col);
  return static_cast<float>(code - zero_point) * Load(args.scale + row * scale_groups + group);
}

W8A8_KERNEL void RealRows(RealRowsArgs args, int64_t scale_groups) {
  const int64_t row = BlockIndex(), rows = args.values.rows;
  const int32_t zero_point = args.zero_point == nullptr ? 0 : Load(args.zero_point + row);
  const bool twice = args.rows_per_image > 0 && row % args.rows_per_image == 0;
  for (int64_t col = ThreadIndex(); col < args.values.cols; col += BlockThreads()) {
    float value = RealValue(args, row, col, zero_point, scale_groups);
    if (twice) value += RealValue(args, rows + row / args.rows_per_image, col, 0, scale_groups);
    Store(args.values.data + row * args.values.stride + col, value);
  }
}

// ---- launching ----

size_t HeldBytes(int64_t cols) {
  return static_cast<size_t>(PiecesOf(cols)) * sizeof(Piece<float>);
}

bool IsAligned(MatView<const Half> x, const RowTransform& transform, MatView<float> values) {
  return RowsLieOn16Bytes(x.data, x.stride) && LiesOn16Bytes(transform.factors) &&
         RowsLieOn16Bytes(values.data, values.stride);
}

void LaunchWhole(Queue queue, const QuantizeArgs& args) {
  const Quantizer& quantizer = args.quantizer;
  const bool held = args.transform.factors != nullptr || args.values.data != nullptr;
  const WholeRowsArgs whole{.from = args,
                            .to = {.clip_range = quantizer.clip_range,
                                   .static_scale = quantizer.is_static() ? quantizer.scale : 0.0f,
                                   .codes = args.codes,
                                   .stride = args.codes_stride,
                                   .scale = args.scale,
                                   .code_sum = args.code_sum},
                            .aligned = IsAligned(args.x, args.transform, args.values)};
  Launch(queue,
         {.blocks = args.x.rows,
          .threads = ThreadsOfRow(args.x.cols),
          .shared_bytes = held ? kHeldPlace + HeldBytes(args.x.cols) : kTeamBytes},
         held ? QuantizeHeldRows : QuantizePlainRows, whole);
}

// Every `row_step`-th row.
void LaunchAny(Queue queue, const QuantizeArgs& args, int64_t row_step) {
  const int64_t cols = args.x.cols, groups = GroupsOfRow(cols, args.group);
  const AnyRowsArgs any{.to = args,
                        .row_step = row_step,
                        .scale_inputs = args.quantizer.GroupOf(cols),
                        .product_inputs = groups > 1 ? args.group : cols,
                        .scale_groups = ScaleGroups(args),
                        .product_groups = groups,
                        .aligned = IsAligned(args.x, args.transform, args.values)};
  Launch(queue,
         {.blocks = args.x.rows / row_step,
          .threads = ThreadsOfRow(cols),
          .shared_bytes = kHeldPlace + HeldBytes(cols)},
         QuantizeAnyRows, any);
}

}  // namespace

void LaunchQuantize(Queue queue, const QuantizeArgs& args) {
  const bool whole = args.quantizer.symmetric && GroupsOfRow(args.x.cols, args.group) == 1 &&
                     args.quantizer.GroupsOf(args.x.cols) == 1;
  if (!whole) return LaunchAny(queue, args, 1);
  LaunchWhole(queue, args);
  if (args.rows_per_image == 0) return;
  QuantizeArgs first_rows = args;  // coded once more, and then what the codes left
  first_rows.counts = nullptr;
  first_rows.values = {};
  LaunchAny(queue, first_rows, args.rows_per_image);
}

void LaunchTransform(Queue queue, const TransformRowsArgs& args) {
  const bool aligned = IsAligned(args.x, args.transform, args.values) &&
                       RowsLieOn16Bytes(args.rounded.data, args.rounded.stride);
  Launch(queue,
         {.blocks = args.x.rows,
          .threads = ThreadsOfRow(args.x.cols),
          .shared_bytes = HeldBytes(args.x.cols)},
         TransformRowsTo, args, aligned);
}

void LaunchRealRows(Queue queue, const RealRowsArgs& args) {
  Launch(queue, {.blocks = args.values.rows, .threads = ThreadsOfRow(args.values.cols)}, RealRows,
         args, GroupsOfRow(args.values.cols, args.scale_group));
}

}  // namespace w8a8
