"""A campaign on a Dask cluster of two workers: the same lives as without."""

from __future__ import annotations

import distributed
from typer.testing import CliRunner

from haipump_emulator.campaign import farm, live
from haipump_emulator.cli import app


def test_a_cluster_lives_the_same_lives(tmp_path):
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        words = ["campaign", "--hours", "6", "--each", "2", "--dask", cluster.scheduler_address, "--out", str(tmp_path)]
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    lives = farm.Store(tmp_path, farm.Order.of(2.0, "direct")).lives
    assert sorted(lives) == [1, 2, 3]
    assert lives[2].digest == live(2, 2.0).digest
