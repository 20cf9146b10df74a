"""Text completion: one prompt, one streamed answer, nothing kept between requests.

locust -f loadtests/completion.py --headless -H http://127.0.0.1:8000 -u 16 -r 16 -t 30s
"""

from loadtests.users import StreamingUser


class Completion(StreamingUser):
    """Sends a fresh prompt as soon as the last answer is complete."""

    protocols = ("openai-completions", "tgi", "kserve-generate", "kserve-grpc")
