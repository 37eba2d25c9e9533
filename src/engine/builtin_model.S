// The file's bytes, in the read-only data section: pages that are never read never become resident.
    .section .rodata
    .balign 64
    .globl bonsai_builtin_model_begin
    .hidden bonsai_builtin_model_begin
bonsai_builtin_model_begin:
    .incbin "tiny-q1.gguf"
    .globl bonsai_builtin_model_end
    .hidden bonsai_builtin_model_end
bonsai_builtin_model_end:
    .section .note.GNU-stack, "", %progbits
