#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "runtime/cuda/cuda_error.h"
#include "runtime/cuda/wgmma_product.cuh"
#include "runtime/cuda/wgmma_product.h"

namespace w8a8 {
namespace {

using EncodeTiled = decltype(&cuTensorMapEncodeTiled);

// Of the driver, found at run time: the library is not linked against libcuda. nullptr: it has
// none.
EncodeTiled FindEncodeTiled() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  CheckCuda(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                             cudaEnableDefault, &found),
            "looking for cuTensorMapEncodeTiled");
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<EncodeTiled>(function) : nullptr;
}

// A matrix of bytes [rows, k] whose boxes are 128 bytes of `box_rows` rows, swizzled; what a box
// holds beyond the matrix becomes 0.
CUtensorMap Encode(EncodeTiled encode, const int8_t* codes, int64_t stride, int32_t rows, int32_t k,
                   int32_t box_rows) {
  CUtensorMap map{};
  const cuuint64_t sizes[] = {static_cast<cuuint64_t>(k), static_cast<cuuint64_t>(rows)};
  const cuuint64_t strides[] = {static_cast<cuuint64_t>(stride)};
  const cuuint32_t box[] = {kStageDepth, static_cast<cuuint32_t>(box_rows)};
  const cuuint32_t steps[] = {1, 1};
  const CUresult result =
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2, const_cast<int8_t*>(codes), sizes, strides,
             box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
             CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  // The driver numbers its errors as the runtime does.
  CheckCuda(static_cast<int>(result), "describing a matrix of codes to TMA");
  return map;
}

template <WgmmaTiles kTiles>
const void* KernelOf(WgmmaEpilogue epilogue) {
  switch (epilogue) {
    case WgmmaEpilogue::kHalf:
      return reinterpret_cast<const void*>(WgmmaProductKernel<kTiles, WgmmaEpilogue::kHalf>);
    case WgmmaEpilogue::kResidual:
      return reinterpret_cast<const void*>(WgmmaProductKernel<kTiles, WgmmaEpilogue::kResidual>);
    case WgmmaEpilogue::kCodes:
      return reinterpret_cast<const void*>(WgmmaProductKernel<kTiles, WgmmaEpilogue::kCodes>);
  }
  return nullptr;
}

const void* KernelOf(WgmmaTiles tiles, WgmmaEpilogue epilogue) {
  switch (tiles) {
    case WgmmaTiles::kPingPong64x128:
      return KernelOf<WgmmaTiles::kPingPong64x128>(epilogue);
    case WgmmaTiles::kPingPong128x128:
      return KernelOf<WgmmaTiles::kPingPong128x128>(epilogue);
    case WgmmaTiles::kCooperative128x256:
      return KernelOf<WgmmaTiles::kCooperative128x256>(epilogue);
    case WgmmaTiles::kCooperative256x128:
      return KernelOf<WgmmaTiles::kCooperative256x128>(epilogue);
  }
  return nullptr;
}

int Attribute(cudaDeviceAttr attribute, int device) {
  int value = 0;
  CheckCuda(cudaDeviceGetAttribute(&value, attribute, device), "asking what a device has");
  return value;
}

// Clusters of the kernel that the current device runs at once: half its multiprocessors, or fewer
// where one of an odd number is left over. A cluster beyond them would begin when another ends, and
// double the time.
int32_t AskClustersAtOnce(const void* kernel, int bytes) {
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = kWgmmaClusterSize;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(kWgmmaClusterSize);
  config.blockDim = dim3(kWgmmaThreads);
  config.dynamicSmemBytes = static_cast<size_t>(bytes);
  config.attrs = &cluster;
  config.numAttrs = 1;
  int clusters = 0;
  CheckCuda(cudaOccupancyMaxActiveClusters(&clusters, kernel, &config), "counting clusters");
  return clusters > 0 ? clusters : 1;
}

// Asked once for a device and kernel, after its shared memory was asked for.
int32_t ClustersAtOnce(const void* kernel, int bytes) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, int32_t> known;
  int device = 0;
  CheckCuda(cudaGetDevice(&device), "asking for the current device");
  const std::lock_guard lock(mutex);
  int32_t& clusters = known[{device, kernel}];
  if (clusters == 0) clusters = AskClustersAtOnce(kernel, bytes);
  return clusters;
}

}  // namespace

std::string WgmmaUnavailable(int device) {
  const int major = Attribute(cudaDevAttrComputeCapabilityMajor, device);
  const int minor = Attribute(cudaDevAttrComputeCapabilityMinor, device);
  if (major != 9 || minor != 0) {
    return "the kernel is code for sm_90a (Hopper), which only compute capability 9.0 runs; "
           "device " +
           std::to_string(device) + " has " + std::to_string(major) + "." + std::to_string(minor);
  }
  if (FindEncodeTiled() != nullptr) return "";
  return "the driver has no cuTensorMapEncodeTiled; install release 525 or later";
}

void LaunchWgmmaProduct(Queue queue, const WgmmaProduct& product, WgmmaTiles tiles) {
  const WgmmaTileShape shape = ShapeOf(tiles);
  const EncodeTiled encode = FindEncodeTiled();
  WgmmaOutputs outputs = product.outputs;
  CUtensorMap x =
      Encode(encode, product.x, product.x_stride, outputs.m, outputs.k, BoxRowsX(shape));
  CUtensorMap w =
      Encode(encode, product.w, product.w_stride, outputs.n, outputs.k, BoxRowsW(shape));
  const void* kernel = KernelOf(tiles, product.epilogue);
  const auto bytes = static_cast<int>(LayoutOf(shape).end);
  CheckCuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
            "asking for shared memory");
  // A launch copies what the arguments point to.
  void* arguments[] = {&x, &w, &outputs};
  const int32_t tiles_there = ClusterTiles(GridOf(shape, outputs.m, outputs.n, outputs.k));
  const int32_t clusters = std::min(tiles_there, ClustersAtOnce(kernel, bytes));
  const dim3 grid(static_cast<unsigned>(clusters * kWgmmaClusterSize));
  CheckCuda(cudaLaunchKernel(kernel, grid, dim3(kWgmmaThreads), arguments,
                             static_cast<size_t>(bytes), queue),
            "launching the sm_90a product");
}

}  // namespace w8a8
