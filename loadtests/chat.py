"""Chat: every request is a new conversation of one user message, through the chat template.

locust -f loadtests/chat.py --headless -H http://127.0.0.1:8000 --arrival poisson --rate 4 -t 1m
"""

from loadtests.users import StreamingUser


class Chat(StreamingUser):
    """Opens a new conversation as soon as the last answer is complete."""

    protocols = ("openai-chat", "tgi", "kserve-generate", "kserve-grpc")
