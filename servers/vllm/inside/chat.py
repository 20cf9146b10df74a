"""A conversation as the model was trained to read it."""


def chat_tokens(tokenizer, messages: list[dict]) -> list[int]:
    """The tokens of `messages` up to where the model's answer begins.

    The template brings its own special tokens; to add the tokenizer's again would double the
    first one. Without `add_generation_prompt` the model might go on as the user. Raises whatever
    the template does: it is a program of the model's author, and may refuse an order of roles.
    """
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer.encode(text, add_special_tokens=False)
