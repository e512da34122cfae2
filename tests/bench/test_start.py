"""What the start of a worker costs: printed, never asserted."""

import psutil
import pytest

STARTS = 5


@pytest.fixture
def deployment_options() -> dict[str, str]:
    return {"config": '[routing]\nclassifier = "cascade"\n'}


async def test_the_start_of_a_worker(deployment):
    """All stages, as they are configured by default; the topics are empty."""
    costs = []
    for _ in range(STARTS):
        worker = await deployment.start_worker()
        spent = psutil.Process(worker.pid).cpu_times()
        costs.append(spent.user + spent.system)
        await deployment.unwatch(worker).stop(20)
    print(f"\nuntil a worker is ready: {', '.join(f'{cost:.2f}' for cost in costs)} s of CPU")
