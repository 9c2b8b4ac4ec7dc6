# cmake -DNM=... "-DOBJECTS=a.o;b.o" -P no_weak_symbols.cmake
# An inline function or template that a file compiled for AVX-512 emits is a weak symbol: the linker
# may take it for the whole program, which then dies on a CPU without AVX-512.
list(FILTER OBJECTS INCLUDE REGEX "kernels_avx512")
if(NOT OBJECTS)
  message(FATAL_ERROR "no AVX-512 object among those of w8a8_cpu")
endif()
foreach(object ${OBJECTS})
  execute_process(COMMAND ${NM} -C ${object} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[0-9a-f]+ [WwVvu] [^\n]*" weak "${symbols}")
  if(weak)
    list(JOIN weak "\n  " weak)
    message(FATAL_ERROR "${object} emits weak symbols:\n  ${weak}")
  endif()
endforeach()
