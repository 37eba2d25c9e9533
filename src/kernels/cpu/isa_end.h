// Closes the region that isa_begin.h opened.
#if defined(__clang__)
BONSAI_PRAGMA(clang attribute pop)
#else
BONSAI_PRAGMA(GCC diagnostic pop)
BONSAI_PRAGMA(GCC pop_options)
#endif
#undef BONSAI_TARGET
#undef BONSAI_PRAGMA
#undef BONSAI_PRAGMA_INNER
