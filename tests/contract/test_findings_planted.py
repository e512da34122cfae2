"""What is planted into made traffic is found, with what it is worth, and nothing is found where nothing is planted."""

import pytest
from support.planted_findings import NOTHING, PLANTS, found, made, truth

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

TRUE_NAMES = {
    "power_user": "power_user:power-user:contract-intake:extraction:tier 3",
    "mis_tiered": "feature_tier:release-notes:writing:tier 3",
    "price_change": "cost_change:price:2:openai/gpt-6-luna:2026-10-11T00",
    "slow_provider": "slow_provider:2:openai/gpt-6-luna",
}


async def test_all_four_plants_are_found_with_the_right_saving_and_nothing_else(clickhouse_url):
    traffic = made(1, 60_000, 30, PLANTS)
    report = await found(clickhouse_url, "ledger", traffic)
    by_id = {one.id: one for one in report.findings}
    assert by_id.keys() == set(TRUE_NAMES.values())
    worth = truth(traffic, PLANTS)
    for name, id_ in TRUE_NAMES.items():
        finding, true = by_id[id_], getattr(worth, name)
        assert float(finding.usd_month) == pytest.approx(float(true), rel=0.06), name
        assert finding.usd_month_low <= true <= finding.usd_month_high
        assert finding.evidence
    power_user = by_id[TRUE_NAMES["power_user"]]
    assert power_user.figures["tier_cost_share"] == pytest.approx(0.4, abs=0.02)
    assert by_id[TRUE_NAMES["slow_provider"]].figures["times_as_long"] == pytest.approx(2.8, abs=0.2)
    assert "release-notes to the top" in by_id[TRUE_NAMES["mis_tiered"]].advice


@pytest.mark.parametrize("seed", [100, 101])
async def test_traffic_in_which_nothing_is_planted_has_no_findings(clickhouse_url, seed):
    """Two runs; `tests/bench/test_clean_findings.py` has twenty."""
    report = await found(clickhouse_url, "ledger", made(seed, 20_000, 12, NOTHING))
    assert report.candidates > 5
    assert report.findings == ()
