// The chat page's bytes, in the read-only data section.
    .section .rodata
    .globl bonsai_chat_page_begin
    .hidden bonsai_chat_page_begin
bonsai_chat_page_begin:
    .incbin "index.html.gz"
    .globl bonsai_chat_page_end
    .hidden bonsai_chat_page_end
bonsai_chat_page_end:
    .globl bonsai_chat_policy_begin
    .hidden bonsai_chat_policy_begin
bonsai_chat_policy_begin:
    .incbin "csp.txt"
    .globl bonsai_chat_policy_end
    .hidden bonsai_chat_policy_end
bonsai_chat_policy_end:
    .section .note.GNU-stack, "", %progbits
