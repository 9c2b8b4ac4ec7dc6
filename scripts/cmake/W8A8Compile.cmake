# How every target is compiled, and the one way to declare a folder's library.

# Binary32 arithmetic is part of the contract: a*b+c is contracted into an FMA only where std::fma
# is written, and nothing may reassociate.
add_library(w8a8_compile INTERFACE)
target_compile_options(w8a8_compile INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -Wall -Wextra -Wpedantic -Wshadow -Wconversion>)
target_include_directories(w8a8_compile INTERFACE ${PROJECT_SOURCE_DIR})
# The sanitizers' checks make GCC 12 see overflows and unset values where there are none (std::regex,
# vector::resize), so warnings are errors only in the builds without them.
if(W8A8_WERROR AND NOT W8A8_SANITIZE)
  target_compile_options(w8a8_compile INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(W8A8_SANITIZE)
  target_compile_options(w8a8_compile INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${W8A8_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer>)
  target_compile_options(w8a8_compile INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wno-maybe-uninitialized -Wno-stringop-overflow>)
  target_link_options(w8a8_compile INTERFACE -fsanitize=${W8A8_SANITIZE})
endif()

# In files that are compiled as one, a local name that hides a neighbour's is no fault, nor is a type
# without linkage in what has become an included file; scripts/lint compiles every file by itself.
# A library, so that its options stand behind those that it takes back.
add_library(w8a8_compile_as_one INTERFACE)
target_compile_options(w8a8_compile_as_one INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wno-shadow -Wno-subobject-linkage>)

# w8a8_library(NAME [HOT] SOURCES file... [DEPENDS target...] [PRIVATE_DEPENDS target...])
# One static library per folder. DEPENDS is the only way to reach another folder's headers in the
# build; tests/project/include_rule checks the sources against the same graph.
# With W8A8_UNITY its files are compiled as one, but for those with options of their own: less than half
# the time of a first build. runtime/base took 61 s of CPU under the sanitizers in four parts, 50 s as one.
# HOT: loops over weights, rows or pixels. Under the sanitizers only such a library is optimized: the checks
# make optimizing dear (reports: 42 s of CPU at -O1, 26 s at -O0).
function(w8a8_library name)
  cmake_parse_arguments(ARG "HOT" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC w8a8_compile ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_DEPENDS})
  if(ARG_HOT AND W8A8_SANITIZE)
    target_compile_options(${name} PRIVATE -O1)
  endif()
  if(W8A8_UNITY)
    set_target_properties(${name} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
    target_link_libraries(${name} PRIVATE w8a8_compile_as_one)
  endif()
endfunction()
