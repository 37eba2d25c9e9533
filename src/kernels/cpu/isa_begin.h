// Opens a region whose functions are compiled for the instruction set BONSAI_TARGET ("avx2,f16c"), without a compiler
// flag for the file. Use, in this order:
//
//   #include <immintrin.h>            // and every other header: inline functions must stay outside the region, or the
//   #include "kernels/cpu/isa.h"      // linker may keep the copy with the new instructions for everyone
//   #define BONSAI_TARGET "avx2,f16c"
//   #include "kernels/cpu/isa_begin.h"
//   namespace bonsai::kernels { namespace { ... } const KernelTable kAvx2Kernels = {...}; }
//   #include "kernels/cpu/isa_end.h"
//
// Inside: C arrays of vectors, no std templates, no lambdas, no inline functions of other headers.
// tests/isa_symbols.sh fails when the object defines any symbol besides its table.
//
// No include guard: one file may open several regions.
#ifndef BONSAI_TARGET
#error "define BONSAI_TARGET before including isa_begin.h"
#endif
#define BONSAI_PRAGMA_INNER(text) _Pragma(#text)
#define BONSAI_PRAGMA(text) BONSAI_PRAGMA_INNER(text)
#if defined(__clang__)
BONSAI_PRAGMA(clang attribute push(__attribute__((target(BONSAI_TARGET))), apply_to = function))
#else
BONSAI_PRAGMA(GCC push_options)
BONSAI_PRAGMA(GCC target(BONSAI_TARGET))
BONSAI_PRAGMA(GCC diagnostic push)
// GCC 12 reports the deliberately undefined registers inside its own intrinsics, and vector types as template or
// array arguments.
BONSAI_PRAGMA(GCC diagnostic ignored "-Wuninitialized")
BONSAI_PRAGMA(GCC diagnostic ignored "-Wmaybe-uninitialized")
BONSAI_PRAGMA(GCC diagnostic ignored "-Wignored-attributes")
#endif
