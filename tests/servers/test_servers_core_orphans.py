"""What a real vLLM leaves when its parent is killed: its children rename themselves, which
overwrites the environment they could be known by."""

import os
import signal
from pathlib import Path

import pytest
from servers_standin import eventually, session_of

from servers import instances, supervisor


@pytest.mark.engine
def test_down_clears_what_kill_9_of_vllms_parent_leaves(lab_home):
    instance = supervisor.up("vllm", model="tiny", settings={}, say=lambda _: None)
    assert instance.version
    assert instance.shm
    os.kill(instance.pid, signal.SIGKILL)
    assert eventually(lambda: not instances.leader_alive(instance))
    assert instances.status(instance) in ("unhealthy", "dead")
    supervisor.down(say=lambda _: None)
    assert session_of(instance.pid) == []
    assert [file for file in instance.shm if Path(file).exists()] == []
    assert instances.names() == []
