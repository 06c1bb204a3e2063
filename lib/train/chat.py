"""Chat templates of the turns alone."""

# Chat templates by a token that tells the family, the last that fits. The models' own say more than turns: SmolLM2's
# adds a system prompt of some 25 tokens to every example, Llama's the date of the day. A model that thinks before it
# answers, as Qwen3, is shown an empty thought: else its untrained answers would be cut before they begin.
TEMPLATES = {
    "<|im_start|>": (
        "{% for message in messages %}"
        "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "<think>": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
        "{% if message['role'] == 'assistant' %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}{% endif %}"
    ),
    "<|start_header_id|>": (
        "{{ bos_token }}{% for message in messages %}"
        "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] + '<|eot_id|>' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
}


def set_template(tokenizer) -> None:
    """Give the tokenizer of a known family a chat template of the turns alone; that of another keeps its own."""
    for token, template in TEMPLATES.items():
        if token in tokenizer.get_vocab():
            tokenizer.chat_template = template
